"""Patches that others made, in the forms in which one gets them: a diff, mails, what git log prints, a quilt series."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from email.utils import mktime_tz, parsedate_tz
from pathlib import Path

from porter import git
from porter.errors import CheckFailed, WrongUsage
from porter.files import read_file
from porter.foreign.hunks import HUNK, FileChange, parse
from porter.patch import tidy

_MAIL = re.compile(rb"(?s)[A-Z][A-Za-z-]*: .*?\n(Subject|From|Date): ")
_COMMIT = re.compile(rb"^commit [0-9a-f]{7,64}(?: \(.*\))?\n", re.MULTILINE)  # as git show and git log begin one
_COLOUR = re.compile(rb"\x1b\[[0-9;]*[mK]")
_STAT = re.compile(r" .+ \| +(\d+( [+-]+)?|Bin .*)$| \d+ files? changed|---$")
_BEGIN = re.compile(rb"^(diff --git |diff -|Index: |--- \S)", re.MULTILINE)
_DEP3 = re.compile(r"(?i)^(subject|description):[ \t]*(.+)")
_AUTHOR = re.compile(r"(?i)^(?:from|author):[ \t]*(.+<\S+@\S+>)")
_DATE = re.compile(r"(?i)^(?:author)?date:[ \t]*(.+)")
_TAG = re.compile(r"^\s*(\[[^]]*\]\s*)+")


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
    if not source.is_dir():
        return _file(source, paths, None)
    found = []
    for path, strip, is_reverse in _listed(source):
        patches = _file(path, paths, strip)
        if is_reverse:
            patches = [
                Incoming(
                    f"{one.name} in reverse", "", one.body, one.author, one.date, tuple(c.reversed for c in one.changes)
                )
                for one in reversed(patches)
            ]
        found += patches
    return found


def is_series(folder: Path) -> bool:
    """Whether a folder holds patches rather than source code."""
    return bool(_series(folder)) or any(folder.glob("*.patch")) or any(folder.glob("*.diff"))


def _series(folder: Path) -> Path | None:
    return next((path for path in (folder / "series", folder / "patches" / "series") if path.is_file()), None)


def _listed(folder: Path) -> list[tuple[Path, int | None, bool]]:
    """The patch files of a folder in order, each with the leading folders to strip and whether it is in reverse."""
    series = _series(folder)
    if series is None:
        return [(path, None, False) for path in sorted([*folder.glob("*.patch"), *folder.glob("*.diff")])]
    found = []
    for number, line in enumerate(read_file(series).decode(errors="replace").split("\n"), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        strip = None
        for word in words[1:]:
            if re.fullmatch(r"-p\d", word):
                strip = int(word[2:])
            elif word != "-R":
                raise WrongUsage(
                    f"{series}, line {number}: porter knows no option {word}",
                    hint="It knows quilt's -p0, -p1, … and -R. Make the patch without it.",
                )
        found.append((series.parent / words[0], strip, "-R" in words[1:]))
    return found


def _file(path: Path, known: set[str], strip: int | None) -> list[Incoming]:
    data = _plain(read_file(path))
    if data.startswith(b"From ") or _MAIL.match(data):
        try:
            found = git.mails(data)
        except git.GitFailed as error:
            raise CheckFailed(f"{path} begins as a mail and is none that git reads", error.stderr) from error
        return [_mail(*parts, path, known) for parts in found]
    if _COMMIT.match(data):
        return _commits(data, path, known)
    begin = _BEGIN.search(data)
    if begin is None and not HUNK.search(data):
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
