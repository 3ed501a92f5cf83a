"""Look at the patches, and keep the lock in step with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from porter.api.given import AnyProject, find

if TYPE_CHECKING:
    from porter.commands.lint import Finding
    from porter.commands.lock import Locked
    from porter.output import Progress
    from porter.patch import Patch
    from porter.target import Target


def targets(*, project: AnyProject = None) -> list[Target]:
    """The device families that there are stacks for, by name.

    Raises:
        WrongUsage: a ``target.yaml`` is malformed.
    """
    from porter.target import load_all

    return load_all(find(project))


def show(name: str, *, project: AnyProject = None) -> Patch:
    """A patch, by what a person remembers of it.

    Args:
        name: its number (``3``), stack and number (``common/3``), or the beginning of its name, with or without number.

    Raises:
        WrongUsage: no patch or several are meant.
        CheckFailed: a stack is malformed.
    """
    from porter.stack import find_patch

    return find_patch(find(project), name)


def lint(*, upstream: str | None = None, project: AnyProject = None, progress: Progress | None = None) -> list[Finding]:
    """What a careful reader of the patches would complain about; an empty list: nothing.

    Raises:
        WrongUsage: there is no stack at all, or the lock cannot be read.
        SurroundingsFailed: upstream cannot be had.
    """
    from porter.commands.lint import lint as run

    return run(find(project), upstream, progress)


def lock(
    *,
    check: bool = False,
    upstream: str | None = None,
    project: AnyProject = None,
    progress: Progress | None = None,
) -> Locked:
    """Write into ``upstream.lock`` what each stack makes of the pin.

    Args:
        check: write nothing; ``stale`` of the result says what would be written.

    Raises:
        CheckFailed: a stack is malformed, or a patch does not apply.
        SurroundingsFailed: upstream cannot be had, or the lock cannot be written.
    """
    from porter.commands.lock import lock as run

    return run(find(project), upstream, check, progress)
