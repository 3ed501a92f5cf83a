"""Upstream at the pin, in memory: what a stack is applied to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from porter.git.objects import Entry, Object, commit, parse_tree, trees
from porter.lockfile import IndexSource, Lock, Pin

_IDENTITY = "porter <porter@example.invalid>"


@dataclass(frozen=True)
class Snapshot:
    """The files of the pin as one source had them, every object already checked against the pin.

    Attributes:
        base: id of the commit that a stack grows on.  For a whole source it is the pin itself; for a
            partial one (a package index) a root commit of porter's own, equal on every machine.
        files: path -> mode and blob id, for the files that are here.
        objects: id -> object, for the base commit, its trees and its blobs.
        missing: paths that the pin has and the source had not, sorted.
        shallow: the base commit names parents that are not here.
        partial: the base is porter's own: files are missing, or an index had them all but not the commit.
    """

    base: str
    files: Mapping[str, Entry]
    objects: Mapping[str, Object]
    missing: tuple[str, ...] = ()
    shallow: bool = True
    partial: bool = False


@dataclass(frozen=True)
class Extent:
    """The pin's files, or as many of them as some source has: which objects they take, what those are called.

    ``base`` is the pin's commit, or where that would not do a root commit of porter's own, whose every byte
    follows from the lock, so that it has one id on every machine.

    Attributes:
        pin: what it is an extent of.
        files: path -> mode and blob id.
        has_commit: the source knows the pin's commit; a package index does not.
    """

    pin: Pin
    files: Mapping[str, Entry]
    has_commit: bool = True

    @property
    def whole(self) -> bool:
        """Whether it is the pin as upstream made it."""
        return self.has_commit and not self.missing

    @property
    def missing(self) -> tuple[str, ...]:
        """The pin's paths that are not among the files, sorted."""
        return tuple(sorted(set(self.pin.files) - set(self.files)))

    @cached_property
    def trees(self) -> list[Object]:
        """The tree objects, the root's last."""
        return trees(self.files)

    @cached_property
    def made_base(self) -> Object | None:
        """Porter's own root commit; ``None`` for the whole, whose base upstream made."""
        if self.whole:
            return None
        pin = self.pin
        message = (
            f"{pin.name} {pin.tag}, {len(self.files)} of {len(pin.files)} files\n\n"
            f"The files of commit {pin.commit}\n"
            "that a Python package index has, each checked against that commit's blob ids.\n"
        )
        if self.missing:
            message += "Not among them:\n\n" + "".join(f"    {path}\n" for path in self.missing)
        return commit(self.trees[-1].id, (), f"{_IDENTITY} {pin.stamp}", f"{_IDENTITY} {pin.stamp}", message)

    @property
    def base(self) -> str:
        """Id of the commit that a stack grows on."""
        return self.made_base.id if self.made_base else self.pin.commit

    @property
    def ref(self) -> str:
        """The cache's ref for this extent."""
        return f"refs/porter/{'pin' if self.whole else 'partial'}/{self.base}"

    @property
    def ids(self) -> list[str]:
        """The ids of every object: the base, the folders', the files'; each once."""
        return list(dict.fromkeys([self.base, *(tree.id for tree in self.trees), *self.blobs]))

    @property
    def blobs(self) -> list[str]:
        """The ids of the files' blobs, each once."""
        return list(dict.fromkeys(entry.id for entry in self.files.values()))

    @cached_property
    def labels(self) -> dict[str, str]:
        """Id -> what a message calls that object: a path, a folder, the commit."""
        labels = {self.base: f"the commit of {self.pin.name} {self.pin.tag}"}
        by_id = {tree.id: tree for tree in self.trees}

        def walk(tree: Object, folder: str) -> None:
            labels.setdefault(tree.id, f"the folder {folder}" if folder else "the root folder")
            for name, entry in parse_tree(tree.data).items():
                if entry.id in by_id:
                    walk(by_id[entry.id], f"{folder}{name}/")

        walk(self.trees[-1], "")
        for path, entry in self.files.items():
            labels.setdefault(entry.id, path)
        return labels

    def snapshot(self, objects: Mapping[str, Object]) -> Snapshot:
        """The snapshot of the base commit and the blobs among ``objects``, each already checked."""
        base = objects[self.base]
        kept = {i: objects[i] for i in (self.base, *self.blobs)}
        kept.update((tree.id, tree) for tree in self.trees)
        shallow = b"\nparent " in base.data.partition(b"\n\n")[0]
        return Snapshot(self.base, self.files, kept, self.missing, shallow, partial=not self.whole)


def of_index(pin: Pin, source: IndexSource) -> Extent:
    """What a package index has of a pin."""
    here = source.files
    return Extent(pin, {path: entry for path, entry in pin.files.items() if path in here}, has_commit=False)


def extents(lock: Lock) -> list[Extent]:
    """What the lock's sources can give: the whole pin first, then what each package index has."""
    found = [Extent(lock.pin, lock.pin.files)]
    for source in lock.sources:
        if isinstance(source, IndexSource):
            found.append(of_index(lock.pin, source))
    return found
