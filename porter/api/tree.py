"""Make, describe and undo a tree."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from porter.api.given import AnyPath, AnyProject, Names, find, names

if TYPE_CHECKING:
    from porter.commands.apply import Applied
    from porter.commands.revert import Reverted
    from porter.output import Progress
    from porter.tree.clone import Status


def apply(
    targets: Names,
    tree: AnyPath,
    *,
    upstream: str | None = None,
    check: bool = False,
    project: AnyProject = None,
    progress: Progress | None = None,
) -> Applied:
    """Make ``tree`` a tree of upstream with the stack of one or more targets.

    Args:
        targets: a device family of :func:`targets`, or several, for one tree that has them all.
        tree: a folder that does not exist or is empty, or a clean clone of upstream at the pin: there the stack goes
            on a new branch.  One that holds the same stack already is not touched.
        check: only find out whether every patch applies; nothing is written to ``tree``.

    Returns:
        what was done (``how``: ``made``, ``switched``, ``already`` or ``checked``), and the stack as built.

    Raises:
        CheckFailed: a patch does not apply, or the result is not what ``upstream.lock`` says.
        WrongUsage: there is no such target, or ``tree`` holds something that must not be touched.
        SurroundingsFailed: upstream cannot be had, or ``tree`` cannot be written.
    """
    from porter.commands.apply import apply as run

    return run(find(project), names(targets), Path(tree), upstream, check, progress)


def status(tree: AnyPath = ".", *, project: AnyProject = None) -> Status:
    """What ``tree`` holds: the pin, each patch, commits and changes on top, files that are missing.

    Raises:
        WrongUsage: it is no tree of upstream at the pin.
    """
    from porter.tree.clone import status as run

    return run(find(project), Path(tree))


def revert(tree: AnyPath, *, project: AnyProject = None) -> Reverted:
    """Bring ``tree`` back to upstream: to the branch that was checked out before the stack, or master.

    Raises:
        WrongUsage: it holds no stack, or commits or changes of yours on it, which would be lost.
        SurroundingsFailed: it cannot be written.
    """
    from porter.commands.revert import revert as run

    return run(find(project), Path(tree))
