"""Foreign patches on a stack, merged by git: what it merges, where it stops, and what is left then."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from sources import git

from porter.foreign.base import Base
from porter.foreign.hunks import Incoming, parse
from porter.foreign.merge import ImportOutcome, Merger
from porter.git import Repository, scratch
from porter.git.objects import Entry, blob

Files = dict[str, bytes]
LONG = b"".join(b"line %d\n" % n for n in range(1, 41))


def edited(data: bytes, **lines: str) -> bytes:
    """A text with other lines: ``n5="five"`` for line 5."""
    rows = data.split(b"\n")
    for name, text in lines.items():
        rows[int(name[1:]) - 1] = text.encode()
    return b"\n".join(rows)


class Lab:
    """Makes repositories of files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _commit(self, repository: Path, files: Files) -> None:
        for path in repository.rglob("*"):
            if path.is_file() and ".git" not in path.relative_to(repository).parts:
                path.unlink()
        for name, data in files.items():
            (repository / name).parent.mkdir(parents=True, exist_ok=True)
            (repository / name).write_bytes(data)
        git("add", "-A", cwd=repository)
        who = ("-c", "user.name=A", "-c", "user.email=a@example.org")
        git(*who, "commit", "-q", "--allow-empty", "-m", "x", cwd=repository)

    def repository(self, name: str, *states: Files) -> Path:
        """A repository with one commit for each state."""
        path = self.folder / name
        path.mkdir()
        git("init", "-q", cwd=path)
        for files in states:
            self._commit(path, files)
        return path

    def diff(self, before: Files, after: Files, *options: str) -> bytes:
        """What leads from one state to another."""
        path = self.repository(f"vendor-{len(list(self.folder.iterdir()))}", before, after)
        command = ["git", "-C", str(path), "diff", *options, "HEAD~1", "HEAD"]
        return subprocess.run(command, capture_output=True, check=True).stdout

    def take(self, base: Files, ours: Files, *diffs: bytes) -> tuple[list[ImportOutcome], Files]:
        """What becomes of patches for ``base``, and of ``ours``."""
        stack = self.repository("stack", base, ours)
        blobs = {path: blob(data) for path, data in base.items()}
        files = {path: Entry("100644", one.id) for path, one in blobs.items()}
        found = Base("v1", "1" * 40, files, {one.id: one for one in blobs.values()})
        with scratch(borrow=Repository(stack)) as clean:
            merge = Merger(clean, found, git("rev-parse", "HEAD", cwd=stack))
            outcomes = merge.commits([Incoming(f"{n}.diff", changes=parse(d, base)) for n, d in enumerate(diffs)])
            for outcome in outcomes:
                merge.take(outcome)
                merge.commit("A <a@example.org> 0 +0000", "x\n")
            names = merge.git.run("ls-tree", "-r", "-z", "--name-only", merge.tip).decode().split("\0")[:-1]
            return outcomes, {name: merge.git.run("cat-file", "blob", f"{merge.tip}:{name}") for name in names}


@pytest.fixture
def lab(tmp_path: Path, own_home: Path) -> Lab:
    return Lab(tmp_path)


def told(outcome: ImportOutcome) -> list[tuple[str, str]]:
    return [(reject.path, reject.why) for reject in outcome.rejects]


def test_the_other_hunks_of_a_file_that_conflicts_are_merged(lab: Lab) -> None:
    base = {"a.py": LONG}
    theirs = edited(LONG, n3="their 3", n12="their 12", n21="their 21", n30="their 30")
    ours = {"a.py": edited(LONG, n3="our 3", n13="our 13", n21="their 21")}
    (one,), files = lab.take(base, ours, lab.diff(base, {"a.py": theirs}))
    assert dict(one.hunks) == {"rejected": 2, "there": 1, "applied": 1}
    assert told(one) == [("a.py", "the stack changes the same lines")] * 2
    assert "-line 3\n+their 3\n" in one.rejects[0].text
    assert "<<<<<<< the stack\nour 3\n=======\ntheir 3\n>>>>>>> the patch" in one.rejects[0].text
    assert files["a.py"] == edited(ours["a.py"], n30="their 30")


def test_a_hunk_near_the_stacks_own_change_is_merged(lab: Lab) -> None:
    base, ours = {"a.py": LONG}, {"a.py": edited(LONG, n10="our 10", n30="our 30")}
    theirs = edited(LONG, n12="their 12", n30="their 30")
    (one,), files = lab.take(base, ours, lab.diff(base, {"a.py": theirs}))
    assert dict(one.hunks) == {"merged": 1, "rejected": 1}
    assert files["a.py"] == edited(ours["a.py"], n12="their 12")


def test_a_change_follows_a_file_that_was_moved_and_changed(lab: Lab) -> None:
    """The stack moved it, or upstream did between what the patch is for and the pin."""
    base = {"utils/docker/Dockerfile": LONG, "b.py": b"b\n"}
    ours = {"Dockerfile": edited(LONG, n5="our 5"), "b.py": b"b\n"}
    (one,), files = lab.take(base, ours, lab.diff(base, {**base, "utils/docker/Dockerfile": edited(LONG, n30="their")}))
    assert (dict(one.hunks), one.paths) == ({"merged": 1}, ["Dockerfile"])
    assert files == {"Dockerfile": edited(ours["Dockerfile"], n30="their"), "b.py": b"b\n"}


GONE, KEPT, MOVED = LONG, b"kept\n" * 9, edited(LONG, n1="moved", n9="moved")


@pytest.mark.parametrize(
    ("theirs", "path", "why"),
    [
        ({"gone.py": edited(GONE, n3="their 3")}, "gone.py", "the stack has no such file"),
        ({"kept.py": None}, "kept.py", "it is to be deleted, and the stack changes it"),
        ({"moved.py": None, "new.py": MOVED}, "new.py", "a file is renamed to this, and it is there already"),
        ({"new.py": b"theirs\n"}, "new.py", "it is to be added, and the stack has another of that name"),
        ({"u": b"a file\n"}, "u", "it is to be added, and the stack has another of that name"),
    ],
)
def test_where_git_stops_the_stacks_file_stays(lab: Lab, theirs: dict[str, bytes | None], path: str, why: str) -> None:
    base = {"gone.py": GONE, "kept.py": KEPT, "moved.py": MOVED, "c.py": b"c\n"}
    ours = {"kept.py": b"changed\n" * 9, "moved.py": MOVED, "new.py": b"ours\n", "u/x.py": b"", "c.py": b"c\n"}
    after = {name: data for name, data in {**base, **theirs}.items() if data is not None}
    (one,), files = lab.take(base, ours, lab.diff(base, after))
    assert (told(one), dict(one.hunks), one.paths, files) == ([(path, why)], {"rejected": 1}, [], ours)


def test_what_does_not_fit_its_base_is_tried_on_the_stack(lab: Lab) -> None:
    base = {"a.py": LONG}
    ours = {"a.py": edited(LONG, n3="our 3", n20="our 20", n30="done 30")}
    apart = edited(LONG, n3="our 3", n20="other 20", n30="our 30")
    wanted = edited(apart, n3="their 3", n20="their 20", n30="done 30", n39="their 39")
    (one,), files = lab.take(base, ours, lab.diff({"a.py": apart}, {"a.py": wanted}))
    assert dict(one.hunks) == {"applied": 2, "there": 1, "rejected": 1}
    assert told(one) == [("a.py", "its old lines are not there")]
    assert "-other 20\n+their 20\n" in one.rejects[0].text and "at line 17 there is:\nline 17\n" in one.rejects[0].text
    assert files["a.py"] == edited(ours["a.py"], n3="their 3", n39="their 39")


def test_a_patch_for_files_that_nobody_has(lab: Lab) -> None:
    (one,), files = lab.take({"a.py": LONG}, {"a.py": LONG}, lab.diff({"b.py": LONG}, {"b.py": edited(LONG, n3="x")}))
    assert told(one) == [("b.py", "neither upstream nor the stack has such a file")]
    assert files == {"a.py": LONG}


def test_attributes_that_a_patch_brings_change_nothing(lab: Lab) -> None:
    """``merge=union`` would hide each conflict, the others would write other bytes than the patch has."""
    base, ours = {"a.py": LONG, "b.txt": b"$Id$\n"}, {"a.py": edited(LONG, n3="our 3"), "b.txt": b"$Id$\n"}
    line = b"* merge=union text eol=crlf ident -diff\n*.txt working-tree-encoding=UTF-16\n"
    hostile = lab.diff(base, {**base, "attributes": line}).replace(b"attributes", b".gitattributes")
    theirs = {"a.py": edited(LONG, n3="their 3"), "b.txt": b"$Id$\nmore\n"}
    (_, two), files = lab.take(base, ours, hostile, lab.diff(base, theirs))
    assert told(two) == [("a.py", "the stack changes the same lines")]
    assert files == {**ours, ".gitattributes": line, "b.txt": b"$Id$\nmore\n"}


def test_without_context_a_hunk_stands_where_its_header_says(lab: Lab) -> None:
    base = {"a.py": b"same\n" * 30}
    theirs = {"a.py": edited(base["a.py"], n7="their 7", n20="their 20")}
    (one,), files = lab.take(base, base, lab.diff(base, theirs, "-U0"))
    assert (told(one), files) == ([], theirs)


def test_modes_go_along(lab: Lab) -> None:
    diff = b"diff --git a/a.py b/a.py\nold mode 100644\nnew mode 100755\n"
    added = b"diff --git a/n.sh b/n.sh\nnew file mode 100755\n--- /dev/null\n+++ b/n.sh\n@@ -0,0 +1 @@\n+exit\n"
    (one,), files = lab.take({"a.py": LONG}, {"a.py": edited(LONG, n3="our 3")}, diff + added)
    assert (told(one), one.paths, files["n.sh"]) == ([], ["a.py", "n.sh"], b"exit\n")
