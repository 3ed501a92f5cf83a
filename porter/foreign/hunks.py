"""A diff as people paste it, read and written again as git would have written it.

Hunks whose end was left out, context lines that lost their blank, other prefixes, no ``index`` line: git apply calls
such a diff corrupt.  Here each file's part becomes one that git reads (:attr:`FileChange.text`); whether and where its
hunks fit is for git to say.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from porter.patch.diff import Change

_EMPTY = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"  # the id of a file without a byte


@dataclass(frozen=True)
class FileChange(Change):
    """What is to be done to one file; its modes are those that a patch can have.

    Attributes:
        blob, new_blob: the beginning of its blob's id before and after; empty if that is not said.
        data: its whole content afterwards, where that is known; there are no hunks then.
        unusable: why it cannot be taken at all, if that is so.
    """

    blob: str = ""
    new_blob: str = ""
    data: bytes | None = None
    unusable: str = ""

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
            rows.append(b"new file mode %s" % (self.new_mode or "100644").encode())
        elif self.new_mode:
            rows += [b"old mode 100644" if self.new_mode == "100755" else b"old mode 100755"]
            rows += [b"new mode %s" % self.new_mode.encode()]
        if self.kind == "rename":
            rows += [b"rename from %s" % _quoted(self.old), b"rename to %s" % _quoted(self.new)]
        if self.hunks:
            rows += [b"--- %s" % (b"/dev/null" if self.kind == "add" else old), b"+++ %s" % new]
        return b"\n".join((*rows, b"")) + b"".join(hunk.text for hunk in self.hunks)

    @property
    def reversed(self) -> FileChange:
        """The change that takes this one back."""
        back = replace(super().reversed, blob=self.new_blob, new_blob=self.blob)
        if back.kind == "add" and not self.hunks and self.blob and not _EMPTY.startswith(self.blob):
            what = "what it held is not in the diff (git diff -D), so it cannot be brought back"
            back = replace(back, unusable=self.unusable or what)
        return back


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
