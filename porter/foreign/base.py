"""Which upstream commit foreign patches were made for: the one that was named, or the one that they fit best.

A patch says what it was made for in two ways: by the ids in its ``index`` lines, and by the lines that it keeps or
takes away.  Both are compared with the pin first.  Only where something is not there is the rest of upstream's history
asked, tags before the commits between them.  git has no such search.  Each version of each file is looked at once,
whatever the number of commits that have it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from porter.errors import CheckFailed, PorterError, WrongUsage, os_errors
from porter.foreign.hunks import FileChange, Incoming
from porter.git import scratch
from porter.git.objects import Entry, Object, blob, step
from porter.output import Progress
from porter.patch.diff import lines, path_problem
from porter.patch.parser import BINARY
from porter.sources.history import DEFAULT, History


class Score(NamedTuple):
    """How well changes fit some commit: hunks that fit, files that are the very ones, hunks that are in place.

    ``wanted`` is how many hunks there are.
    """

    hunks: int
    files: int
    exact: int
    wanted: int


@dataclass(frozen=True)
class Base:
    """A commit that patches may be for.

    Attributes:
        name: what to call it, ``v6.0``.
        commit: its id.
        files: its files, as far as they are at hand.
        objects: their blobs.
        words: how well it fits.
    """

    name: str
    commit: str
    files: Mapping[str, Entry]
    objects: Mapping[str, Object] = field(default_factory=dict)
    words: str = ""


class Judge:
    """Compares the lines that patches keep or take away with the files of a commit.

    Attributes:
        paths: the files whose content it looks at.
    """

    def __init__(self, patches: Iterable[Incoming]) -> None:
        # a later patch of a series is for what the earlier ones made of a file, so the first of each file counts
        changes = [change for patch in patches for change in patch.changes if not change.unusable]
        self._changes = {change.old: change for change in reversed(changes)}
        self._known: dict[tuple[str, str], Score] = {}
        self.paths = frozenset(self._changes)

    def score(self, files: Mapping[str, Entry], objects: Mapping[str, Object]) -> Score:
        """How well the changes fit these files."""
        found = [self._single(change, files.get(path), objects) for path, change in self._changes.items()]
        return Score(*map(sum, zip(*found))) if found else Score(0, 0, 0, 0)

    def words(self, score: Score) -> str:
        """A score for people."""
        return f"{score.hunks} of {score.wanted} hunks fit"

    def _single(self, change: FileChange, entry: Entry | None, objects: Mapping[str, Object]) -> Score:
        wanted = max(1, len(change.hunks))
        if change.kind == "add":
            return Score(0 if entry else wanted, 0, 0, wanted)
        if entry is None:
            return Score(0, 0, 0, wanted)
        if (change.old, entry.id) not in self._known:
            image = lines(objects[entry.id].data)
            untouched = bytearray(len(image))
            exact = sum(hunk.fits(image, untouched, hunk.old_position, hunk.is_loose) for hunk in change.hunks)
            there = sum(hunk.is_in(image) for hunk in change.hunks) if change.hunks else 1
            same = bool(change.blob) and entry.id.startswith(change.blob)
            self._known[change.old, entry.id] = Score(there, same, exact, wanted)
        return self._known[change.old, entry.id]


def best(judge: Judge, bases: Iterable[Base], objects: Mapping[str, Object]) -> tuple[Score, Base]:
    """The first of those that fit best."""
    return max(((judge.score(one.files, objects), one) for one in bases), key=lambda pair: pair[0])


def find(judge: Judge, pin: Base, history: History, progress: Progress) -> Base:
    """The commit that fits best: the pin if nothing is better.

    Raises:
        CheckFailed: an object of the history in the cache is missing or altered.
    """
    score = judge.score(pin.files, pin.objects)
    found = pin
    if score.hunks < score.wanted:
        progress.step("looking through upstream's history")
        try:
            others = _line(history)
        except CheckFailed:
            raise
        except PorterError as error:
            progress.note(f"only {pin.name} was compared, as upstream's history cannot be had: {error.what}")
            others = []
        here = next((n for n, one in enumerate(others) if one.commit == pin.commit), len(others))
        order = sorted(range(len(others)), key=lambda n: (others[n].name == others[n].commit[:12], abs(n - here)))
        blobs = history.blobs({one.files[path].id for one in others for path in judge.paths & one.files.keys()})
        score, found = best(judge, [pin, *(others[n] for n in order)], {**pin.objects, **blobs})
    if found.commit == pin.commit:
        return Base(pin.name, pin.commit, pin.files, pin.objects, judge.words(score))
    return named(found.name, history, judge.words(score), found.commit)


def named(name: str, history: History, words: str = "as you said", rev: str = "") -> Base:
    """A commit of upstream's; ``rev`` says which where its name does not.

    Raises:
        WrongUsage: upstream has none of that name.
        EnvironmentFailed: it is not in the cache and no source can be reached.
    """
    commit = history.resolve(rev or name)
    (snapshot,) = history.snapshots(commit)
    return Base(name, commit, snapshot.files, snapshot.objects, words)


def _line(history: History) -> list[Base]:
    """Every commit of the default branch, oldest first, by its tag's name where it has one."""
    tip = history.resolve(DEFAULT)
    text = history.repository.text
    root = text("rev-list", "--first-parent", "--max-parents=0", tip).split()[-1]
    rows = text("for-each-ref", "--format=%(refname:short) %(objectname) %(*objectname)", "refs/tags")
    tags = {words[-1]: words[0] for words in (row.split() for row in rows.split("\n")) if words}
    files = dict(history.repository.files(root))
    found = [Base(tags.get(root, root[:12]), root, dict(files))]
    for one in history.steps(root, tip):
        step(files, one.changes)
        found.append(Base(tags.get(one.id, one.id[:12]), one.id, dict(files)))
    return found


# A copied and changed source folder, as one foreign patch.

_FEW_FILES = 3  # files of upstream's that a copy of it has at least
_TEXT = 8000  # a NUL in so many first bytes makes a file binary, as in git


class Fork(Judge):
    """The files of a copy; of upstream's commits it prefers the one that the most of them are unchanged from.

    Args:
        folder: where it is.
        pin: upstream's paths at the pin: what its ``.gitignore`` names is taken all the same if upstream has it.

    Raises:
        WrongUsage: it is no copy of upstream.
        EnvironmentFailed: it cannot be read.
    """

    def __init__(self, folder: Path, pin: Iterable[str]) -> None:
        super().__init__(())  # ids are compared, no content
        self.folder = folder
        self.blobs: dict[str, Object] = {}
        self.modes: dict[str, str] = {}
        pin = set(pin)
        with scratch() as clean:
            out = clean.run(f"--work-tree={folder.resolve()}", "ls-files", "--others", "--exclude-standard", "-z")
        listed = {os.fsdecode(path) for path in out.split(b"\0") if path and not path.endswith(b"/")}
        for path in sorted(listed | {path for path in pin if (folder / path).is_file()}):
            place = folder / path
            if place.is_symlink() or not place.is_file():
                continue
            with os_errors(f"cannot read {place}"):
                self.blobs[path] = blob(place.read_bytes())
                self.modes[path] = "100755" if place.stat().st_mode & 0o100 else "100644"
        if len(pin & self.blobs.keys()) < _FEW_FILES:
            raise WrongUsage(
                f"{folder} holds neither patches nor a copy of upstream",
                hint="Name a file, a folder with a series or *.patch files, or the folder that train.py is in.",
            )

    def score(self, files: Mapping[str, Entry], objects: Mapping[str, Object]) -> Score:
        """How many files are the very ones, of those that both have or the fork alone."""
        same = sum(1 for path, one in self.blobs.items() if path in files and files[path].id == one.id)
        both = sum(1 for path in self.blobs if path in files)
        return Score(same, both, -len(files), max(both, 1))

    def words(self, score: Score) -> str:
        """A score for people."""
        return f"{score.hunks} of {score.wanted} files are the very same"

    def patch(self, base: Base) -> tuple[Incoming, tuple[str, ...]]:
        """What the fork changes, and the files of upstream that it lacks, which are not taken for deleted."""
        changes = []
        for path, mine in self.blobs.items():
            before = base.objects[base.files[path].id].data if path in base.files else None
            data = mine.data
            if before is not None and b"\r\n" not in before and data.count(b"\r\n") == data.count(b"\n"):
                data = data.replace(b"\r\n", b"\n")  # it went through a system with other line ends
            if data == before:
                continue
            is_binary = b"\0" in data[:_TEXT] + (before or b"")[:_TEXT]
            unusable = BINARY if is_binary else path_problem(path)
            # who copies files seldom copies their modes
            mode = self.modes[path] if before is None else ""
            kind = "add" if before is None else "modify"
            changes.append(FileChange(kind, path, path, new_mode=mode, data=data, unusable=unusable))
        lacking = tuple(sorted(path for path in base.files if path not in self.blobs))
        return Incoming(self.folder.resolve().name, changes=tuple(changes)), lacking
