"""Reads unified diffs: :func:`parts` reads anybody's, :func:`parse` only what git writes for plain files.

Others leave out the end of a hunk, lose the blank of an empty context line, name files in several ways and put text
between them; :func:`parts` reads all that, and notes each line that it makes nothing of.  A patch of porter's is
compared by object ids, so :func:`parse` takes no such line.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from porter.patch.diff import HUNK, Change, Hunk, path_problem

FILE_MODES = ("100644", "100755")
BINARY = "it is a binary file; a patch holds text alone: leave it out, and ship it beside the port"
_KINDS = {
    "120000": "it is a symbolic link (mode 120000); a patch holds plain files alone: make it a file of its own",
    "160000": "it is a submodule (mode 160000); a patch holds plain files alone: copy the files that are needed",
}
_COPY = "it is a copy of another file; make the diff again without -C (--find-copies)"
_COMBINED = "it is a combined diff, of a merge; make one against one parent: git diff COMMIT^1 COMMIT"
_ONE_SIDE = "it is in one of the folders only; make the diff again with -N (diff -ruN)"
# the lines between "diff --git" and the hunks
_MODE = re.compile(r"(old mode|new mode|deleted file mode|new file mode) ([0-7]{6})")
_NAMED = re.compile(r"(rename|copy) (from|to) (.+)")
_INDEX = re.compile(r"index ([0-9a-f]{4,64})\.\.([0-9a-f]{4,64})(?: (\d{6}))?")
_SIMILARITY = re.compile(r"(similarity|dissimilarity) index \d+%")
_BINARY = re.compile(r"(?:Binary files|Files) (.+) and (.+) differ$")
_ONLY = re.compile(r"Only in ([^:]+): (.+)")
_NO_TIME = ("1970-01-01 ", "1969-12-31 ", "(nonexistent)")  # of a file that is not there: GNU diff -N, Subversion
_ESCAPES = {"a": 7, "b": 8, "t": 9, "n": 10, "v": 11, "f": 12, "r": 13, '"': 34, "\\": 92}
_ESCAPED = re.compile(r'([^\\"]+)|\\([0-3][0-7]{2})|\\([abtnvfr"\\])')
_AFTER_A_LINE = (b" ", b"+", b"-", b"\\", b"@@ ", b"diff ")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')


class Malformed(Exception):
    """A diff that cannot be read: the line (from 1, in the diff) and what is wrong with it."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(what)
        self.line = line
        self.what = what


class Part:
    """What a diff says of one file.

    Attributes:
        old, new: its paths with all their folders, empty for a file that is not there.
        line: where the part begins in the diff, from 1.
        is_git: it begins with ``diff --git``.
        unusable: why a patch cannot hold it, if that is so.
        modes: ``old mode``, ``new mode``, ``deleted file mode``, ``new file mode`` and ``index`` -> the mode there.
        renamed: ``from`` and ``to``, of a rename or a copy.
        blobs: the beginnings of the blobs' ids before and after, empty where they are not said or there is none.
        names_at: the line with ``---``, 0 without one.
        strays: the lines that nothing was made of.
    """

    def __init__(self, old: str, new: str, line: int, unusable: str = "", *, is_git: bool = False) -> None:
        self.old, self.new, self.line, self.unusable, self.is_git = old, new, line, unusable, is_git
        self.modes: dict[str, str] = {}
        self.renamed: dict[str, str] = {}
        self.blobs = ("", "")
        self.is_added = self.is_deleted = False
        self.hunks: list[Hunk] = []
        self.names_at = 0
        self.strays: list[int] = []

    @property
    def old_mode(self) -> str:
        """The mode before, empty where it is not said."""
        return self.modes.get("old mode") or self.modes.get("deleted file mode", "")

    @property
    def new_mode(self) -> str:
        """The mode after, empty where it is not said."""
        return self.modes.get("new mode") or self.modes.get("new file mode", "")

    @property
    def kind(self) -> str:
        """What becomes of the file, as :attr:`Change.kind` has it."""
        if self.is_added or not self.old:
            return "add"
        if self.is_deleted or not self.new:
            return "delete"
        return "rename" if len(self.renamed) == 2 else "modify"

    def takes(self, old: str, new: str) -> bool:
        """Whether the names of a ``---`` and a ``+++`` line are this file's, which has them from then on."""
        if self.hunks:
            return False
        if self.is_git and self.renamed:
            to = self.renamed.get("to", new)
            is_own = new in ("", to) or new.endswith(f"/{to}")
        else:
            is_own = self.old != self.new and stripped(self.old, 1) != stripped(self.new, 1)
            is_own = (self.is_git and is_own) or not {old, new} - {"", self.old, self.new}
        if is_own:  # with blanks in it the first line can be read in two ways, and these cannot
            self.old, self.new = old or self.old, new or self.new
        return is_own

    def names(self, old: str, new: str, line: int) -> None:
        """Note what a ``---`` and a ``+++`` line say."""
        if self.names_at:
            self.strays.append(line)
        self.names_at = line
        self.is_added, self.is_deleted = self.is_added or not old, self.is_deleted or not new

    def extend(self, text: str, line: int) -> None:
        """Note what a line says that neither names the file nor begins a hunk."""
        if text.startswith("@@"):
            shown = text.encode("utf-8", "surrogateescape").decode(errors="replace")[:80]
            self.unusable = self.unusable or f"it has a line that begins as a hunk and is none: {shown}"
            return
        if self.hunks:
            self.strays.append(line)
            return
        found = next(filter(None, (way.match(text) for way in (_INDEX, _MODE, _NAMED, _SIMILARITY))), None)
        if found is None and text.startswith(("Binary files ", "GIT binary patch")):
            self.unusable = self.unusable or BINARY
        elif found is None or found.end() != len(text):
            self.strays.append(line)
        if found is None:
            return
        if found.re is _INDEX:
            self.blobs = (found[1] if found[1].strip("0") else "", found[2] if found[2].strip("0") else "")
            if found[3]:
                self._note_mode("index", found[3])
        elif found.re is _MODE:
            self._note_mode(found[1], found[2])
            self.is_added = self.is_added or found[1] == "new file mode"
            self.is_deleted = self.is_deleted or found[1] == "deleted file mode"
        elif found.re is _NAMED:
            self.renamed[found[2]] = _path(found[3], line)
            self.unusable = self.unusable or (_COPY if found[1] == "copy" else "")

    def _note_mode(self, where: str, mode: str) -> None:
        self.modes[where] = mode
        if not mode.startswith("100"):
            self.unusable = self.unusable or _KINDS.get(mode, f"it is no plain file (mode {mode})")


def parse(data: bytes) -> tuple[Change, ...]:
    """The changes of a diff as git writes it.

    Raises:
        Malformed: a line belongs nowhere, or says what porter's patches do not do (binary files, links,
            copies, paths out of the tree).
    """
    rows = data.split(b"\n")
    if rows.pop():
        raise Malformed(len(rows) + 1, "the last line has no newline")
    if rows and not rows[0].startswith(b"diff --git "):
        raise Malformed(1, f"expected 'diff --git a/… b/…', found {_shown(rows[0])}")
    changes: list[Change] = []
    used: set[str] = set()
    for part in parts(rows):
        change = _change(part, rows)
        for path in (change.old, change.new):
            if path in used:
                raise Malformed(change.line, f"{path} is changed twice in one patch")
        used |= {change.old, change.new}
        changes.append(change)
    return tuple(changes)


def _change(part: Part, rows: Sequence[bytes]) -> Change:
    """A part as a change, if git would have written every line of it."""
    if part.unusable:
        raise Malformed(part.line, part.unusable)
    if part.strays:
        line = part.strays[0]
        raise Malformed(line, f"a line that belongs to no file's diff: {_shown(rows[line - 1])}")
    old, new = _paths(part, rows)
    # in a diff of git's the mode says it, and /dev/null must agree
    added, deleted = "new file mode" in part.modes, "deleted file mode" in part.modes
    kind = "add" if added else "delete" if deleted else "rename" if part.renamed else "modify"
    expected = "/dev/null" if kind == "add" else f"a/{old}", "/dev/null" if kind == "delete" else f"b/{new}"
    _check_names(part, rows, *expected)
    for hunk in part.hunks:
        if not hunk.whole:
            raise Malformed(hunk.line, "the hunk's length is not what its header says")
        for line, row in enumerate(hunk.body, hunk.line + 1):
            if rows[line - 1] + b"\n" != row:
                raise Malformed(line, f"not a line of a hunk: {_shown(rows[line - 1])}")
    for mode in part.modes.values():
        if mode not in FILE_MODES:
            raise Malformed(part.line, f"{new} has the mode {mode}; porter's patches hold plain files only")
    return Change(kind, old, new, tuple(part.hunks), part.old_mode, part.new_mode, part.line)


def _paths(part: Part, rows: Sequence[bytes]) -> tuple[str, str]:
    """The file's path before and after."""
    head = rows[part.line - 1].decode("utf-8", "surrogateescape")
    if not part.is_git:
        raise Malformed(part.line, f"expected 'diff --git a/… b/…', found {head!r}")
    old = new = (part.new or part.old)[2:]
    if part.renamed:
        old, new = part.renamed.get("from", ""), part.renamed.get("to", "")
        if not old or not new:
            raise Malformed(part.line, "a rename needs both names")
    elif _pair(head[len("diff --git ") :], part.line) != (f"a/{old}", f"b/{old}"):
        raise Malformed(part.line, f"expected 'diff --git a/PATH b/PATH' with one path, found {head!r}")
    problem = path_problem(old) or path_problem(new)
    if problem:  # a patch must write neither outside of the tree nor into git's folder
        raise Malformed(part.line, problem)
    return old, new


def _check_names(part: Part, rows: Sequence[bytes], old: str, new: str) -> None:
    """Raise if the lines above the first hunk do not name the file as git does."""
    if not part.hunks and not part.names_at:
        return
    if not part.hunks or part.names_at != part.hunks[0].line - 2:
        raise Malformed(part.names_at or part.hunks[0].line, "--- and +++ lines have to stand right above a hunk")
    for line, prefix, name in ((part.names_at, "--- ", old), (part.names_at + 1, "+++ ", new)):
        found = rows[line - 1].decode("utf-8", "surrogateescape")
        if not found.startswith(prefix) or _path(found[4:].rstrip("\t"), line) != name:
            raise Malformed(line, f"expected {prefix}{name}, found {found!r}")


def _shown(row: bytes) -> str:
    return repr(row.decode(errors="replace").rstrip())


def parts(rows: Sequence[bytes]) -> list[Part]:
    """The files' parts of a diff, given as lines without their newlines.

    Raises:
        Malformed: a name is quoted as git never does, or a hunk comes before any name.
    """
    found: list[Part] = []
    at = 0
    while at < len(rows):
        row, line = rows[at], at + 1
        part = found[-1] if found else None
        begun = _begun(row, part, line)
        if begun:
            found.append(begun)
        elif row.startswith(b"--- ") and rows[at + 1 : at + 2] and rows[at + 1].startswith(b"+++ "):
            old, new = _name(row, line), _name(rows[at + 1], line + 1)
            if part is None or not part.takes(old, new):
                part = Part(old, new, line)
                found.append(part)
            part.names(old, new, line)
            at += 1
        elif is_header(row):
            if part is None:
                raise Malformed(line, f"a hunk comes before any file's name: {_shown(row)}")
            hunk, at = read_hunk(rows, at)
            part.hunks.append(hunk)
            continue
        elif part:
            part.extend(row.decode("utf-8", "surrogateescape"), line)
        at += 1
    return found


def _begun(row: bytes, part: Part | None, line: int) -> Part | None:
    """The file that a line begins, if it begins one; ``part`` is the one before it."""
    text = row.decode("utf-8", "surrogateescape")
    if text.startswith("diff --git "):
        return Part(*_pair(text[len("diff --git ") :], line), line, is_git=True)
    if text.startswith(("diff --cc ", "diff --combined ")):
        name = _path(text.split(" ", 2)[2], line)
        return Part(f"a/{name}", f"b/{name}", line, _COMBINED)
    binary = None if part and part.is_git and not part.hunks else _BINARY.match(text)
    if binary:  # of GNU diff, which has no line before it
        return Part(_path(binary[1], line), _path(binary[2], line), line, BINARY)
    only = _ONLY.fullmatch(text) if part is None or not part.is_git else None
    return Part(f"{only[1]}/{only[2]}", f"{only[1]}/{only[2]}", line, _ONE_SIDE) if only else None


def _pair(names: str, line: int) -> tuple[str, str]:
    """Both names of a ``diff --git`` line: they differ in the prefix alone, or lines of a rename name them again."""
    first = _QUOTED.match(names)
    if first:
        return _path(first[0], line), _path(names[first.end() + 1 :], line)
    if names.endswith('"') and ' "' in names:
        at = names.index(' "')
        return names[:at], _path(names[at + 1 :], line)
    blanks = [found.start() for found in re.finditer(" ", names)]
    middle = len(names) // 2
    for at in sorted(blanks, key=lambda at: abs(at - middle)):
        old, new = names[:at], names[at + 1 :]
        if old == new or ("/" in old and "/" in new and stripped(old, 1) == stripped(new, 1)):
            return old, new
    at = names.find(" b/") if " b/" in names else names.find(" ")
    return (names[:at], names[at + 1 :]) if at > 0 else (names, names)


def _name(row: bytes, line: int) -> str:
    """The path in a ``---`` or ``+++`` line, without its time; empty for a file that is not there."""
    name, tab, when = row[4:].decode("utf-8", "surrogateescape").partition("\t")
    if not tab and name.startswith('"'):
        name = name.rstrip()
    path = _path(name if tab else name.rstrip("\r"), line)
    return "" if path == "/dev/null" or when.startswith(_NO_TIME) else path


def stripped(name: str, count: int) -> str:
    """A path without its first ``count`` folders."""
    return "/".join(name.split("/")[count:])


def _path(name: str, line: int) -> str:
    """A path as it is, from the form in which git writes one with unusual characters.

    Raises:
        Malformed: it begins with a quote and is not as git would write it.
    """
    if not name.startswith('"'):
        return name
    if len(name) < 2 or not name.endswith('"'):
        raise Malformed(line, f"a quoted name without its end: {name}")
    inner, found = name[1:-1], bytearray()
    if not re.fullmatch(rf"(?:{_ESCAPED.pattern})*", inner):
        raise Malformed(line, f"a quoted name that git would not write: {name}")
    for plain, octal, letter in _ESCAPED.findall(inner):
        if plain:
            found += plain.encode("utf-8", "surrogateescape")
        else:
            found.append(int(octal, 8) if octal else _ESCAPES[letter])
    return found.decode("utf-8", "surrogateescape")


def is_header(row: bytes) -> bool:
    """Whether a hunk begins with this line."""
    return row.startswith(b"@@ ") and bool(HUNK.match(row.decode("latin-1")))


def read_hunk(rows: Sequence[bytes], at: int) -> tuple[Hunk, int]:
    """The hunk whose header is at the index ``at``, and the index after it."""
    header = rows[at].decode("utf-8", "surrogateescape")
    found = HUNK.match(header)
    assert found is not None
    left = [int(found[n] or 1) for n in (3, 6)]  # lines before and after that are still to come
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
    filled = tuple((row or b" ") + b"\n" for row in body)  # an empty line is context that lost its blank
    return Hunk(header, at + 1, filled, whole), here


def _ends(rows: Sequence[bytes], at: int) -> bool:
    """Whether a hunk that is not complete ends before this row all the same."""
    row = rows[at]
    if row[:1] not in (b"", b" ", b"-", b"+"):
        return True
    following = rows[at + 1 : at + 3]
    if row == b"-- " and following and not following[0].startswith(_AFTER_A_LINE):  # a mail's signature
        return True
    return (
        row.startswith(b"--- ") and len(following) == 2 and following[0].startswith(b"+++ ") and is_header(following[1])
    )
