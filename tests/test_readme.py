"""The README is true: its commands are run, and its figures are compared with what they are about."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from porter import objects
from porter.errors import CheckFailed, SurroundingsFailed, WrongUsage
from porter.git import Repository
from porter.git import run as git
from porter.lock import GitSource, Lock
from porter.project import Project
from porter.snapshot import extents
from porter.upstream import obtain

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def commands() -> list[list[str]]:
    """The command lines that the README shows after a ``$``, in order, as words."""
    blocks = re.findall(r"^```console\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.splitlines()]
    assert all(line.startswith("$ ") for line in lines)
    return [shlex.split(line[2:], comments=True) for line in lines]


@pytest.fixture(scope="module")
def lock() -> Lock:
    return Lock.load(Project.find(ROOT).lock_path)


@pytest.fixture(scope="module")
def environment(lock: Lock, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A cache of our own; and upstream's address leads to a repository made of what porter obtained.

    With GitHub out of reach that is what a package index has, and git still has something to clone.
    """
    folder = tmp_path_factory.mktemp("readme")
    snapshot = obtain(lock, cache=folder / "cache")
    mirror = folder / "mirror.git"
    git("init", "--quiet", "--bare", "--template=", str(mirror))
    if snapshot.shallow:
        (mirror / "shallow").write_text(f"{snapshot.base}\n")
    repository = Repository(mirror)
    repository.write(objects.pack(snapshot.objects.values()))
    for ref in ("refs/heads/master", f"refs/tags/{lock.pin.tag}"):
        repository.run("update-ref", ref, snapshot.base)
    (url,) = (source.url for source in lock.sources if isinstance(source, GitSource))
    git_settings = {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{mirror.as_uri()}.insteadOf",
        "GIT_CONFIG_VALUE_0": url,
        "GIT_CONFIG_GLOBAL": os.devnull,
    }
    return {**os.environ, **git_settings, "PORTER_CACHE": str(folder / "cache"), "PATH": with_porter(folder)}


def with_porter(folder: Path) -> str:
    """A PATH whose first ``porter`` is the one under test, installed as a command or not."""
    script = folder / "bin" / "porter"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m porter "$@"\n')
    script.chmod(0o755)
    return os.pathsep.join((str(script.parent), os.environ["PATH"]))


def test_every_command_works(environment: dict[str, str], tmp_path: Path) -> None:
    """In the order of the README, in one folder, as a reader would type them."""
    ran = []
    for words in commands():
        if words[0] == "make":  # .ci/run makes them; here that there is such a target
            words = ["make", "--dry-run", "-C", str(ROOT), *words[1:]]
        elif words == ["pip", "install", "."]:  # tests/test_packaging.py installs the wheel
            continue
        else:
            assert words[0] in ("porter", "git"), words
        if words[0] == "porter":
            ran.append(words[1])
        done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{shlex.join(words)}\n{done.stdout}{done.stderr}"
    assert {"apply", "status", "revert", "export", "targets", "show", "lint", "upstream", "data", "audit"} <= set(ran)
    # what the text around the commands says
    own = Repository(tmp_path / "my-yolov5")
    assert own.text("rev-parse", "HEAD") == own.text("rev-parse", "v6.0^{commit}")
    assert own.text("for-each-ref", "refs/heads/porter") == ""
    assert Repository(tmp_path / "yolov5").text("branch", "--show-current") == "porter/mlu"
    assert (tmp_path / "scenes" / "data.yaml").is_file()


def test_every_make_target_is_there() -> None:
    named = set(re.findall(r"`make ([a-z]+)", README)) | {w[1] for w in commands() if w[0] == "make"}
    assert {"demo", "test", "lint", "matrix"} <= named
    for target in named:
        subprocess.run(["make", "--dry-run", "-C", str(ROOT), target], check=True, capture_output=True)


def test_exit_codes() -> None:
    table = dict(re.findall(r"^\| (\d) \| ([a-z]+)", README, re.MULTILINE))
    assert set(table) == {"0", "1", "2", "3"}
    assert table[str(CheckFailed.exit_code)] == "a"  # a check or a patch failed
    assert table[str(WrongUsage.exit_code)] == "wrong"
    assert table[str(SurroundingsFailed.exit_code)] == "the"


def test_how_many_files_each_source_has(lock: Lock) -> None:
    whole, partial = extents(lock)
    assert f"the id of each of its {len(whole.files)} files" in README
    assert f"{len(partial.files)} of the {len(whole.files)} files are had" in README


def test_versions_named_are_those_that_are_tested() -> None:
    text = (ROOT / "noxfile.py").read_text()
    for python, torch in re.findall(r"Python (3\.\d+) with torch\s+([\d.]+\d)", README):
        assert f'interpreter("{python}")' in text
        assert torch in text
    assert (ROOT / "Makefile").read_text().count("torch==2.13.0") == 2


def test_links_lead_somewhere() -> None:
    for document in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"):
        for link in re.findall(r"\]\(([^)#:]+)\)", (ROOT / document).read_text(encoding="utf-8")):
            assert (ROOT / link).is_file(), f"{document}: {link}"
