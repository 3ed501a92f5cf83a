"""A copied and changed source folder, as one foreign patch."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from porter import objects
from porter.errors import SurroundingsFailed, WrongUsage
from porter.foreign.fit import Judge, Score
from porter.foreign.reader import FileChange, Incoming, parse
from porter.git import scratch
from porter.objects import Entry, Object, blob

_FEW = 3  # files of upstream's that a copy of it has at least
_TEXT = 8000  # a NUL in so many first bytes makes a file binary, as in git


class Fork(Judge):
    """The files of a copy; as a judge, it prefers the commit that the most of them are unchanged from.

    Args:
        folder: where it is.
        pin: upstream's paths at the pin: what its ``.gitignore`` names is taken all the same if upstream has it.

    Raises:
        WrongUsage: it is no copy of upstream.
        SurroundingsFailed: it cannot be read.
    """

    def __init__(self, folder: Path, pin: Iterable[str]) -> None:
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
            try:
                self.blobs[path] = blob(place.read_bytes())
                self.modes[path] = "100755" if place.stat().st_mode & 0o100 else "100644"
            except OSError as error:
                raise SurroundingsFailed(f"cannot read {place}", error.strerror or str(error)) from error
        if len(pin & self.blobs.keys()) < _FEW:
            raise WrongUsage(
                f"{folder} holds neither patches nor a copy of upstream",
                hint="Name a file, a folder with a series or *.patch files, or the folder that train.py is in.",
            )

    @property
    def paths(self) -> frozenset[str]:
        """None: it takes no content to compare ids."""
        return frozenset()

    def score(self, files: Mapping[str, Entry]) -> Score:
        """How many files are the very ones, of those that both have or the fork alone."""
        same = sum(1 for path, one in self.blobs.items() if path in files and files[path].id == one.id)
        both = sum(1 for path in self.blobs if path in files)
        return Score(same, both, -len(files), max(both, 1))

    def words(self, score: Score) -> str:
        """A score for people."""
        return f"{score.hunks} of {score.wanted} files are the very same"

    def patch(self, files: Mapping[str, Entry], read: Callable[[str], bytes]) -> tuple[Incoming, tuple[str, ...]]:
        """What the fork changes, and the files of upstream that it lacks, which are not taken for deleted.

        Args:
            files: the commit that it was made from.
            read: blob id -> content.
        """
        old, new, made, left_out = {}, {}, {}, []
        for path, mine in self.blobs.items():
            before = files.get(path)
            data = read(before.id) if before else b""
            mine = _line_ends(mine, data)
            if before and before.id == mine.id:
                continue
            if b"\0" in mine.data[:_TEXT] or b"\0" in data[:_TEXT]:
                left_out.append(FileChange("modify", path, path, unusable="it is a binary file"))
                continue
            if before:
                old[path] = before
                made[before.id] = blob(data)
            # who copies files seldom copies their modes
            new[path] = Entry(before.mode if before else self.modes[path], mine.id)
            made[mine.id] = mine
        before_trees, after_trees = objects.trees(old), objects.trees(new)
        with scratch() as clean:
            everything = [*made.values(), *before_trees, *after_trees]
            clean.run("index-pack", "--stdin", stdin=objects.pack(everything, level=0))
            sides = (before_trees[-1].id, after_trees[-1].id)
            diff = clean.run("diff-tree", "-r", "-p", "--full-index", "--no-renames", *sides)
        changes = parse(diff, files, 1) if diff else ()
        lacking = tuple(sorted(path for path in files if path not in self.blobs))
        return Incoming(self.folder.resolve().name, changes=(*changes, *left_out)), lacking


def _line_ends(mine: Object, upstream: bytes) -> Object:
    """A file that went through a system with other line ends, with upstream's."""
    data = mine.data
    if b"\r\n" in data and b"\r\n" not in upstream and data.count(b"\r\n") == data.count(b"\n"):
        return blob(data.replace(b"\r\n", b"\n"))
    return mine
