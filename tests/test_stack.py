from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from sources import git
from stacks import AUTHOR, STEPS

from porter.errors import CheckFailed, WrongUsage
from porter.lockfile import Lock
from porter.patch import PatchFailed
from porter.project import Project
from porter.sources.obtain import obtain
from porter.sources.snapshot import Extent, Snapshot
from porter.stack import Stack, available, check_against_lock, combined, key, series

pytestmark = pytest.mark.usefixtures("warm")


@pytest.fixture
def lock(project: Project) -> Lock:
    return Lock.load(project.lock_path)


@pytest.fixture
def snapshot(lock: Lock) -> Snapshot:
    return obtain(lock)


def test_targets_are_the_folders_with_a_series_and_not_common(project: Project) -> None:
    assert available(project.patches) == ("mlu", "tpu")
    (project.patches / "empty").mkdir()
    assert available(project.patches) == ("mlu", "tpu")
    assert available(project.root / "nowhere") == ()


def test_the_names_of_stacks() -> None:
    assert key(["tpu", "mlu", "tpu"]) == "mlu+tpu"
    assert combined(["tpu", "mlu"]) == [("mlu",), ("tpu",), ("mlu", "tpu")]


def test_common_comes_first_then_the_targets_in_sorted_order(project: Project) -> None:
    stack = Stack.load(project, ["tpu", "mlu"])
    assert stack.key == "mlu+tpu"
    assert stack.branch == "porter/mlu+tpu"
    assert [(p.stack, p.subject) for p in stack.patches] == [(step.stack, step.subject) for step in STEPS]
    assert stack.digest != Stack.load(project, ["mlu"]).digest
    assert stack.digest == Stack.load(project, ["mlu", "tpu", "mlu"]).digest


def test_unknown_and_no_targets(project: Project) -> None:
    with pytest.raises(WrongUsage, match="npu") as error:
        Stack.load(project, ["mlu", "npu"])
    assert "mlu, tpu" in error.value.hint
    with pytest.raises(WrongUsage, match="no target"):
        Stack.load(project, [])


@pytest.mark.parametrize("targets", [["mlu"], ["tpu"], ["mlu", "tpu"]])
def test_the_commits_are_those_of_git_am(
    project: Project, snapshot: Snapshot, made: Path, tmp_path: Path, targets: list[str]
) -> None:
    stack = Stack.load(project, targets)
    build = stack.build(snapshot)
    theirs = tmp_path / "am"
    git("clone", "-q", made / "small", theirs, cwd=tmp_path)
    git("switch", "-q", "-c", "am", "v6.0", cwd=theirs)
    name, mail = AUTHOR.rstrip(">").split(" <")
    files = [project.patches / patch.id for patch in stack.patches]
    env = {**os.environ, "GIT_COMMITTER_NAME": name, "GIT_COMMITTER_EMAIL": mail, "GIT_CONFIG_GLOBAL": os.devnull}
    command = ["git", "am", "-q", "--committer-date-is-author-date", *files]
    subprocess.run(command, cwd=theirs, env=env, check=True)
    assert git("rev-list", "--reverse", "v6.0..HEAD", cwd=theirs).split("\n") == [b.commit for b in build.commits]
    assert git("rev-parse", "HEAD^{tree}", cwd=theirs) == build.tree
    listed = git("ls-tree", "-r", "-z", "HEAD", cwd=theirs).rstrip("\0").split("\0")
    assert {row.split("\t")[1]: tuple(row.split()[::2][:2]) for row in listed} == {
        path: (entry.mode, entry.id) for path, entry in build.files.items()
    }


def test_what_is_touched_and_what_is_gone(project: Project, snapshot: Snapshot) -> None:
    build = Stack.load(project, ["mlu"]).build(snapshot)
    gone = {path for path, blob in build.touched.items() if blob is None}
    assert gone == {"README.md", "data/scripts/get.sh"}
    assert build.files["data/coco.yaml"].mode == "100755"
    assert build.files["data/get.sh"] == snapshot.files["data/scripts/get.sh"]
    assert build.files["LICENSE"] == snapshot.files["LICENSE"]
    assert "LICENSE" not in build.touched


def test_hunks_that_moved_are_known(project: Project, snapshot: Snapshot) -> None:
    alone = Stack.load(project, ["tpu"]).build(snapshot)
    assert all(not built.moved for built in alone.commits)
    both = Stack.load(project, ["mlu", "tpu"]).build(snapshot)
    ((path, placed),) = both.commits[-1].moved
    assert (path, placed.offset, placed.places) == ("utils/long.py", 1, 1)


def test_an_empty_stack_is_the_base(project: Project, snapshot: Snapshot) -> None:
    build = Stack(("none",), ()).build(snapshot)
    assert build.tip == snapshot.base
    assert build.tree == Lock.load(project.lock_path).pin.tree


def test_the_lock_is_what_the_stacks_give(project: Project, lock: Lock, snapshot: Snapshot) -> None:
    for name in ("mlu", "tpu", "mlu+tpu"):
        stack = Stack.load(project, name.split("+"))
        build = stack.build(snapshot)
        if name in lock.stacks:
            assert (lock.stacks[name].commit, lock.stacks[name].tree) == (build.tip, build.tree)
            assert {**lock.stacks["common"].files, **lock.stacks[name].files} == dict(build.touched)
        check_against_lock(lock, stack, build, False)
    common = Stack((), tuple(patch for patch in stack.patches if patch.stack == "common"))
    assert lock.stacks["common"].commit == build.end("common") == common.build(snapshot).tip
    assert build.end("common", "mlu") == lock.stacks["mlu"].commit


@pytest.mark.parametrize("what", ["digest", "files", "end", "absent"])
def test_a_build_that_is_not_the_locks_is_refused(project: Project, lock: Lock, snapshot: Snapshot, what: str) -> None:
    stack = Stack.load(project, ["mlu"])
    build = stack.build(snapshot)
    entry = lock.stacks["mlu"]
    changed = {
        "digest": replace(entry, digest="0" * 64),
        "files": replace(entry, files={**entry.files, "train.py": "1" * 40}),
        "end": replace(entry, commit="2" * 40),
    }
    stacks = {**lock.stacks, "mlu": changed[what]} if what != "absent" else {"common": lock.stacks["common"]}
    with pytest.raises(CheckFailed) as error:
        check_against_lock(replace(lock, stacks=stacks), stack, build, False)
    assert "porter lock" in error.value.hint
    if what == "files":
        assert "train.py" in error.value.why


def test_a_patch_that_does_not_apply_says_where_and_what(project: Project, snapshot: Snapshot) -> None:
    path = project.patches / "mlu/know-the-mlu-at-the-top.patch"
    path.write_text(path.read_text().replace(" line_3 = 3\n", " line_3 = 'other'\n"))
    with pytest.raises(PatchFailed) as error:
        Stack.load(project, ["mlu"]).build(snapshot)
    failure = error.value
    assert failure.exit_code == 1
    assert failure.patch == f"mlu/{path.name}"
    assert failure.file == "utils/long.py"
    assert failure.hunk.startswith("@@ -2,7 +2,8 @@")
    assert failure.expected[1] == b"line_3 = 'other'\n"
    assert failure.found[1] == b"line_3 = 3\n"
    assert ">     3  line_3 = 'other'" in str(failure)
    assert ">     3  line_3 = 3" in str(failure)


def test_a_patch_for_a_file_that_the_source_lacks_says_so(project: Project, lock: Lock, snapshot: Snapshot) -> None:
    extent = Extent(lock.pin, {path: entry for path, entry in lock.pin.files.items() if path != "train.py"})
    assert extent.made_base is not None
    part = extent.snapshot({**snapshot.objects, extent.base: extent.made_base})
    with pytest.raises(PatchFailed, match="had not this file"):
        Stack.load(project, ["mlu"]).build(part)


def test_series_has_comments_and_blank_lines(tmp_path: Path) -> None:
    (tmp_path / "series").write_text("# order\n\na.patch  # first\n  b.patch\n")
    assert series(tmp_path) == [(3, "a.patch"), (4, "b.patch")]


@pytest.mark.parametrize("line", ["../a.patch", "mlu/a.patch", ".hidden"])
def test_series_names_no_file_elsewhere(tmp_path: Path, line: str) -> None:
    (tmp_path / "series").write_text(f"a.patch\n{line}\n")
    with pytest.raises(CheckFailed, match="line 2"):
        series(tmp_path)


def test_a_series_without_its_patch(project: Project) -> None:
    (project.patches / "common" / "series").write_text("absent.patch\n")
    with pytest.raises(CheckFailed, match="absent"):
        Stack.load(project, ["mlu"])


def test_no_series(project: Project) -> None:
    (project.patches / "common" / "series").unlink()
    with pytest.raises(CheckFailed, match="series"):
        Stack.load(project, ["mlu"])
