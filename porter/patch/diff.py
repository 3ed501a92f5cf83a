"""What a patch changes: files and hunks, read strictly and applied to bytes in memory.

unidiff finds the hunks.  It skips what it does not know, which is right for a viewer and wrong for a
tool whose result is compared by object id; so every line of the diff is accounted for here, and one that
belongs nowhere is an error.  A hunk goes where ``git apply`` without fuzz would put it (apply.c,
``find_pos`` and ``match_fragment``): where its header says, else at the nearest lines that all match.
Only a newline at the end of a file is never ignored, which git does at a context line.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from porter.patch.paths import path_problem

FILE_MODES = ("100644", "100755")
_ESCAPES = {"a": 7, "b": 8, "t": 9, "n": 10, "v": 11, "f": 12, "r": 13, '"': 34, "\\": 92}
_QUOTED = re.compile(r'([^\\"]+)|\\([0-3][0-7]{2})|\\([abtnvfr"\\])')
# the lines between "diff --git" and the hunks that git writes for plain files
_MODE_LINE = re.compile(r"(old mode|new mode|deleted file mode|new file mode) (\d{6})")
_RENAME_LINE = re.compile(r"(rename from|rename to) (.+)")
_QUIET_LINE = re.compile(r"(similarity|dissimilarity) index \d+%")
_HEADER = re.compile(r"@@ -(\d+(?:,\d+)?) \+(\d+(?:,\d+)?) @@")
_SWAP = bytes.maketrans(b"+-", b"-+")
_TURNED = {"add": "delete", "delete": "add"}
_INDEX_LINE = re.compile(r"index [0-9a-f]{7,64}\.\.[0-9a-f]{7,64}(?: (\d{6}))?")


class Malformed(Exception):
    """A diff that cannot be read: the line (from 1, in the diff) and what is wrong with it."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(what)
        self.line = line
        self.what = what


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
    parts = data.split(b"\n")
    last = parts.pop()
    result = [part + b"\n" for part in parts]
    if last:
        result.append(last)
    return result


@dataclass(frozen=True)
class Hunk:
    """A block of changed lines.

    Attributes:
        header: its ``@@`` line.
        line: where that line stands in the diff, from 1.
        new_start: where the block begins in the new file, from 1 (0 in a file that is empty then).
        old, new: the lines before and after, with their newlines.
        body: the block's lines as the diff has them, with the leading ``+``, ``-`` or space.
        at_start, at_end: the block must lie at the start or the end of the file.
    """

    header: str
    line: int
    new_start: int
    old: tuple[bytes, ...]
    new: tuple[bytes, ...]
    body: tuple[bytes, ...]
    at_start: bool
    at_end: bool

    @property
    def position(self) -> int:
        """The index of the line where the block should be."""
        return max(self.new_start - 1, 0)

    @property
    def reversed(self) -> Hunk:
        """The block that takes this one back."""
        found = _HEADER.match(self.header)
        assert found is not None
        body = tuple(line[:1].translate(_SWAP) + line[1:] for line in self.body)
        header = f"@@ -{found[2]} +{found[1]} @@"
        old_start = int(found[1].partition(",")[0])
        at_start = self.new_start <= 1
        return Hunk(header, self.line, old_start, self.new, self.old, body, at_start, self.at_end)

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

    def fits(self, image: Sequence[bytes], touched: bytearray, place: int) -> bool:
        """Whether the old lines are at ``place``."""
        size = len(self.old)
        if place + size > len(image) or (self.at_start and place) or (self.at_end and place + size != len(image)):
            return False
        return tuple(image[place : place + size]) == self.old and 1 not in touched[place : place + size]


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
        old_mode, new_mode: its mode before and after, where the diff says so.
        line: where the file's part begins in the diff, from 1.
    """

    kind: str
    old: str
    new: str
    old_mode: str | None
    new_mode: str | None
    hunks: tuple[Hunk, ...]
    line: int

    @property
    def reversed(self) -> Change:
        """The change that takes this one back."""
        hunks = tuple(hunk.reversed for hunk in self.hunks)
        kind = _TURNED.get(self.kind, self.kind)
        return Change(kind, self.new, self.old, self.new_mode, self.old_mode, hunks, self.line)

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


def parse(diff: str) -> tuple[Change, ...]:
    """The changes of a diff as git writes it; ``diff`` was decoded with surrogateescape.

    Raises:
        Malformed: a line belongs nowhere, or says what porter's patches do not do (binary files, links,
            copies, paths out of the tree).
    """
    from unidiff.errors import UnidiffParseError
    from unidiff.patch import PatchSet

    text = [line + "\n" for line in diff.split("\n")]
    if text.pop() != "\n":
        raise Malformed(len(text) + 1, "the last line has no newline")
    try:
        files = PatchSet(text)
    except UnidiffParseError as error:
        raise Malformed(1, str(error).strip()) from error
    changes, at = [], 0
    for file in files:
        if file.is_binary_file:
            raise Malformed(at + 1, "a binary file; porter's patches change text, ship the file otherwise")
        change, at = _change(file, text, at)
        changes.append(change)
    if at != len(text):
        raise Malformed(at + 1, f"a line that belongs to no file: {text[at].rstrip()!r}")
    _check_once(changes)
    return tuple(changes)


def _change(file: Any, text: list[str], at: int) -> tuple[Change, int]:
    """One file's part, which begins at the index ``at``, and the index after it."""
    start, head = at, list(file.patch_info or ())
    if not text[at].startswith("diff --git ") or text[at : at + len(head)] != head:
        raise Malformed(at + 1, f"expected 'diff --git a/… b/…', found {text[at].rstrip()!r}")
    said = _extended(head[1:], at + 2)
    at += len(head)
    kind = said["kind"] or "modify"
    if kind == "rename":
        old, new = unquoted(said["rename from"], start + 1), unquoted(said["rename to"], start + 1)
    else:
        old = new = _only_path(head[0].rstrip("\n"), start + 1)
    problem = path_problem(old) or path_problem(new)
    if problem:  # a patch must write neither outside of the tree nor into git's folder
        raise Malformed(start + 1, problem)
    if file:
        names = [("--- ", "a/" + old, kind == "add"), ("+++ ", "b/" + new, kind == "delete")]
        for prefix, name, absent in names:
            found = text[at][:-1]
            if not found.startswith(prefix) or unquoted(found[4:].rstrip("\t"), at + 1) != (
                "/dev/null" if absent else name
            ):
                raise Malformed(at + 1, f"expected {prefix}{'/dev/null' if absent else name}, found {found!r}")
            at += 1
    hunks = []
    for hunk in file:
        hunks.append(_hunk(hunk, text, at))
        at += 1 + len(hunk)
    old_mode, new_mode = said["old mode"] or said["deleted file mode"], said["new mode"] or said["new file mode"]
    for mode in (old_mode, new_mode):
        _check_mode(mode, new, start + 1)
    return Change(kind, old, new, old_mode or None, new_mode or None, tuple(hunks), start + 1), at


def _extended(head: list[str], number: int) -> dict[str, str]:
    """What the lines between ``diff --git`` and the hunks say."""
    names = ("kind", "old mode", "new mode", "deleted file mode", "new file mode", "rename from", "rename to")
    said = dict.fromkeys(names, "")
    for n, raw in enumerate(head, number):
        line = raw.rstrip("\n")
        match = _MODE_LINE.fullmatch(line) or _RENAME_LINE.fullmatch(line)
        if match:
            said[match[1]] = match[2]
            kind = {"d": "delete", "r": "rename"}.get(line[0], "add" if line.startswith("new file") else "")
            said["kind"] = kind or said["kind"]
            continue
        index = _INDEX_LINE.fullmatch(line)
        if index:
            _check_mode(index[1], "the file", n)
        elif not _QUIET_LINE.fullmatch(line):
            raise Malformed(n, f"not a line of a plain file's diff: {line!r}")
    if bool(said["rename from"]) != bool(said["rename to"]):
        raise Malformed(number, "a rename needs both names")
    return said


def _hunk(hunk: Any, text: list[str], at: int) -> Hunk:
    old: list[bytes] = []
    new: list[bytes] = []
    body = [line.encode("utf-8", "surrogateescape") for line in text[at + 1 : at + 1 + len(hunk)]]
    sides: tuple[list[bytes], ...] = ()
    kinds = ""
    for n, line in enumerate(body, at + 2):
        kind = line[:1]
        if kind == b"\\":
            for side in sides:
                side[-1] = side[-1][:-1]
            sides = ()
            continue
        if kind not in (b" ", b"+", b"-"):
            raise Malformed(n, f"not a line of a hunk: {line.decode(errors='replace').rstrip()!r}")
        sides = (old, new) if kind == b" " else (new,) if kind == b"+" else (old,)
        for side in sides:
            side.append(line[1:])
        kinds += kind.decode()
    if (len(old), len(new)) != (hunk.source_length, hunk.target_length):
        raise Malformed(at + 1, "the hunk's length is not what its header says")
    start, end = hunk.source_start <= 1, not kinds.endswith(" ")
    return Hunk(text[at].rstrip("\n"), at + 1, hunk.target_start, tuple(old), tuple(new), tuple(body), start, end)


def _only_path(line: str, number: int) -> str:
    """The path in ``diff --git a/PATH b/PATH``."""
    names = line[len("diff --git ") :]
    if names.startswith('"'):
        middle = re.search(r'(?<!\\)(?:\\\\)*" "', names)
        pair = [names[: middle.end() - 2], names[middle.end() - 1 :]] if middle else []
    else:  # both names have the same length, so that spaces in them do no harm
        pair = [names[: len(names) // 2], names[len(names) // 2 + 1 :]]
    pair = [unquoted(name, number) for name in pair]
    if len(pair) != 2 or not (pair[0][:2], pair[1][:2]) == ("a/", "b/") or pair[0][2:] != pair[1][2:]:
        raise Malformed(number, f"expected 'diff --git a/PATH b/PATH' with one path, found {line!r}")
    return pair[0][2:]


def unquoted(name: str, number: int) -> str:
    """A path as it is, from the form in which git writes one with unusual characters.

    Raises:
        Malformed: it begins with a quote and is not as git would write it.
    """
    if not name.startswith('"'):
        return name
    if len(name) < 2 or not name.endswith('"'):
        raise Malformed(number, f"a quoted name without its end: {name}")
    inner, found = name[1:-1], bytearray()
    if not re.fullmatch(rf"(?:{_QUOTED.pattern})*", inner):
        raise Malformed(number, f"a quoted name that git would not write: {name}")
    for plain, octal, letter in _QUOTED.findall(inner):
        if plain:
            found += plain.encode("utf-8", "surrogateescape")
        else:
            found.append(int(octal, 8) if octal else _ESCAPES[letter])
    return found.decode("utf-8", "surrogateescape")


def _check_mode(mode: str | None, path: str, number: int) -> None:
    if mode and mode not in FILE_MODES:
        raise Malformed(number, f"{path} has the mode {mode}; porter's patches hold plain files only")


def _check_once(changes: list[Change]) -> None:
    seen: set[str] = set()
    for change in changes:
        for path in {change.old, change.new}:
            if path in seen:
                raise Malformed(change.line, f"{path} is changed twice in one patch")
            seen.add(path)
