"""What a patch changes: files and hunks, and how they apply to bytes in memory.

A hunk goes where ``git apply`` without fuzz would put it (apply.c, ``find_pos`` and ``match_fragment``): where its
header says, else at the nearest lines that all match.  Only a newline at the end of a file is never ignored, which git
does at a context line.  :mod:`porter.patch.parser` reads them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from io import BytesIO
from typing import TypeVar

HUNK = re.compile(r"@@ -((\d{1,9})(?:,(\d{1,9}))?) \+((\d{1,9})(?:,(\d{1,9}))?) @@")
_SWAP = bytes.maketrans(b"+-", b"-+")
_Change = TypeVar("_Change", bound="Change")
_TURNED = {"add": "delete", "delete": "add"}


class Mismatch(Exception):
    """A change that does not fit the file it is for.

    Attributes:
        what: the reason, in words.
        hunk: the hunk that does not fit, if it is one.
        found: the lines that the file has where the hunk should go.
        at: the number of the first of them, from 1.
    """

    def __init__(self, what: str, hunk: Hunk | None = None, found: Sequence[bytes] = (), at: int = 0) -> None:
        super().__init__(what)
        self.what = what
        self.hunk = hunk
        self.found = tuple(found)
        self.at = at


def lines(data: bytes) -> list[bytes]:
    """The lines of ``data`` with their newlines.  Only a line feed ends a line, as in git."""
    return BytesIO(data).readlines()


@dataclass(frozen=True)
class Hunk:
    """A block of changed lines.

    Attributes:
        header: its ``@@`` line.
        line: where that line stands in the diff, from 1.
        body: the block's lines as the diff has them, with the leading ``+``, ``-`` or space.
        whole: it has all the lines that its header promises.
    """

    header: str
    line: int
    body: tuple[bytes, ...]
    whole: bool = True

    @cached_property
    def old(self) -> tuple[bytes, ...]:
        """The lines before, with their newlines."""
        return self._without(b"+")

    @cached_property
    def new(self) -> tuple[bytes, ...]:
        """The lines after, with their newlines."""
        return self._without(b"-")

    def _without(self, sign: bytes) -> tuple[bytes, ...]:
        found: list[bytes] = []
        is_ours = False
        for row in self.body:
            if row[:1] != b"\\":
                is_ours = row[:1] != sign
                if is_ours:
                    found.append(row[1:])
            elif is_ours:  # "\ No newline at end of file"
                found[-1] = found[-1].rstrip(b"\n")
        return tuple(found)

    @cached_property
    def _starts(self) -> tuple[int, int]:
        """Where the block begins in the old file and in the new one, from 1 (0 in a file that is empty)."""
        found = HUNK.match(self.header)
        assert found is not None
        return int(found[2]), int(found[5])

    @property
    def position(self) -> int:
        """The index of the line where the block should be once the hunks before it are in the file."""
        return max(self._starts[1] - 1, 0)

    @property
    def old_position(self) -> int:
        """The index of the line where the block is in the file before: ``-7,0`` is after line 7."""
        return self._starts[0] - bool(self.old and self._starts[0])

    @property
    def at_start(self) -> bool:
        """Whether the block must lie at the start of the file."""
        return self._starts[0] <= 1

    @property
    def at_end(self) -> bool:
        """Whether the block must lie at the end of the file: no context follows."""
        return self._signs[-1:] != b" "

    @property
    def is_loose(self) -> bool:
        """Whether it says nothing about the file's end: it was cut off, or has no context (``diff -U0``)."""
        return not self.whole or (b" " not in (self._signs[:1] + self._signs[-1:]) and not self.at_start)

    @cached_property
    def _signs(self) -> bytes:
        return b"".join(row[:1] for row in self.body).replace(b"\\", b"")

    @property
    def text(self) -> bytes:
        """The hunk as the diff has it."""
        return self.header.encode("utf-8", "surrogateescape") + b"\n" + b"".join(self.body)

    @property
    def reversed(self) -> Hunk:
        """The block that takes this one back."""
        header = HUNK.sub(r"@@ -\4 +\1 @@", self.header, 1)
        return replace(self, header=header, body=tuple(row[:1].translate(_SWAP) + row[1:] for row in self.body))

    def find(self, image: Sequence[bytes], touched: bytearray) -> int | None:
        """The index in ``image`` where the old lines are, nearest to where they should be, or None.

        Lines that an earlier hunk wrote (``touched``) do not count.  At equal distance the later place
        wins, as in git.
        """
        if self.at_start:
            start = 0
        elif self.at_end:
            start = len(image) - len(self.old)
        else:
            start = self.position
        start = min(max(start, 0), len(image))
        if self.fits(image, touched, start):
            return start
        for place in sorted(self._candidates(image), key=lambda place: (abs(place - start), -place)):
            if self.fits(image, touched, place):
                return place
        return None

    def _candidates(self, image: Sequence[bytes]) -> list[int]:
        """The places where the first of the old lines is: nearly every wrong place is none of them."""
        if not self.old:
            return list(range(len(image) + 1))
        found, place = [], -1
        with suppress(ValueError):
            while True:
                place = image.index(self.old[0], place + 1)
                found.append(place)
        return found

    def places(self, image: Sequence[bytes], touched: bytearray) -> int:
        """In how many places the old lines are."""
        return sum(self.fits(image, touched, place) for place in self._candidates(image))

    def is_in(self, image: Sequence[bytes]) -> bool:
        """Whether the old lines are in a file that no hunk has changed, anywhere."""
        untouched = bytearray(len(image))
        return any(self.fits(image, untouched, place, self.is_loose) for place in self._candidates(image))

    def fits(self, image: Sequence[bytes], touched: bytearray, place: int, anywhere: bool = False) -> bool:
        """Whether the old lines are at ``place``; ``anywhere``: they need not be the file's last."""
        end = place + len(self.old)
        if end > len(image) or (self.at_start and place) or (self.at_end and not anywhere and end != len(image)):
            return False
        return tuple(image[place:end]) == self.old and 1 not in touched[place:end]


@dataclass(frozen=True)
class MovedHunk:
    """A hunk that went elsewhere than its header says: ``places`` is how many places would have fitted."""

    hunk: Hunk
    offset: int
    places: int


@dataclass(frozen=True)
class Change:
    """What a patch does to one file.

    Attributes:
        kind: ``add``, ``modify``, ``delete`` or ``rename`` (which may modify as well).
        old, new: its path before and after; equal unless it is renamed.
        hunks: the changed lines.
        old_mode, new_mode: its mode before and after; empty where the diff does not say it.
        line: where the file's part begins in the diff, from 1.
    """

    kind: str
    old: str
    new: str
    hunks: tuple[Hunk, ...] = ()
    old_mode: str = ""
    new_mode: str = ""
    line: int = 0

    @property
    def reversed(self: _Change) -> _Change:
        """The change that takes this one back."""
        return replace(
            self,
            kind=_TURNED.get(self.kind, self.kind),
            old=self.new,
            new=self.old,
            hunks=tuple(hunk.reversed for hunk in self.hunks),
            old_mode=self.new_mode,
            new_mode=self.old_mode,
        )

    def apply(self, data: bytes) -> tuple[bytes, list[MovedHunk]]:
        """The file's content after the change, and the hunks that were found displaced.

        Raises:
            Mismatch: a hunk's old lines are nowhere, or a deleted file has more lines than the diff.
        """
        image, touched, moved = lines(data), bytearray(), []
        touched.extend(bytes(len(image)))
        for hunk in self.hunks:
            place = hunk.find(image, touched)
            if place is None:
                at = min(hunk.position, len(image))
                raise Mismatch("the old lines are not there", hunk, image[at : at + len(hunk.old)], at + 1)
            if place != hunk.position:
                moved.append(MovedHunk(hunk, place - hunk.position, hunk.places(image, touched)))
            image[place : place + len(hunk.old)] = hunk.new
            touched[place : place + len(hunk.old)] = b"\1" * len(hunk.new)
        if self.kind == "delete" and image:
            raise Mismatch("the file to delete has more lines than the patch knows of", found=image, at=1)
        return b"".join(image), moved


# Paths in a tree: which of them a stack, a patch and a lock can hold.

# what git's fsck takes for ".git": with what HFS+ does not see in a name, and with what NTFS takes for the same
_UNSEEN = re.compile("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")
_GIT_FOLDER = re.compile(r"(?i)(\.git|git~1)[. ]*(:.*)?", re.DOTALL)


def path_problem(path: str) -> str:
    """Why a path can stand in no stack and in no lock; empty if it can.

    Args:
        path: as it is in a tree, bytes that are not UTF-8 escaped (``surrogateescape``).
    """
    parts = path.split("/")
    if "\0" in path or any(part in ("", ".", "..") for part in parts):
        return f"the path {path!r} leads out of the tree"
    if any(_GIT_FOLDER.fullmatch(_UNSEEN.sub("", part)) for part in parts):
        return f"the path {path!r} leads out of the tree, into git's own folder"
    if "\\" in path:
        return f"the path {path!r} has a backslash, which parts folders on other systems; name the file otherwise"
    if any("\ud800" <= letter <= "\udfff" for letter in path):
        return f"the path {path!r} is not UTF-8; name the file otherwise"
    return ""
