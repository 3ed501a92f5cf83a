"""Patches that others made, in the forms in which one gets them: a diff, mails, a quilt series.

Unlike :mod:`porter.diff`, which reads the stack's own files and accounts for every line, this reads what people
paste: hunks whose end was left out, context lines that lost their blank, other prefixes, time stamps.  What is
read here is a proposal; each hunk still has to fit, line by line, what it is for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from email.utils import mktime_tz, parsedate_tz
from pathlib import Path

from porter import git
from porter.diff import Hunk, Malformed, unquoted
from porter.errors import CheckFailed, SurroundingsFailed, WrongUsage
from porter.patch import tidy

_HUNK = re.compile(rb"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_MAIL = re.compile(rb"(?s)[A-Z][A-Za-z-]*: .*?\n(Subject|From|Date): ")
_QUOTED = rb'"(?:[^"\\]|\\.)*"'
_GIT = re.compile(rb"diff --git (" + _QUOTED + rb"|a/.*?|\S+) (" + _QUOTED + rb"|b/.*|\S+)")
_COMMIT = re.compile(rb"^commit [0-9a-f]{7,64}(?: \(.*\))?\n", re.MULTILINE)  # as git show and git log begin one
_COLOUR = re.compile(rb"\x1b\[[0-9;]*[mK]")
_STAT = re.compile(r" .+ \| +(\d+( [+-]+)?|Bin .*)$| \d+ files? changed|---$")
_NO_FILE = {"120000": "it is a symbolic link", "160000": "it is a submodule"}
_BEGIN = re.compile(rb"^(diff --git |diff -|Index: |--- \S)", re.MULTILINE)
_DEP3 = re.compile(r"(?i)^(subject|description):[ \t]*(.+)")
_AUTHOR = re.compile(r"(?i)^(?:from|author):[ \t]*(.+<\S+@\S+>)")
_DATE = re.compile(r"(?i)^(?:author)?date:[ \t]*(.+)")
_TAG = re.compile(r"^\s*(\[[^]]*\]\s*)+")


@dataclass(frozen=True)
class Piece:
    """A hunk as it came.

    Attributes:
        hunk: its lines; its place is where it was before, not after.
        whole: it has all the lines that its header promises.
    """

    hunk: Hunk
    whole: bool


@dataclass(frozen=True)
class FileChange:
    """What is to be done to one file.

    Attributes:
        kind: ``add``, ``modify``, ``delete`` or ``rename``.
        old, new: its path before and after.
        blob: the beginning of its blob's id before; empty if that is not said.
        mode: its mode afterwards, where that is said.
        pieces: the hunks.
        unusable: why it cannot be taken at all, if that is so.
    """

    kind: str
    old: str
    new: str
    blob: str = ""
    mode: str = ""
    pieces: tuple[Piece, ...] = ()
    unusable: str = ""


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
    changes: tuple[FileChange, ...] = field(default=())


def read(source: Path, known: Iterable[str]) -> list[Incoming]:
    """The patches in a file, or in a folder that has a quilt series or patch files.

    Args:
        known: upstream's paths, by which the right number of leading folders is told.

    Raises:
        WrongUsage: there is nothing of the kind.
        CheckFailed: there is no change in one of them.
        SurroundingsFailed: a file cannot be read.
    """
    paths = set(known)
    if source.is_dir():
        return [patch for listed in _listed(source) for patch in _taken(source, listed, paths)]
    return _file(source, paths, None)


def _taken(folder: Path, listed: _Listed, known: set[str]) -> list[Incoming]:
    found = _file(folder / listed.path, known, listed.strip)
    if not listed.reverse:
        return found
    turned = [replace(patch, changes=tuple(_reversed(change) for change in patch.changes)) for patch in found]
    return [replace(patch, subject="", name=f"{patch.name} in reverse") for patch in reversed(turned)]


def _reversed(change: FileChange) -> FileChange:
    """The change that takes this one back; what the file was before, and its mode, are not known then."""
    kind = {"add": "delete", "delete": "add"}.get(change.kind, change.kind)
    old, new = (change.new, change.old) if kind == "rename" else (change.old, change.new)
    pieces = tuple(replace(piece, hunk=_turned(piece.hunk)) for piece in change.pieces)
    return FileChange(kind, old, new, pieces=pieces, unusable=change.unusable)


def is_series(folder: Path) -> bool:
    """Whether a folder holds patches rather than source code."""
    return bool(_series(folder)) or any(folder.glob("*.patch")) or any(folder.glob("*.diff"))


def _turned(hunk: Hunk) -> Hunk:
    header, turned = _HUNK.match(hunk.header.encode("utf-8", "surrogateescape")), hunk.reversed
    assert header is not None
    start = int(header[3])
    return replace(turned, new_start=_place(start, turned.old), at_start=start <= 1 and bool(turned.old))


def _place(start: int, old: Sequence[bytes]) -> int:
    """Where a hunk begins, from what its header says: ``-7,0`` is after line 7."""
    return start + 1 if not old and start else start


def _series(folder: Path) -> Path | None:
    return next((path for path in (folder / "series", folder / "patches" / "series") if path.is_file()), None)


@dataclass(frozen=True)
class _Listed:
    """A patch file of a folder: leading folders to strip, if that is said, and whether it is applied in reverse."""

    path: Path
    strip: int | None = None
    reverse: bool = False


def _listed(folder: Path) -> list[_Listed]:
    """The patch files of a folder in order, with what quilt's series says of each."""
    series = _series(folder)
    if series is None:
        names = sorted(path for pattern in ("*.patch", "*.diff") for path in folder.glob(pattern))
        return [_Listed(path.relative_to(folder)) for path in names]
    found = []
    for number, line in enumerate(_bytes(series).decode(errors="replace").split("\n"), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        strip, reverse = None, False
        for word in words[1:]:
            if word == "-R":
                reverse = True
            elif re.fullmatch(r"-p\d", word):
                strip = int(word[2:])
            else:
                raise WrongUsage(
                    f"{series}, line {number}: porter knows no option {word}",
                    hint="It knows quilt's -p0, -p1, … and -R. Make the patch without it.",
                )
        found.append(_Listed((series.parent / words[0]).relative_to(folder), strip, reverse))
    return found


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise WrongUsage(f"there is no {path}") from error
    except OSError as error:
        raise SurroundingsFailed(f"cannot read {path}", error.strerror or str(error)) from error


def _file(path: Path, known: set[str], strip: int | None) -> list[Incoming]:
    data = _plain(_bytes(path))
    if data.startswith(b"From ") or _MAIL.match(data):
        try:
            found = git.mails(data)
        except git.GitFailed as error:
            raise CheckFailed(f"{path} begins as a mail and is none that git reads", error.stderr) from error
        return [_mail(*parts, path, known) for parts in found]
    if _COMMIT.match(data):
        return _commits(data, path, known)
    begin = _BEGIN.search(data)
    if begin is None and not _HUNK.search(data):
        raise CheckFailed(
            f"there is no diff in {path}", hint="It should be what git diff, diff -ru or git format-patch print."
        )
    at = begin.start() if begin else 0
    return [_described(data[:at].decode(errors="replace"), Incoming(path.name, changes=parse(data[at:], known, strip)))]


def _plain(data: bytes) -> bytes:
    """A file's text as git would have written it: UTF-8, without colours, lines ended by a line feed."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):  # what a shell of Windows writes of `git diff > FILE`
        data = data.decode("utf-16", "replace").encode()
    data = data[3:] if data.startswith(b"\xef\xbb\xbf") else data
    if re.search(rb"^\x1b\[[0-9;]*m(diff |@@ |--- |commit )", data, re.MULTILINE):
        data = _COLOUR.sub(b"", data)
    if b"\r\n" in data and data.count(b"\r\n") == data.count(b"\n"):
        data = data.replace(b"\r\n", b"\n")  # the file as a whole went through another system
    return data


def _commits(data: bytes, path: Path, known: set[str]) -> list[Incoming]:
    """What ``git show`` and ``git log -p`` print, the oldest commit first; those without a change are left out."""
    starts = [match.start() for match in _COMMIT.finditer(data)]
    found = []
    for start, end in zip(starts, [*starts[1:], len(data)]):
        text = data[start:end]
        begin = _BEGIN.search(text)
        if begin is None:
            continue
        head, _, message = text[: begin.start()].decode(errors="replace").partition("\n\n")
        rows = [row[4:] for row in message.split("\n") if row.startswith("    ") or not row]
        subject, _, body = "\n".join(rows).strip("\n").partition("\n")
        said = {key: next((m[1] for row in head.split("\n") for m in [way.match(row)] if m), "")
                for key, way in (("author", _AUTHOR), ("date", _DATE))}  # fmt: skip
        changes = parse(text[begin.start() :], known, 1)
        found.append(Incoming(path.name, subject, tidy(body), said["author"], _when(said["date"]), changes))
    if not found:
        raise CheckFailed(f"there is no diff in {path}", hint="Write the commits with git format-patch.")
    dates = [int(patch.date.split()[0]) for patch in found if patch.date]
    newest_first = len(dates) < len(found) or dates[0] >= dates[-1]  # as git log has them, unless it is told otherwise
    return found[::-1] if newest_first else found


def _when(date: str) -> str:
    """A date as git shows one, by default or in a mail, as seconds and zone; empty where it is neither."""
    parts = re.fullmatch(r"(\w{3} \w{3} +\d+) (\d\d:\d\d:\d\d) (\d{4}) ([+-]\d{4})", date.strip())
    when = parsedate_tz(f"{parts[1]} {parts[3]} {parts[2]} {parts[4]}" if parts else date)
    if when is None:
        return ""
    minutes = abs(when[9] or 0) // 60
    return f"{mktime_tz(when)} {'-' if (when[9] or 0) < 0 else '+'}{minutes // 60:02d}{minutes % 60:02d}"


def _described(head: str, patch: Incoming) -> Incoming:
    """What stands above a diff, as quilt and Debian have it."""
    lines = [line for line in head.split("\n") if not re.match(r"#|diff |Index:|=+$", line) and not _STAT.match(line)]
    author = next((match[1] for line in lines for match in [_AUTHOR.match(line)] if match), "")
    titled = next(((n, match[2]) for n, line in enumerate(lines) for match in [_DEP3.match(line)] if match), None)
    if titled is None:
        first = next((n for n, line in enumerate(lines) if line.strip() and not _AUTHOR.match(line)), None)
        titled = (first, lines[first].strip()) if first is not None else None
    if titled is None:
        return patch
    rest = "\n".join(line for line in lines[titled[0] + 1 :] if not _AUTHOR.match(line) and line != "---")
    return replace(patch, subject=_TAG.sub("", titled[1]), body=tidy(rest), author=author)


def _text(data: bytes) -> str:
    """Text of which no encoding is said: UTF-8, or else Latin-1, which anything is."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _mail(headers: bytes, message: bytes, patch: bytes, path: Path, known: set[str]) -> Incoming:
    """One mail, as git took it apart."""
    said = dict(line.split(": ", 1) for line in _text(headers).split("\n") if ": " in line)
    begin = re.search(rb"^(diff --git |Index: |--- \S)", patch, re.MULTILINE)
    if begin is None:
        raise CheckFailed(f"there is no diff in {path}", f"mail: {said.get('Subject', 'without a subject')}")
    # git takes a line of the message that begins as a diff does for one: what follows, up to the ---, is message still
    message += b"\n" + re.split(rb"^---\s*$", patch[: begin.start()], maxsplit=1, flags=re.MULTILINE)[0]
    author = f"{said.get('Author', '')} <{said.get('Email', '')}>"
    return Incoming(
        path.name,
        said.get("Subject", ""),
        tidy(_text(message)),
        author if re.fullmatch(r".+ <\S+@\S+>", author) else "",
        _when(said.get("Date", "")),
        parse(patch[begin.start() :], known, 1),
    )


def parse(data: bytes, known: Iterable[str], strip: int | None = None) -> tuple[FileChange, ...]:
    """The changes in a diff.

    Args:
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


def _stripped(name: str, count: int) -> str:
    return "/".join(name.split("/")[count:])


class _Draft:
    """A file's part while it is read; paths with all their folders, empty for /dev/null."""

    def __init__(self, old: str, new: str) -> None:
        self.old, self.new = old, new
        self.renamed: dict[str, str] = {}
        self.blob = self.mode = self.unusable = ""
        self.added = self.deleted = False
        self.pieces: list[Piece] = []

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
            if not path or any(part in ("", ".", "..") or part.lower() == ".git" for part in path.split("/")):
                unusable = unusable or f"the path {path!r} leads out of the tree"
        return FileChange(kind, old, new, self.blob, self.mode, tuple(self.pieces), unusable)


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
            if draft is None or draft.pieces or {old, new} - {"", draft.old, draft.new}:
                if draft:
                    yield draft
                draft = _Draft(old, new)
            draft.added, draft.deleted = draft.added or not old, draft.deleted or not new
            at += 1
        elif _HUNK.match(row):
            if draft is None:
                raise CheckFailed(
                    "a hunk comes before any file's name", f"line {at + 1}: {row.decode(errors='replace')}"
                )
            piece, at = _piece(rows, at)
            draft.pieces.append(piece)
            continue
        elif draft:
            _extended(draft, row)
        at += 1
    if draft:
        yield draft


def _name(row: bytes) -> str:
    """The path in a ``---`` or ``+++`` line, without a time stamp; empty for /dev/null."""
    name = _path(row[4:].split(b"\t")[0].rstrip())
    return "" if name == "/dev/null" else name


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


def _piece(rows: Sequence[bytes], at: int) -> tuple[Piece, int]:
    """The hunk at a row, and the row after it."""
    header = _HUNK.match(rows[at])
    assert header is not None
    wanted = [int(header[n]) if header[n] is not None else 1 for n in (2, 4)]
    old: list[bytes] = []
    new: list[bytes] = []
    body: list[bytes] = []
    sides: tuple[list[bytes], ...] = ()
    here = at + 1
    while here < len(rows):
        row = rows[here]
        if row.startswith(b"\\"):
            for side in sides:
                side[-1] = side[-1][:-1]
        elif [len(old), len(new)] == wanted or _ends(rows, here):
            break
        else:
            kind = row[:1] or b" "  # an empty line is context that lost its blank
            sides = {b" ": (old, new), b"-": (old,), b"+": (new,)}[kind]
            for side in sides:
                side.append(row[1:] + b"\n")
        body.append(row)
        here += 1
    whole = [len(old), len(new)] == wanted
    while not whole and body and not body[-1]:  # the empty line that parts what was quoted
        body.pop(), old.pop(), new.pop()
    kinds = [row[:1] or b" " for row in body if not row.startswith(b"\\")]
    bare = b" " not in (kinds[:1] + kinds[-1:]) and int(header[1]) > 1  # diff -U0: no context says nothing
    start = int(header[1])
    hunk = Hunk(
        rows[at].decode("utf-8", "surrogateescape"),
        0,
        _place(start, old),
        tuple(old),
        tuple(new),
        tuple(row + b"\n" for row in body),
        start <= 1 and bool(old),
        whole and not bare and kinds[-1:] != [b" "],
    )
    return Piece(hunk, whole), here


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
        and bool(_HUNK.match(following[1]))
    )
