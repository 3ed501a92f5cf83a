"""Write down what each stack makes of the pin, or check what is written."""

from __future__ import annotations

from dataclasses import replace

from porter.errors import SurroundingsFailed
from porter.lock import Lock, StackLock, Tip
from porter.patch import PatchFailed
from porter.progress import Progress
from porter.project import Project
from porter.snapshot import Snapshot, extents
from porter.stack import Stack, available, combined
from porter.upstream import obtain


def stack_lock(lock: Lock, stack: Stack, snapshot: Snapshot) -> StackLock:
    """What the lock should say about a stack; ``snapshot`` is the whole pin.

    Raises:
        PatchFailed: a patch does not apply.
    """
    build = stack.build(snapshot)
    partial = None
    for extent in extents(lock)[1:]:
        base = extent.made_base
        if base:
            part = Snapshot(base.id, extent.files, {**snapshot.objects, base.id: base}, extent.missing, shallow=False)
            try:
                short = stack.build(part)
                partial = Tip(short.tip, short.tree)
            except PatchFailed:  # it needs a file that the index does not have: there is no partial tree of it
                continue
    return StackLock(stack.digest, build.tip, build.tree, build.touched, partial)


def updated(project: Project, upstream: str | None = None, progress: Progress | None = None) -> tuple[Lock, Lock]:
    """The lock as it is, and as it should be for the patches as they are.

    Raises:
        CheckFailed: a stack is malformed or does not apply.
        SurroundingsFailed: upstream cannot be had, or not all of its files.
    """
    lock = Lock.load(project.lock_path)
    snapshot = obtain(lock, upstream, progress=progress)
    if snapshot.partial:
        raise SurroundingsFailed(
            f"the lock needs all files of {lock.pin.name}, and {len(snapshot.missing)} are missing here",
            hint="Get them from a clone: porter upstream fetch --upstream PATH|URL",
        )
    stacks = {}
    for targets in combined(available(project.patches)):
        stack = Stack.load(project, targets)
        stacks[stack.key] = stack_lock(lock, stack, snapshot)
    return lock, replace(lock, stacks=stacks)
