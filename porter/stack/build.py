"""The commits that patches become on upstream's files, made in memory.

Everything that makes a commit's id comes from the patch: author and committer, both dates, message, tree.  So the ids
are the same on every machine.  They are those that ``git am`` gives with the author as committer, which takes several
times as long: benchmarks/README.md.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from porter.git import objects
from porter.git.objects import Entry, Files, Object
from porter.patch import Patch, PatchFailed, diff
from porter.sources.snapshot import Snapshot

_LACKING = "the source of upstream had not this file"


def commit_of(patch: Patch, tree: str, parent: str) -> objects.Object:
    """The commit of a patch: nothing but the patch, the tree's id and the parent's decides its id."""
    who = f"{patch.author} {patch.date}"
    return objects.commit(tree, (parent,), who, who, patch.message)


@dataclass(frozen=True)
class Built:
    """One patch as a commit: its id, its tree's, and the hunks that were not where their headers say."""

    patch: Patch
    commit: str
    tree: str
    moved: tuple[tuple[str, diff.MovedHunk], ...] = ()


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

    def end(self, *stacks: str) -> str:
        """The last commit of a patch of these stacks; the base where they have none."""
        return next((built.commit for built in reversed(self.commits) if built.patch.stack in stacks), self.base)


def paths(patches: Iterable[Patch]) -> set[str]:
    return {path for patch in patches for change in patch.changes for path in (change.old, change.new)}


_Effects = dict[tuple[object, ...], "Effect"]
# Whatever builder made them: a build follows from the files and the patches alone, and what one command does in several
# steps (plan, apply, look at the result) would build the same stack in each.
_builds: OrderedDict[tuple[object, ...], Build] = OrderedDict()
_MOST_BUILDS = 16


class Builder:
    """Builds stacks on one snapshot.  What several begin with, ``common`` above all, is built once.

    Args:
        like: a builder on other files of the same upstream, with the same objects at hand: what a patch does to
            files that are alike is worked out once for both.
    """

    def __init__(self, snapshot: Snapshot, like: Builder | None = None) -> None:
        self._snapshot = snapshot
        self._base = (snapshot.base, snapshot.missing, tuple(snapshot.files.items()))
        self._contents: Contents = like._contents if like else Contents(snapshot.objects)
        self._effects: _Effects = like._effects if like else {}
        tree = Files(snapshot.files)
        # the first commit's tree is asked for in build(); what the base has already is not made a second time
        tree.write()
        # the patches of a stack's first parts -> how far they lead
        self._known: dict[tuple[tuple[str, bytes], ...], _State] = {(): _State(tree, {}, (), snapshot.base)}

    def build(self, patches: Sequence[Patch]) -> Build:
        """The commits of patches in their order, made in memory.

        Raises:
            PatchFailed: a patch does not apply.
        """
        keys = [(patch.id, patch.data) for patch in patches]
        name = (self._base, tuple(keys))
        if name in _builds:
            return _builds[name]
        ends = [n for n, patch in enumerate(patches) if n and patch.stack != patches[n - 1].stack]
        ends += [len(keys)] if keys else []
        begun = max((n for n in ends if tuple(keys[:n]) in self._known), default=0)
        state = self._known[tuple(keys[:begun])].copy()
        commits = list(state.commits)
        for number, patch in enumerate(patches[begun:], begun + 1):
            done = self._effect(patch, state.tree)
            _change(patch, state.tree, done)
            root, folders = state.tree.write()
            commit = commit_of(patch, root, state.tip)
            blobs = (self._contents.made[entry.id] for entry in done.files.values() if entry)
            state.made.update((item.id, item) for item in (*blobs, *folders, commit))
            commits.append(Built(patch, commit.id, root, done.moved))
            state.tip = commit.id
            if number in ends:
                state.commits = tuple(commits)
                self._known[tuple(keys[:number])] = state.copy()
        tree = state.tree
        touched = {
            path: entry.id if entry else None for path, entry in ((p, tree.get(p)) for p in sorted(paths(patches)))
        }
        files = dict(self._snapshot.files)
        objects.step(files, {path: tree.get(path) for path in touched})
        build = Build(self._snapshot.base, tuple(commits), state.made, files, touched)
        _builds[name] = build
        if len(_builds) > _MOST_BUILDS:
            _builds.popitem(last=False)
        return build

    def _effect(self, patch: Patch, tree: Files) -> Effect:
        """What a patch does to the files that it names, as they are in the tree."""
        there = tuple(tree.get(path) for change in patch.changes for path in (change.old, change.new))
        key = (patch.id, patch.data, there)
        if key not in self._effects:
            self._effects[key] = effect(patch, tree.get, self._contents, self._snapshot.missing)
        return self._effects[key]


@dataclass
class _State:
    """How far a build has come: the files, the objects made, the commits, the last one's id."""

    tree: Files
    made: dict[str, Object]
    commits: tuple[Built, ...]
    tip: str

    def copy(self) -> _State:
        """One that can go on by itself."""
        return _State(self.tree.copy(), dict(self.made), self.commits, self.tip)


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

    def __contains__(self, blob: str) -> bool:
        return blob in self.made or blob in self._known

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
    moved: tuple[tuple[str, diff.MovedHunk], ...]


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
    moved: list[tuple[str, diff.MovedHunk]] = []
    for change in patch.changes:
        try:
            before = _before(change, lookup, missing)
            if before and before.id not in contents:
                raise diff.Mismatch(_LACKING)
            data, displaced = change.apply(contents[before.id] if before else b"")
        except diff.Mismatch as error:
            raise PatchFailed(patch.id, change.old, error) from error
        moved += [(change.new, hunk) for hunk in displaced]
        if change.kind in ("delete", "rename"):
            results[change.old] = None
        if change.kind != "delete":
            mode = change.new_mode or (before.mode if before else "100644")
            results[change.new] = Entry(mode, contents.add(data))
    return Effect(results, tuple(moved))


def _change(patch: Patch, tree: Files, done: Effect) -> None:
    """Change the tree's files."""
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


def _before(change: diff.Change, lookup: Callable[[str], Entry | None], missing: Iterable[str]) -> Entry | None:
    before = lookup(change.old)
    if change.kind == "add":
        if before:
            raise diff.Mismatch("the file is there already")
        return None
    if change.kind == "rename" and lookup(change.new):
        raise diff.Mismatch(f"{change.new} is there already")
    if before is None:
        raise diff.Mismatch(_LACKING if change.old in set(missing) else "there is no such file")
    return before
