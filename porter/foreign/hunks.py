"""A diff as people paste it, read and written again as git would have written it.

Hunks whose end was left out, context lines that lost their blank, other prefixes, no ``index`` line: git apply calls
such a diff corrupt.  Here each file's part becomes one that git reads (:attr:`FileChange.text`); whether and where its
hunks fit is for git to say.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from porter.errors import CheckFailed
from porter.patch.diff import Change, Hunk, path_problem
from porter.patch.parser import Malformed, Part, is_header, parts, read_hunk, stripped

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


# What a diff changes that git, GNU diff, Subversion or Mercurial printed, or that people pasted.
#
# Which folders lead to upstream in its names is found out.  What a patch of porter cannot hold becomes a change that
# says so (:attr:`FileChange.unusable`).

_UNCHANGED = "its hunks change no line: it was cut off, or made with --word-diff or --color-words; make the diff again"
_SVN_BINARY = re.compile(rb"^Index: (.+)\n=+\nCannot display: .*$", re.MULTILINE)


def parse(data: bytes, known: Iterable[str], strip: int | None = None) -> tuple[FileChange, ...]:
    """The changes in a diff.

    Args:
        known: upstream's paths.
        strip: leading folders to take off each path; by default as many as lead to the most of ``known``.

    Raises:
        CheckFailed: there is none, or a name is quoted as git never does.
    """
    try:
        read = list(parts(_rows(_SVN_BINARY.sub(rb"Binary files \1 and \1 differ", data))))
    except Malformed as error:
        hint = "Make the diff again with git, whose quoting can be read back."
        raise CheckFailed("the diff cannot be read", f"line {error.line}: {error.what}", hint) from error
    if not read:
        raise CheckFailed("there is no change in the diff", hint="Make it with git diff or git format-patch.")
    paths = set(known)
    if strip is None:
        strip = _depth(read, paths)
    folder = ""
    if strip > 1:  # upstream is in a folder of theirs: what is elsewhere is none of upstream
        names = [name for part in read for name in (part.old, part.new) if name]
        found = Counter(_folder(name, strip) for name in names if stripped(name, strip) in paths)
        folder = found.most_common(1)[0][0] if found else ""
    return tuple(_finished(part, strip, paths, folder) for part in read)


def hunks_in(data: bytes) -> tuple[Hunk, ...]:
    """The hunks of a diff of one file, or of a file that git apply left beside it."""
    rows = _rows(data)
    return tuple(read_hunk(rows, at)[0] for at, row in enumerate(rows) if is_header(row))


def _rows(data: bytes) -> list[bytes]:
    return data.rstrip(b"\n").split(b"\n")


def _folder(name: str, count: int) -> str:
    return "/".join(name.split("/")[1:count])


def _depth(read: Sequence[Part], known: set[str]) -> int:
    """How many leading folders to take off so that the most files are known; one, as git has it, if none tells.

    A file that is added is not known anyway.
    """
    names = [name for part in read for name in (part.old, part.new) if name]
    has_prefix = all("/" in name for name in names) and not any(part.old == part.new for part in read)
    usual = int(has_prefix)  # one that tells before from after
    found: dict[int, set[str]] = {usual: set(), 0: set(), 1: set()}
    for name in (name for part in read if not part.is_added for name in {part.old, part.new}):
        parts = name.split("/")
        for n in range(len(parts)):
            found.setdefault(n, set()).update({"/".join(parts[n:])} & known)
    for n, paths in found.items():
        # git names each file from the top of a repository: one README.md, far down there, need not be upstream's
        if n > 1 and len(paths) == 1 and "/" not in min(paths) and all(part.is_git for part in read):
            found[n] = set()
    return max(found, key=lambda n: len(found[n]))


def _finished(part: Part, strip: int, known: set[str], folder: str) -> FileChange:
    old, new = stripped(part.old, strip), stripped(part.new, strip)
    unusable = part.unusable
    if len(part.renamed) == 2:  # which have no prefix
        before, prefix = part.renamed["from"], int(part.old != part.renamed["from"])
        if part.old.endswith(f"/{before}"):
            prefix = part.old.count("/") - before.count("/")
        depth = max(0, strip - prefix)
        old, new = stripped(part.renamed["from"], depth), stripped(part.renamed["to"], depth)
    elsewhere = [name for name in (part.old, part.new) if folder and name and _folder(name, strip) != folder]
    if elsewhere:
        old = new = elsewhere[0]
        unusable = unusable or f"it is not in {folder}/, where this diff has upstream's files"
    kind = part.kind
    if kind == "add":
        old = new
    elif kind == "delete":
        new = old
    elif old == new:
        kind = "modify"
    elif kind == "modify":  # diff -u file.orig file
        old = new = min(old, new, key=len)
    starts_empty = len(part.hunks) == 1 and not part.hunks[0].old and part.hunks[0].old_position == 0
    if kind == "modify" and not part.is_git and new not in known and starts_empty:
        kind = "add"
    if part.hunks and not any(row[:1] in (b"+", b"-") for hunk in part.hunks for row in hunk.body):
        unusable = unusable or _UNCHANGED
    unusable = unusable or path_problem(old) or path_problem(new)
    modes = (_plain(part.old_mode), _plain(part.new_mode))
    hunks = tuple(part.hunks)
    return FileChange(kind, old, new, hunks, *modes, blob=part.blobs[0], new_blob=part.blobs[1], unusable=unusable)


def _plain(mode: str) -> str:
    """A mode as git has it today: 100664 is an old git's."""
    return mode and ("100755" if int(mode, 8) & 0o100 else "100644")
