"""Stacks rebased over one change of upstream's: where a hunk belongs, and what names a merge."""

from __future__ import annotations

from pathlib import Path

import pytest
from sources import git
from stacks import commit, export, message

from porter.commands.bump import bump, bump_continue
from porter.commands.lock import lock as write_lock
from porter.git import Repository
from porter.git.objects import Entry
from porter.lockfile import GitSource, Lock, Pin
from porter.project import Project
from porter.rebase.outcome import APPLIES, CONFLICT, MERGED, OFFSET, Bump
from porter.rebase.session import BumpRun
from porter.rebase.state import Journal, Store
from porter.sources.snapshot import Snapshot
from porter.stack import COMMON, Stack, load_part

# with these in force nothing would conflict, and files would have other bytes in the worktree
ATTRIBUTES = "*.py merge=union text eol=crlf\n"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTER_CACHE", str(tmp_path / "cache"))


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


def made(tmp_path: Path, before: str, moved: str, *patched: str) -> Project:
    """A project with a patch for each of the contents that a file has one after the other; upstream has ``moved``."""
    clone, project = tmp_path / "clone", Project(tmp_path / "project")
    clone.mkdir()
    git("-c", "init.defaultBranch=master", "init", "-q", cwd=clone)
    (clone / "file.py").write_text(before)
    (clone / ".gitattributes").write_text(ATTRIBUTES)
    commit(clone, "Release\n", 1)
    git("tag", "pin", cwd=clone)
    (clone / "file.py").write_text(moved)
    commit(clone, "Upstream moves\n", 2)
    git("tag", "new", cwd=clone)
    git("switch", "-q", "-c", "stack", "pin", cwd=clone)
    for number, text in enumerate(patched):
        (clone / "file.py").write_text(text)
        commit(clone, message(f"Change a line, {number}", COMMON), 3 + number)
    export(clone, "pin", project.patches / COMMON)
    pinned = snapshot(clone, "pin")
    tree = git("rev-parse", "pin^{tree}", cwd=clone)
    pin = Pin("example/detector", "pin", pinned.base, tree, "1970-01-01T00:00:01+00:00", "NONE", pinned.files)
    Lock(pin, (GitSource(str(clone)),)).write(project.lock_path)
    write_lock(project=project)
    return project


def rebased(tmp_path: Path, before: str, patched: str, moved: str) -> tuple[Bump, str]:
    """One patch, from ``before`` to ``patched``, where upstream has ``moved``; what the file is with it then."""
    project = made(tmp_path, before, moved, patched)
    found = bump("new", project=project)
    if found.halt is not None:
        return found, ""
    there = snapshot(tmp_path / "clone", "new")
    build = Stack((), tuple(load_part(project.patches / COMMON))).build(there)
    return found, build.objects[build.files["file.py"].id].data.decode()


def outcomes(found: Bump) -> list[str]:
    return [row.outcome for row in found.rows]


def test_a_hunk_that_fits_elsewhere_only_is_no_fit(tmp_path: Path) -> None:
    """Upstream changed the block that the patch is for; the same lines further down are another block."""
    before = block("first") + "-\n" * 10 + block("second")
    patched = before.replace("d = 4", "d = 'patched'", 1)
    moved = before.replace("d = 4", "d = 'upstream'", 1)
    found, _ = rebased(tmp_path, before, patched, moved)
    assert found.halt is not None
    # git apply, and so git am, would have changed the second block
    (patch,) = load_part(tmp_path / "project/patches" / COMMON)
    (hunk,) = (hunk for change in patch.changes for hunk in change.hunks)
    assert hunk.places(before.encode().splitlines(True), bytearray(99)) == 2
    (clash,) = found.halt.files
    assert (clash.path, clash.why) == ("file.py", "both changed the same lines")


def test_a_hunk_that_fits_in_two_places_goes_to_its_own(tmp_path: Path) -> None:
    """Upstream put a copy of the block above it, nearer to where the hunk's header points."""
    before = "# head\n" + "-\n" * 3 + block("only")
    patched = before.replace("d = 4", "d = 'patched'")
    moved = "# head\n" + "-\n" * 3 + block("copy")[9:] + "#\n" * 2 + block("only")
    found, text = rebased(tmp_path, before, patched, moved)
    assert outcomes(found) in ([MERGED], [OFFSET])
    head, _, only = text.partition("# only\n")
    assert "patched" not in head
    assert "d = 'patched'" in only


def test_a_hunk_that_has_moved_and_fits_once(tmp_path: Path) -> None:
    before = block("only")
    found, text = rebased(tmp_path, before, before.replace("d = 4", "d = 5"), "# one\n# two\n" + before)
    assert [(row.outcome, row.said) for row in found.rows] == [(OFFSET, "moved by +2 lines")]
    assert text == "# one\n# two\n" + before.replace("d = 4", "d = 5")


def test_where_upstream_did_nothing_the_commit_is_the_same_patch(tmp_path: Path) -> None:
    before = block("only")
    found, text = rebased(tmp_path, before, before.replace("d = 4", "d = 5"), before + "# more\n" * 9)
    assert outcomes(found) == [APPLIES]
    assert text == before.replace("d = 4", "d = 5") + "# more\n" * 9


def test_the_same_merge_has_the_same_name(tmp_path: Path) -> None:
    """Whatever the patch is called: what is remembered of it stands in a file of that name."""
    before = block("only")
    names = []
    for place, word in (("a", "patched"), ("b", "patched"), ("c", "otherwise")):
        (tmp_path / place).mkdir()
        patched, moved = (before.replace("d = 4", f"d = '{new}'") for new in (word, "moved"))
        found, _ = rebased(tmp_path / place, before, patched, moved)
        assert found.halt is not None
        folder = found.halt.folder
        git("checkout", "--theirs", "file.py", cwd=folder)
        git("add", "file.py", cwd=folder)
        assert bump_continue(project=tmp_path / place / "project").state == "done"
        names += [path.name for path in (tmp_path / place / "project/.porter/resolutions").iterdir()]
    assert names[0] == names[1] != names[2]


@pytest.mark.parametrize(("favouring", "second"), [(True, APPLIES), (False, CONFLICT)])
def test_going_on_after_a_conflict(tmp_path: Path, favouring: bool, second: str) -> None:
    """The second patch changes what the first one made."""
    before = block("only")
    patched = [before.replace("d = 4", f"d = {number}") for number in (5, 7)]
    project = made(tmp_path, before, before.replace("d = 4", "d = 6"), *patched)
    session = BumpRun(Store(project), Lock.load(project.lock_path), None, None, None)
    commit = session.history.resolve("new")
    session.open(Journal(session.lock.pin.commit, commit, "new", "", (), {}))
    assert outcomes(session.preview(favouring)) == [CONFLICT, second]
    assert not project.state.exists()
