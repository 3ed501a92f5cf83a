"""Stacks with a patch left out."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from porter.errors import EnvironmentFailed
from porter.git.objects import Entry, blob
from porter.lockfile import Lock
from porter.patch import Patch
from porter.project import Project
from porter.sources.obtain import obtain
from porter.stack import Stack
from porter.verification import variants

pytestmark = pytest.mark.usefixtures("warm")


def parts(project: Project, *targets: str):  # type: ignore[no-untyped-def]
    snapshot = obtain(Lock.load(project.lock_path))
    stack = Stack.load(project, targets)
    return snapshot, stack, stack.build(snapshot)


def without(project: Project, targets: str, patches: Collection[Patch], folder: Path) -> list[str]:
    """Lay the tree of a stack without some patches into a folder; the names of those that went with them."""
    snapshot, _, build = parts(project, *targets.split("+"))
    with variants.commits_of_build(snapshot, build) as made:
        return [patch.id for patch in variants.make_tree(made, build, patches, folder)]


def on_disk(folder: Path) -> dict[str, Entry]:
    found = {}
    for path in folder.rglob("*"):
        if path.is_file():
            mode = "100755" if path.stat().st_mode & 0o100 else "100644"
            found[path.relative_to(folder).as_posix()] = Entry(mode, blob(path.read_bytes()).id)
    return found


def changed(one: Mapping[str, Entry], other: Mapping[str, Entry]) -> set[str]:
    return {path for path in {*one, *other} if one.get(path) != other.get(path)}


def test_one_patch_nothing_builds_on(project: Project, tmp_path: Path) -> None:
    _, stack, build = parts(project, "mlu")
    move = stack.patches[2]
    assert without(project, "mlu", [move], tmp_path / "tree") == []
    touched = {path for change in move.changes for path in (change.old, change.new)}
    assert changed(build.files, on_disk(tmp_path / "tree")) == touched


def test_lines_that_moved_are_merged(project: Project, tmp_path: Path) -> None:
    """The top of a file is left as it was; the change at its end stays."""
    _, both, _ = parts(project, "mlu", "tpu")
    top = next(patch for patch in both.patches if patch.stack == "mlu" and patch.number == 2)
    assert without(project, "mlu+tpu", [top], tmp_path / "tree") == []
    text = (tmp_path / "tree/utils/long.py").read_bytes()
    assert b"line_5 = 5\n" in text and b"line_50 = 'tpu'\n" in text


def test_what_builds_on_it_goes_with_it(project: Project, tmp_path: Path) -> None:
    _, stack, _ = parts(project, "mlu")
    # it adds utils/long.py, which mlu/2 changes
    assert without(project, "mlu", [stack.patches[1]], tmp_path / "tree") == [stack.patches[4].id]
    found = on_disk(tmp_path / "tree")
    assert "utils/long.py" not in found and "utils/accelerator/mlu.py" in found


def test_nothing_left_out_is_the_stack(project: Project, tmp_path: Path) -> None:
    _, _, build = parts(project, "tpu")
    assert without(project, "tpu", [], tmp_path / "tree") == []
    assert on_disk(tmp_path / "tree") == build.files


def test_several_left_out_are_none_of_them_dependants(project: Project, tmp_path: Path) -> None:
    snapshot, stack, build = parts(project, "tpu")
    assert without(project, "tpu", stack.patches, tmp_path / "all") == []
    assert on_disk(tmp_path / "all") == snapshot.files
    assert without(project, "tpu", stack.patches[3:], tmp_path / "some") == []
    assert on_disk(tmp_path / "some").keys() < build.files.keys()


def test_a_place_that_is_taken(project: Project, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/mine").write_text("kept")
    with pytest.raises(EnvironmentFailed):
        without(project, "tpu", [], tmp_path / "tree")
    assert [path.name for path in (tmp_path / "tree").iterdir()] == ["mine"]


def test_trees_are_made_at_once_but_their_worktrees_one_by_one(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As --necessity makes them.  `git worktree add` reads of every other worktree, and fails at a half-made one."""
    (tmp_path / "bin").mkdir()
    wrapped, busy = tmp_path / "bin" / "git", tmp_path / "busy"
    wrapped.write_text(
        f"""#!/bin/sh
case " $* " in *" worktree add "*) ;; *) exec {shutil.which("git")} "$@" ;; esac
mkdir {busy} || exit 1
{shutil.which("git")} "$@" && sleep 0.1 && rmdir {busy}
"""
    )
    wrapped.chmod(0o755)
    monkeypatch.setenv("PATH", f"{wrapped.parent}{os.pathsep}{os.environ['PATH']}")
    snapshot, stack, build = parts(project, "mlu")
    with variants.commits_of_build(snapshot, build) as made, ThreadPoolExecutor(4) as threads:
        trees = [threads.submit(variants.make_tree, made, build, stack.patches[-1:], tmp_path / f"{n}") for n in "1234"]
        assert [tree.result() for tree in trees] == [[]] * 4
