"""Change the stacks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from porter.commands.arguments import AnyPath, AnyProject, find, path

if TYPE_CHECKING:
    from porter.commands.import_ import Imported
    from porter.output import Progress


def import_(
    source: AnyPath,
    target: str,
    *,
    stack: str = "",
    base: str = "",
    tree: AnyPath | None = None,
    split: bool = False,
    accept: bool = False,
    upstream: str | None = None,
    project: AnyProject = None,
    progress: Progress | None = None,
) -> Imported:
    """Turn somebody else's changes into commits of a tree: what fits is committed, the rest lies beside its files.

    Args:
        source: a diff, mails of git format-patch, a folder of patches, or a changed copy of upstream's folder.
        target: the device family whose stack it is for.
        stack: the stack that the patches go to: ``common``, or the target's own (by default).
        base: the upstream commit that it was made for; found by default.
        tree: where the tree to look at goes.  None: ``import-SOURCE`` in the current folder.
        split: one patch a file, of a diff or a copy that has no message.
        accept: put what came of it, as the tree has it, into the stacks.

    Returns:
        the tree, what became of each patch, and ``rejects``: the files that hold what did not fit.

    Raises:
        CheckFailed: nothing of it fits; or it is to be accepted, and rejects are left.
        WrongUsage: there is no such source, or the tree's folder is taken.
        SurroundingsFailed: upstream cannot be had, or the tree cannot be written.
    """
    from porter.commands.import_ import Request, take

    request = Request(Path(source), target, stack, base, path(tree), split, accept, upstream)
    return take(find(project), request, progress)
