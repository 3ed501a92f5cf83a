"""Stacks carried in memory: where a hunk belongs, and what names a merge."""

from __future__ import annotations

from pathlib import Path

import pytest
from sources import git
from stacks import commit, export, message

from porter.git import Repository
from porter.objects import Entry
from porter.rebase.merge import APPLIES, CONFLICT, MERGED, OFFSET
from porter.rebase.replay import Course, Replay, key_of
from porter.sources.snapshot import Snapshot
from porter.stack import COMMON, load_part

from .test_bump_releases import Undecided


def block(name: str) -> str:
    """Lines that another block has as well, under a line that it has not."""
    return f"# {name}\n" + "a = 1\nb = 2\nc = 3\nd = 4\ne = 5\nf = 6\ng = 7\n"


def snapshot(clone: Path, rev: str) -> Snapshot:
    """A commit of a real repository."""
    files = {}
    for row in git("ls-tree", "-r", rev, cwd=clone).splitlines():
        head, path = row.split("\t")
        files[path] = Entry(head.split()[0], head.split()[2])
    base = git("rev-parse", rev, cwd=clone)
    return Snapshot(base, files, Repository(clone).find([base, *(entry.id for entry in files.values())]))


def carried(tmp_path: Path, before: str, patched: str, moved: str) -> tuple[Course, str | None]:
    """One patch, from ``before`` to ``patched``, carried to where upstream has ``moved``; what the file is then."""
    clone = tmp_path / "clone"
    clone.mkdir()
    git("init", "-q", "-b", "master", cwd=clone)
    (clone / "file.py").write_text(before)
    commit(clone, "Release\n", 1)
    git("tag", "pin", cwd=clone)
    (clone / "file.py").write_text(moved)
    commit(clone, "Upstream moves\n", 2)
    git("tag", "goal", cwd=clone)
    git("switch", "-q", "-c", "stack", "pin", cwd=clone)
    (clone / "file.py").write_text(patched)
    commit(clone, message("Change a line", COMMON), 3)
    export(clone, "pin", tmp_path / COMMON)
    parts = {COMMON: load_part(tmp_path / COMMON)}
    course = Replay(parts, snapshot(clone, "pin"), snapshot(clone, "goal")).run((), Undecided())
    if course.common is None:
        return course, None
    return course, course.contents[course.common.files["file.py"].id].decode()


def test_a_hunk_that_fits_elsewhere_only_is_no_fit(tmp_path: Path) -> None:
    """Upstream changed the block that the patch is for; the same lines further down are another block."""
    before = block("first") + "-\n" * 10 + block("second")
    patched = before.replace("d = 4", "d = 'patched'", 1)
    moved = before.replace("d = 4", "d = 'upstream'", 1)
    course, _ = carried(tmp_path, before, patched, moved)
    assert course.halted is not None
    # git apply, and so git am, would have changed the second block
    assert [hunk.places(before.encode().splitlines(True), bytearray(99)) for hunk in hunks(course)] == [2]
    (conflict,) = course.halted.placing.conflicts
    assert conflict.kind == "content"


def test_a_hunk_that_fits_in_two_places_goes_to_its_own(tmp_path: Path) -> None:
    """Upstream put a copy of the block above it, nearer to where the hunk's header points."""
    before = "# head\n" + "-\n" * 3 + block("only")
    patched = before.replace("d = 4", "d = 'patched'")
    moved = "# head\n" + "-\n" * 3 + block("copy")[9:] + "#\n" * 2 + block("only")
    course, text = carried(tmp_path, before, patched, moved)
    assert [fate.outcome for fate in course.fates] in ([MERGED], [OFFSET])
    assert text is not None
    head, _, only = text.partition("# only\n")
    assert "patched" not in head
    assert "d = 'patched'" in only


def test_a_hunk_that_has_moved_and_fits_once(tmp_path: Path) -> None:
    before = block("only")
    course, text = carried(tmp_path, before, before.replace("d = 4", "d = 5"), "# one\n# two\n" + before)
    assert [fate.outcome for fate in course.fates] == [OFFSET]
    assert text == "# one\n# two\n" + before.replace("d = 4", "d = 5")


def test_where_upstream_did_nothing_the_commit_is_the_same_patch(tmp_path: Path) -> None:
    before = block("only")
    course, text = carried(tmp_path, before, before.replace("d = 4", "d = 5"), before + "# more\n" * 9)
    assert [fate.outcome for fate in course.fates] == [APPLIES]
    assert text == before.replace("d = 4", "d = 5") + "# more\n" * 9


def test_the_same_merge_has_the_same_name(tmp_path: Path) -> None:
    before = block("only")
    names = []
    for place, word in (("a", "patched"), ("b", "patched"), ("c", "otherwise")):
        (tmp_path / place).mkdir()
        course, _ = carried(
            tmp_path / place, before, before.replace("d = 4", f"d = '{word}'"), before.replace("d = 4", "d = 'moved'")
        )
        assert course.halted is not None
        assert course.halted.outcome == CONFLICT
        assert key_of(course.halted.original, course.halted.placing) == course.halted.key
        names.append(course.halted.key)
    assert names[0] == names[1] != names[2]


@pytest.mark.parametrize("favouring", [True, False])
def test_going_on_after_a_conflict(tmp_path: Path, favouring: bool) -> None:
    before = block("only")
    course, _ = carried(tmp_path, before, before.replace("d = 4", "d = 5"), before.replace("d = 4", "d = 6"))
    assert course.halted is not None
    clone = tmp_path / "clone"
    parts = {COMMON: load_part(tmp_path / COMMON)}
    replay = Replay(parts, snapshot(clone, "pin"), snapshot(clone, "goal"))
    course = replay.run((), Undecided(), going_on=True, favouring=favouring)
    assert course.common is not None
    assert [fate.outcome for fate in course.fates] == [CONFLICT]
    text = course.contents[course.common.files["file.py"].id].decode()
    assert ("d = 5" in text, "d = 6" in text) == (favouring, not favouring)


def hunks(course: Course) -> list[object]:
    assert course.halted is not None
    return [hunk for change in course.halted.patch.changes for hunk in change.hunks]
