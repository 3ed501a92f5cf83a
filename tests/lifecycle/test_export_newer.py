"""An export takes nothing out of the stacks that the tree never had: somebody else put it there meanwhile."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sources import git
from stacks import commit, message, porter

from porter.commands.export import export
from porter.commands.lock import lock as write_lock
from porter.errors import CheckFailed, WrongUsage
from porter.output import Progress
from porter.project import Project
from porter.stack import load_part

from .test_export import again, edit, edited, fresh
from .test_rewrite import state

pytestmark = pytest.mark.usefixtures("warm")


def subjects(project: Project, stack: str) -> list[str]:
    return [patch.subject for patch in load_part(project.patches / stack)]


def added(tree: Path, name: str, stack: str = "mlu") -> None:
    """A commit of one new file."""
    (tree / f"{name}.py").write_text(f"{name} = 1\n")
    commit(tree, message(f"Add {name}", stack), 1700001000)


@pytest.mark.parametrize("mine", ["on it", "within it"])
def test_a_tree_that_is_older_than_the_stacks(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mine: str
) -> None:
    """What is printed brings both together."""
    old, new = (fresh(project, tmp_path / name, "mlu") for name in ("old tree", "new"))
    added(new, "theirs")
    edit(new, "utils/long.py", "line_30 = 30\n", "theirs = 1\nline_30 = 30\n")
    git("commit", "-q", "-a", "--fixup=HEAD~4", cwd=new)  # of common's last
    export(new, project=project)
    theirs = state(project)
    if mine == "within it":
        git("commit", "-q", "--amend", "-m", message("Called otherwise", "mlu"), cwd=old)
    added(old, "mine")
    for words in (["--check"], []):
        done = porter("export", *words, old, cwd=project.root)
        assert done.returncode == 1 and "would lose them" in done.stderr, done.stderr
        assert "mlu/3 Add theirs (gone)" in done.stderr and "(changed)" in done.stderr
        assert state(project) == theirs
    assert "mlu/1" not in done.stderr  # is as it was in both

    steps = done.stderr.partition("then export it: ")[2].strip()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/porter").write_text(f'#!/bin/sh\nexec {sys.executable} -m porter "$@"\n')
    (tmp_path / "bin/porter").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin", prepend=os.pathsep)
    subprocess.run(steps, shell=True, cwd=project.root, check=mine == "on it", capture_output=True)
    if mine == "within it":  # git asks where both changed the stack itself
        assert (old / ".git/rebase-merge").exists()
        return
    export(old, project=project)
    assert subjects(project, "mlu")[-2:] == ["Add theirs", "Add mine"]
    assert "theirs = 1" in (old / "utils/long.py").read_text()
    again(project, old)


class Meanwhile(Progress):
    """Lets something happen at one step of a command, once."""

    def __init__(self, step: str, act: Callable[[], object]) -> None:
        self._step, self._act = step, act

    def step(self, what: str, done: int = 0, total: int | None = None) -> None:
        if what == self._step:
            self._step = ""
            self._act()


@pytest.mark.parametrize("step", ["reading the commits", "writing the patches", "checking every stack with them"])
@pytest.mark.parametrize("target", ["mlu", "tpu"])
def test_another_export_at_the_same_time(project: Project, tmp_path: Path, step: str, target: str) -> None:
    """What it wrote is not overwritten with what was read before."""
    mine, theirs = fresh(project, tmp_path / "mine", "mlu"), fresh(project, tmp_path / "theirs", target)
    added(mine, "mine")
    added(theirs, "theirs", target)
    meanwhile = Meanwhile(step, lambda: export(theirs, project=project))
    with pytest.raises((WrongUsage, CheckFailed), match=r"was changed just now|never had"):
        export(mine, project=project, progress=meanwhile)
    assert subjects(project, target)[-1] == "Add theirs" and "Add mine" not in subjects(project, "mlu")
    if target == "tpu":
        export(mine, project=project)
        assert (subjects(project, "mlu")[-1], subjects(project, "tpu")[-1]) == ("Add mine", "Add theirs")
        assert write_lock(check=True, project=project).stale == ()


def test_a_patch_file_that_somebody_edited(project: Project, tmp_path: Path) -> None:
    tree = fresh(project, tmp_path / "tree", "mlu")
    path = project.patches / "common/add-utils-accelerator-a-registry-of-devices.patch"
    path.write_text(path.read_text().replace("The test needs it.", "The test wants it."))
    write_lock(project=project)
    with pytest.raises(CheckFailed, match="never had") as error:
        export(tree, project=project)
    assert [row.split()[0] for row in error.value.why.splitlines()] == ["common/2"]


def test_what_the_tree_gave_once_it_may_take_back(project: Project, tmp_path: Path) -> None:
    """Undone in the project or in the tree, with git."""
    tree = fresh(project, tmp_path / "tree", "mlu")
    shutil.copytree(project.root, tmp_path / "kept")
    added(tree, "mine")
    export(tree, project=project)
    shutil.rmtree(project.patches)
    shutil.copytree(tmp_path / "kept", project.root, dirs_exist_ok=True)
    edit(tree, "mine.py", "mine = 1\n", "mine = 2\n")
    git("commit", "-q", "-a", "--amend", "--no-edit", cwd=tree)
    assert "patches/mlu/add-mine.patch" in edited(export(tree, project=project))
    git("reset", "-q", "--hard", "HEAD~1", cwd=tree)
    export(tree, project=project)
    assert state(project) == state(Project(tmp_path / "kept"))


@pytest.mark.parametrize("words", [["master"], ["--detach", "HEAD~1"], ["-c", "mine", "v6.0"]])
def test_what_lies_beyond_head_is_not_dropped(project: Project, tmp_path: Path, words: list[str]) -> None:
    """Somebody looked at upstream, or at an earlier patch, and forgot to go back."""
    tree = fresh(project, tmp_path / "tree", "mlu", "tpu")
    before = state(project)
    git("switch", "-q", *words, cwd=tree)
    with pytest.raises(WrongUsage, match=r" is at [0-9a-f]{12} \(.+\), not on its stack") as error:
        export(tree, project=project)
    (tree / "train.py").write_text("mine = 1\n")
    for options in ({"new": "Mine", "stack": "mlu"}, {}):
        if not options and words[0] != "--detach":
            commit(tree, message("Mine", "mlu"), 1700001000)
        with pytest.raises(WrongUsage):
            export(tree, project=project, **options)  # type: ignore[arg-type]
    git("reset", "-q", "--hard", cwd=tree)
    assert "switch porter/mlu+tpu" in error.value.hint and state(project) == before
    git("switch", "-q", "porter/mlu+tpu", cwd=tree)
    git("reset", "-q", "--hard", "HEAD~1", cwd=tree)
    export(tree, project=project)
    assert len(subjects(project, "tpu")) == 1


def test_a_commit_for_a_target_that_the_tree_is_not_for(project: Project, tmp_path: Path) -> None:
    """It is no new stack of that target's: the old one would be gone."""
    tree = fresh(project, tmp_path / "tree", "mlu")
    added(tree, "mine", "tpu")
    before = state(project)
    with pytest.raises(WrongUsage, match=r"\(Add mine\) says Stack: tpu, and the tree is for mlu") as error:
        export(tree, project=project)
    assert "--target mlu --target tpu" in error.value.hint
    with pytest.raises(CheckFailed, match="never had") as lost:
        export(tree, ["mlu", "tpu"], project=project)
    assert len(lost.value.why.splitlines()) == len(subjects(project, "tpu")) == 2
    assert state(project) == before
