"""What git makes of a stack at any upstream commit: the series applied in a scratch worktree.

``git am -3`` applies the series there, and ``git am --skip`` goes on where a patch conflicts, so the next patch meets
the files as they are without it.  The scratch repository borrows upstream's objects from the cache.  The objects of
the stack itself, which a three-way merge needs, are made by applying the series to the pin first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from porter import git
from porter.errors import CheckFailed, EnvironmentFailed, os_errors
from porter.git import GitFailed, Repository
from porter.rebase.outcome import APPLIES, CONFLICT, MERGED, OFFSET, TAKEN
from porter.sources.history import History
from porter.stack import Stack

BROKEN, ABSENT = "c", "z"
# the last: a line's stack has no such patch, see porter.rebase.drift; git never says it
LETTERS = {"a": APPLIES, "o": OFFSET, "m": MERGED, "c": CONFLICT, "t": TAKEN, ABSENT: "absent"}

_WHO = {"GIT_COMMITTER_NAME": "porter", "GIT_COMMITTER_EMAIL": "porter@example.invalid"}
_AM = ("am", "--3way", "--keep-cr", "--no-scissors")
# how git begins what it says of a patch, and says that it merges, and that a merge changed nothing
_APPLYING = re.compile("^Applying: ", re.MULTILINE)
_MERGING = "\nFalling back to patching base and 3-way merge..."
_NOTHING_NEW = "\nNo changes -- Patch already applied."
# git stops for these as it does for a conflict, but they say nothing of the patch
_NO_CONFLICT = re.compile(
    "fatal:|No space left|quota exceeded|Input/output error|Read-only file system|Permission denied|"
    "Cannot allocate memory|Too many open files|inflate:|is corrupt"
)
_SILENCE = 600.0  # seconds; git apply speaks at each file


@dataclass(frozen=True)
class StackOutcome:
    """What git makes of a stack at one commit.

    Attributes:
        letters: one of :data:`LETTERS` a patch; that of a conflict for one that was left out.
        files: number of a patch -> a file of it that conflicts.
        left_out: numbers of the patches that git was not asked about.
    """

    letters: str
    files: Mapping[int, str]
    left_out: frozenset[int] = frozenset()


class _Said(NamedTuple):
    """What git said of a patch: its letter, where that is a conflict a file."""

    letter: str
    file: str = ""


class Trial:
    """A scratch worktree in which a stack is tried on one commit after another.

    Args:
        repository: one of :func:`porter.git.scratch` that sees upstream's objects.
    """

    def __init__(self, repository: Repository, stack: Stack) -> None:
        self._tree = repository.path.parent
        self._git = Repository(repository.path, exact=True, worktree=self._tree)
        self._patches = stack.patches
        self._folder = repository.path / "patches"
        self._files = [self._folder / f"{n:04d}.patch" for n in range(len(stack.patches))]
        self._index = {"GIT_INDEX_FILE": str(repository.path / "other.index")}

    def begin(self, pin: str) -> None:
        """Make the stack's objects.

        Raises:
            CheckFailed: a patch does not apply to the pin.
            EnvironmentFailed: there is no room for it.
        """
        with os_errors(f"cannot write {self._folder}"):
            self._folder.mkdir()
            for patch, file in zip(self._patches, self._files):
                file.write_bytes(patch.data)
        for n, path in sorted(self.ask(pin).files.items()):
            raise CheckFailed(f"{self._patches[n].id} does not apply to {path}", hint="`porter lint` says why.")

    def ask(self, commit: str, left_out: frozenset[int] = frozenset()) -> StackOutcome:
        """Apply the series, but for the patches that are left out, to a commit.

        Raises:
            EnvironmentFailed: git failed for another reason than a conflict.
        """
        tried = [n for n in range(len(self._files)) if n not in left_out]
        try:
            self._git.run("checkout", "--quiet", "--force", "--detach", commit)
            self._git.run("clean", "-ffdqx")  # a conflict of a file with a folder leaves FILE~HEAD
            said = dict(zip(tried, self._am(tried)))
            moved = self._moved(commit, said)
        except GitFailed as error:
            what = f"git cannot apply the series to {commit} in {self._tree}"
            raise EnvironmentFailed(what, error.stderr, "TMPDIR names another folder for temporary files.") from error
        letters = ["o" if n in moved else said[n].letter if n in said else BROKEN for n in range(len(self._files))]
        return StackOutcome("".join(letters), {n: one.file for n, one in said.items() if one.file}, left_out)

    def _am(self, tried: Sequence[int]) -> list[_Said]:
        """Apply patches, leaving out each that conflicts; what git says of each in turn."""
        found: list[_Said] = []
        words = (*_AM, *(str(self._files[n]) for n in tried))
        stopped = bool(tried)
        while stopped:
            stopped, said = self._run(*words)
            if not said and len(found) < len(tried):
                raise EnvironmentFailed("git am did not say which patch it applied")
            found += said
            if stopped:
                found[-1] = self._stopped(tried[len(found) - 1])
                words = ("am", "--skip")
        return found

    def _run(self, *words: str) -> tuple[bool, list[_Said]]:
        """Whether git am stopped at a patch, and what it said of each up to there."""
        try:
            out, stopped = self._git.run(*words, env=_WHO), False
        except GitFailed as error:
            if _NO_CONFLICT.search(error.stderr):
                raise
            out, stopped = error.stdout, True
        parts = _APPLYING.split(out.decode(errors="replace"))[1:]
        return stopped, [_Said("t" if _NOTHING_NEW in each else "m" if _MERGING in each else "a") for each in parts]

    def _stopped(self, number: int) -> _Said:
        """What a patch is at which git stopped: in conflict, or in the tree already where it can be taken back."""
        paths = self._git.unmerged()
        self._git.run("read-tree", "HEAD", env=self._index)
        try:
            self._git.run("apply", "--cached", "--check", "--reverse", str(self._files[number]), env=self._index)
        except GitFailed:
            named = {path for change in self._patches[number].changes for path in (change.old, change.new)}
            return _Said(BROKEN, min(paths or named))
        return _Said("t")

    def _moved(self, commit: str, said: Mapping[int, _Said]) -> set[int]:
        """The patches that git applied without a merge, but not where their hunks' headers say."""
        made = iter(self._git.text("rev-list", "--reverse", f"{commit}..HEAD").split())
        moved: set[int] = set()
        before, run = commit, []
        for number, one in said.items():
            if one.letter not in "am":
                continue  # it changed nothing
            made_here = next(made)
            if one.letter == "a":
                run.append(number)
                continue
            moved |= self._offsets(before, run)
            before, run = made_here, []
        return moved | self._offsets(before, run)

    def _offsets(self, commit: str, numbers: Sequence[int]) -> set[int]:
        """Apply patches in turn that all apply without a merge; those with a hunk that git found elsewhere."""
        if not numbers:
            return set()
        self._git.run("read-tree", commit, env=self._index)
        # of each patch git says "Checking patch FILE..." a file, then what it says of hunks, then "Applied patch FILE"
        at, applied, moved = 0, False, set()

        def line(text: str) -> None:
            nonlocal at, applied
            if text.startswith("Checking patch ") and applied:
                at, applied = at + 1, False
            elif text.startswith("Applied patch "):
                applied = True
            elif text.startswith("Hunk #"):
                moved.add(numbers[at])

        files = [str(self._files[n]) for n in numbers]
        at_git = f"--git-dir={self._git.path}"
        git.follow(at_git, "apply", "--cached", "--verbose", *files, line=line, silence=_SILENCE, env=self._index)
        return moved


@contextmanager
def trial(history: History, stack: Stack) -> Iterator[Trial]:
    """A worktree to try a stack in, gone after the block.

    Raises:
        CheckFailed: a patch does not apply to the pin.
        EnvironmentFailed: there is no room for it.
    """
    with git.scratch(borrow=history.repository) as repository:
        tried = Trial(repository, stack)
        tried.begin(history.lock.pin.commit)
        yield tried
