"""Change the stacks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from porter.commands.arguments import AnyPath, AnyProject, Names, find, names, path

if TYPE_CHECKING:
    from porter.commands.export import Exported, New
    from porter.commands.import_ import Imported
    from porter.commands.new_target import Made
    from porter.output import Progress


def export(
    tree: AnyPath = ".",
    targets: Names = (),
    *,
    check: bool = False,
    stack: str = "",
    into: str = "",
    new: str = "",
    why: str = "",
    trailers: Sequence[str] = (),
    project: AnyProject = None,
    progress: Progress | None = None,
) -> Exported:
    """Make the patches what the commits in ``tree`` are, one patch a commit; all files are written or none.

    Args:
        targets: whose stacks the tree holds, if it does not say itself.
        check: write nothing; ``rewrite.edits`` of the result says what would change.
        stack: where commits without a line ``Stack: NAME`` belong.
        into: fold what is not committed into this patch.
        new: make what is not committed a patch of ``stack`` with this subject; ``why``: the paragraph that says why
            the patch exists; ``trailers``: such as ``Reason: device``.

    Raises:
        CheckFailed: commits cannot be put in the stacks' order, a change is nothing for a patch, or another target's
            stack does not fit any more.  Nothing was written.
        WrongUsage: the tree is in no state to be exported, or the stacks came with the installed package.
        SurroundingsFailed: the tree cannot be read, or the project not be written.
    """
    from porter.commands.export import Request
    from porter.commands.export import export as run

    request = Request(Path(tree), names(targets), stack, into, _new(new, stack, why, trailers), check)
    return run(find(project), request, progress)


def _new(subject: str, stack: str, why: str, trailers: Sequence[str]) -> New | None:
    from porter.commands.export import New
    from porter.errors import WrongUsage

    if subject and not stack:
        raise WrongUsage("--new does not say which stack the patch is for", hint="Add --stack common, for example.")
    if not subject and (why or trailers):
        raise WrongUsage("--why and --trailer describe a new patch", hint="Name it: --new 'SUBJECT' --stack STACK.")
    return New(subject, stack, why, tuple(trailers)) if subject else None


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


def new_target(
    name: str,
    *,
    title: str = "",
    title_zh: str = "",
    plugin: str = "",
    source: str = "",
    url: str = "",
    confused_with: str = "",
    probe: Sequence[str] = (),
    distributed: Sequence[str] = (),
    visible_devices: Sequence[str] = (),
    environment: Sequence[str] = (),
    emulated: Sequence[str] = (),
    pin_memory: bool = False,
    fp16: bool = True,
    documentation: Sequence[tuple[str, str]] = (),
    like: str = "",
    upstream: str | None = None,
    project: AnyProject = None,
    progress: Progress | None = None,
) -> Made:
    """Make ``patches/NAME``, a stack for another device family, and bring the lock in step; all of it or nothing.

    Args:
        name: the device's type as its plugin for PyTorch registers it, or a type that torch has itself.
        title: what people call it (by default the name in capitals); ``title_zh``: the same in Chinese.
        plugin: the module to import, by default ``torch_NAME``; ``source``: where it comes from, in words; ``url``.
        confused_with: what the plugin is not, if a name is alike.
        probe: expressions that tell that a device is there.
        distributed: backends of torch.distributed, the preferred first.
        visible_devices: variables that restrict the devices; ``environment``: what else the vendor's software needs.
        emulated: cards to emulate.
        pin_memory: pin batches in host memory for the device; ``fp16``: whether the device has FP16.
        documentation: the vendor's documents: title and URL.
        like: take this target's ``requirements.txt``; empty: that of the newest torch.

    Raises:
        WrongUsage: the name is taken, no name for a device, or torch's; the stacks came with the installed package.
        CheckFailed: the other stacks are not in order.
        SurroundingsFailed: upstream cannot be had, or a file not be written.
    """
    from porter.commands.new_target import Request
    from porter.commands.new_target import new_target as run

    request = Request(
        name=name,
        title=title,
        title_zh=title_zh,
        plugin=plugin,
        source=source,
        url=url,
        confused_with=confused_with,
        probe=probe,
        distributed=distributed,
        visible_devices=visible_devices,
        environment=environment,
        emulated=emulated,
        pin_memory=pin_memory,
        fp16=fp16,
        documentation=documentation,
        like=like,
    )
    return run(find(project), request, upstream, progress)
