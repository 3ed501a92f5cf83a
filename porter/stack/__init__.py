"""A stack: the ordered patches of one or more targets, ``common`` first, and the commits they become.

A folder ``patches/NAME/`` holds one part: a file ``series`` with one patch's name a line (``#`` begins a
comment), and the patches.  What commits they become is decided in :mod:`porter.stack.build`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

from porter.errors import CheckFailed, WrongUsage, refused
from porter.lockfile import Lock, StackLock, Tip
from porter.output import Progress, counted
from porter.patch import Patch, PatchFailed
from porter.project import Project
from porter.sources.snapshot import Snapshot, extents
from porter.stack.build import Build, Builder, paths

COMMON = "common"
SERIES = "series"


def key(targets: Iterable[str]) -> str:
    """The name of a set of targets: ``mlu``, ``tpu``, ``mlu+tpu``."""
    return "+".join(sorted(set(targets)))


def available(patches: Path) -> tuple[str, ...]:
    """The targets that a folder of stacks has a stack for, sorted."""
    found = (folder.name for folder in patches.iterdir() if (folder / SERIES).is_file()) if patches.is_dir() else ()
    return tuple(
        sorted(name for name in found if name != COMMON and not name.startswith("."))
    )  # .NAME: a staging folder


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
        EnvironmentFailed: it cannot be read.
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
        raise refused(f"cannot read {path}", error) from error
    names = []
    for number, line in enumerate(text.split("\n"), 1):
        name = line.partition("#")[0].strip()
        if "/" in name or name.startswith("."):
            raise CheckFailed(f"{where}, line {number}: not the name of a file in its folder: {name}")
        if name:
            names.append((number, name))
    return names


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
        return paths(self.patches)

    @classmethod
    def load(cls, project: Project, targets: Iterable[str]) -> Stack:
        """``common`` and the targets' own patches, the targets in sorted order.

        Raises:
            WrongUsage: no target, or one that there is no stack for.
            CheckFailed: a series or a patch is malformed.
            EnvironmentFailed: a file cannot be read.
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
        return Builder(snapshot).build(self.patches)


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
            raise WrongUsage(
                f"{name} means {counted(len(found), 'patch')}", several, f"Say which: {found[0].stack}/{rest}."
            )
    parts = [[patch for patch in patches if patch.stack == part] for part in stacks]
    there = ", ".join(f"{part[0].stack}/{part[0].number} to {part[-1].number}" for part in parts if part)
    raise WrongUsage(f"there is no patch {name}", hint=f"There are {there}; `porter status TREE` says their subjects.")


def _same(patch: Patch, name: str) -> bool:
    return name == patch.name or (name.isdecimal() and int(name) == patch.number)


def _begins(patch: Patch, name: str) -> bool:
    return bool(name) and not name.isdecimal() and patch.name.startswith(name.lower())


def _holds(patch: Patch, name: str) -> bool:
    return bool(name) and not name.isdecimal() and name.lower() in patch.name  # a number is a place


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


def check_against_lock(lock: Lock, stack: Stack, build: Build, partial: bool) -> None:
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
        found = build.end(COMMON, part)
        if end and end.commit != found:
            why = f"expected commit {end.commit}\nfound    commit {found}"
            raise CheckFailed(f"{part} does not end where upstream.lock says", why, hint)


class LockCalculator:
    """Works out what the lock should say of stacks, on the pin and on each part of it that a package index has.

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

    def calculate(self, stack: Stack) -> StackLock:
        """What the lock should say about the last part of a stack: ``common``, or one target's own patches on it.

        Raises:
            PatchFailed: a patch does not apply.
        """
        part = stack.targets[-1] if stack.targets else COMMON
        own = [patch for patch in stack.patches if patch.stack == part]
        build = self.builder.build(stack.patches)
        partial = None
        for builder in self._parts:
            try:
                short = builder.build(stack.patches)
                partial = Tip(short.tip, short.tree)
            except PatchFailed:  # it needs a file that the index does not have: there is no partial tree of it
                continue
        files = {path: build.touched[path] for path in paths(own)}
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
    calculator = LockCalculator(lock, snapshot)
    whole, found = single_stacks(parts), {}
    for number, (part, stack) in enumerate(whole.items()):
        progress.step("building the stacks", number, len(whole))
        found[part] = calculator.calculate(stack)
    return replace(lock, stacks=found)
