"""Reads a unified diff as git, GNU diff, Subversion or Mercurial print one, and as people paste it.

Hunks whose end was left out, context lines that lost their blank and other prefixes are read; names are decoded as
git decodes them.  What a patch of porter cannot hold becomes a change that says so (:attr:`FileChange.unusable`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from porter.errors import CheckFailed
from porter.foreign.hunks import FileChange, Hunk
from porter.patch.diff import Malformed, unquoted
from porter.patch.paths import path_problem

HUNK = re.compile(rb"@@ -(\d{1,9})(?:,(\d{1,9}))? \+(\d{1,9})(?:,(\d{1,9}))? @@")
BINARY = "it is a binary file; a patch holds text alone: leave it out, and ship it beside the port"
_LINK = "it is a symbolic link (mode 120000); a patch holds plain files alone: make it a file of its own"
_SUBMODULE = "it is a submodule (mode 160000); a patch holds plain files alone: copy the files that are needed"
_COPY = "it is a copy of another file; make the diff again without -C (--find-copies)"
_COMBINED = "it is a combined diff, of a merge; make one against one parent: git diff COMMIT^1 COMMIT"
_ONE_SIDE = "it is in one of the folders only; make the diff again with -N (diff -ruN)"
_UNCHANGED = "its hunks change no line: it was cut off, or made with --word-diff or --color-words; make the diff again"
_KINDS = {"120000": _LINK, "160000": _SUBMODULE}
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_BINARY = re.compile(r"(?:Binary files|Files) (.+) and (.+) differ$")
_SVN_BINARY = re.compile(rb"^Index: (.+)\n=+\nCannot display: .*$", re.MULTILINE)
_ONLY = re.compile(r"Only in ([^:]+): (.+)")
_NO_TIME = ("1970-01-01 ", "1969-12-31 ", "(nonexistent)")  # of a file that is not there: GNU diff -N, Subversion


def parse(data: bytes, known: Iterable[str], strip: int | None = None) -> tuple[FileChange, ...]:
    """The changes in a diff.

    Args:
        known: upstream's paths.
        strip: leading folders to take off each path; by default as many as lead to the most of ``known``.

    Raises:
        CheckFailed: there is none, or a name is quoted as git never does.
    """
    drafts = list(_drafts(_rows(_SVN_BINARY.sub(rb"Binary files \1 and \1 differ", data))))
    if not drafts:
        raise CheckFailed("there is no change in the diff", hint="Make it with git diff or git format-patch.")
    paths = set(known)
    if strip is None:
        strip = _depth(drafts, paths)
    folder = ""
    if strip > 1:  # upstream is in a folder of theirs: what is elsewhere is none of upstream
        names = [name for draft in drafts for name in (draft.old, draft.new) if name]
        found = Counter(_folder(name, strip) for name in names if _stripped(name, strip) in paths)
        folder = found.most_common(1)[0][0] if found else ""
    return tuple(draft.finished(strip, paths, folder) for draft in drafts)


def hunks_in(data: bytes) -> tuple[Hunk, ...]:
    """The hunks of a diff of one file, or of a file that git apply left beside it."""
    rows = _rows(data)
    return tuple(_hunk(rows, at)[0] for at, row in enumerate(rows) if HUNK.match(row))


def _rows(data: bytes) -> list[bytes]:
    return data.rstrip(b"\n").split(b"\n")


def _stripped(name: str, count: int) -> str:
    return "/".join(name.split("/")[count:])


def _folder(name: str, count: int) -> str:
    return "/".join(name.split("/")[1:count])


def _depth(drafts: Sequence[_Draft], known: set[str]) -> int:
    """How many leading folders to take off so that the most files are known; one, as git has it, if none tells.

    A file that is added is not known anyway.
    """
    names = [name for draft in drafts for name in (draft.old, draft.new) if name]
    has_prefix = all("/" in name for name in names) and not any(draft.old == draft.new for draft in drafts)
    usual = int(has_prefix)  # one that tells before from after
    found: dict[int, set[str]] = {usual: set(), 0: set(), 1: set()}
    for name in (name for draft in drafts if not draft.added for name in {draft.old, draft.new}):
        parts = name.split("/")
        for n in range(len(parts)):
            found.setdefault(n, set()).update({"/".join(parts[n:])} & known)
    for n, paths in found.items():
        # git names each file from the top of a repository: one README.md, far down there, need not be upstream's
        if n > 1 and len(paths) == 1 and "/" not in min(paths) and all(draft.is_git for draft in drafts):
            found[n] = set()
    return max(found, key=lambda n: len(found[n]))


class _Draft:
    """A file's part while it is read; paths with all their folders, empty for a file that is not there."""

    def __init__(self, old: str, new: str, unusable: str = "", *, is_git: bool = False) -> None:
        self.old, self.new, self.unusable = old, new, unusable
        self.is_git = is_git  # it began with "diff --git"
        self.renamed: dict[str, str] = {}  # or copied: "from" and "to"
        self.blob = self.new_blob = self.mode = self.old_mode = ""
        self.added = self.deleted = False
        self.hunks: list[Hunk] = []

    def finished(self, strip: int, known: set[str], folder: str) -> FileChange:
        """What was read, as a change."""
        old, new = _stripped(self.old, strip), _stripped(self.new, strip)
        unusable = self.unusable
        if len(self.renamed) == 2:  # which have no prefix
            before, prefix = self.renamed["from"], int(self.old != self.renamed["from"])
            if self.old.endswith(f"/{before}"):
                prefix = self.old.count("/") - before.count("/")
            depth = max(0, strip - prefix)
            old, new = _stripped(self.renamed["from"], depth), _stripped(self.renamed["to"], depth)
        elsewhere = [name for name in (self.old, self.new) if folder and name and _folder(name, strip) != folder]
        if elsewhere:
            old = new = elsewhere[0]
            unusable = unusable or f"it is not in {folder}/, where this diff has upstream's files"
        if self.added or not self.old:
            kind, old = "add", new
        elif self.deleted or not self.new:
            kind, new = "delete", old
        else:
            kind = "modify" if old == new else "rename"
            if kind == "rename" and len(self.renamed) != 2:  # diff -u file.orig file
                kind, old, new = "modify", min(old, new, key=len), min(old, new, key=len)
        if kind == "modify" and not self.is_git and new not in known and self._is_whole_file:
            kind = "add"
        if self.hunks and not any(row[:1] in (b"+", b"-") for hunk in self.hunks for row in hunk.rows):
            unusable = unusable or _UNCHANGED
        unusable = unusable or path_problem(old) or path_problem(new)
        hunks = tuple(self.hunks)
        return FileChange(kind, old, new, self.blob, self.mode, hunks, None, unusable, self.old_mode, self.new_blob)

    def takes(self, old: str, new: str) -> bool:
        """Whether the names of a ``---`` and a ``+++`` line are this file's, which has them from then on."""
        if self.hunks:
            return False
        if self.is_git and self.renamed:
            to = self.renamed.get("to", new)
            is_own = new in ("", to) or new.endswith(f"/{to}")
        else:
            is_own = self.old != self.new and _stripped(self.old, 1) != _stripped(self.new, 1)
            is_own = (self.is_git and is_own) or not {old, new} - {"", self.old, self.new}
        if is_own:  # with blanks in it the first line can be read in two ways, and these cannot
            self.old, self.new = old or self.old, new or self.new
        return is_own

    @property
    def _is_whole_file(self) -> bool:
        """Whether the one hunk begins where a file has no line yet."""
        return len(self.hunks) == 1 and self.hunks[0].old_start == 0 and not self.hunks[0].old


def _drafts(rows: Sequence[bytes]) -> Iterator[_Draft]:
    draft: _Draft | None = None
    at = 0
    while at < len(rows):
        row = rows[at]
        begun = _begun(row, draft)
        if begun:
            if draft:
                yield draft
            draft = begun
        elif row.startswith(b"--- ") and rows[at + 1 : at + 2] and rows[at + 1].startswith(b"+++ "):
            old, new = _name(row), _name(rows[at + 1])
            if draft is None or not draft.takes(old, new):
                if draft:
                    yield draft
                draft = _Draft(old, new)
            draft.added, draft.deleted = draft.added or not old, draft.deleted or not new
            at += 1
        elif HUNK.match(row):
            if draft is None:
                what = "a hunk comes before any file's name"
                raise CheckFailed(what, f"line {at + 1}: {row.decode(errors='replace')}")
            hunk, at = _hunk(rows, at)
            draft.hunks.append(hunk)
            continue
        elif draft and row.startswith(b"@@"):
            text = row.decode(errors="replace")[:80]
            draft.unusable = draft.unusable or f"it has a line that begins as a hunk and is none: {text}"
        elif draft and not draft.hunks:
            _extended(draft, row)
        at += 1
    if draft:
        yield draft


def _begun(row: bytes, draft: _Draft | None) -> _Draft | None:
    """The file that a line begins, if it begins one; ``draft`` is the one before it."""
    text = row.decode("utf-8", "surrogateescape")
    if text.startswith("diff --git "):
        return _Draft(*_pair(text[len("diff --git ") :]), is_git=True)
    if text.startswith(("diff --cc ", "diff --combined ")):
        name = _path(text.split(" ", 2)[2])
        return _Draft(f"a/{name}", f"b/{name}", _COMBINED)
    binary = None if draft and draft.is_git and not draft.hunks else _BINARY.match(text)
    if binary:  # of GNU diff, which has no line before it
        return _Draft(_path(binary[1]), _path(binary[2]), BINARY)
    only = _ONLY.fullmatch(text) if draft is None or not draft.is_git else None
    return _Draft(f"{only[1]}/{only[2]}", f"{only[1]}/{only[2]}", _ONE_SIDE) if only else None


def _pair(names: str) -> tuple[str, str]:
    """Both names of a ``diff --git`` line: they differ in the prefix alone, or lines of a rename name them again."""
    first = _QUOTED.match(names)
    if first:
        return _path(first[0]), _path(names[first.end() + 1 :])
    if names.endswith('"') and ' "' in names:
        at = names.index(' "')
        return names[:at], _path(names[at + 1 :])
    blanks = [found.start() for found in re.finditer(" ", names)]
    middle = len(names) // 2
    for at in sorted(blanks, key=lambda at: abs(at - middle)):
        old, new = names[:at], names[at + 1 :]
        if old == new or ("/" in old and "/" in new and _stripped(old, 1) == _stripped(new, 1)):
            return old, new
    at = names.find(" b/") if " b/" in names else names.find(" ")
    return (names[:at], names[at + 1 :]) if at > 0 else (names, names)


def _name(row: bytes) -> str:
    """The path in a ``---`` or ``+++`` line, without its time; empty for a file that is not there."""
    name, tab, when = row[4:].decode("utf-8", "surrogateescape").partition("\t")
    if not tab and name.startswith('"'):
        name = name.rstrip()
    path = _path(name if tab else name.rstrip("\r"))
    return "" if path == "/dev/null" or when.startswith(_NO_TIME) else path


def _path(name: str) -> str:
    """A path as it is, from the way in which git, or GNU diff, writes it.

    Raises:
        CheckFailed: it begins with a quote, and neither would write it so.
    """
    try:
        return unquoted(name, 0)
    except Malformed as error:
        hint = "Make the diff again with git, whose quoting can be read back."
        raise CheckFailed("a name in the diff cannot be read", error.what, hint) from error


def _extended(draft: _Draft, row: bytes) -> None:
    """A line between a file's name and its hunks."""
    text = row.decode("utf-8", "surrogateescape")
    index = re.match(r"index ([0-9a-f]{4,64})\.\.([0-9a-f]{4,64})(?: (\d{6}))?", text)
    mode = re.match(r"(?:new|new file|old|deleted file) mode ([0-7]{6})", text)
    kind = mode[1] if mode else index[3] if index else None
    if kind and not kind.startswith("100"):
        draft.unusable = draft.unusable or _KINDS.get(kind, f"it is no plain file (mode {kind})")
    rename = re.match(r"(?:rename|copy) (from|to) (.+)", text)
    if index:
        draft.blob, draft.new_blob = (name if name.strip("0") else "" for name in index.group(1, 2))
    elif mode:
        plain = "100755" if int(mode[1], 8) & 0o100 else "100644"  # of an old git 100664
        if text.startswith("new"):
            draft.mode = plain
        else:
            draft.old_mode = plain
        draft.added = draft.added or text.startswith("new file")
        draft.deleted = draft.deleted or text.startswith("deleted")
    elif rename:
        draft.renamed[rename[1]] = _path(rename[2])
        draft.unusable = draft.unusable or (_COPY if text.startswith("copy") else "")
    elif text.startswith(("Binary files ", "GIT binary patch")):
        draft.unusable = draft.unusable or BINARY


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
    following = rows[at + 1 : at + 3]
    return (
        row.startswith(b"--- ")
        and len(following) == 2
        and following[0].startswith(b"+++ ")
        and bool(HUNK.match(following[1]))
    )
