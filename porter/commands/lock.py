"""Write down what each stack makes of the pin, or check what is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from porter.lockfile import Lock
from porter.output import Progress
from porter.project import Project
from porter.sources.obtain import obtain
from porter.stack import load_parts, relock


@dataclass(frozen=True)
class Locked:
    """What :func:`lock` found: the stacks that the lock did not describe as they are; whether it does by now."""

    stale: tuple[str, ...]
    written: bool

    def record(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        return {"stale": list(self.stale), "written": self.written}


def updated(project: Project, upstream: str | None = None, progress: Progress | None = None) -> tuple[Lock, Lock]:
    """The lock as it is, and as it should be for the patches as they are.

    Raises:
        CheckFailed: a stack is malformed or does not apply, or changes a file that the source of upstream lacks.
        SurroundingsFailed: upstream cannot be had.
    """
    lock = Lock.load(project.lock_path)
    parts = load_parts(project)
    return lock, relock(lock, parts, obtain(lock, upstream, progress=progress), progress or Progress())


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
