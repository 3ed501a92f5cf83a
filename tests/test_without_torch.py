"""Porter where there is no torch: what runs no tree works, and what needs torch says how to get it."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from distributions import closure, only
from histories import Line
from packaging.requirements import Requirement
from stacks import CHECKOUT
from torchfiles import checkpoint

from porter.project import Project


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter with what porter depends on, and nothing else."""
    folder = tmp_path_factory.mktemp("light")
    wanted = map(Requirement, importlib.metadata.requires("yolov5-porter") or [])
    packages = closure(each.name for each in wanted if "extra" not in str(each.marker))
    assert "click" in packages and not {"torch", "numpy"} & packages.keys()
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    (site,) = (folder / "venv").glob("lib/python*/site-packages")
    (site / "porter.pth").write_text(f"{only(packages, folder / 'packages')}\n")
    return folder / "venv" / "bin" / "python"


def porter(python: Path, *words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [str(python), "-m", "porter", *map(str, words)]
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=300)


@pytest.fixture
def tree(warm: None, project: Project, python: Path, tmp_path: Path) -> Path:
    done = porter(python, "apply", "--target", "mlu", tmp_path / "tree", cwd=project.root)
    assert done.returncode == 0, done.stderr
    return tmp_path / "tree"


def test_what_runs_no_tree_works(project: Project, tree: Path, python: Path, tmp_path: Path) -> None:
    (tmp_path / "some.pt").write_bytes(checkpoint())
    for words in (
        ("status", tree),
        ("show", "mlu/1"),
        ("targets",),
        ("lint",),
        ("lock", "--check"),
        ("export", "--check", tree),
        ("audit", tree),
        ("verify", "--target", "mlu", "--level", "static", tree),
        ("train", "--target", "mlu", "--dry-run", tree),
        ("weights", "inspect", tmp_path / "some.pt"),
        ("data", "make", "--images", "2", tmp_path / "data"),
        ("upstream", "show"),
        ("revert", tree),
    ):
        done = porter(python, *words, cwd=project.root)
        assert done.returncode == 0, (words, done.stdout + done.stderr)


def test_stacks_move_to_another_upstream(synthetic_line: Line, python: Path, tmp_path: Path, own_home: Path) -> None:
    shutil.copytree(synthetic_line.project.root, tmp_path / "project", symlinks=True)
    done = porter(python, "bump", "v6.1", cwd=tmp_path / "project")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("verify", "--target", "mlu", "{tree}"),
        ("verify", "--target", "mlu", "--necessity", "--patch", "mlu/1"),
        ("bench", "--target", "mlu", "{tree}"),
        ("train", "--target", "mlu", "{tree}"),
        ("new-target", "foo"),
        ("data", "check", "{tree}/train.py"),
    ],
)
def test_what_needs_torch_says_what_installs_it(
    words: tuple[str, ...], project: Project, tree: Path, python: Path
) -> None:
    done = porter(python, *(word.format(tree=tree) for word in words), cwd=project.root)
    assert done.returncode == 3, done.stdout + done.stderr
    assert f"porter: error: this needs torch, which {python} does not have\n" in done.stderr
    assert done.stderr.endswith("hint: Install it: pip install 'yolov5-porter[train]'\n")
    assert "Traceback" not in done.stderr
