"""Patches that others made, in the forms in which one gets them: a diff, mails, what git log prints, a quilt series.

What stands around a diff says who made it, when and why, as git, Mercurial, quilt or a mail has it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from porter import git
from porter.errors import CheckFailed, WrongUsage
from porter.files import read_given
from porter.foreign.hunks import Incoming, parse
from porter.patch import tidy

_MOST = 32 << 20  # bytes; the diff of all of upstream against nothing has 4 MB
_FEW = 3  # of upstream's files: a folder that has so many is a copy of upstream, whatever patches lie in it
_COLOUR = re.compile(rb"\x1b\[[0-9;]*[mK]")
_UNPACK, _AGAIN = "Unpack it, and name what is in it.", "Make a unified one: diff -u, or git diff."
# what a file is that begins so, or that holds this and no hunk; and what to do
_BEGIN = (
    (rb"PK\x03\x04|PK\x05\x06|Rar!|7z\xbc\xaf|(?s:.{257})ustar", "an archive", _UNPACK),
    (rb"\x1f\x8b|BZh|\xfd7zXZ|\x28\xb5\x2f\xfd", "a compressed file", _UNPACK),
    (rb"(?i)<(!doctype|html|\?xml)", "a web page", "Fetch the diff itself: its address may end in .diff."),
    (rb"# v[23] git bundle", "a git bundle", "Fetch from it (git fetch FILE), and use git format-patch."),
    (rb"version https://git-lfs", "a pointer of Git LFS", "Fetch the file that it stands for: git lfs pull."),
    (rb"%PDF|\xd0\xcf\x11\xe0", "a document", "Save the diff in it as a text file."),
)
_HOLD = (
    (rb"\0", "not text", "Save it as UTF-8: git diff --output=FILE writes it so in any shell."),
    (rb"^\*\*\* .*\n--- .*\n\*{15}", "a context diff (diff -c)", _AGAIN),
    (rb"^\d+(,\d+)?[acd]\d+(,\d+)?\n[<>] ", "a diff without context", _AGAIN),
    (
        rb"^[|\\/ ]*[*|][|\\/* ]*(commit [0-9a-f]{7}|diff --git )",
        "a log with --graph",
        "Make it again without --graph.",
    ),
    (rb"^ \d+ files? changed", "a summary of changes", "Make the diff itself: git diff -p."),
)
_IS_DIFF = re.compile(rb"^(@@ -|diff --|Binary files |Cannot display: )", re.MULTILINE)


class _Listed(NamedTuple):
    """A patch file of a folder: how many leading folders to take off (None: found out), and whether in reverse."""

    path: Path
    strip: int | None = None
    is_reverse: bool = False


def read(source: Path, known: Iterable[str]) -> list[Incoming]:
    """The patches in a file, or in a folder that has a quilt series or patch files.

    Args:
        known: upstream's paths, by which the right number of leading folders is told.

    Raises:
        WrongUsage: there is nothing of the kind, or a series has an option that is not known.
        CheckFailed: there is no change in one of them, or it is in a form that is not read.
        EnvironmentFailed: a file cannot be read.
    """
    paths = set(known)
    if not source.is_dir():
        return _file(source, paths, None)
    found = []
    for listed in _listed(source):
        patches = _file(listed.path, paths, listed.strip)
        found += [patch.reversed for patch in reversed(patches)] if listed.is_reverse else patches
    return found


def is_series(folder: Path, known: Iterable[str]) -> bool:
    """Whether a folder holds patches rather than a copy of upstream; ``known`` are upstream's paths."""
    if not _series(folder) and sum((folder / path).is_file() for path in known) >= _FEW:
        return False
    return bool(_series(folder)) or bool(_loose(folder))


def _loose(folder: Path) -> list[Path]:
    """The patch files of a folder, as a shell orders them."""
    return sorted([*folder.glob("*.patch"), *folder.glob("*.diff")])


def _series(folder: Path) -> Path | None:
    return next((path for path in (folder / "series", folder / "patches" / "series") if path.is_file()), None)


def _listed(folder: Path) -> list[_Listed]:
    """The patch files of a folder in order."""
    series = _series(folder)
    if series is None:
        return [_Listed(path) for path in _loose(folder)]
    found = []
    rows = text_of(_plain(read_given(series, _MOST))).split("\n")
    for number, row in enumerate(rows, 1):
        words = row.partition("#")[0].split()
        if not words:
            continue
        strip, is_reverse = None, False
        options = iter(words[1:])
        for word in options:
            depth = re.fullmatch(r"(?:-p|--strip=)(\d{1,2}|ab)", f"-p{next(options, '')}" if word == "-p" else word)
            if depth:
                strip = 1 if depth[1] == "ab" else int(depth[1])
            elif word in ("-R", "--reverse"):
                is_reverse = True
            else:
                raise WrongUsage(
                    f"{series}, line {number}: porter knows no option {word}",
                    hint="It knows quilt's -p0, -p1, … and -R. Make the patch without it.",
                )
        found.append(_Listed(series.parent / words[0], strip, is_reverse))
    if not found:
        raise WrongUsage(f"{series} names no patch", hint="It has to have the name of a patch file in each line.")
    return found


def _file(path: Path, known: set[str], strip: int | None) -> list[Incoming]:
    data = read_given(path, _MOST)
    for way, name, hint in _BEGIN:
        if re.match(way, data):
            raise CheckFailed(f"{path} is {name}, no diff that porter reads", hint=hint)
    data = _plain(data)
    if is_mail(data):
        return mails(data, path, known)
    found = commits(data, path, known)
    if found:
        return found
    begin = DIFF.search(data)
    if not _IS_DIFF.search(data):
        raise _refused(path, data)
    at = begin.start() if begin else 0
    return [described(text_of(data[:at]), Incoming(path.name, changes=parse(data[at:], known, strip)))]


def _refused(path: Path, data: bytes) -> CheckFailed:
    """What to say of a file without a hunk."""
    for way, name, hint in _HOLD:
        if re.search(way, data, re.MULTILINE):
            return CheckFailed(f"{path} is {name}, no diff that porter reads", hint=hint)
    hint = "It should be what git diff, diff -ru or git format-patch print."
    return CheckFailed(f"there is no diff in {path}", "" if data.strip() else "It is empty.", hint)


def _plain(data: bytes) -> bytes:
    """A file's text as git would have written it: UTF-8, without colours, lines ended by a line feed."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):  # what a shell of Windows writes of `git diff > FILE`
        data = data.decode("utf-16", "replace").encode()
    data = data[3:] if data.startswith(b"\xef\xbb\xbf") else data
    if re.search(rb"^\x1b\[[0-9;]*m(diff |@@ |--- |commit |[0-9a-f]{7})", data, re.MULTILINE):
        data = _COLOUR.sub(b"", data)
    if b"\r\n" in data and data.count(b"\r\n") == data.count(b"\n"):
        data = data.replace(b"\r\n", b"\n")  # the file as a whole went through another system
    return data.lstrip(b"\n")


# -- messages ---------------------------------------------------------------------------------------------

DIFF = re.compile(
    rb"^(diff -(-git|-cc|-combined|\w)|Index: |--- \S.*\n\+\+\+ )", re.MULTILINE
)  # where the message is over
_MAIL_DIFF = re.compile(rb"^(diff --|Index: |--- \S)", re.MULTILINE)
_HEADERS = re.compile(rb"(?:[A-Za-z][A-Za-z-]*:.*\n(?:[ \t].*\n)*)+\r?\n")
_MAIL = re.compile(rb"^(Subject|Content-Type|MIME-Version|Message-I[dD]):", re.MULTILINE)
# a commit begins as `git show`, `git log -p`, or these with --oneline print it, or as `hg export` does
_COMMIT = re.compile(rb"^(commit [0-9a-f]{7,64}(?: \(.*\))?|# HG changeset patch)$", re.MULTILINE)
_ONE_LINE = re.compile(rb"^[0-9a-f]{7,64} (?:\([^)\n]*\) )?(.*)\n(?=diff --git |---\n| \S.* \| )", re.MULTILINE)
_STAT = re.compile(r" .+ \| +(\d+( [+-]+)?|Bin .*)$| \d+ files? changed| (create|delete|rename|mode change) |---$")
_DEP3 = re.compile(r"(?i)^(subject|description):[ \t]*(.+)")
_AUTHOR = re.compile(r"(?i)^(?:# user|from:|author:?)[ \t]+(.+<\S+@\S+>)")
_DATE = re.compile(r"(?i)^(?:(?:author)?date:|author .*>)[ \t]+(.+)")
_HG_DATE = re.compile(r"# Date (\d+) (-?\d+)$")
_CONTROL = re.compile(r"[\0-\x08\x0b-\x1f\x7f]")
_CRUD = " .,:;<>\"\\'"  # what git takes off both ends of a name
_TAG = re.compile(r"^\s*(\[[^]]*\]\s*)+")


def is_mail(data: bytes) -> bool:
    """Whether a file is a mailbox or a mail."""
    head = _HEADERS.match(data)
    return data.startswith(b"From ") or bool(head and _MAIL.search(head[0]))


def mails(data: bytes, path: Path, known: set[str]) -> list[Incoming]:
    """The mails of a mailbox, as git takes them apart; one without a diff, a cover letter, changes nothing.

    Raises:
        CheckFailed: git cannot read it, or there is no diff in any of them.
    """
    try:
        found = git.mails(data)
    except git.GitFailed as error:
        hint = "Write the commits again with git format-patch."
        raise CheckFailed(f"{path} begins as a mail and is none that git reads", error.stderr, hint) from error
    patches = [_mail(*parts, path, known) for parts in found]
    if not any(patch.changes for patch in patches):
        titles = "\n".join(f"mail: {patch.subject or 'without a subject'}" for patch in patches)
        raise CheckFailed(f"there is no diff in {path}", titles, "Is it the mail that the patch is attached to?")
    return patches


def _mail(headers: bytes, message: bytes, patch: bytes, path: Path, known: set[str]) -> Incoming:
    """One mail, as git took it apart."""
    said = dict(line.split(": ", 1) for line in text_of(headers).split("\n") if ": " in line)
    begin = _MAIL_DIFF.search(patch)
    if begin:
        # git takes a line of the message that begins as a diff does for one: what follows, up to ---, is message still
        message += b"\n" + re.split(rb"^---\s*$", patch[: begin.start()], maxsplit=1, flags=re.MULTILINE)[0]
    return Incoming(
        path.name,
        said.get("Subject", ""),
        tidy(text_of(message)),
        _person(f"{said.get('Author', '')} <{said.get('Email', '')}>"),
        _when(said.get("Date", "")),
        parse(patch[begin.start() :], known) if begin else (),
    )


def commits(data: bytes, path: Path, known: set[str]) -> list[Incoming]:
    """What ``git show``, ``git log -p`` and ``hg export`` print, the oldest commit first; none if it is not that.

    Those without a change are left out.

    Raises:
        CheckFailed: there is no diff in any of them.
    """
    way = next((way for way in (_COMMIT, _ONE_LINE) if way.match(data)), None)
    if way is None:
        return []
    starts = [match.start() for match in way.finditer(data)]
    parts = [data[start:end] for start, end in zip(starts, [*starts[1:], len(data)])]
    found = [patch for part in parts for patch in _commit(part, path, known)]
    if not found:
        raise CheckFailed(f"there is no diff in {path}", hint="Write the commits with git format-patch.")
    if data.startswith(b"# HG"):
        return found  # which are in order
    dates = [int(patch.date.split()[0]) for patch in found if patch.date]
    newest_first = len(dates) < len(found) or dates[0] >= dates[-1]  # as git log has them, unless it is told otherwise
    return found[::-1] if newest_first else found


def _commit(data: bytes, path: Path, known: set[str]) -> Iterator[Incoming]:
    begin = DIFF.search(data)
    if begin is None:
        return
    patch = Incoming(path.name, changes=parse(data[begin.start() :], known))
    text = text_of(data[: begin.start()])
    if data.startswith(b"# HG"):
        yield described(text, patch)
        return
    if not data.startswith(b"commit "):
        one = _ONE_LINE.match(data)
        yield replace(patch, subject=text_of(one[1]) if one else "")
        return
    head, _, message = text.partition("\n\n")
    message = re.split(r"^Notes(?: \(.*\))?:$", message, maxsplit=1, flags=re.MULTILINE)[0]
    rows = [row[4:] for row in message.split("\n") if row.startswith("    ") or not row]
    subject, _, body = "\n".join(rows).strip("\n").partition("\n")
    author, date = _first(_AUTHOR, head.split("\n")), _first(_DATE, head.split("\n"))
    yield replace(patch, subject=subject, body=tidy(body), author=_person(author), date=_when(date))


def described(head: str, patch: Incoming) -> Incoming:
    """A patch with what stands above it, as quilt, Debian and Mercurial have it."""
    every = head.split("\n")
    lines = [line for line in every if not re.match(r"#|diff |Index:|=+$", line) and not _STAT.match(line)]
    hg = next((match for line in every for match in [_HG_DATE.match(line)] if match), None)
    date = _hg_when(hg[1], hg[2]) if hg else _when(_first(_DATE, lines))
    patch = replace(patch, author=_person(_first(_AUTHOR, every)), date=date)
    titled = next(((n, match[2]) for n, line in enumerate(lines) for match in [_DEP3.match(line)] if match), None)
    if titled is None:
        who = (_AUTHOR, _DATE)
        first = next((n for n, row in enumerate(lines) if row.strip() and not any(w.match(row) for w in who)), None)
        titled = (first, lines[first].strip()) if first is not None else None
    if titled is None:
        return patch
    rest = (row for row in lines[titled[0] + 1 :] if not _AUTHOR.match(row) and not _DATE.match(row) and row != "---")
    return replace(patch, subject=_TAG.sub("", titled[1]), body=tidy("\n".join(rest)))


def _first(way: re.Pattern[str], rows: list[str]) -> str:
    return next((match[1] for row in rows for match in [way.match(row)] if match), "")


def _when(date: str) -> str:
    """A date, as any git or mail writes one, as seconds and zone; empty where git takes it for none."""
    given = {"GIT_AUTHOR_NAME": "x", "GIT_AUTHOR_EMAIL": "x", "GIT_AUTHOR_DATE": date.strip(), "TZ": "UTC"}
    if not given["GIT_AUTHOR_DATE"]:
        return ""  # which git would take for now
    try:
        said = git.run("var", "GIT_AUTHOR_IDENT", env=given).decode()
    except git.GitFailed:
        return ""
    return " ".join(said.split()[-2:])


def _hg_when(seconds: str, west: str) -> str:
    """Mercurial's date, whose zone is in seconds west of Greenwich."""
    sign, minutes = "-" if int(west) > 0 else "+", abs(int(west)) // 60
    return _when(f"@{seconds} {sign}{minutes // 60:02d}{minutes % 60:02d}")


def text_of(data: bytes) -> str:
    """Text of which no encoding is said: UTF-8, or else Latin-1, which anything is; without control characters."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    return _CONTROL.sub("", text)


def _person(said: str) -> str:
    """An author as a commit can have one, ``Name <mail>``; empty for what git would not keep."""
    parts = re.fullmatch(r"([^<>]+)<([^<>\s@]+@[^<>\s]+)>", said.strip())
    name = parts[1].strip(_CRUD) if parts else ""
    return f"{name} <{parts[2]}>" if parts and 0 < len(name.encode()) <= 60 else ""
