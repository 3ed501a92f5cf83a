"""A stack with a patch left out: upstream as it would be if that patch had never been written.

Later patches are merged three-way where they touch what the missing patch left, as ``git rebase`` would when a
commit is dropped.  A patch that cannot be merged so builds on the missing one and is left out with it, and so on;
no more than that is left out.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from porter.objects import Entry, step
from porter.patch import Patch
from porter.sources.snapshot import Snapshot
from porter.stack import Contents, Stack, effect
from porter.verification.imports import merge


@dataclass(frozen=True)
class Omission:
    """What is left of a stack.

    Attributes:
        dependants: the patches that had to be left out too, because they change lines that those wrote; in order.
        files: path -> entry, the result.
        contents: has every file's content, by its blob id.
    """

    dependants: tuple[Patch, ...]
    files: Mapping[str, Entry]
    contents: Contents


def without(snapshot: Snapshot, stack: Stack, patches: Collection[Patch]) -> Omission:
    """The tree of a stack without some of its patches.

    Raises:
        PatchFailed: the whole stack does not apply.
        SurroundingsFailed: git cannot merge.
    """
    contents = Contents(snapshot.objects)
    whole, files = dict(snapshot.files), dict(snapshot.files)
    dependants = []
    for patch in stack.patches:
        paths = {path for change in patch.changes for path in (change.old, change.new)}
        before = {path: whole.get(path) for path in paths}
        step(whole, effect(patch, whole.get, contents, snapshot.missing).files)
        if patch in patches:
            continue
        merged = _merged(before, {path: whole.get(path) for path in paths}, files, contents)
        if merged is None:
            dependants.append(patch)
        else:
            step(files, merged)
    return Omission(tuple(dependants), files, contents)


def _merged(
    old: Mapping[str, Entry | None], new: Mapping[str, Entry | None], files: Mapping[str, Entry], contents: Contents
) -> dict[str, Entry | None] | None:
    """What a patch's files become on top of ``files``; None where one of them cannot be merged.

    Merged contents are added to ``contents``.

    Args:
        old, new: path -> entry, of each file that the patch names, before it and after it in the whole stack.
    """
    made: dict[str, Entry | None] = {}
    for path, before in old.items():
        mine, after = files.get(path), new[path]
        if mine == before:
            made[path] = after
        elif mine is None or before is None or after is None:
            return None
        else:
            data = merge(contents[mine.id], contents[before.id], contents[after.id])
            if data is None:
                return None
            made[path] = Entry(after.mode if mine.mode == before.mode else mine.mode, contents.add(data))
    return made
