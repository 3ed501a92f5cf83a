"""A stack: the ordered patches of one or more targets, ``common`` first, and the commits they become.

A folder ``patches/NAME/`` holds one part: a file ``series`` with one patch's name a line (``#`` begins a
comment), and the patches.  Everything that makes a commit's id comes from the patch: author and committer,
both dates, message, tree.  So the ids are the same on every machine, and a stack's last commit says it all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from porter import diff, objects
from porter.errors import CheckFailed, SurroundingsFailed, WrongUsage
from porter.objects import Entry, Files, Object
from porter.patch import Patch, PatchFailed
from porter.project import Project
from porter.snapshot import Snapshot

COMMON = "common"
SERIES = "series"


def key(targets: Iterable[str]) -> str:
    """The name of a set of targets: ``mlu``, ``tpu``, ``mlu+tpu``."""
    return "+".join(sorted(set(targets)))


def available(patches: Path) -> tuple[str, ...]:
    """The targets that a folder of stacks has a stack for, sorted."""
    found = (folder.name for folder in patches.iterdir() if (folder / SERIES).is_file()) if patches.is_dir() else ()
    return tuple(sorted(name for name in found if name != COMMON and not name.startswith(".")))  # .NAME: made aside


def combined(targets: Iterable[str]) -> list[tuple[str, ...]]:
    """Every set of targets that a tree can hold, single ones first."""
    names = sorted(set(targets))
    return [chosen for size in range(1, len(names) + 1) for chosen in combinations(names, size)]


def series(folder: Path) -> list[tuple[int, str]]:
    """The names in a folder's ``series`` with their line numbers.

    Raises:
        CheckFailed: there is no such file, or a line of it is not a file's name.
        SurroundingsFailed: it cannot be read.
    """
    path = folder / SERIES
    where = f"{folder.name}/{SERIES}"
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise CheckFailed(f"there is no {path}", hint="It lists the patches in order, one file name a line.") from error
    except UnicodeDecodeError as error:
        raise CheckFailed(f"{where} is not UTF-8", str(error)) from error
    except OSError as error:
        raise SurroundingsFailed(f"cannot read {path}", error.strerror or str(error)) from error
    names = []
    for number, line in enumerate(text.split("\n"), 1):
        name = line.partition("#")[0].strip()
        if "/" in name or name.startswith("."):
            raise CheckFailed(f"{where}, line {number}: not the name of a file in its folder: {name}")
        if name:
            names.append((number, name))
    return names


@dataclass(frozen=True)
class Built:
    """One patch as a commit: its id, its tree's, and the hunks that were not where their headers say."""

    patch: Patch
    commit: str
    tree: str
    moved: tuple[tuple[str, diff.Placed], ...] = ()


@dataclass(frozen=True)
class Build:
    """A stack on a base.

    Attributes:
        base: the commit it grows on.
        commits: one per patch, in order.
        objects: id -> object, all that the commits add.
        files: path -> entry, the result.
        touched: path -> blob id in the result for every path that a patch names, None where it is gone.
    """

    base: str
    commits: tuple[Built, ...]
    objects: Mapping[str, Object]
    files: Mapping[str, Entry]
    touched: Mapping[str, str | None]

    @property
    def tip(self) -> str:
        """The last commit's id; the base's for an empty stack."""
        return self.commits[-1].commit if self.commits else self.base

    @property
    def tree(self) -> str:
        """The last commit's tree."""
        return self.commits[-1].tree if self.commits else objects.trees(self.files)[-1].id


@dataclass(frozen=True)
class Stack:
    """The patches for a set of targets, in the order in which they are applied."""

    targets: tuple[str, ...]
    patches: tuple[Patch, ...]

    @property
    def key(self) -> str:
        """The stack's name: ``mlu``, ``mlu+tpu``."""
        return key(self.targets)

    @property
    def branch(self) -> str:
        """The branch that holds the stack in a tree."""
        return f"porter/{self.key}"

    @property
    def digest(self) -> str:
        """SHA-256 over the patches' names and bytes, in order."""
        total = hashlib.sha256()
        for patch in self.patches:
            total.update(b"%s\0%d\0" % (patch.id.encode(), len(patch.data)))
            total.update(patch.data)
        return total.hexdigest()

    @property
    def paths(self) -> set[str]:
        """Every path that a patch names."""
        return {path for patch in self.patches for change in patch.changes for path in (change.old, change.new)}

    @classmethod
    def load(cls, project: Project, targets: Iterable[str]) -> Stack:
        """``common`` and the targets' own patches, the targets in sorted order.

        Raises:
            WrongUsage: no target, or one that there is no stack for.
            CheckFailed: a series or a patch is malformed.
            SurroundingsFailed: a file cannot be read.
        """
        names = tuple(sorted(set(targets)))
        known = available(project.patches)
        if not names:
            raise WrongUsage("no target named", hint=f"Name one with --target: {', '.join(known)}.")
        for name in names:
            if name not in known:
                raise WrongUsage(f"there is no target {name!r}", hint=f"Known targets: {', '.join(known) or 'none'}.")
        return cls(names, tuple(patch for part in (COMMON, *names) for patch in load_part(project.patches / part)))

    def build(self, snapshot: Snapshot) -> Build:
        """The stack's commits on a snapshot, made in memory.

        Raises:
            PatchFailed: a patch does not apply.
        """
        tree, contents = Files(snapshot.files), Contents(snapshot.objects)
        # the first commit's tree is asked for below; what the base has already is not made a second time
        tree.write()
        made: dict[str, Object] = {}
        commits: list[Built] = []
        parent = snapshot.base
        for patch in self.patches:
            moved = _apply(patch, tree, contents, snapshot.missing).moved
            root, folders = tree.write()
            who = f"{patch.author} {patch.date}"
            commit = objects.commit(root, (parent,), who, who, patch.message)
            made.update((item.id, item) for item in (*folders, commit))
            commits.append(Built(patch, commit.id, root, moved))
            parent = commit.id
        touched = {path: entry.id if entry else None for path, entry in ((p, tree.get(p)) for p in sorted(self.paths))}
        files = dict(snapshot.files)
        for path in touched:
            entry = tree.get(path)
            if entry:
                files[path] = entry
            else:
                files.pop(path, None)
        return Build(snapshot.base, tuple(commits), {**contents.made, **made}, files, touched)


def load_part(folder: Path) -> list[Patch]:
    """The patches of one folder, in the order of its series."""
    return [Patch.read(folder / name, folder.name) for _, name in series(folder)]


class Contents:
    """Blobs by id: those that somebody knows, and those that patches made.

    Attributes:
        made: id -> blob, what was added.
    """

    def __init__(self, known: Mapping[str, Object]) -> None:
        self._known = known
        self.made: dict[str, Object] = {}

    def __getitem__(self, blob: str) -> bytes:
        return (self.made[blob] if blob in self.made else self._known[blob]).data

    def add(self, data: bytes) -> str:
        """Keep ``data`` as a blob; its id."""
        made = objects.blob(data)
        return self.made.setdefault(made.id, made).id


@dataclass(frozen=True)
class Effect:
    """What a patch does to a tree.

    Attributes:
        files: path -> the file's entry afterwards, None where it is gone.
        moved: path and hunk, for the hunks that were not where their headers say.
    """

    files: Mapping[str, Entry | None]
    moved: tuple[tuple[str, diff.Placed], ...]


def effect(
    patch: Patch, lookup: Callable[[str], Entry | None], contents: Contents, missing: Iterable[str] = ()
) -> Effect:
    """What a patch does to the tree that ``lookup`` looks into; new blobs go into ``contents``.

    Every change is worked out on the files before the patch, as in git.  Whether a folder stands where a file is
    to go is the caller's to see.

    Args:
        lookup: path -> the file's entry, or None.
        missing: the files that upstream has and its source had not.

    Raises:
        PatchFailed: it does not apply.
    """
    results: dict[str, Entry | None] = {}
    moved: list[tuple[str, diff.Placed]] = []
    for change in patch.changes:
        try:
            before = _before(change, lookup, missing)
            data, displaced = change.apply(contents[before.id] if before else b"")
        except diff.Mismatch as error:
            raise PatchFailed(patch.id, change.old, error) from error
        moved += [(change.new, placed) for placed in displaced]
        if change.kind in ("delete", "rename"):
            results[change.old] = None
        if change.kind != "delete":
            mode = change.new_mode or (before.mode if before else "100644")
            results[change.new] = Entry(mode, contents.add(data))
    return Effect(results, tuple(moved))


def _apply(patch: Patch, tree: Files, contents: Contents, missing: Iterable[str]) -> Effect:
    """Apply one patch to the tree."""
    done = effect(patch, tree.get, contents, missing)
    for path, entry in done.files.items():
        if entry is None:
            del tree[path]
    for path, entry in done.files.items():
        if entry is None:
            continue
        try:
            tree[path] = entry
        except (NotADirectoryError, IsADirectoryError) as error:
            reason = "a folder of its path is a file" if isinstance(error, NotADirectoryError) else "it is a folder"
            raise PatchFailed(patch.id, path, diff.Mismatch(reason)) from error
    return done


def _before(change: diff.Change, lookup: Callable[[str], Entry | None], missing: Iterable[str]) -> Entry | None:
    """The entry that a change begins with."""
    before = lookup(change.old)
    if change.kind == "add":
        if before:
            raise diff.Mismatch("the file is there already")
        return None
    if change.kind == "rename" and lookup(change.new):
        raise diff.Mismatch(f"{change.new} is there already")
    if before is None:
        lacking = change.old in set(missing)
        raise diff.Mismatch("the source of upstream had not this file" if lacking else "there is no such file")
    return before
