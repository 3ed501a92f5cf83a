"""A stack: the ordered patches of one or more targets, ``common`` first, and the commits they become.

A folder ``patches/NAME/`` holds one part: a file ``series`` with one patch's name a line (``#`` begins a
comment), and the patches.  Everything that makes a commit's id comes from the patch: author and committer,
both dates, message, tree.  So the ids are the same on every machine, and a stack's last commit says it all.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

from porter import diff, objects
from porter.errors import CheckFailed, SurroundingsFailed, WrongUsage
from porter.lockfile import Lock, StackLock, Tip
from porter.objects import Entry, Files, Object
from porter.output import Progress
from porter.patch import Patch, PatchFailed
from porter.project import Project
from porter.sources.snapshot import Snapshot, extents

COMMON = "common"
SERIES = "series"
_LACKING = "the source of upstream had not this file"


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


def digest(patches: Iterable[tuple[str, bytes]]) -> str:
    """SHA-256 over patches' names (``common/….patch``) and bytes, in order."""
    total = hashlib.sha256()
    for name, data in patches:
        total.update(b"%s\0%d\0" % (name.encode(), len(data)))
        total.update(data)
    return total.hexdigest()


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

    def end(self, part: str) -> str:
        """The commit at which the patches of ``common`` end, or those of the first target on it."""
        own = (COMMON,) if part == COMMON else (COMMON, part)
        return next((built.commit for built in reversed(self.commits) if built.patch.stack in own), self.base)


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
        """See :func:`digest`."""
        return digest((patch.id, patch.data) for patch in self.patches)

    @property
    def paths(self) -> set[str]:
        """Every path that a patch names."""
        return _paths(self.patches)

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
        must_be_known(names, known)
        return cls.of({part: load_part(project.patches / part) for part in (COMMON, *names)}, names)

    @classmethod
    def of(cls, parts: Mapping[str, Sequence[Patch]], targets: Iterable[str]) -> Stack:
        """The stack of ``targets`` out of loaded parts, stack's name -> patches."""
        names = tuple(sorted(set(targets)))
        return cls(names, tuple(patch for part in (COMMON, *names) for patch in parts[part]))

    def build(self, snapshot: Snapshot) -> Build:
        """The stack's commits on a snapshot, made in memory.

        Raises:
            PatchFailed: a patch does not apply.
        """
        return Builder(snapshot).build(self)


def _paths(patches: Iterable[Patch]) -> set[str]:
    return {path for patch in patches for change in patch.changes for path in (change.old, change.new)}


def load_part(folder: Path) -> list[Patch]:
    """The patches of one folder, in the order of its series."""
    names = [name for _, name in series(folder)]
    return [replace(Patch.read(folder / name, folder.name), number=n) for n, name in enumerate(names, 1)]


def load_parts(project: Project) -> dict[str, list[Patch]]:
    """Every stack's patches, ``common`` first, then the targets by name.

    Raises:
        CheckFailed: a series or a patch is malformed.
    """
    return {part: load_part(project.patches / part) for part in (COMMON, *available(project.patches))}


def find_patch(project: Project, name: str) -> Patch:
    """The patch that ``name`` means: ``3``, ``common/3``, or how its file name begins, or a part of that name.

    Raises:
        WrongUsage: none or several fit.
        CheckFailed: a stack is malformed.
    """
    stack, slash, rest = name.rpartition("/")
    stacks = (COMMON, *available(project.patches))
    if slash and stack not in stacks:
        raise WrongUsage(f"there is no stack {stack!r}", hint=f"Known: {', '.join(stacks)}.")
    patches = [patch for part in ([stack] if slash else stacks) for patch in load_part(project.patches / part)]
    for fits in (_same, _begins, _holds):
        found = [patch for patch in patches if fits(patch, rest)]
        if len(found) == 1:
            return found[0]
        if found:
            several = "\n".join(patch.id for patch in found)
            raise WrongUsage(f"{name} means {len(found)} patches", several, f"Say which: {found[0].stack}/{rest}.")
    parts = [[patch for patch in patches if patch.stack == part] for part in stacks]
    there = ", ".join(f"{part[0].stack}/{part[0].number} to {part[-1].number}" for part in parts if part)
    raise WrongUsage(f"there is no patch {name}", hint=f"There are {there}; `porter status TREE` says their subjects.")


def _same(patch: Patch, name: str) -> bool:
    return name == patch.name or (name.isdecimal() and int(name) == patch.number)


def _begins(patch: Patch, name: str) -> bool:
    return bool(name) and patch.name.startswith(name.lower())


def _holds(patch: Patch, name: str) -> bool:
    return bool(name) and name.lower() in patch.name


_Effects = dict[tuple[object, ...], "Effect"]
# Whatever builder made them: a build follows from the files and the patches alone, and what one command does in several
# steps (plan, apply, look at the result) would build the same stack in each.
_builds: OrderedDict[tuple[object, ...], Build] = OrderedDict()
_MOST_BUILDS = 16


def must_be_known(targets: Iterable[str], known: Sequence[str]) -> None:
    """Refuse a target that there is no stack for.

    Raises:
        WrongUsage: one is not among the known ones.
    """
    for name in targets:
        if name not in known:
            several = " Name --target once for each." if "," in name or "+" in name else ""
            hint = f"Known targets: {', '.join(known) or 'none'}.{several}"
            raise WrongUsage(f"there is no target {name!r}", hint=hint)


class Builder:
    """Builds stacks on one snapshot.  What stacks have in common, ``common`` above all, is built once.

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

    def build(self, stack: Stack) -> Build:
        """The stack's commits, made in memory.

        Raises:
            PatchFailed: a patch does not apply.
        """
        keys = [(patch.id, patch.data) for patch in stack.patches]
        name = (self._base, tuple(keys))
        if name in _builds:
            return _builds[name]
        ends = [n for n, patch in enumerate(stack.patches) if n and patch.stack != stack.patches[n - 1].stack]
        ends += [len(keys)] if keys else []
        begun = max((n for n in ends if tuple(keys[:n]) in self._known), default=0)
        state = self._known[tuple(keys[:begun])].copy()
        commits = list(state.commits)
        for number, patch in enumerate(stack.patches[begun:], begun + 1):
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
        tree, paths = state.tree, sorted(stack.paths)
        touched = {path: entry.id if entry else None for path, entry in ((p, tree.get(p)) for p in paths)}
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
            if before and before.id not in contents:
                raise diff.Mismatch(_LACKING)
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
    """The entry that a change begins with."""
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


def agree(lock: Lock, stack: Stack, build: Build, partial: bool) -> None:
    """Check a built stack against the lock.

    The lock says of ``common``, and of each target's own patches on ``common``, what they are and where they end.  What
    several targets make together follows from that: each one's patches are those of the lock.

    Raises:
        CheckFailed: they differ.
    """
    hint = "If the patches were meant to change: `porter lock`. Else restore them from git, or reinstall porter."
    for part in (COMMON, *stack.targets):
        locked = lock.stacks.get(part)
        if locked is None:
            raise CheckFailed(f"upstream.lock does not know the stack {part}", hint=hint)
        found = digest((patch.id, patch.data) for patch in stack.patches if patch.stack == part)
        if locked.digest != found:
            why = f"expected digest {locked.digest}\nfound    digest {found}"
            raise CheckFailed(f"the patches of {part} are not those of upstream.lock", why, hint)
    if len(stack.targets) < 2:
        expected = {path: blob for part in (COMMON, *stack.targets) for path, blob in lock.stacks[part].files.items()}
        wrong = sorted(
            path
            for path in {*expected, *build.touched}
            if expected.get(path, "nothing") != build.touched.get(path, "nothing")
        )
        if wrong:
            why = "\n".join(f"{path}: expected {expected.get(path)}, found {build.touched.get(path)}" for path in wrong)
            raise CheckFailed(f"{stack.key or COMMON} does not give the files of upstream.lock", why, hint)
    for part in (COMMON, *stack.targets[:1]):  # where the next target's patches begin depends on the ones before
        end = lock.stacks[part].partial if partial else lock.stacks[part]
        if end and end.commit != build.end(part):
            why = f"expected commit {end.commit}\nfound    commit {build.end(part)}"
            raise CheckFailed(f"{part} does not end where upstream.lock says", why, hint)


class Surveyor:
    """Builds stacks on the pin and on each part of it that a package index has.

    Attributes:
        builder: builds on the whole pin.

    Args:
        lock: whose pin.
        snapshot: the pin's files.  A part of them will do as long as no patch changes another: everything but the
            changed files' contents stands in the lock.
    """

    def __init__(self, lock: Lock, snapshot: Snapshot) -> None:
        pin = lock.pin
        self.builder = Builder(Snapshot(pin.commit, pin.files, snapshot.objects, snapshot.missing))
        self._parts: list[Builder] = []
        for extent in extents(lock)[1:]:
            base = extent.made_base
            if base:
                known = {**snapshot.objects, base.id: base}
                part = Snapshot(base.id, extent.files, known, extent.missing, shallow=False)
                self._parts.append(Builder(part, like=self.builder))

    def survey(self, stack: Stack) -> StackLock:
        """What the lock should say about the last part of a stack: ``common``, or one target's own patches on it.

        Raises:
            PatchFailed: a patch does not apply.
        """
        part = stack.targets[-1] if stack.targets else COMMON
        own = [patch for patch in stack.patches if patch.stack == part]
        build = self.builder.build(stack)
        partial = None
        for builder in self._parts:
            try:
                short = builder.build(stack)
                partial = Tip(short.tip, short.tree)
            except PatchFailed:  # it needs a file that the index does not have: there is no partial tree of it
                continue
        files = {path: build.touched[path] for path in _paths(own)}
        return StackLock(digest((patch.id, patch.data) for patch in own), build.tip, build.tree, files, partial)


def single_stacks(parts: Mapping[str, Sequence[Patch]]) -> dict[str, Stack]:
    """What the lock describes: ``common`` alone, and each target's stack, by the part's name."""
    return {part: Stack.of(parts, [] if part == COMMON else [part]) for part in parts}


def tried_together(parts: Mapping[str, Sequence[Patch]]) -> list[Stack]:
    """The stacks that have to apply: each target's, each two targets' together, and all targets'."""
    names = sorted(set(parts) - {COMMON})
    sets = dict.fromkeys(chosen for size in (1, 2, len(names)) for chosen in combinations(names, size))
    return [Stack.of(parts, targets) for targets in sets]


def relock(lock: Lock, parts: Mapping[str, Sequence[Patch]], snapshot: Snapshot, progress: Progress) -> Lock:
    """The lock as it should be for loaded parts, with the pin as it is.

    Raises:
        PatchFailed: a patch does not apply.
    """
    surveyor = Surveyor(lock, snapshot)
    whole, found = single_stacks(parts), {}
    for number, (part, stack) in enumerate(whole.items()):
        progress.step("building the stacks", number, len(whole))
        found[part] = surveyor.survey(stack)
    return replace(lock, stacks=found)
