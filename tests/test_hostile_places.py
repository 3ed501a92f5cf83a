"""Folders, limits and files that stand in the way."""

from __future__ import annotations

import os
import resource
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from sources import git
from stacks import CHECKOUT, porter

from porter.errors import EnvironmentFailed, WrongUsage
from porter.files import staged
from porter.project import Project
from porter.target import Target


@pytest.mark.parametrize("place", ["/proc/x", "/proc/x/y", "/dev/null/x"])
def test_a_place_where_no_folder_can_be_made(place: str) -> None:
    """/proc says of each new folder that there is none above it."""
    with pytest.raises(EnvironmentFailed, match=f"cannot make {place}"), staged(Path(place)):
        pass


@pytest.mark.parametrize("files", [8, 16, 32])
def test_few_open_files(files: int, warm: None, project: Project, clone: Path, tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    for words in (["status", clone], ["apply", "--target", "mlu", tmp_path / "tree"]):
        done = subprocess.run(
            [sys.executable, "-m", "porter", *map(str, words)],
            cwd=project.root,
            env=env,
            capture_output=True,
            timeout=60,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (files, files)),
        )
        assert done.returncode in (0, 3), done.stderr
        assert done.returncode == 0 or files == 4 or b"Too many open files" in done.stderr


def test_a_branch_named_porter(warm: None, project: Project, clone: Path) -> None:
    """git keeps refs/heads/porter/mlu in a folder where it keeps this one as a file."""
    git("branch", "porter", cwd=clone)
    done = porter("apply", "--target", "mlu", clone, cwd=project.root)
    assert (done.returncode, git("branch", "--show-current", cwd=clone)) == (2, "mine")
    hint = done.stderr.splitlines()[-1]
    assert hint == f"hint: Give your branch porter another name: git -C {clone} branch -m porter NEW"
    subprocess.run(shlex.split(hint.partition("name: ")[2]), check=True)
    assert porter("apply", "--target", "mlu", clone, cwd=project.root).returncode == 0


def test_a_number_of_5000_digits(project: Project) -> None:
    """Python refuses to read one of more than 4300."""
    path = project.patches / "mlu/target.yaml"
    lines = path.read_text().splitlines()
    lines = [f"  host_to_device: {'9' * 5000}" if "host_to_device" in line else line for line in lines]
    path.write_text("\n".join(lines))
    with pytest.raises(WrongUsage, match="host_to_device should be a number of calls"):
        Target.load(path.parent)


def test_a_name_that_no_folder_can_have(warm: None, project: Project, tmp_path: Path) -> None:
    for words in (["apply", "--target", "mlu", tmp_path / ("a" * 255)], ["status", tmp_path / ("a" * 300)]):
        done = porter(*words, cwd=project.root)
        assert (done.returncode, "File name too long" in done.stderr) == (3, True), done.stderr
