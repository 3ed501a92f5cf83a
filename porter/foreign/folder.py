"""A copied and changed source folder, as one foreign patch."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from porter.errors import EnvironmentFailed, WrongUsage
from porter.foreign.base import Base, Judge, Score
from porter.foreign.hunks import FileChange, Incoming
from porter.git import scratch
from porter.git.objects import Entry, Object, blob
from porter.patch.diff import path_problem
from porter.patch.parser import BINARY

_FEW = 3  # files of upstream's that a copy of it has at least
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
            try:
                self.blobs[path] = blob(place.read_bytes())
                self.modes[path] = "100755" if place.stat().st_mode & 0o100 else "100644"
            except OSError as error:
                raise EnvironmentFailed(f"cannot read {place}", error.strerror or str(error)) from error
        if len(pin & self.blobs.keys()) < _FEW:
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
