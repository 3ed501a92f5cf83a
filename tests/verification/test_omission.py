"""Stacks with a patch left out."""

from __future__ import annotations

import pytest

from porter.lockfile import Lock
from porter.project import Project
from porter.sources.obtain import obtain
from porter.stack import Stack
from porter.verification.omission import without

pytestmark = pytest.mark.usefixtures("warm")


def parts(project: Project, target: str):  # type: ignore[no-untyped-def]
    snapshot = obtain(Lock.load(project.lock_path))
    stack = Stack.load(project, [target])
    return snapshot, stack, stack.build(snapshot)


def test_one_patch_nothing_builds_on(project: Project) -> None:
    snapshot, stack, build = parts(project, "mlu")
    move = stack.patches[2]
    left = without(snapshot, stack, [move])
    assert left.dependants == ()
    changed = {path for path in {*build.files, *left.files} if build.files.get(path) != left.files.get(path)}
    assert changed == {path for change in move.changes for path in (change.old, change.new)}


def test_lines_that_moved_are_merged(project: Project) -> None:
    """The top of a file is left as it was; the change at its end stays."""
    snapshot = obtain(Lock.load(project.lock_path))
    both = Stack.load(project, ["mlu", "tpu"])
    top = next(patch for patch in both.patches if patch.stack == "mlu" and patch.number == 2)
    left = without(snapshot, both, [top])
    assert left.dependants == ()
    text = left.contents[left.files["utils/long.py"].id]
    assert b"line_5 = 5\n" in text and b"line_50 = 'tpu'\n" in text


def test_what_builds_on_it_goes_with_it(project: Project) -> None:
    snapshot, stack, _ = parts(project, "mlu")
    left = without(snapshot, stack, [stack.patches[1]])  # it adds utils/long.py, which mlu/0002 changes
    assert [patch.id for patch in left.dependants] == [stack.patches[4].id]
    assert "utils/long.py" not in left.files and "utils/accelerator/mlu.py" in left.files


def test_nothing_left_out_is_the_stack(project: Project) -> None:
    snapshot, stack, build = parts(project, "tpu")
    left = without(snapshot, stack, [])
    assert left.files == build.files and left.dependants == ()


def test_everything_left_out_is_upstream(project: Project) -> None:
    snapshot, stack, _ = parts(project, "tpu")
    assert without(snapshot, stack, stack.patches).files == snapshot.files
