"""The upstream that the stacks are for: get it, look at it, check it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from porter.commands.arguments import AnyProject, find

if TYPE_CHECKING:
    from porter.commands.upstream import Checked, Upstream
    from porter.output import Progress


def fetch(upstream: str | None = None, *, project: AnyProject = None, progress: Progress | None = None) -> Upstream:
    """Get upstream at the pin into the cache, checked object by object; what is there already is kept.

    Args:
        upstream: the only place to ask, a clone's path or a URL.

    Returns:
        the same as :func:`show`.

    Raises:
        CheckFailed: a source gave something else than the pin.
        SurroundingsFailed: no source could be reached, or the cache cannot be used.
        WrongUsage: ``upstream`` is no source.
    """
    from porter.commands.upstream import fetch as run

    return run(find(project), upstream, progress)


def show(*, project: AnyProject = None) -> Upstream:
    """What is pinned, under which licence, where it is had and what the cache holds of it; asks nobody.

    Raises:
        WrongUsage: the lock cannot be read.
        SurroundingsFailed: the cache cannot be read.
    """
    from porter.commands.upstream import describe
    from porter.lockfile import Lock

    return describe(Lock.load(find(project).lock_path))


def verify(*, project: AnyProject = None) -> Checked:
    """Hash everything that the cache holds of the pin again.

    Returns:
        how many objects are right, and ``wrong``: those that are not.

    Raises:
        CheckFailed: the cache holds nothing of the pin, or git cannot read it at all.
        SurroundingsFailed: the cache cannot be read.
    """
    from porter.commands.upstream import verify as run

    return run(find(project))
