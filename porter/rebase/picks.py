"""What became of each patch that `git rebase` picked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from porter.git.objects import Entry, Sides, step
from porter.patch import Patch, PatchFailed
from porter.rebase.outcome import APPLIES, CONFLICT, MERGED, OFFSET, RESOLVED, SKIPPED, TAKEN
from porter.rebase.worktree import Worktree
from porter.sources.snapshot import Snapshot
from porter.stack import COMMON
from porter.stack.build import Contents, effect


@dataclass(frozen=True)
class Pick:
    """A patch that was decided.

    Attributes:
        patch: as it was.
        below: the commit that it was put on.
        new: what it became; ``below`` where nothing is left of it.
    """

    patch: Patch
    below: str
    new: str


@dataclass(frozen=True)
class Fate:
    """What became of a patch.

    Attributes:
        pick: the patch and its commits.
        outcome: one of :data:`porter.rebase.outcome.OUTCOMES`.
        below: the files that it was put on: path -> entry; only where it is :data:`TAKEN`.
        moved: by how many lines its hunks have moved.
        renamed: old and new path of the files that it was followed to.
    """

    pick: Pick
    outcome: str
    below: Mapping[str, Entry] = field(default_factory=dict)
    moved: tuple[int, ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()


def decided(tree: Worktree, patches: Mapping[str, Patch], base: str, waiting: str) -> tuple[list[Pick], str]:
    """The patches that were decided so far, in git's order, and the commit that the next one goes on.

    Args:
        patches: the commit that is picked for a patch -> the patch.
        base: the commit that the stacks go on.
        waiting: the commit at which the rebase stopped; empty where it paused.
    """
    rewritten, done = tree.rewritten(), tree.done()
    found: list[Pick] = []
    tip = common = base
    for number, (verb, word) in enumerate(done, 1):
        if verb == "label":
            common = tip
        elif verb == "reset":
            tip = common
        elif word in patches and not (number == len(done) and word == waiting):
            new = tip if verb == "drop" else rewritten.get(word, tip)
            found.append(Pick(patches[word], tip, new))
            tip = new
    return found, tip


def fates(
    picks: Sequence[Pick],
    tree: Worktree,
    new: Snapshot,
    contents: Contents,
    known: Mapping[str, str],
    old: str,
) -> list[Fate]:
    """What became of the patches, each compared with what it says.

    Args:
        new: the files that the stacks go on.
        contents: gets the blobs that are looked at.
        known: patch's id -> its outcome, where a decision made it.
        old: the upstream commit that they went on before.
    """
    made = tree.changes((pick.new, pick.below) for pick in picks if pick.new != pick.below)
    blobs = {entry.id for changes in made.values() for both in changes.values() for entry in both if entry}
    contents.made.update(tree.repository.find(blob for blob in blobs if blob not in contents))
    files = dict(new.files)
    common: dict[str, Entry] | None = None
    stack, found = COMMON, []
    for pick in picks:
        if pick.patch.stack != stack:
            common = dict(files) if common is None else common
            stack, files = pick.patch.stack, dict(common)
        changes = made.get(pick.new, {}) if pick.new != pick.below else {}
        found.append(_fate(pick, files, changes, contents, known.get(pick.patch.id, "")))
        step(files, {path: both[1] for path, both in changes.items()})
    return _followed(found, made, tree, old, new.base)


def _fate(pick: Pick, files: Mapping[str, Entry], changes: Mapping[str, Sides], contents: Contents, known: str) -> Fate:
    if known == CONFLICT:
        return Fate(pick, known)
    if pick.new == pick.below:
        return Fate(pick, known) if known == SKIPPED else Fate(pick, TAKEN, dict(files))
    if known == RESOLVED:
        return Fate(pick, known)
    try:
        plain = effect(pick.patch, files.get, contents)
    except PatchFailed:
        return Fate(pick, MERGED)
    if {path: (files.get(path), entry) for path, entry in plain.files.items() if files.get(path) != entry} != changes:
        return Fate(pick, MERGED)
    moved = tuple(dict.fromkeys(hunk.offset for _, hunk in plain.moved))
    return Fate(pick, OFFSET if moved else APPLIES, moved=moved)


def _followed(
    found: Sequence[Fate], made: Mapping[str, Mapping[str, Sides]], tree: Worktree, old: str, new: str
) -> list[Fate]:
    """The fates, with the files that a patch was followed to: upstream has renamed them."""
    odd: dict[str, set[str]] = {}  # commit -> files that it changes, and its patch does not name
    for fate in found:
        if fate.outcome in (MERGED, RESOLVED):
            named = {path for change in fate.pick.patch.changes for path in (change.old, change.new)}
            odd[fate.pick.new] = set(made.get(fate.pick.new, {})) - named
    renames = tree.renames(old, new) if any(odd.values()) else []
    return [
        replace(fate, renamed=tuple(pair for pair in renames if pair[1] in odd.get(fate.pick.new, ())))
        for fate in found
    ]
