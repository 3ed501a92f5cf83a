"""What is read from git am -3: each outcome, and each way of git's to stop, in a small repository."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sources import git

from porter.errors import EnvironmentFailed
from porter.git import Repository, scratch
from porter.patch import FORMAT, Patch
from porter.rebase.trial import StackOutcome, Trial
from porter.stack import Stack

Edit = Callable[[Path], object]


def write(name: str, text: str, mode: int = 0o644) -> Edit:
    def do(root: Path) -> None:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(text.encode())
        (root / name).chmod(mode)

    return do


def move(old: str, new: str) -> Edit:
    return lambda root: (root / old).rename(root / new)


def drop(name: str) -> Edit:
    return lambda root: (root / name).unlink()


def both(*edits: Edit) -> Edit:
    return lambda root: [edit(root) for edit in edits]


TEXT = "".join(f"line {n}\n" for n in range(30))
FIRST, LAST = TEXT.replace("line 3\n", "line three\n"), TEXT.replace("line 25\n", "line twenty-five\n")
CRLF = "".join(f"row {n}\r\n" for n in range(30))
# what the patch does, what upstream does, the letter, the file that conflicts
CASES = {
    "nothing of it changed": (write("a.py", LAST), write("b.py", "b\n"), "a", ""),
    "another part of the file changed": (write("a.py", LAST), write("a.py", FIRST), "a", ""),
    "lines moved": (write("a.py", LAST), write("a.py", "new\n" + TEXT), "o", ""),
    "a line of the context changed": (write("a.py", FIRST), write("a.py", TEXT.replace("line 5\n", "five\n")), "m", ""),
    "the same line changed": (write("a.py", FIRST), write("a.py", TEXT.replace("line 3\n", "3\n")), "c", "a.py"),
    "changed alike": (write("a.py", FIRST), write("a.py", FIRST), "t", ""),
    "changed alike, and beside it": (
        write("a.py", FIRST),
        write("a.py", FIRST.replace("line 5\n", "five\n")),
        "t",
        "",
    ),
    "renamed": (write("a.py", LAST), move("a.py", "c.py"), "m", ""),
    "deleted": (write("a.py", LAST), drop("a.py"), "c", "a.py"),
    "added alike": (write("new", "x\n"), write("new", "x\n"), "t", ""),
    "added otherwise": (write("new", "x\n"), write("new", "y\n"), "c", "new"),
    "a file in its folder's place": (write("new/file", "y\n"), write("new", "x\n"), "c", "new"),
    "deletes what is deleted": (drop("a.py"), drop("a.py"), "t", ""),
    "deletes what changed": (drop("a.py"), write("a.py", FIRST), "c", "a.py"),
    "renames what is renamed alike": (move("a.py", "c.py"), move("a.py", "c.py"), "t", ""),
    "renames what is renamed otherwise": (move("a.py", "c.py"), move("a.py", "d.py"), "c", "a.py"),
    "a new mode, and renamed": (lambda root: (root / "a.py").chmod(0o755), move("a.py", "c.py"), "c", "a.py"),
    "lines end with CR": (write("w.txt", CRLF.replace("row 3\r", "3\r")), write("b.py", "b\n"), "a", ""),
    "two files conflict": (
        both(write("z.py", "Z\n"), write("a.py", FIRST)),
        both(write("z.py", "zz\n"), write("a.py", TEXT.replace("line 3\n", "3\n"))),
        "c",
        "a.py",
    ),
}
SUBJECTS = ("Do it", "No changes -- Patch already applied.", "Falling back to patching base and 3-way merge...")


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("trial") / "clone"
    root.mkdir()
    git("init", "-q", cwd=root)
    both(write("a.py", TEXT), write("z.py", "z\n"), write("w.txt", CRLF))(root)
    git("add", "-A", cwd=root)
    git("commit", "-q", "-m", "base", cwd=root)
    git("tag", "base", cwd=root)
    return root


def commit(clone: Path, edit: Edit, start: str = "base", subject: str = "Do it") -> str:
    git("checkout", "-q", "-f", "--detach", start, cwd=clone)
    git("clean", "-ffdqx", cwd=clone)
    edit(clone)
    git("add", "-A", cwd=clone)
    git("commit", "-q", "-m", subject, cwd=clone)
    return git("rev-parse", "HEAD", cwd=clone)


def stack(clone: Path, tip: str, folder: Path) -> Stack:
    """The commits after the base as patches."""
    git("format-patch", "-q", *FORMAT, "-o", folder, f"base..{tip}", cwd=clone)
    return Stack((), tuple(Patch.read(file, "common") for file in sorted(folder.glob("*.patch"))))


@pytest.fixture
def tried(clone: Path) -> Iterator[Callable[[Stack], Trial]]:
    with scratch(borrow=Repository(clone)) as repository:

        def begin(patches: Stack) -> Trial:
            made = Trial(repository, patches)
            made.begin(git("rev-parse", "base", cwd=clone))
            return made

        yield begin


@pytest.mark.parametrize("name", CASES)
def test_each_outcome(name: str, clone: Path, tmp_path: Path, tried: Callable[[Stack], Trial]) -> None:
    patch, upstream, letter, file = CASES[name]
    theirs, ours = commit(clone, patch), commit(clone, upstream)
    trial = tried(stack(clone, theirs, tmp_path))
    assert trial.ask(ours) == StackOutcome(letter, {0: file} if file else {})
    assert trial.ask(git("rev-parse", "base", cwd=clone)) == StackOutcome(
        "a", {}
    )  # nothing is left of what was tried before


def test_what_a_patch_is_called_is_not_what_git_says_of_it(
    clone: Path, tmp_path: Path, tried: Callable[[Stack], Trial]
) -> None:
    tip = "base"
    for n, subject in enumerate(SUBJECTS):
        tip = commit(clone, write(f"new/{n}", f"{n}\n"), tip, subject)
    ours = commit(clone, write("new/0", "other\n"))
    trial = tried(stack(clone, tip, tmp_path))
    assert trial.ask(ours) == StackOutcome("caa", {0: "new/0"})


def test_a_series_goes_on_after_what_conflicts(clone: Path, tmp_path: Path, tried: Callable[[Stack], Trial]) -> None:
    """Offsets after merges and conflicts are those of each patch; a patch left out is not met by the later ones."""
    tip = "base"
    rows = TEXT.splitlines(keepends=True)
    for n in (5, 13, 19, 25):
        rows[n] = f"changed {n}\n"
        tip = commit(clone, write("a.py", "".join(rows)), tip)
    for n, text in ((13, "changed again\n"), (10, "changed 10\n")):
        rows[n] = text
        tip = commit(clone, write("a.py", "".join(rows)), tip)
    theirs = "new\n" + TEXT.replace("line 15\n", "fifteen\n").replace("line 19\n", "nineteen\n")
    trial = tried(stack(clone, tip, tmp_path))
    ours = commit(clone, write("a.py", theirs))
    assert trial.ask(ours) == StackOutcome("omcomo", {2: "a.py"})
    assert trial.ask(ours, frozenset({1, 2})) == StackOutcome("occocm", {4: "a.py"}, frozenset({1, 2}))
    assert trial.ask(ours, frozenset(range(6))) == StackOutcome("cccccc", {}, frozenset(range(6)))


def test_damaged_objects_are_no_conflict(clone: Path, tmp_path: Path, tried: Callable[[Stack], Trial]) -> None:
    theirs = commit(clone, write("a.py", LAST))
    trial = tried(stack(clone, theirs, tmp_path))
    ours = commit(clone, write("a.py", TEXT.replace("line 25\n", "damaged\n")))
    blob = git("rev-parse", f"{ours}:a.py", cwd=clone)
    file = clone / ".git/objects" / blob[:2] / blob[2:]
    file.chmod(0o644)
    file.write_bytes(b"nothing that git knows")
    with pytest.raises(EnvironmentFailed, match=f"cannot apply the series to {ours}"):
        trial.ask(ours)
