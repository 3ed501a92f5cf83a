"""Patches that others made, in the forms in which one gets them: a diff, mails, a quilt series.

Unlike :mod:`porter.diff`, which reads the stack's own files and accounts for every line, this reads what people
paste: hunks whose end was left out, context lines that lost their blank, other prefixes, time stamps.  What is
read here is a proposal; each hunk still has to fit, line by line, what it is for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from email import message_from_bytes
from email.header import decode_header, make_header
from email.message import Message
from email.utils import mktime_tz, parsedate_tz
from pathlib import Path

from porter.diff import Hunk
from porter.errors import CheckFailed, SurroundingsFailed, WrongUsage
from porter.patch import tidy

_HUNK = re.compile(rb"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_MAIL = re.compile(rb"^From [0-9a-f]{40} Mon Sep 17 00:00:00 2001$", re.MULTILINE)
_GIT = re.compile(rb'diff --git (?:"?a/(.*?)"?|(\S+)) (?:"?b/(.*?)"?|(\S+))')
_BEGIN = re.compile(rb"^(diff --git |diff -|Index: |--- \S)", re.MULTILINE)
_DEP3 = re.compile(r"(?i)^(subject|description):[ \t]*(.+)")
_AUTHOR = re.compile(r"(?i)^(?:from|author):[ \t]*(.+<\S+@\S+>)")
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
        return [patch for name, strip in _listed(source) for patch in _file(source / name, paths, strip)]
    return _file(source, paths, None)


def is_series(folder: Path) -> bool:
    """Whether a folder holds patches rather than source code."""
    return bool(_series(folder)) or any(folder.glob("*.patch")) or any(folder.glob("*.diff"))


def _series(folder: Path) -> Path | None:
    return next((path for path in (folder / "series", folder / "patches" / "series") if path.is_file()), None)


def _listed(folder: Path) -> list[tuple[Path, int | None]]:
    """The patch files of a folder in order, and how many leading folders quilt strips of the paths in each."""
    series = _series(folder)
    if series is None:
        names = sorted(path for pattern in ("*.patch", "*.diff") for path in folder.glob(pattern))
        return [(path.relative_to(folder), None) for path in names]
    found: list[tuple[Path, int | None]] = []
    for line in _bytes(series).decode(errors="replace").split("\n"):
        words = line.partition("#")[0].split()
        if words:
            strip = next((int(word[2:]) for word in words[1:] if re.fullmatch(r"-p\d", word)), None)
            found.append(((series.parent / words[0]).relative_to(folder), strip))
    return found


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise WrongUsage(f"there is no {path}") from error
    except OSError as error:
        raise SurroundingsFailed(f"cannot read {path}", error.strerror or str(error)) from error


def _file(path: Path, known: set[str], strip: int | None) -> list[Incoming]:
    data = _bytes(path)
    if b"\r\n" in data and data.count(b"\r\n") == data.count(b"\n"):
        data = data.replace(b"\r\n", b"\n")  # the file as a whole went through another system
    if data.startswith(b"From ") or re.match(rb"(?s)[A-Z][A-Za-z-]*: .*?\n(Subject|From|Date): ", data):
        return [_mail(part, path, known) for part in _mails(data)]
    begin = _BEGIN.search(data)
    if begin is None and not _HUNK.search(data):
        raise CheckFailed(
            f"there is no diff in {path}", hint="It should be what git diff, diff -ru or git format-patch print."
        )
    head = data[: begin.start() if begin else 0].decode(errors="replace")
    changes = parse(data[len(head.encode(errors="replace")) if not begin else begin.start() :], known, strip)
    return [_described(head, Incoming(path.name, changes=changes), path)]


def _described(head: str, patch: Incoming, path: Path) -> Incoming:
    """What stands above a diff, as quilt and Debian have it."""
    lines = [line for line in head.split("\n") if not re.match(r"#|diff |Index:|=+$", line)]
    author = next((match[1] for line in lines for match in [_AUTHOR.match(line)] if match), "")
    titled = next(((n, match[2]) for n, line in enumerate(lines) for match in [_DEP3.match(line)] if match), None)
    if titled is None:
        first = next((n for n, line in enumerate(lines) if line.strip() and not _AUTHOR.match(line)), None)
        titled = (first, lines[first].strip()) if first is not None else None
    if titled is None:
        return patch
    rest = "\n".join(line for line in lines[titled[0] + 1 :] if not _AUTHOR.match(line) and line != "---")
    return replace(patch, subject=_TAG.sub("", titled[1]), body=tidy(rest), author=author)


def _mails(data: bytes) -> Iterator[bytes]:
    starts = [match.start() for match in _MAIL.finditer(data)] or [0]
    for start, end in zip(starts, [*starts[1:], len(data)]):
        yield data[start:end]


def _mail(data: bytes, path: Path, known: set[str]) -> Incoming:
    """One mail: its headers decoded, the message above the diff."""
    mail = message_from_bytes(data.split(b"\n", 1)[1] if data.startswith(b"From ") else data)
    part: Message = next((p for p in mail.walk() if p.get_content_maintype() == "text"), mail)
    payload = part.get_payload(decode=True)
    text = payload if isinstance(payload, bytes) else b""
    text = text.replace(b"\r\n", b"\n") if text.count(b"\r\n") == text.count(b"\n") else text
    begin = re.search(rb"^diff --git |^--- a/", text, re.MULTILINE)
    if begin is None:
        raise CheckFailed(f"there is no diff in {path}", f"mail: {mail.get('Subject', 'without a subject')}")
    head = re.split(rb"^---\s*$", text[: begin.start()], maxsplit=1, flags=re.MULTILINE)[0]
    charset = part.get_content_charset("utf-8")
    try:
        body = head.decode(charset, "replace")
    except LookupError:
        body = head.decode("utf-8", "replace")
    when = parsedate_tz(str(mail.get("Date", "")))
    date = ""
    if when is not None:
        minutes = abs(when[9] or 0) // 60
        date = f"{mktime_tz(when)} {'-' if (when[9] or 0) < 0 else '+'}{minutes // 60:02d}{minutes % 60:02d}"
    author = _text(mail, "From")
    return Incoming(
        path.name,
        _TAG.sub("", _text(mail, "Subject")),
        tidy(body),
        re.sub(r'^"(.*)" <', r"\1 <", author) if re.fullmatch(r".+ <\S+@\S+>", author) else "",
        date,
        parse(text[begin.start() :], known, 1),
    )


def _text(mail: Message, key: str) -> str:
    return re.sub(r"\s+", " ", str(make_header(decode_header(str(mail.get(key, "")))))).strip()


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
        git = _GIT.fullmatch(row)
        if git:
            if draft:
                yield draft
            names = [(git[n] or b"").decode("utf-8", "surrogateescape") for n in (1, 2, 3, 4)]
            draft = _Draft(f"a/{names[0]}" if git[1] else names[1], f"b/{names[2]}" if git[3] else names[3])
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
    name = row[4:].split(b"\t")[0].rstrip().decode("utf-8", "surrogateescape").strip('"')
    return "" if name == "/dev/null" else name


def _extended(draft: _Draft, row: bytes) -> None:
    """A line between a file's name and its hunks."""
    text = row.decode("utf-8", "surrogateescape")
    index = re.match(r"index ([0-9a-f]{4,40})\.\.[0-9a-f]{4,40}", text)
    mode = re.match(r"(?:new|new file) mode (\d{6})", text)
    rename = re.match(r"rename (from|to) (.+)", text)
    if index and not re.fullmatch("0+", index[1]):
        draft.blob = index[1]
    elif mode:
        draft.mode = mode[1]
        draft.added = draft.added or text.startswith("new file")
        if mode[1] not in ("100644", "100755"):
            draft.unusable = f"it is no plain file (mode {mode[1]})"
    elif text.startswith("deleted file mode"):
        draft.deleted = True
    elif rename:
        draft.renamed[rename[1]] = rename[2].strip('"')
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
        start + 1 if not old and start else start,  # `-7,0` is after line 7
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
