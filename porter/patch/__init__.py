"""One patch file: a mail as ``git format-patch`` writes it, holding one commit.

A patch says why it exists: a paragraph for people, then trailers for programs::

    Subject, in the imperative

    Why the change is needed.

    Reason: device | environment | safety | metrics | speed
    Upstream: no | the commit or pull request that made it unnecessary
    Check: the `porter verify` checks that fail without it
    Needs: the versions without which they do not, as numpy>=1.24 (left out where it matters everywhere)
    Stack: common, or the name of a target

Its one canonical form is what git writes with :data:`FORMAT`, so that rendering an unchanged stack again
changes no byte.  ``git am`` takes every such file and makes the same tree and message.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from porter.errors import CheckFailed
from porter.files import read_if_there
from porter.output import command_line
from porter.patch import diff, parser

# `git format-patch` with these writes the canonical form; porter.git settles the rest of the configuration
FORMAT = (
    "--zero-commit",
    "--no-signature",
    "--full-index",
    "--no-stat",
    "--unified=3",
    "--no-numbered",
    "--find-renames=50%",
    "--indent-heuristic",
    "--no-attach",
    "--no-thread",
    "--no-notes",
    "--no-ext-diff",
    "--no-textconv",
    "--suffix=.patch",
    "--subject-prefix=PATCH",
)
TRAILER = re.compile(r"([A-Z][A-Za-z]*(?:-[a-zA-Z]+)*): +(\S.*)")
_MAX_NAME = 60  # characters before ".patch"
# where `git am` ends the message and looks for a diff (mailinfo.c, patchbreak)
_BREAK = re.compile(r"^(diff -|Index: |---\s*$|--- \S|From [0-9a-f]{40} )", re.MULTILINE)
_IN_BODY_HEADER = re.compile(r"(From|Subject|Date|Content-Type|Content-Transfer-Encoding):|\[PATCH\]")


def essence(diff: str) -> str:
    """A diff without what depends on the files that it was made for: object ids and line numbers."""
    diff = re.sub(r"^diff --git |^index [0-9a-f.]+( \d{6})?\n", "", diff, flags=re.MULTILINE)
    return re.sub(r"^@@ -[\d,]+ \+[\d,]+ @@.*", "@@", diff, flags=re.MULTILINE).strip("\n")


class PatchFailed(CheckFailed):
    """A patch does not apply.

    Attributes:
        patch: the patch's name, as ``common/0003-….patch``.
        file: the path it fails at.
        hunk: the ``@@`` line of the hunk, or empty where the file as a whole is the reason.
        expected, found: the lines that the hunk expects and the lines that are there.
    """

    def __init__(self, patch: str, file: str, failure: diff.Mismatch) -> None:
        self.patch = patch
        self.file = file
        self.hunk = failure.hunk.header if failure.hunk else ""
        self.expected = failure.hunk.old if failure.hunk else ()
        self.found = failure.found if failure.hunk else ()
        why = f"hunk {self.hunk}\n{_compare(failure)}" if failure.hunk else failure.what
        super().__init__(f"{patch} does not apply to {file}", why)


def _compare(failure: diff.Mismatch) -> str:
    """Both sides, numbered, with a mark at the lines that differ."""
    assert failure.hunk is not None
    expected, found = failure.hunk.old, failure.found

    def show(side: tuple[bytes, ...], other: tuple[bytes, ...]) -> list[str]:
        shown = []
        for n, line in enumerate(side):
            mark = " " if n < len(other) and other[n] == line else ">"
            text = line.decode(errors="replace").rstrip("\n")
            end = "" if line.endswith(b"\n") else "  (no newline at the end of the file)"
            shown.append(f"{mark} {failure.at + n:5d}  {text}{end}")
        return shown or ["         (nothing)"]

    return "\n".join(["expected:", *show(expected, found), "found:", *show(found, expected)])


@dataclass(frozen=True)
class Patch:
    """One patch of a stack.

    Attributes:
        stack: the stack it belongs to by its folder.
        name: its file name.
        subject: the first line of its message, without ``[PATCH]``.
        body: the rest of the message, trailers included, no blank line around it.
        trailers: key and value, in order.
        author: name and mail as git writes them in a commit: ``Name <mail>``.
        date: author date as git writes it: seconds since 1970 and the zone, ``1634021238 -0700``.
        changes: what it does to each file.
        data: the file's bytes.
        diff_line: the line of the file where the diff begins, from 1.
        number: its place in its stack, from 1; 0 where it is in none yet.
    """

    stack: str
    name: str
    subject: str
    body: str
    trailers: tuple[tuple[str, str], ...]
    author: str
    date: str
    changes: tuple[diff.Change, ...]
    data: bytes
    diff_line: int
    number: int = 0

    @property
    def id(self) -> str:
        """Its name among all stacks: ``common/run-without-torchvision.patch``."""
        return f"{self.stack}/{self.name}"

    @property
    def label(self) -> str:
        """What a person calls it: ``common/12``, its stack and its place there."""
        return f"{self.stack}/{self.number}"

    def record(self) -> dict[str, Any]:
        """As plain data, for JSON; its own bytes are in the file."""
        return {
            "id": self.id,
            "stack": self.stack,
            "number": self.number,
            "subject": self.subject,
            "body": self.body,
            "trailers": [list(trailer) for trailer in self.trailers],
            "author": self.author,
            "date": self.date,
            "files": [{"change": change.kind, "old": change.old, "new": change.new} for change in self.changes],
            "text": self.data.decode("utf-8", "replace"),
        }

    @property
    def message(self) -> str:
        """The commit's message."""
        return f"{self.subject}\n\n{self.body}\n" if self.body else f"{self.subject}\n"

    @property
    def text(self) -> str:
        """The diff, undecodable bytes escaped."""
        return self.data.decode("utf-8", "surrogateescape").split("\n", self.diff_line - 1)[-1]

    def trailer(self, key: str) -> str:
        """The value of a trailer, or empty."""
        return dict(self.trailers).get(key, "")

    @classmethod
    def read(cls, path: Path, stack: str) -> Patch:
        """The patch in a file.

        Raises:
            CheckFailed: the file is not there or not a patch; the message holds its line.
            EnvironmentFailed: it cannot be read.
        """
        data = read_if_there(path)
        if data is None:
            raise CheckFailed(f"there is no {path}", hint="Put it back, or take its name out of series.")
        return cls.parse(data, stack, path.name)

    @classmethod
    def parse(cls, data: bytes, stack: str, name: str) -> Patch:
        """The patch in ``data``.

        Raises:
            CheckFailed: it is not a patch; the message holds the line.
        """
        return _parse(data, stack, name)


def slug(subject: str) -> str:
    """A subject as git makes a file name of it (pretty.c, ``format_sanitized_subject``)."""
    kept = re.sub(r"[^A-Za-z0-9._]+", "-", subject)
    return re.sub(r"\.+", ".", kept).strip("-").rstrip(".-")


def file_names(subjects: Iterable[str]) -> list[str]:
    """The names of a stack's patches, in order: each says what its patch does, and nothing of its place.

    So a patch that is put in between renames no other.  Of two with one subject the second has ``-2``.
    """
    found: list[str] = []
    for subject in subjects:
        stem = slug(subject).lower()[:_MAX_NAME].strip(".-") or "patch"  # of Chinese nothing may be left
        names = (f"{stem}.patch", *(f"{stem}-{n}.patch" for n in range(2, len(found) + 2)))
        found.append(next(name for name in names if name not in found))
    return found


def tidy(body: str) -> str:
    """A message as ``git am`` keeps it: no trailing blanks, never two blank lines, none around it."""
    return re.sub(r"\n{3,}", "\n\n", re.sub(r"[ \t\r\f\v]+$", "", body, flags=re.MULTILINE)).strip("\n")


def quoted(body: str) -> str:
    """A message of others, with those lines moved in that ``git am`` would take for the end of it."""
    body = _BREAK.sub(lambda found: f"  {found[0]}", body)
    return f"  {body}" if _IN_BODY_HEADER.match(body) else body


def trailers(body: str) -> tuple[tuple[str, str], ...]:
    """The trailers of a message: its last paragraph, if every line of it is one."""
    found = [TRAILER.fullmatch(line) for line in body.rsplit("\n\n", 1)[-1].split("\n")]
    return tuple((match[1], match[2]) for match in found if match) if all(found) else ()


@lru_cache(maxsize=4096)
def _parse(data: bytes, stack: str, name: str) -> Patch:
    """The patch in ``data``.  What is parsed again within a run is nearly always unchanged."""
    from porter.patch import envelope  # which brings the library's mail: a tenth of a short command

    def fail(line: int, what: str) -> CheckFailed:
        return CheckFailed(
            f"{stack}/{name}, line {line}: {what}",
            hint=f"Write it again: {command_line('git', 'format-patch', *FORMAT[:6])} …",
        )

    if data.partition(b"\n")[0].endswith(b"\r"):
        what = f"{stack}/{name}: its lines end in CRLF, as an editor or git (core.autocrlf) may write them"
        raise CheckFailed(what, hint="Put the file back as it was committed: git -c core.autocrlf=false checkout FILE")
    head, blank, rest = data.partition(b"\n\n")
    head_lines = head.count(b"\n") + 2
    if not head.startswith(b"From ") or not blank:
        raise fail(1, "not a patch as git format-patch writes it")
    begin = 0 if rest.startswith(b"diff --git ") else rest.find(b"\ndiff --git ") + 1
    if not begin and not rest.startswith(b"diff --git "):
        raise fail(head_lines, "there is no diff in it")
    try:
        body = rest[:begin].decode("utf-8")
    except UnicodeDecodeError as error:
        raise fail(head_lines + rest[: error.start].count(b"\n") + 1, "the message is not UTF-8") from error
    stray = _BREAK.search(body) or _IN_BODY_HEADER.match(body.lstrip("\n"))
    if stray:
        line = head_lines + body.count("\n", 0, body.find(stray[0])) + 1
        raise fail(line, f"git am would not take {stray[0].strip()!r} as part of the message")
    diff_line = head_lines + 1 + rest[:begin].count(b"\n")
    try:
        changes = parser.parse(rest[begin:])
    except parser.Malformed as error:
        raise fail(diff_line + error.line - 1, error.what) from error
    body = tidy(body)
    try:
        subject, author, date = envelope.read(head.split(b"\n", 1)[-1])
    except envelope.Unfit as error:
        raise fail(_line_of(head, error.key), error.what) from (error.__cause__ or error)
    return Patch(stack, name, subject, body, trailers(body), author, date, changes, data, diff_line)


def _line_of(head: bytes, key: str) -> int:
    before, found, _ = head.partition(f"\n{key}:".encode())
    return before.count(b"\n") + 2 if found else 1
