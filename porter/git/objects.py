"""git's objects in memory: their bytes, their ids, and a pack of many of them.

A stack of patches becomes commits without a working tree, an index or a process per patch: blobs,
trees and commits are made here, and one ``git index-pack`` stores them (and checks every id again).
Formats: git's documentation, gitformat-pack(5) and "Git Internals - Git Objects".
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Optional

from porter.errors import CheckFailed

NOTHING = "0" * 40  # the id that git prints where there is no file
_PACK_TYPES = {"commit": 1, "tree": 2, "blob": 3, "tag": 4}


@dataclass(frozen=True)
class Object:
    """One git object: ``kind`` is commit, tree, blob or tag, ``data`` what is hashed after the header."""

    kind: str
    data: bytes

    @cached_property
    def id(self) -> str:
        """The object's SHA-1, 40 hexadecimal digits."""
        return hashlib.sha1(b"%s %d\0" % (self.kind.encode(), len(self.data)) + self.data).hexdigest()

    def checked(self, expected: str, name: str = "") -> Object:
        """This object, if its id is ``expected``.

        Raises:
            CheckFailed: it is not; the message holds ``name`` and both ids.
        """
        if self.id != expected:
            raise CheckFailed(
                f"{name or 'an object'} is not what it should be",
                f"expected {self.kind} {expected}\nfound    {self.kind} {self.id}",
            )
        return self


class Entry(NamedTuple):
    """A file in a tree: its mode as git writes it (``100644``, ``100755``, ``120000``) and its blob's id."""

    mode: str
    id: str


Sides = tuple[Optional[Entry], Optional[Entry]]  # a file before and after a commit


def sides(raw: bytes) -> dict[str, Sides]:
    """Path -> the file before and after a commit, of what ``git diff-tree -r -z --raw --no-renames`` prints."""
    words = raw.decode(errors="surrogateescape").split("\0")
    found = {}
    for head, path in zip(words[0:-1:2], words[1::2]):
        old_mode, mode, old, blob, _ = head[1:].split(" ")
        found[path] = (
            Entry(old_mode, old) if old != NOTHING else None,
            Entry(mode, blob) if blob != NOTHING else None,
        )
    return found


def step(files: dict[str, Entry], changes: Mapping[str, Entry | None]) -> None:
    """Change a tree's files in place."""
    for path, entry in changes.items():
        if entry is None:
            files.pop(path, None)
        else:
            files[path] = entry


def blob(data: bytes) -> Object:
    return Object("blob", data)


def trees(files: Mapping[str, Entry]) -> list[Object]:
    """The tree objects of a set of files (path -> entry), every folder's, the root's last."""
    return Files(files).write()[1]


class Files:
    """A tree whose files change one by one.

    Only the folders on the way to a change are made again, so a commit costs what it changes and not what
    the tree holds.
    """

    def __init__(self, files: Mapping[str, Entry]) -> None:
        self._root = _Folder()
        for path, entry in files.items():
            self[path] = entry

    def get(self, path: str) -> Entry | None:
        *folders, name = path.split("/")
        folder: _Folder | Entry | None = self._root
        for part in folders:
            if not isinstance(folder, _Folder):
                return None
            folder = folder.inside.get(part)
        entry = folder.inside.get(name) if isinstance(folder, _Folder) else None
        return entry if isinstance(entry, Entry) else None

    def __setitem__(self, path: str, entry: Entry) -> None:
        """Put a file there.

        Raises:
            NotADirectoryError: a folder of the path is a file.
            IsADirectoryError: the path is a folder.
        """
        *folders, name = path.split("/")
        folder = self._root
        folder.tree = None
        for part in folders:
            below = folder.inside.setdefault(part, _Folder())
            if isinstance(below, Entry):
                raise NotADirectoryError(path)
            folder = below
            folder.tree = None
        if isinstance(folder.inside.get(name), _Folder):
            raise IsADirectoryError(path)
        folder.inside[name] = entry

    def __delitem__(self, path: str) -> None:
        """Take a file away, and the folders that are empty then."""
        trail = [self._root]
        *folders, name = path.split("/")
        for part in folders:
            below = trail[-1].inside[part]
            if isinstance(below, Entry):
                raise KeyError(path)
            trail.append(below)
        del trail[-1].inside[name]
        for folder in trail:
            folder.tree = None
        for part, folder in reversed(list(zip(folders, trail[1:]))):
            if not folder.inside:
                del trail[trail.index(folder) - 1].inside[part]

    def copy(self) -> Files:
        """The same files, to be changed by themselves."""
        new = Files({})
        new._root = self._root.copy()
        return new

    def write(self) -> tuple[str, list[Object]]:
        """The root tree's id, and the tree objects made since the last call."""
        made: list[Object] = []
        return self._root.write(made), made


class _Folder:
    """A folder of :class:`Files`; ``tree`` is its tree's id, None since something in it changed."""

    def __init__(self) -> None:
        self.inside: dict[str, _Folder | Entry] = {}
        self.tree: str | None = None

    def copy(self) -> _Folder:
        new = _Folder()
        new.inside = {name: it.copy() if isinstance(it, _Folder) else it for name, it in self.inside.items()}
        new.tree = self.tree
        return new

    def write(self, made: list[Object]) -> str:
        if self.tree is None:
            entries = {
                name: Entry("40000", below.write(made)) if isinstance(below, _Folder) else below
                for name, below in self.inside.items()
            }
            made.append(_tree(entries))
            self.tree = made[-1].id
        return self.tree


def _tree(entries: Mapping[str, Entry]) -> Object:
    # git sorts a folder as if its name ended with a slash
    rows = sorted(
        (name.encode(errors="surrogateescape") + (b"/" if entry.mode == "40000" else b""), entry)
        for name, entry in entries.items()
    )
    return Object(
        "tree",
        b"".join(
            b"%s %s\0%s" % (entry.mode.encode(), name.rstrip(b"/"), bytes.fromhex(entry.id)) for name, entry in rows
        ),
    )


def parse_tree(data: bytes) -> dict[str, Entry]:
    """A tree object's entries by name; folders have the mode ``40000``."""
    entries, at = {}, 0
    while at < len(data):
        space = data.index(b" ", at)
        nul = data.index(b"\0", space)
        entries[data[space + 1 : nul].decode(errors="surrogateescape")] = Entry(
            data[at:space].decode(), data[nul + 1 : nul + 21].hex()
        )
        at = nul + 21
    return entries


def commit(tree: str, parents: Iterable[str], author: str, committer: str, message: str) -> Object:
    """A commit; ``author`` and ``committer`` as git writes them: ``Name <mail> 1634021238 -0700``."""
    lines = [
        f"tree {tree}",
        *(f"parent {p}" for p in parents),
        f"author {author}",
        f"committer {committer}",
        "",
        message,
    ]
    return Object("commit", "\n".join(lines).encode())


def pack(objects: Iterable[Object], level: int = 1) -> bytes:
    """A version 2 pack of the objects, each once, undeltified; ``level`` is zlib's, 0 to 9."""
    unique = {o.id: o for o in objects}
    out = [b"PACK" + (2).to_bytes(4, "big") + len(unique).to_bytes(4, "big")]
    for o in unique.values():
        size = len(o.data)
        byte = _PACK_TYPES[o.kind] << 4 | size & 15
        size >>= 4
        head = bytearray()
        while size:
            head.append(byte | 128)
            byte, size = size & 127, size >> 7
        head.append(byte)
        out += (bytes(head), zlib.compress(o.data, level))
    body = b"".join(out)
    return body + hashlib.sha1(body).digest()
