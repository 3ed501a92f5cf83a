"""How far each patch of a stack carries across upstream's history.

The series is applied by git (porter.rebase.trial) to the tagged commits on upstream's line of first parents and to the
last one.  Where a patch's outcome at two of these is not the same, the commit halfway between is asked too, and so on,
until both sides of every change are known: that is where a patch first breaks, or stands again.  A commit between two
asked ones at which a patch has the same outcome is taken to have it as well, and a patch that conflicts at both is left
out of what git is asked between them.

What git answered is kept in the cache, by pin, patches and version of git: the same drift again asks nothing, and one
that was interrupted goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from porter import git
from porter.lockfile import Pin
from porter.output import Progress, heading
from porter.patch import Patch
from porter.rebase.trial import ABSENT, BROKEN, LETTERS, StackOutcome, Trial, trial
from porter.sources.cache import Memo
from porter.sources.history import History, UpstreamCommit
from porter.stack import Stack

_FORM = b"2"  # of what is kept of a commit
_KEPT = 5000  # commits of one stack


@dataclass(frozen=True)
class Range:
    """Commits in a row with one outcome: numbers from 1, both ends included."""

    outcome: str
    first: int
    last: int


@dataclass(frozen=True)
class Track:
    """One patch along the line.

    Attributes:
        patch: the patch.
        letters: one of :data:`LETTERS` per commit.
        files: commit (index) -> a file of it that conflicts, where git was asked and one does.
        asked: the commits (indices, rising) at which git was asked; at the others it is the outcome of those around.
    """

    patch: Patch
    letters: str
    files: Mapping[int, str]
    asked: tuple[int, ...]

    @property
    def ranges(self) -> list[Range]:
        """Its outcomes, run by run."""
        found, at = [], 0
        for letter, run in groupby(self.letters):
            size = len(list(run))
            found.append(Range(LETTERS[letter], at + 1, at + size))
            at += size
        return found

    @property
    def breaks(self) -> int | None:
        """The index of the first commit at which it conflicts, None if at none."""
        at = self.letters.find(BROKEN)
        return None if at < 0 else at

    @property
    def returns(self) -> list[int]:
        """The indices of the commits at which it stands again, after one at which it conflicts."""
        pairs = enumerate(zip(self.letters, self.letters[1:]), 1)
        return [at for at, (before, now) in pairs if before == BROKEN != now]

    @property
    def reaches(self) -> bool:
        """Whether it stands at the last commit."""
        return not self.letters.endswith(BROKEN)

    def counts(self) -> dict[str, int]:
        """Outcome -> at how many commits, those that occur."""
        return {outcome: n for letter, outcome in LETTERS.items() for n in [self.letters.count(letter)] if n}


@dataclass(frozen=True)
class Drift:
    """A stack along upstream's line of first parents.

    Attributes:
        pin: where it starts.
        rev: the name of its end, as it was asked for.
        until: the last commit's id.
        stack: whose patches.
        steps: the commits, oldest first.
        tags: index of a commit -> its tag.
        tracks: the patches, in order.
        new: at how many commits git was asked now; what it says of the others was known, or follows.
        ways: each patch's way through the lines, where several lines were joined; see :func:`joined`.
    """

    pin: Pin
    rev: str
    until: str
    stack: str
    steps: tuple[UpstreamCommit, ...]
    tags: Mapping[int, str]
    tracks: tuple[Track, ...]
    new: int
    ways: tuple[Way, ...] = ()

    @property
    def asked(self) -> list[int]:
        """The indices of the commits at which git was asked about any patch, rising."""
        return sorted({at for track in self.tracks for at in track.asked})

    @property
    def reach(self) -> int:
        """How many patches stand at the last commit."""
        return sum(track.reaches for track in self.tracks)

    @property
    def whole(self) -> int:
        """How many commits after the pin take every patch, counted up to the first that does not."""
        return min((track.breaks for track in self.tracks if track.breaks is not None), default=len(self.steps))

    def record(self) -> dict[str, Any]:
        """The same as plain data, for JSON."""
        return {
            **heading("drift"),
            "upstream": self.pin.name,
            "pin": {"tag": self.pin.tag, "commit": self.pin.commit},
            "to": {"rev": self.rev, "commit": self.until},
            "stack": self.stack,
            "letters": LETTERS,
            "commits": [
                {"commit": step.id, "date": step.date, "subject": step.subject, "tag": self.tags.get(n)}
                for n, step in enumerate(self.steps)
            ],
            "asked": [at + 1 for at in self.asked],
            "patches": [self._record(track) for track in self.tracks],
            "reach": self.reach,
            "whole": self.whole,
            **({"ways": [way.record() for way in self.ways]} if self.ways else {}),
        }

    def _record(self, track: Track) -> dict[str, Any]:
        broken = None
        if track.breaks is not None:
            broken = {**self._commit(track.breaks), "file": track.files.get(track.breaks)}
        return {
            "patch": track.patch.id,
            "subject": track.patch.subject,
            "outcomes": track.letters,
            "asked": [at + 1 for at in track.asked],
            "counts": track.counts(),
            "ranges": [[r.outcome, r.first, r.last] for r in track.ranges],
            "breaks": broken,
            "returns": [self._commit(at) for at in track.returns],
            "reaches": track.reaches,
        }

    def _commit(self, at: int) -> dict[str, Any]:
        step = self.steps[at]
        return {"number": at + 1, "commit": step.id, "date": step.date, "subject": step.subject}


def follow(history: History, stack: Stack, rev: str, progress: Progress) -> Drift:
    """Each patch of a stack at each commit after the pin.

    Args:
        rev: the last commit.

    Raises:
        CheckFailed: a patch does not apply to the pin.
        WrongUsage: there is no such commit after the pin.
        EnvironmentFailed: upstream's history cannot be had, or there is no room to ask git.
    """
    pin = history.lock.pin
    until = history.resolve(rev)
    steps = history.steps(pin.commit, until)
    named = history.tags()
    tags = {n: named[step.id] for n, step in enumerate(steps) if step.id in named}
    with _Answers(history, stack, progress) as answers:
        rows = bisected(
            len(steps), tags, StackOutcome("a" * len(stack.patches), {}), lambda at, out: answers(steps[at].id, out)
        )
    tracks = tuple(_track(patch, n, rows, len(steps)) for n, patch in enumerate(stack.patches))
    return Drift(pin, rev, until, stack.key, tuple(steps), tags, tracks, answers.new)


def bisected(
    size: int, tags: Mapping[int, str], pin: StackOutcome, ask: Callable[[int, frozenset[int]], StackOutcome]
) -> dict[int, StackOutcome]:
    """Ask at tags and at the last of some commits, then between them: commit (index) -> row, where git was asked.

    Args:
        pin: the row of the commit before the first; it is not among what is returned.
    """
    rows = {-1: pin}
    for at in sorted({*tags, size - 1} - {-1}):
        rows[at] = ask(at, frozenset())
    gaps = list(zip(sorted(rows), sorted(rows)[1:]))
    while gaps:
        low, high = gaps.pop()
        ends = rows[low].letters, rows[high].letters
        if high - low > 1 and ends[0] != ends[1]:
            middle = (low + high) // 2
            rows[middle] = ask(middle, frozenset(n for n, two in enumerate(zip(*ends)) if two == (BROKEN, BROKEN)))
            gaps += [(middle, high), (low, middle)]
    del rows[-1]
    return rows


def _track(patch: Patch, number: int, rows: Mapping[int, StackOutcome], size: int) -> Track:
    """A patch along a line of so many commits.  Where two asked commits differ, there is none between them."""
    letters, letter = [], "a"
    for at in range(size):
        letter = rows[at].letters[number] if at in rows else letter
        letters.append(letter)
    asked = tuple(at for at in sorted(rows) if number not in rows[at].left_out)
    return Track(
        patch, "".join(letters), {at: rows[at].files[number] for at in asked if number in rows[at].files}, asked
    )


class _Answers:
    """What git says of a stack at commits, from the cache or asked; a context manager.

    Attributes:
        new: at how many commits it was asked.
    """

    def __init__(self, history: History, stack: Stack, progress: Progress) -> None:
        self._memory = Memo(
            "drift", [_FORM, history.lock.pin.commit.encode(), stack.digest.encode(), git.run("version")], _KEPT
        )
        self._history, self._stack, self._progress = history, stack, progress
        self._open = ExitStack()
        self._trial: Trial | None = None
        self.new = 0

    def __enter__(self) -> _Answers:
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    def __call__(self, commit: str, left_out: frozenset[int]) -> StackOutcome:
        """The row of a commit, with some patches left out."""
        key = " ".join((commit, *map(str, sorted(left_out))))
        known = self._memory.get(key)
        if known is not None:
            letters, files = known
            return StackOutcome(letters, {int(n): path for n, path in files}, left_out)
        self._progress.step("applying the series to upstream's commits", self.new)
        if self._trial is None:
            self._trial = self._open.enter_context(trial(self._history, self._stack))
        row = self._trial.ask(commit, left_out)
        self.new += 1
        self._memory.put(key, [row.letters, list(row.files.items())])
        self._memory.save()
        return row


# What became of a patch from line to line.

SAME, CHANGED, ADDED, DROPPED = "same", "changed", "added", "dropped"


@dataclass(frozen=True)
class Way:
    """A patch's way through the lines.

    Attributes:
        patch: its id, as the last line that has it calls it.
        lines: line -> how many lines the patch adds and takes away there; only those that have it.
        steps: line, from the second on -> what became of the patch for it: ``same`` (it adds and takes away the same
            lines, whatever stands around them), ``changed``, ``added`` or ``dropped``; only where it is or was.
    """

    patch: str
    lines: Mapping[str, int]
    steps: Mapping[str, str]

    @property
    def touched(self) -> tuple[str, ...]:
        """The releases for which it was changed or added."""
        return tuple(line for line, step in self.steps.items() if step in (CHANGED, ADDED))

    def record(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        return {"patch": self.patch, "lines": dict(self.lines), "steps": dict(self.steps), "touched": self.touched}


# Drift through the lines of a project: up to each release with the patches of the one before it.
#
# What one line's stack makes of the commits up to the next line's release is :mod:`porter.rebase.drift`'s.  Here these
# are joined patch by patch, a patch being the same in two lines where its stack and its file's name are; and what a
# person had to change for each release is told from the patches themselves.


def ways(stacks: Mapping[str, Sequence[Patch]]) -> list[Way]:
    """The way of each patch.

    Args:
        stacks: line -> its patches, the oldest line first.
    """
    found = []
    for key in _keys(stacks):
        here = {line: next((one for one in patches if one.id == key), None) for line, patches in stacks.items()}
        steps, before = {}, next(iter(here.values()))
        for line, patch in list(here.items())[1:]:
            if patch is not None or before is not None:
                steps[line] = _step(before, patch)
            before = patch
        sizes = {line: len(_rows(patch)) for line, patch in here.items() if patch is not None}
        found.append(Way(key, sizes, steps))
    return found


def joined(parts: Mapping[str, Drift], stacks: Mapping[str, Sequence[Patch]]) -> Drift:
    """One drift of several that follow each other: line -> from its release to the next line's, or the end."""
    first, last = next(iter(parts.values())), list(parts.values())[-1]
    begin, offsets = 0, {}
    for line, part in parts.items():
        offsets[line] = begin
        begin += len(part.steps)
    tracks = []
    for key in _keys({line: stacks[line] for line in parts}):
        tracks.append(_joined_track(key, parts, offsets))
    return replace(
        first,
        rev=last.rev,
        until=last.until,
        steps=tuple(step for part in parts.values() for step in part.steps),
        tags={offsets[line] + at: tag for line, part in parts.items() for at, tag in part.tags.items()},
        tracks=tuple(tracks),
        new=sum(part.new for part in parts.values()),
        ways=tuple(ways(stacks)),
    )


def _joined_track(key: str, parts: Mapping[str, Drift], offsets: Mapping[str, int]) -> Track:
    letters, files, asked = "", {}, []
    patch: Patch | None = None
    for line, part in parts.items():
        own = next((track for track in part.tracks if track.patch.id == key), None)
        if own is None:
            letters += ABSENT * len(part.steps)
            continue
        patch = own.patch
        letters += own.letters
        files.update({offsets[line] + at: file for at, file in own.files.items()})
        asked += [offsets[line] + at for at in own.asked]
    assert patch is not None  # the keys are those of the parts
    return Track(patch, letters, files, tuple(asked))


def _keys(stacks: Mapping[str, Sequence[Patch]]) -> list[str]:
    """The patches' ids: common's first, in the order of the line that has each first."""
    found: dict[str, None] = {}
    for patches in stacks.values():
        found.update((patch.id, None) for patch in patches)
    return sorted(found, key=_by_stack(stacks))


def _by_stack(stacks: Mapping[str, Sequence[Patch]]) -> Callable[[str], tuple[int, int]]:
    parts = list(dict.fromkeys(patch.stack for patches in stacks.values() for patch in patches))
    place: dict[str, int] = {}
    for patches in stacks.values():
        for number, patch in enumerate(patches):
            place.setdefault(patch.id, number)
    return lambda key: (parts.index(key.partition("/")[0]), place[key])


def _step(before: Patch | None, now: Patch | None) -> str:
    if before is None:
        return ADDED
    if now is None:
        return DROPPED
    return SAME if _rows(before) == _rows(now) else CHANGED


def _rows(patch: Patch) -> list[str]:
    """The lines that a patch adds and takes away, without those around them."""
    rows = patch.text.split("\n")
    return [row for row in rows if row.startswith(("+", "-")) and not row.startswith(("+++ ", "--- "))]
