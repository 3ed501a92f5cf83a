"""Patches that others made, in the forms in which one gets them: a diff, mails, what git log prints, a quilt series."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from porter.errors import CheckFailed, WrongUsage, os_errors
from porter.files import read_given
from porter.foreign import messages
from porter.foreign.base import Base, Judge, Score
from porter.foreign.hunks import FileChange, Incoming, parse
from porter.git import scratch
from porter.git.objects import Entry, Object, blob
from porter.patch.diff import path_problem
from porter.patch.parser import BINARY

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
    rows = messages.text_of(_plain(read_given(series, _MOST))).split("\n")
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
    if messages.is_mail(data):
        return messages.mails(data, path, known)
    found = messages.commits(data, path, known)
    if found:
        return found
    begin = messages.DIFF.search(data)
    if not _IS_DIFF.search(data):
        raise _refused(path, data)
    at = begin.start() if begin else 0
    return [
        messages.described(messages.text_of(data[:at]), Incoming(path.name, changes=parse(data[at:], known, strip)))
    ]


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


# A copied and changed source folder, as one foreign patch.

_FEW_FILES = 3  # files of upstream's that a copy of it has at least
_TEXT = 8000  # a NUL in so many first bytes makes a file binary, as in git


class Fork(Judge):
    """The files of a copy; of upstream's commits it prefers the one that the most of them are unchanged from.

    Args:
        folder: where it is.
        pin: upstream's paths at the pin: what its ``.gitignore`` names is taken all the same if upstream has it.

    Raises:
        WrongUsage: it is no copy of upstream.
        EnvironmentFailed: it cannot be read.
    """

    def __init__(self, folder: Path, pin: Iterable[str]) -> None:
        super().__init__(())  # ids are compared, no content
        self.folder = folder
        self.blobs: dict[str, Object] = {}
        self.modes: dict[str, str] = {}
        pin = set(pin)
        with scratch() as clean:
            out = clean.run(f"--work-tree={folder.resolve()}", "ls-files", "--others", "--exclude-standard", "-z")
        listed = {os.fsdecode(path) for path in out.split(b"\0") if path and not path.endswith(b"/")}
        for path in sorted(listed | {path for path in pin if (folder / path).is_file()}):
            place = folder / path
            if place.is_symlink() or not place.is_file():
                continue
            with os_errors(f"cannot read {place}"):
                self.blobs[path] = blob(place.read_bytes())
                self.modes[path] = "100755" if place.stat().st_mode & 0o100 else "100644"
        if len(pin & self.blobs.keys()) < _FEW_FILES:
            raise WrongUsage(
                f"{folder} holds neither patches nor a copy of upstream",
                hint="Name a file, a folder with a series or *.patch files, or the folder that train.py is in.",
            )

    def score(self, files: Mapping[str, Entry], objects: Mapping[str, Object]) -> Score:
        """How many files are the very ones, of those that both have or the fork alone."""
        same = sum(1 for path, one in self.blobs.items() if path in files and files[path].id == one.id)
        both = sum(1 for path in self.blobs if path in files)
        return Score(same, both, -len(files), max(both, 1))

    def words(self, score: Score) -> str:
        """A score for people."""
        return f"{score.hunks} of {score.wanted} files are the very same"

    def patch(self, base: Base) -> tuple[Incoming, tuple[str, ...]]:
        """What the fork changes, and the files of upstream that it lacks, which are not taken for deleted."""
        changes = []
        for path, mine in self.blobs.items():
            before = base.objects[base.files[path].id].data if path in base.files else None
            data = mine.data
            if before is not None and b"\r\n" not in before and data.count(b"\r\n") == data.count(b"\n"):
                data = data.replace(b"\r\n", b"\n")  # it went through a system with other line ends
            if data == before:
                continue
            is_binary = b"\0" in data[:_TEXT] + (before or b"")[:_TEXT]
            unusable = BINARY if is_binary else path_problem(path)
            # who copies files seldom copies their modes
            mode = self.modes[path] if before is None else ""
            kind = "add" if before is None else "modify"
            changes.append(FileChange(kind, path, path, new_mode=mode, data=data, unusable=unusable))
        lacking = tuple(sorted(path for path in base.files if path not in self.blobs))
        return Incoming(self.folder.resolve().name, changes=tuple(changes)), lacking
