"""How far each patch of a stack carries across upstream's history.

For every commit on upstream's line of first parents after the pin, the whole series is applied to that commit's files
as ``git am -3`` does it, with ``--skip`` at each conflict: a patch that conflicts is left out and the next one goes on
from there, so it meets the files as they are without the patch.  Each commit is a beginning of its own: a patch that
conflicts at one may apply again at a later one.  Per patch and commit the outcome is one of :data:`LETTERS`.

Nothing is looked at twice: a placement depends on the patch and the files it touches (porter.rebase.merge), so a
commit costs what changed in it.  The outcomes are kept in the cache, in a file per pin, chain of patches and git
version, and are written after every block of commits: a run that was interrupted goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from porter import git
from porter.errors import SurroundingsFailed
from porter.files import write_file
from porter.lockfile import Pin
from porter.objects import Entry, step
from porter.output import Progress, heading
from porter.patch import Patch
from porter.rebase.merge import APPLIES, CONFLICT, MERGED, OFFSET, OUTCOMES, TAKEN, Placer, originals
from porter.sources.history import History, Step
from porter.stack import Contents, Stack

LETTERS = {"a": APPLIES, "o": OFFSET, "m": MERGED, "c": CONFLICT, "t": TAKEN}
BROKEN = "c"
_LETTER = {outcome: letter for letter, outcome in LETTERS.items()}
_BLOCK = 320  # commits between two writes of the cache
_KEPT = 16  # files of outcomes that stay in the cache
_FORM = 1  # of such a file

assert set(_LETTER) == set(OUTCOMES)


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
        files: commit (index) -> a file of it that conflicts, where one does.
    """

    patch: Patch
    letters: str
    files: Mapping[int, str]

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
        new: how many commits were looked at; the others were known.
    """

    pin: Pin
    rev: str
    until: str
    stack: str
    steps: tuple[Step, ...]
    tags: Mapping[int, str]
    tracks: tuple[Track, ...]
    new: int

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
            "patches": [self._record(track) for track in self.tracks],
            "reach": self.reach,
            "whole": self.whole,
        }

    def _record(self, track: Track) -> dict[str, Any]:
        broken = None
        if track.breaks is not None:
            step = self.steps[track.breaks]
            broken = {
                "number": track.breaks + 1,
                "commit": step.id,
                "date": step.date,
                "subject": step.subject,
                "file": track.files.get(track.breaks),
            }
        return {
            "patch": track.patch.id,
            "subject": track.patch.subject,
            "outcomes": track.letters,
            "counts": track.counts(),
            "ranges": [[r.outcome, r.first, r.last] for r in track.ranges],
            "breaks": broken,
            "reaches": track.reaches,
        }


@dataclass(frozen=True)
class Row:
    """What a stack makes of one commit: a letter per patch, and where one conflicts a file of it (by the patch)."""

    letters: str
    files: Mapping[int, str]


def track_of(patch: Patch, number: int, rows: Sequence[Row]) -> Track:
    """A patch along the line, from what its stack, in which it has this number, makes of each commit."""
    files = {at: row.files[number] for at, row in enumerate(rows) if number in row.files}
    return Track(patch, "".join(row.letters[number] for row in rows), files)


def look(
    history: History, stack: Stack, steps: Sequence[Step], wanted: Sequence[int], progress: Progress
) -> Iterator[dict[str, Row]]:
    """Run a stack through commits, block by block; each block's outcomes by commit.

    Args:
        steps: the whole line from the pin on.
        wanted: which of them, as indices in rising order.
    """
    progress.step("reading upstream's files")
    pin = history.snapshot(history.lock.pin.commit)
    trees = _trees(pin.files, steps, wanted)
    labels = {entry.id: path for tree in trees for path, entry in tree.items()}
    contents = Contents({**history.blobs(set(labels) - set(pin.objects), labels), **pin.objects})
    series = originals(stack.patches, pin, contents)
    placer = Placer(contents)
    done, total = 0, len(wanted) * len(series)
    for start in range(0, len(wanted), _BLOCK):
        block, numbers = trees[start : start + _BLOCK], wanted[start : start + _BLOCK]
        letters: list[list[str]] = [[] for _ in block]
        files: list[dict[int, str]] = [{} for _ in block]
        for n, original in enumerate(series):
            progress.step("placing patches on upstream's commits", done, total)
            for at, found in enumerate(placer.place_all(original, block, brief=True)):
                letters[at].append(_LETTER[found.outcome])
                if found.stands:
                    step(block[at], found.files)
                else:
                    files[at][n] = found.conflicts[0].path
            done += len(block)
        yield {steps[n].id: Row("".join(letters[at]), files[at]) for at, n in enumerate(numbers)}


def _trees(files: Mapping[str, Entry], steps: Sequence[Step], wanted: Sequence[int]) -> list[dict[str, Entry]]:
    """The files of the wanted commits, each a tree of its own, from the pin's on."""
    tree, found, chosen = dict(files), [], set(wanted)
    for n, one in enumerate(steps):
        step(tree, one.changes)
        if n in chosen:
            found.append(dict(tree))
    return found


class Store:
    """The outcomes of one chain of patches on one pin, in a file of the cache.

    Args:
        folder: where such files are.
    """

    def __init__(self, folder: Path, pin: Pin, stack: Stack) -> None:
        self._count = len(stack.patches)
        chain = hashlib.sha256(f"{_FORM}\n{pin.commit}\n{stack.digest}\n".encode() + git.run("version"))
        self.path = folder / f"{chain.hexdigest()}.json"

    def read(self) -> dict[str, Row]:
        """What is known: commit id -> row.  A file that cannot be understood is as good as none."""
        try:
            kept = json.loads(self.path.read_bytes())
            paths = kept["paths"]
            rows = {
                commit: Row(str(letters), {int(n): str(paths[path]) for n, path in files})
                for commit, letters, files in kept["commits"]
            }
            whole = all(len(row.letters) == self._count and set(row.letters) <= set(LETTERS) for row in rows.values())
            return rows if whole else {}
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise SurroundingsFailed(f"cannot read the cache {self.path}", error.strerror or str(error)) from error
        except (ValueError, TypeError, KeyError, IndexError):
            return {}

    def write(self, rows: Mapping[str, Row]) -> None:
        """Keep the rows, and the newest of the other files.

        Raises:
            SurroundingsFailed: the cache cannot be written to.
        """
        paths = sorted({path for row in rows.values() for path in row.files.values()})
        number = {path: n for n, path in enumerate(paths)}
        listed = [
            [commit, row.letters, [[n, number[path]] for n, path in row.files.items()]] for commit, row in rows.items()
        ]
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SurroundingsFailed(f"cannot write {self.path}", error.strerror or str(error)) from error
        write_file(self.path, json.dumps({"paths": paths, "commits": listed}, separators=(",", ":")).encode())
        with suppress(OSError):  # another porter removes them too
            files = sorted(self.path.parent.glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True)
            for old in files[_KEPT:]:
                old.unlink()
