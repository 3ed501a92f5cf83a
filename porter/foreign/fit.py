"""Which upstream commit a foreign patch was made for: the one whose files its old lines fit best.

A patch says what it was made for in two ways: by the ids in its ``index`` lines, and by the lines that it keeps or
takes away.  Both are compared with the pin first.  Only where something does not fit there is the rest of upstream's
history asked, tags before the commits between them.  Each version of each file is looked at once, whatever the
number of commits that have it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from porter.diff import lines
from porter.foreign.reader import FileChange, Incoming
from porter.objects import Entry, step


class Score(NamedTuple):
    """How well changes fit some commit: hunks that fit, files that are the very ones, hunks that are in place.

    ``wanted`` is how many hunks there are.
    """

    hunks: int
    files: int
    exact: int
    wanted: int

    @property
    def perfect(self) -> bool:
        """Whether every hunk fits."""
        return self.hunks == self.wanted


@dataclass(frozen=True)
class Candidate:
    """A commit that may be what the changes are for: what to call it, its files."""

    name: str
    commit: str
    files: Mapping[str, Entry]


class Judge:
    """Scores commits.

    Args:
        patches: those to find the base of, in order.
        read: blob id -> content.
    """

    def __init__(self, patches: Iterable[Incoming], read: Callable[[str], bytes]) -> None:
        # a later patch of a series is for what the earlier ones made of a file, so the first of each file counts
        self._changes: dict[str, FileChange] = {}
        for patch in patches:
            for change in patch.changes:
                if not change.unusable:
                    self._changes.setdefault(change.old, change)
        self._read = read
        self._known: dict[tuple[str, str], Score] = {}

    @property
    def paths(self) -> frozenset[str]:
        """The paths that matter."""
        return frozenset(self._changes)

    def score(self, files: Mapping[str, Entry]) -> Score:
        """How well the changes fit a tree."""
        total = [0, 0, 0, 0]
        for path, change in self._changes.items():
            for n, value in enumerate(self._single(change, files.get(path))):
                total[n] += value
        return Score(*total)

    def words(self, score: Score) -> str:
        """A score for people."""
        return f"{score.hunks} of {score.wanted} hunks fit"

    def _single(self, change: FileChange, entry: Entry | None) -> Score:
        wanted = max(1, len(change.pieces))
        if change.kind == "add":
            return Score(0 if entry else wanted, 0, 0, wanted)
        if entry is None:
            return Score(0, 0, 0, wanted)
        key = (change.old, entry.id)
        if key not in self._known:
            same = int(bool(change.blob) and entry.id.startswith(change.blob))
            image = lines(self._read(entry.id))
            untouched = bytearray(len(image))
            places = [(piece.hunk.find(image, untouched), piece.hunk.position) for piece in change.pieces]
            fitting = sum(place is not None for place, _ in places) if places else 1
            self._known[key] = Score(fitting, same, sum(place == wish for place, wish in places), wanted)
        return self._known[key]


def best(judge: Judge, candidates: Iterable[Candidate]) -> tuple[Candidate, Score]:
    """The first of the best candidates."""
    found: tuple[Candidate, Score] | None = None
    for candidate in candidates:
        score = judge.score(candidate.files)
        if found is None or score > found[1]:
            found = candidate, score
    assert found is not None
    return found


def line_of(start: Mapping[str, Entry], steps: Sequence[tuple[str, Mapping[str, Entry | None]]]) -> Iterable[Candidate]:
    """The commits of a line of history as candidates; ``steps`` is each one's id and what it changed."""
    files = dict(start)
    for commit, changes in steps:
        step(files, changes)
        yield Candidate(commit[:12], commit, dict(files))
