"""A diff as people paste it, read and written again as git would have written it.

Hunks whose end was left out, context lines that lost their blank, other prefixes, no ``index`` line: git apply calls
such a diff corrupt.  Here each file's part becomes one that git reads (:attr:`FileChange.text`); whether and where its
hunks fit is for git to say.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from porter.errors import CheckFailed
from porter.patch.diff import Malformed, unquoted

HUNK = re.compile(rb"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_QUOTED = rb'"(?:[^"\\]|\\.)*"'
_GIT = re.compile(rb"diff --git (" + _QUOTED + rb"|a/.*?|\S+) (" + _QUOTED + rb"|b/.*|\S+)")
_NO_FILE = {"120000": "it is a symbolic link", "160000": "it is a submodule"}
_SWAP = bytes.maketrans(b"+-", b"-+")
_SWAPPED = {"add": "delete", "delete": "add"}


@dataclass(frozen=True)
class Hunk:
    """A block of changed lines.

    Attributes:
        header: its ``@@`` line.
        old_start, new_start: where it begins before and after, as the header says.
        rows: its lines with their sign, without the line feed.
        whole: it has all the lines that its header promises.
    """

    header: bytes
    old_start: int
    new_start: int
    rows: tuple[bytes, ...]
    whole: bool = True

    @property
    def old(self) -> bytes:
        """The lines before."""
        return self._without(b"+")

    @property
    def new(self) -> bytes:
        """The lines after."""
        return self._without(b"-")

    @property
    def place(self) -> int:
        """How many lines of the file before are above it: ``-7,0`` is after line 7."""
        return self.old_start - bool(self.old and self.old_start)

    @property
    def text(self) -> bytes:
        """The hunk as it came; git apply --recount finds out how many lines it has."""
        return b"\n".join((self.header, *self.rows, b""))

    @property
    def is_loose(self) -> bool:
        """Whether it says nothing about the file's end: it was cut off, or has no context (``diff -U0``)."""
        signs = self._signs
        return not self.whole or (b" " not in (signs[:1] + signs[-1:]) and self.old_start > 1)

    def find(self, data: bytes) -> int | None:
        """How many lines are above the old ones in a file; None where they are not in it."""
        at = (b"\n" + data).find(b"\n" + self.old)
        if not self.is_loose and self._signs[-1:] != [b" "]:  # without context below them they are the last lines
            at = len(data) - len(self.old) if (b"\n" + data).endswith(b"\n" + self.old) else -1
        is_there = at == 0 or (at > 0 and (self.old_start > 1 or not self.old))
        return data.count(b"\n", 0, at) if is_there else None

    @property
    def _signs(self) -> list[bytes]:
        return [row[:1] for row in self.rows if not row.startswith(b"\\")]

    @property
    def reversed(self) -> Hunk:
        """The hunk that takes this one back."""
        rows = tuple(row[:1].translate(_SWAP) + row[1:] for row in self.rows)
        header = b"@@ -%d +%d @@" % (self.new_start, self.old_start)
        return Hunk(header, self.new_start, self.old_start, rows, self.whole)

    def _without(self, sign: bytes) -> bytes:
        lines: list[bytes] = []
        is_ours = True
        for row in self.rows:
            if not row.startswith(b"\\"):
                is_ours = not row.startswith(sign)
                if is_ours:
                    lines.append(row[1:] + b"\n")
            elif is_ours and lines:  # "\ No newline at end of file"
                lines[-1] = lines[-1][:-1]
        return b"".join(lines)


@dataclass(frozen=True)
class FileChange:
    """What is to be done to one file.

    Attributes:
        kind: ``add``, ``modify``, ``delete`` or ``rename``.
        old, new: its path before and after.
        blob: the beginning of its blob's id before; empty if that is not said.
        mode: its mode afterwards, where that is said.
        hunks: the changed lines.
        data: its whole content afterwards, where that is known; there are no hunks then.
        unusable: why it cannot be taken at all, if that is so.
    """

    kind: str
    old: str
    new: str
    blob: str = ""
    mode: str = ""
    hunks: tuple[Hunk, ...] = ()
    data: bytes | None = None
    unusable: str = ""

    @property
    def text(self) -> bytes:
        """The change as a diff that git reads."""
        old, new = _quoted(f"a/{self.old}"), _quoted(f"b/{self.new}")
        rows = [b"diff --git %s %s" % (old, new)]
        if self.kind == "add":
            rows.append(b"new file mode %s" % (self.mode or "100644").encode())
        elif self.mode:
            rows += [b"old mode 100644" if self.mode == "100755" else b"old mode 100755"]
            rows += [b"new mode %s" % self.mode.encode()]
        if self.kind == "rename":
            rows += [b"rename from %s" % _quoted(self.old), b"rename to %s" % _quoted(self.new)]
        if self.hunks:
            rows += [b"--- %s" % (b"/dev/null" if self.kind == "add" else old), b"+++ %s" % new]
        return b"\n".join((*rows, b"")) + b"".join(hunk.text for hunk in self.hunks)

    @property
    def reversed(self) -> FileChange:
        """The change that takes this one back; what the file was before, and its mode, are not known then."""
        hunks = tuple(hunk.reversed for hunk in self.hunks)
        return FileChange(_SWAPPED.get(self.kind, self.kind), self.new, self.old, hunks=hunks, unusable=self.unusable)


def _quoted(path: str) -> bytes:
    """A path as git reads any."""
    plain = path.encode("utf-8", "surrogateescape")
    return b'"%s"' % b"".join(b"%c" % n if 32 <= n < 127 and n not in b'"\\' else b"\\%03o" % n for n in plain)


def parse(data: bytes, known: Iterable[str], strip: int | None = None) -> tuple[FileChange, ...]:
    """The changes in a diff.

    Args:
        known: upstream's paths.
        strip: leading folders to take off each path; by default as many as lead to the most of ``known``.

    Raises:
        CheckFailed: there is none.
    """
    drafts = list(_drafts(data.split(b"\n")))
    if not drafts:
        raise CheckFailed("there is no change in the diff")
    paths = set(known)
    if strip is None:
        names = [name for draft in drafts for name in (draft.old, draft.new) if name]
        strip = max((1, 0, 2), key=lambda n: sum(_stripped(name, n) in paths for name in names))
    return tuple(draft.finished(strip) for draft in drafts)


def hunks_in(data: bytes) -> tuple[Hunk, ...]:
    """The hunks of a diff of one file, or of a file that git apply left beside it."""
    rows = data.split(b"\n")
    return tuple(_hunk(rows, at)[0] for at, row in enumerate(rows) if HUNK.match(row))


def _stripped(name: str, count: int) -> str:
    return "/".join(name.split("/")[count:])


class _Draft:
    """A file's part while it is read; paths with all their folders, empty for /dev/null."""

    def __init__(self, old: str, new: str) -> None:
        self.old, self.new = old, new
        self.renamed: dict[str, str] = {}
        self.blob = self.mode = self.unusable = ""
        self.added = self.deleted = False
        self.hunks: list[Hunk] = []

    def finished(self, strip: int) -> FileChange:
        """What was read, as a change."""
        old, new = _stripped(self.old, strip), _stripped(self.new, strip)
        if len(self.renamed) == 2:
            old, new = self.renamed["from"], self.renamed["to"]
        if self.added or not self.old:
            kind, old = "add", new
        elif self.deleted or not self.new:
            kind, new = "delete", old
        else:
            kind = "modify" if old == new else "rename"
            if kind == "rename" and len(self.renamed) != 2:  # diff -u file.orig file
                kind, old, new = "modify", min(old, new, key=len), min(old, new, key=len)
        unusable = self.unusable
        for path in (old, new):
            parts = path.lower().split("/")
            if "\0" in path or any(part in ("", ".", "..", ".git", "git~1") for part in parts):
                unusable = unusable or f"the path {path!r} leads out of the tree"
        return FileChange(kind, old, new, self.blob, self.mode, tuple(self.hunks), unusable=unusable)


def _drafts(rows: Sequence[bytes]) -> Iterator[_Draft]:
    draft: _Draft | None = None
    at = 0
    while at < len(rows):
        row = rows[at]
        head = _GIT.fullmatch(row)
        if head:
            if draft:
                yield draft
            draft = _Draft(_path(head[1]), _path(head[2]))
        elif row.startswith(b"--- ") and rows[at + 1 : at + 2] and rows[at + 1].startswith(b"+++ "):
            old, new = _name(row), _name(rows[at + 1])
            if draft is None or draft.hunks or {old, new} - {"", draft.old, draft.new}:
                if draft:
                    yield draft
                draft = _Draft(old, new)
            draft.added, draft.deleted = draft.added or not old, draft.deleted or not new
            at += 1
        elif HUNK.match(row):
            if draft is None:
                raise CheckFailed(
                    "a hunk comes before any file's name", f"line {at + 1}: {row.decode(errors='replace')}"
                )
            hunk, at = _hunk(rows, at)
            draft.hunks.append(hunk)
            continue
        elif draft:
            _extended(draft, row)
        at += 1
    if draft:
        yield draft


def _name(row: bytes) -> str:
    """The path in a ``---`` or ``+++`` line, without its time; empty for a file that is not there."""
    quoted, _, when = row[4:].partition(b"\t")
    name = _path(quoted.rstrip())
    # GNU diff -N says with the time 0 that there is none
    return "" if name == "/dev/null" or when.startswith((b"1970-01-01 ", b"1969-12-31 ")) else name


def _path(name: bytes) -> str:
    """A path as it is, from the way in which git, or GNU diff, writes it."""
    text = name.decode("utf-8", "surrogateescape")
    try:
        return unquoted(text, 0)
    except Malformed:
        return text


def _extended(draft: _Draft, row: bytes) -> None:
    """A line between a file's name and its hunks."""
    text = row.decode("utf-8", "surrogateescape")
    index = re.match(r"index ([0-9a-f]{4,64})\.\.[0-9a-f]{4,64}(?: (\d{6}))?", text)
    mode = re.match(r"(?:new|new file|old|deleted file) mode (\d{6})", text)
    kind = mode[1] if mode else index[2] if index else None
    if kind not in (None, "100644", "100755"):
        draft.unusable = f"{_NO_FILE.get(str(kind), 'it is no plain file')} (mode {kind}); porter's patches change text"
    rename = re.match(r"rename (from|to) (.+)", text)
    if index and not re.fullmatch("0+", index[1]):
        draft.blob = index[1]
    elif mode and text.startswith("new"):
        draft.mode = mode[1]
        draft.added = draft.added or text.startswith("new file")
    elif text.startswith("deleted file mode"):
        draft.deleted = True
    elif rename:
        draft.renamed[rename[1]] = _path(rename[2].encode("utf-8", "surrogateescape"))
    elif text.startswith(("Binary files ", "GIT binary patch")):
        draft.unusable = "it is a binary file; porter's patches change text"
    elif text.startswith("copy from"):
        draft.unusable = "it is a copy of another file; make a diff without -C"


def _hunk(rows: Sequence[bytes], at: int) -> tuple[Hunk, int]:
    """The hunk at a row, and the row after it."""
    header = HUNK.match(rows[at])
    assert header is not None
    left = [int(header[n] or 1) for n in (2, 4)]  # lines before and after that are still to come
    body: list[bytes] = []
    here = at + 1
    while here < len(rows):
        row = rows[here]
        if not row.startswith(b"\\"):
            if left == [0, 0] or _ends(rows, here):
                break
            left[0] -= not row.startswith(b"+")
            left[1] -= not row.startswith(b"-")
        body.append(row)
        here += 1
    whole = left == [0, 0]
    while not whole and body and not body[-1]:  # the empty line that parts what was quoted
        body.pop()
    found = tuple(row or b" " for row in body)  # an empty line is context that lost its blank
    return Hunk(rows[at], int(header[1]), int(header[3]), found, whole), here


def _ends(rows: Sequence[bytes], at: int) -> bool:
    """Whether a hunk that is not complete ends before this row all the same."""
    row = rows[at]
    if row[:1] not in (b"", b" ", b"-", b"+"):
        return True
    if row == b"-- ":  # a mail's signature
        return True
    if not row and not any(rows[at:]):
        return True
    following = rows[at + 1 : at + 3]
    return (
        row.startswith(b"--- ")
        and len(following) == 2
        and following[0].startswith(b"+++ ")
        and bool(HUNK.match(following[1]))
    )
