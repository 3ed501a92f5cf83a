"""Write down what each stack makes of the pin, or check what is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from porter.lockfile import Lock, StackLock, Tip
from porter.patch import Patch, PatchFailed
from porter.progress import Progress
from porter.project import Project
from porter.snapshot import Snapshot, extents
from porter.sources import obtain
from porter.stack import COMMON, Build, Builder, Stack, combined, load_parts


@dataclass(frozen=True)
class Locked:
    """What :func:`lock` found: the stacks that the lock did not describe as they are; whether it does by now."""

    stale: tuple[str, ...]
    written: bool

    def record(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        return {"stale": list(self.stale), "written": self.written}


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

    def build(self, stack: Stack) -> Build:
        """The stack on the whole pin.

        Raises:
            PatchFailed: a patch does not apply.
        """
        return self.builder.build(stack)

    def survey(self, stack: Stack) -> StackLock:
        """What the lock should say about a stack.

        Raises:
            PatchFailed: a patch does not apply.
        """
        build = self.build(stack)
        partial = None
        for builder in self._parts:
            try:
                short = builder.build(stack)
                partial = Tip(short.tip, short.tree)
            except PatchFailed:  # it needs a file that the index does not have: there is no partial tree of it
                continue
        return StackLock(stack.digest, build.tip, build.tree, build.touched, partial)


def stacks(parts: Mapping[str, Sequence[Patch]]) -> list[Stack]:
    """Every stack that a tree can hold, of loaded parts."""
    return [Stack.of(parts, targets) for targets in combined(set(parts) - {COMMON})]


def updated(project: Project, upstream: str | None = None, progress: Progress | None = None) -> tuple[Lock, Lock]:
    """The lock as it is, and as it should be for the patches as they are.

    Raises:
        CheckFailed: a stack is malformed or does not apply, or changes a file that the source of upstream lacks.
        SurroundingsFailed: upstream cannot be had.
    """
    lock = Lock.load(project.lock_path)
    parts = load_parts(project)
    surveyor = Surveyor(lock, obtain(lock, upstream, progress=progress))
    whole, found = stacks(parts), {}
    for number, stack in enumerate(whole):
        (progress or Progress()).step("building the stacks", number, len(whole))
        found[stack.key] = surveyor.survey(stack)
    return lock, replace(lock, stacks=found)


def lock(
    project: Project, upstream: str | None = None, check: bool = False, progress: Progress | None = None
) -> Locked:
    """Bring the lock in step with the patches, or only look whether it is.

    Raises:
        CheckFailed: as :func:`updated`.
        WrongUsage: the lock came with the installed package.
        SurroundingsFailed: upstream cannot be had, or the lock cannot be written.
    """
    if not check:
        project.must_be_a_checkout()
    before, after = updated(project, upstream, progress)
    names = sorted({*before.stacks, *after.stacks})
    stale = tuple(name for name in names if before.stacks.get(name) != after.stacks.get(name))
    if stale and not check:
        after.write(project.lock_path)
    return Locked(stale, written=bool(stale) and not check)
