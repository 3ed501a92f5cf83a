"""A diff as people paste it, read and written again as git would have written it.

Hunks whose end was left out, context lines that lost their blank, other prefixes, no ``index`` line: git apply calls
such a diff corrupt.  Here each file's part becomes one that git reads (:attr:`FileChange.text`); whether and where its
hunks fit is for git to say.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

_SWAP = bytes.maketrans(b"+-", b"-+")
_EMPTY = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"  # the id of a file without a byte
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
        blob, new_blob: the beginning of its blob's id before and after; empty if that is not said.
        mode, old_mode: its mode after and before, where that is said.
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
    old_mode: str = ""
    new_blob: str = ""

    @property
    def is_cut(self) -> bool:
        """Whether a hunk has fewer lines than its header says: it was pasted in part, or the diff was cut off."""
        return not all(hunk.whole for hunk in self.hunks)

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
        """The change that takes this one back."""
        kind, unusable = _SWAPPED.get(self.kind, self.kind), self.unusable
        if kind == "add" and not self.hunks and self.blob and not _EMPTY.startswith(self.blob):
            unusable = unusable or "what it held is not in the diff (git diff -D), so it cannot be brought back"
        return replace(
            self,
            kind=kind,
            old=self.new,
            new=self.old,
            blob=self.new_blob,
            new_blob=self.blob,
            mode=self.old_mode,
            old_mode=self.mode,
            hunks=tuple(hunk.reversed for hunk in self.hunks),
            unusable=unusable,
        )


@dataclass(frozen=True)
class Incoming:
    """A patch that somebody else made.

    Attributes:
        name: the file that it is from.
        subject, body: its message; empty where it has none.
        author, date: as git writes them in a commit; empty where they are not known.
        changes: what it does to each file.
    """

    name: str
    subject: str = ""
    body: str = ""
    author: str = ""
    date: str = ""
    changes: tuple[FileChange, ...] = ()

    @property
    def reversed(self) -> Incoming:
        """The patch that takes this one back; its subject would say the opposite of what it does."""
        changes = tuple(change.reversed for change in self.changes)
        return replace(self, name=f"{self.name} in reverse", subject="", changes=changes)


def _quoted(path: str) -> bytes:
    """A path as git reads any."""
    plain = path.encode("utf-8", "surrogateescape")
    return b'"%s"' % b"".join(b"%c" % n if 32 <= n < 127 and n not in b'"\\' else b"\\%03o" % n for n in plain)
