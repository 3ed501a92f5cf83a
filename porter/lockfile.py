"""``upstream.lock``: which upstream, where it is had, and what every stack makes of it.

The file is the root of trust.  A source may be anything; what it gives is taken only if it hashes to an
id that stands here.  Loading checks that the file agrees with itself: the ids of the single files must
make the pin's tree.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Union

from porter import yamlfile
from porter.errors import CheckFailed, WrongUsage
from porter.files import read_file, write_file
from porter.git.objects import Entry, Object, trees
from porter.patch.diff import path_problem
from porter.yamlfile import Value

_HEAD = """\
# Which upstream porter's stacks are for, where it is had, and what each stack makes of it.
# Trust comes from the ids below, never from a source: what does not hash to them is refused.
# `porter lock` writes the stacks; the pin changes with `porter bump`.
"""
_ID = "[0-9a-f]{40}"
_MODE = "100644|100755|120000"
_DELETED = "deleted"


@dataclass(frozen=True)
class Pin:
    """The upstream commit that the stacks are for.

    Attributes:
        name: as people call it, ``ultralytics/yolov5``.
        tag: its tag there, ``v6.0``; of a commit without one what `git describe` calls it, or the id's beginning.
        commit: the commit's id.
        tree: its tree's id.
        date: the commit's date as ISO 8601 with an offset from UTC.
        license: SPDX expression of the files' licence.
        files: path -> mode and blob id, every file of the tree, sorted by path.
    """

    name: str
    tag: str
    commit: str
    tree: str
    date: str
    license: str
    files: Mapping[str, Entry]

    @property
    def tagged(self) -> bool:
        """Whether :attr:`tag` is one."""
        return not re.fullmatch(r".*-\d+-g[0-9a-f]{7,40}|[0-9a-f]{12}", self.tag)

    @property
    def rev(self) -> str:
        """What to give git for it: the tag, or the commit's id where there is none."""
        return self.tag if self.tagged else self.commit

    def record(self) -> dict[str, str]:
        """All but the files as plain data, in the order of upstream.lock."""
        return {
            "name": self.name,
            "tag": self.tag,
            "commit": self.commit,
            "tree": self.tree,
            "date": self.date,
            "license": self.license,
        }

    @property
    def stamp(self) -> str:
        """The date as git writes it in a commit: seconds since 1970 (UTC) and the offset, ``1634021238 -0700``."""
        moment = datetime.fromisoformat(self.date)
        return f"{int(moment.timestamp())} {moment:%z}"

    @property
    def trees(self) -> list[Object]:
        """The pin's tree objects, made from :attr:`files`, the root's last."""
        return trees(self.files)


@dataclass(frozen=True)
class GitSource:
    """A git remote: anything that ``git fetch`` takes."""

    url: str

    def __str__(self) -> str:
        return f"git {self.url}"


@dataclass(frozen=True)
class WheelEdit:
    """One step from a wheel's file back to upstream's.

    Attributes:
        kind: ``replace`` (every ``text`` becomes ``by``), ``drop`` (every line that holds ``text`` goes),
            ``after`` (what stands up to the first ``text``, itself included, goes), ``end`` (the line ends at
            the file's end become ``text``) or ``newlines`` (``text`` is ``lf``: CRLF becomes LF).
        text: see ``kind``.
        by: what ``replace`` puts there.
    """

    kind: str
    text: str
    by: str = ""


@dataclass(frozen=True)
class Part:
    """Files of a wheel that need the same edits.

    Attributes:
        member: a file's name in the wheel; ``{path}`` stands for its path in the pin.
        edits: in order; none if the wheel has upstream's bytes.
        files: paths in the pin.
    """

    member: str
    edits: tuple[WheelEdit, ...]
    files: tuple[str, ...]


@dataclass(frozen=True)
class Wheel:
    """A wheel that carries files of the pin: ``requirement`` is ``name==version``."""

    requirement: str
    sha256: str
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class IndexSource:
    """A Python package index, whichever pip is set up for."""

    wheels: tuple[Wheel, ...]

    @property
    def files(self) -> frozenset[str]:
        """The pin's paths that the wheels have."""
        return frozenset(path for wheel in self.wheels for part in wheel.parts for path in part.files)

    def __str__(self) -> str:
        return f"package index ({', '.join(wheel.requirement for wheel in self.wheels)})"


Source = Union[GitSource, IndexSource]


@dataclass(frozen=True)
class Tip:
    """Where a stack ends: its last commit and that commit's tree."""

    commit: str
    tree: str


@dataclass(frozen=True)
class StackLock:
    """What ``common`` is and makes of the pin, or a target's own patches on ``common``.

    Attributes:
        digest: of its patches.
        commit: id of the last commit: the pin, ``common``, then these patches.
        tree: id of that commit's tree.
        files: path -> blob id at that commit of every file that these patches touch, ``None`` where it is deleted.
        partial: the same end on the partial base (see :mod:`porter.sources.obtain`), if all of them apply there.
    """

    digest: str
    commit: str
    tree: str
    files: Mapping[str, str | None]
    partial: Tip | None = None


@dataclass(frozen=True)
class Lock:
    """The whole of ``upstream.lock``; ``stacks`` has the keys ``common``, ``mlu``, ``tpu`` …"""

    pin: Pin
    sources: tuple[Source, ...]
    stacks: Mapping[str, StackLock] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> Lock:
        """Read and check a lock file.

        Raises:
            WrongUsage: no such file, or something in it is not what it should be (file, line, field).
            CheckFailed: the pin's files do not make its tree.
            EnvironmentFailed: it cannot be read.
        """
        return _parsed(read_file(path), path)

    def dumps(self) -> str:
        """The file's text: the same lock gives the same bytes."""
        files = {path: " ".join(entry) for path, entry in sorted(self.pin.files.items())}
        order = sorted(self.stacks, key=lambda name: (name != "common", name))
        parts: list[dict[str, Any]] = [
            {"pin": {**self.pin.record(), "files": files}},
            {"sources": [_dump_source(source) for source in self.sources]},
            {"stacks": {name: _dump_stack(self.stacks[name]) for name in order}},
        ]
        return _HEAD + "".join(f"\n{_yaml(part)}" for part in parts)

    def encoded(self, path: Path) -> bytes:
        """The file's bytes, which were read back: nothing is written that is not read again.

        Args:
            path: where they are to go, for the message.

        Raises:
            WrongUsage: something in them is refused, a path for example.
        """
        for name in (*self.pin.files, *(name for stack in self.stacks.values() for name in stack.files)):
            problem = path_problem(name)
            if problem:
                raise WrongUsage(f"{path} cannot hold a file of the tree", problem)
        data = self.dumps().encode()
        if _parsed(data, path) != self:
            raise AssertionError(f"{path} would not be read as it is written")  # a fault of this module
        return data

    def write(self, path: Path) -> None:
        """Put the lock into a file, whole or not at all.

        Raises:
            WrongUsage: as :meth:`encoded`.
            EnvironmentFailed: the file cannot be written.
        """
        write_file(path, self.encoded(path))


def glance(path: Path) -> tuple[str, str]:
    """The tag and the commit of a lock's pin, from the file's first lines alone: to load it all takes 50 ms.

    Raises:
        WrongUsage, CheckFailed, EnvironmentFailed: as :meth:`Lock.load`.
    """
    data = read_file(path)
    head = re.search(rb"^pin:\n  name: \S+\n  tag: (\S+)\n  commit: ([0-9a-f]{40})\n", data[:2000], re.MULTILINE)
    if head:
        tag = yamlfile.parse(b"tag: " + head[1], path).fields(("tag",))["tag"].text()
        return tag, head[2].decode()
    pin = Lock.load(path).pin  # written by somebody else, in another form
    return pin.tag, pin.commit


@lru_cache(maxsize=8)
def _parsed(data: bytes, path: Path) -> Lock:
    """The lock in ``data``, which ``path`` held.  What one command does in several steps reads it in each."""
    top = yamlfile.parse(data, path).fields(("pin", "sources", "stacks"))
    pin = _pin(top["pin"])
    sources = tuple(_source(value, pin) for value in top["sources"].sequence("a list of sources"))
    if not sources:
        top["sources"].fail("at least one source")
    stacks = {name: _stack(value) for name, value in top["stacks"].mapping("a mapping of stacks").items()}
    if "common" not in stacks:  # an older porter's, which held each set of targets: `porter lock` writes it anew
        stacks = {}
    return Lock(pin, sources, stacks)


def _pin(value: Value) -> Pin:
    fields = value.fields(("name", "tag", "commit", "tree", "date", "license", "files"))
    files = {}
    for path, entry in fields["files"].mapping("a mapping of paths").items():
        _check_path(path, entry)
        mode, _, blob = entry.text(f"({_MODE}) {_ID}", "a mode and a blob id, as in 100644 e69de29…").partition(" ")
        files[path] = Entry(mode, blob)
    pin = Pin(
        name=fields["name"].text(),
        tag=fields["tag"].text(r"[^\s~^:?*\[\\-][^\s~^:?*\[\\]*", "a tag's name"),
        commit=_id(fields["commit"]),
        tree=_id(fields["tree"]),
        date=_date(fields["date"]),
        license=fields["license"].text(),
        files=dict(sorted(files.items())),
    )
    made = pin.trees[-1].id
    if made != pin.tree:
        raise CheckFailed(
            f"{value.file}, line {fields['files'].line}: pin.files does not make pin.tree",
            f"expected tree {pin.tree}\nfound    tree {made}",
            "A file's path, mode or id was changed by hand. Restore the lock from git.",
        )
    return pin


def _id(value: Value) -> str:
    return value.text(_ID, "40 hexadecimal digits in lower case")


def _date(value: Value) -> str:
    expected = "a date such as 2021-10-11T23:47:18-07:00"
    text = value.text(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d", expected)
    try:
        datetime.fromisoformat(text)
    except ValueError:
        value.fail(expected)
    return text


def _check_path(path: str, value: Value) -> None:
    """These names become files on somebody's disk."""
    problem = path_problem(path)
    if problem:
        value.fail(f"at a path inside the tree, with / between names: {problem}")


def _source(value: Value, pin: Pin) -> Source:
    fields = value.fields((), ("git", "index"))
    if len(fields) != 1:
        value.fail("either git: URL or index: a list of wheels")
    if "git" in fields:
        return GitSource(fields["git"].text("[^-].*", "the URL of a git repository"))
    return IndexSource(tuple(_wheel(wheel, pin) for wheel in fields["index"].sequence("a list of wheels")))


def _wheel(value: Value, pin: Pin) -> Wheel:
    fields = value.fields(("wheel", "sha256", "parts"))
    return Wheel(
        requirement=fields["wheel"].text(
            r"[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9.!+]+", "a pinned wheel: name==version"
        ),
        sha256=fields["sha256"].text("[0-9a-f]{64}", "64 hexadecimal digits in lower case"),
        parts=tuple(_part(part, pin) for part in fields["parts"].sequence()),
    )


def _part(value: Value, pin: Pin) -> Part:
    fields = value.fields(("member", "files"), ("edits",))
    files = []
    for item in fields["files"].sequence("a list of paths"):
        if item.text() not in pin.files:
            item.fail("a path in pin.files")
        files.append(item.text())
    edits = fields["edits"].sequence("a list of edits") if "edits" in fields else []
    return Part(fields["member"].text(), tuple(_edit(edit) for edit in edits), tuple(files))


def _edit(value: Value) -> WheelEdit:
    fields = value.fields((), ("replace", "by", "drop", "after", "end", "newlines"))
    if set(fields) == {"replace", "by"}:
        return WheelEdit("replace", fields["replace"].text(), fields["by"].text(".*"))
    if len(fields) != 1 or set(fields) & {"replace", "by"}:
        value.fail("one of replace (with by), drop, after, end, newlines")
    ((kind, text),) = fields.items()
    if kind == "newlines":
        return WheelEdit(kind, text.text("lf", "lf"))
    return WheelEdit(kind, text.text(".*" if kind == "end" else ".+"))


def _stack(value: Value) -> StackLock:
    fields = value.fields(("digest", "commit", "tree", "files"), ("partial",))
    files: dict[str, str | None] = {}
    for path, blob in fields["files"].mapping("a mapping of paths").items():
        _check_path(path, blob)
        text = blob.text(f"{_ID}|{_DELETED}", f"a blob id, or {_DELETED!r}")
        files[path] = None if text == _DELETED else text
    partial = None
    if "partial" in fields:
        ends = fields["partial"].fields(("commit", "tree"))
        partial = Tip(_id(ends["commit"]), _id(ends["tree"]))
    return StackLock(
        digest=fields["digest"].text(r"(sha256:)?[0-9a-f]{40,64}", "a digest in hexadecimal digits"),
        commit=_id(fields["commit"]),
        tree=_id(fields["tree"]),
        files=files,
        partial=partial,
    )


def _dump_source(source: Source) -> dict[str, Any]:
    if isinstance(source, GitSource):
        return {"git": source.url}
    return {
        "index": [
            {"wheel": wheel.requirement, "sha256": wheel.sha256, "parts": [_dump_part(part) for part in wheel.parts]}
            for wheel in source.wheels
        ]
    }


def _dump_part(part: Part) -> dict[str, Any]:
    edits = [{e.kind: e.text, "by": e.by} if e.kind == "replace" else {e.kind: e.text} for e in part.edits]
    return {"member": part.member, **({"edits": edits} if edits else {}), "files": list(part.files)}


def _dump_stack(stack: StackLock) -> dict[str, Any]:
    partial = {"partial": {"commit": stack.partial.commit, "tree": stack.partial.tree}} if stack.partial else {}
    files = {path: blob or _DELETED for path, blob in sorted(stack.files.items())}
    return {"digest": stack.digest, "commit": stack.commit, "tree": stack.tree, **partial, "files": files}


def _yaml(part: Any) -> str:
    """A part of the file.  Text that holds quotes or line ends stands on one line, in double quotes."""
    import yaml

    def text(dumper: yaml.SafeDumper, data: str) -> yaml.ScalarNode:
        return dumper.represent_scalar("tag:yaml.org,2002:str", data, style='"' if set("'\n\t") & set(data) else None)

    # the dumper in C is ten times as fast; not every build of PyYAML has it
    class Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]  # chosen when it runs
        """One whose texts are written by :func:`text`."""

    Dumper.add_representer(str, text)
    return str(yaml.dump(part, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=10_000))
