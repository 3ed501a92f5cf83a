"""A stack carried to another upstream commit, in memory, as far as it goes by itself and by what a person decided.

Nothing here looks at a clock, a disk or a terminal: the same patches, commits and decisions give the same commits,
byte for byte.  That is what lets a bump be continued by working it out again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from porter import objects
from porter.diff import lines
from porter.objects import Entry, Files, Object, step
from porter.output import Progress
from porter.patch import Patch
from porter.rebase import threeway
from porter.rebase.merge import CONFLICT, MERGED, TAKEN, Conflict, Original, Placer, Placing, originals
from porter.rebase.state import Resolution
from porter.rebase.threeway import Sides
from porter.sources.snapshot import Snapshot
from porter.stack import COMMON, Build, Built, Contents

SKIPPED = "skipped"
RESOLVED = "resolved"


class Decisions(Protocol):
    """What a person decided."""

    def skips(self, patch: str) -> bool:
        """Whether to leave a patch out, by its id."""

    def halts(self, patch: str) -> bool:
        """Whether to halt at a patch although it fits or is resolved."""

    def resolution(self, key: str) -> Resolution | None:
        """What became of a patch that did not fit, by what it was merged from."""


@dataclass(frozen=True)
class Fate:
    """What became of one patch.

    Attributes:
        patch: as it was.
        outcome: one of porter.rebase.merge's, or :data:`SKIPPED` or :data:`RESOLVED`.
        original: the files that it was written for.
        placing: how it lies on the new files by itself; where it halts to be looked at again, as it was resolved.
        key: names what was merged, see :func:`key_of`.
        tip: the commit below it.
        files: the files below it: path -> entry; only where a person or a report needs them.
        built: the new commit; None where there is none.
    """

    patch: Patch
    outcome: str
    original: Original
    placing: Placing
    key: str
    tip: str
    files: Mapping[str, Entry] | None = None
    built: Built | None = None


@dataclass(frozen=True)
class Course:
    """How far the stacks came.

    Attributes:
        fates: one per patch, in order: common's, then each target's.
        common: the stack that the targets have in common; None if it is not carried to its end.
        builds: target -> its whole stack on the new commit; of the targets that are carried.
        halted: the patch at which a person is needed; None if there is none.
        contents: the blobs of both upstream commits and of everything in between.
        made: the commits, trees and blobs that the new stacks add.
    """

    fates: tuple[Fate, ...]
    common: Build | None
    builds: Mapping[str, Build]
    halted: Fate | None
    contents: Contents
    made: Mapping[str, Object]


@dataclass
class _Place:
    """Where a part of the stacks goes on: the files by path, the same as trees, the last commit, those so far."""

    files: dict[str, Entry]
    tree: Files
    tip: str
    commits: list[Built]


class Replay:
    """Carries stacks from one upstream commit to another.

    Args:
        parts: stack's name -> patches, ``common`` among them.
        pin: the files that the patches are for.
        goal: the files that they shall be for.
    """

    def __init__(
        self,
        parts: Mapping[str, Sequence[Patch]],
        pin: Snapshot,
        goal: Snapshot,
        progress: Progress | None = None,
    ) -> None:
        self._parts = parts
        self._pin = pin
        self._goal = goal
        self._progress = progress or Progress()
        # both remember, so that a second run costs little
        self._contents = Contents({**pin.objects, **goal.objects})
        self._placer = Placer(self._contents)
        self._made: dict[str, Object] = {}
        self._fates: list[Fate] = []
        self._halted: Fate | None = None

    def run(
        self, targets: Sequence[str], decisions: Decisions, *, going_on: bool = False, favouring: bool = True
    ) -> Course:
        """Carry ``common``, then each target's own patches on it.

        Args:
            decisions: what a person decided.
            going_on: do not halt at a conflict.
            favouring: then go on as if it were resolved in the patch's favour, where that can be told; otherwise
                without the patch.

        Raises:
            PatchFailed: a patch does not apply to the pin.
            SurroundingsFailed: git, or the disk for temporary files, failed.
        """
        self._decisions, self._going_on, self._favouring = decisions, going_on, going_on and favouring
        self._fates, self._halted = [], None
        old = dict(self._pin.files)
        tree = Files(self._goal.files)
        tree.write()  # what the goal has already is not made a second time
        common = self._carry(COMMON, old, _Place(dict(self._goal.files), tree, self._goal.base, []))
        builds = {}
        for target in targets if common else ():
            assert common is not None
            start = _Place(dict(common.files), common.tree.copy(), common.tip, list(common.commits))
            done = self._carry(target, dict(old), start)
            if done is None:
                break
            builds[target] = self._build(done)
        made = {**self._contents.made, **self._made}
        return Course(
            tuple(self._fates), self._build(common) if common else None, builds, self._halted, self._contents, made
        )

    def _carry(self, part: str, old: dict[str, Entry], place: _Place) -> _Place | None:
        """One part's patches, in place; None if a person is needed.  ``old`` becomes the files after them."""
        patches = self._parts[part]
        snapshot = Snapshot(self._pin.base, old, self._pin.objects)
        for number, original in enumerate(originals(patches, snapshot, self._contents)):
            self._progress.step(f"carrying {part}", number, len(patches))
            for path in original.before:
                old.pop(path, None)
            old.update(original.after)
            fate = self._decide(original, place)
            if fate.outcome == CONFLICT and not self._going_on:
                self._halted = fate
                return None
            self._fates.append(fate)
        return place

    def _decide(self, original: Original, place: _Place) -> Fate:
        patch = original.patch
        placing = self._checked(original, self._placer.place(original, place.files), place)
        key = key_of(original, placing)

        def fate(outcome: str, built: Built | None = None, files: Mapping[str, Entry] | None = None) -> Fate:
            return Fate(patch, outcome, original, placing, key, place.tip, files, built)

        if self._decisions.skips(patch.id):
            return fate(SKIPPED)
        made = self._decisions.resolution(key)
        if made is not None and any(place.files.get(path) != entry for path, entry in made.before.items()):
            made = None  # it was made on other files
        if self._decisions.halts(patch.id):
            if made is not None:
                placing = Placing(CONFLICT, self._entries(made))
            return Fate(patch, CONFLICT, original, placing, key, place.tip, dict(place.files))
        if made is not None:
            tip = place.tip
            built = self._commit(patch, self._entries(made), placing, place)
            return Fate(patch, RESOLVED, original, placing, key, tip, None, built)
        if placing.outcome == CONFLICT:
            found = fate(CONFLICT, files=dict(place.files))
            files = self._favoured(placing) if self._favouring else None
            if files:
                self._commit(patch, files, placing, place)
            return found
        if placing.outcome == TAKEN:
            return fate(TAKEN, files=dict(place.files))
        tip = place.tip
        built = self._commit(patch, placing.files, placing, place)
        return Fate(patch, placing.outcome, original, placing, key, tip, None, built)

    def _checked(self, original: Original, placing: Placing, place: _Place) -> Placing:
        """A placing whose hunks are where they belong.

        A hunk that fits in several places, now or in the file it was written for, may have been put in the wrong
        one, if upstream changed the right one.  The merge knows which lines it was written for, and decides.
        """
        changes = {change.new: change for change in original.patch.changes}
        doubtful = [
            path
            for path in dict.fromkeys(path for path, _ in placing.moved)
            for old in (changes[path].old,)
            for before in (lines(self._contents[original.before[old].id]),)
            if any(
                moved.places > 1 or moved.hunk.places(before, bytearray(len(before))) > 1
                for where, moved in placing.moved
                if where == path
            )
        ]
        if not doubtful:
            return placing
        three = [(original.before[changes[p].old], place.files[changes[p].old], original.after[p]) for p in doubtful]
        merged = threeway.merge([Sides(*(self._contents[entry.id] for entry in sides)) for sides in three])
        files, conflicts = dict(placing.files), []
        for path, (base, ours, theirs), found in zip(doubtful, three, merged):
            entry = files.pop(path)
            assert entry is not None  # a hunk moved in it
            if found.clean:
                files[path] = Entry(entry.mode, self._contents.add(found.data))
            else:
                conflicts.append(
                    Conflict(path, "content", base, ours, theirs, self._contents.add(found.data), ours.mode)
                )
        if conflicts:
            return Placing(CONFLICT, files, tuple(conflicts))
        return placing if files == placing.files else Placing(MERGED, files)

    def _favoured(self, placing: Placing) -> dict[str, Entry | None] | None:
        """What becomes of the files if the patch has its way in every conflict; None where that cannot be told."""
        files = dict(placing.files)
        for found in placing.conflicts:
            if found.kind not in ("content", "add/add", "modify/delete", "delete/modify"):
                return None
            if found.kind == "content" and found.base and found.ours and found.theirs:
                sides = Sides(*(self._contents[entry.id] for entry in (found.base, found.ours, found.theirs)))
                files[found.path] = Entry(found.mode, self._contents.add(threeway.favoured(sides)))
            else:
                files[found.path] = found.theirs
        return files

    def _entries(self, made: Resolution) -> dict[str, Entry | None]:
        return {
            path: Entry(found[0], self._contents.add(found[1])) if found else None for path, found in made.files.items()
        }

    def _commit(self, patch: Patch, changes: Mapping[str, Entry | None], placing: Placing, place: _Place) -> Built:
        step(place.files, changes)
        for path, entry in changes.items():
            if entry is None:
                del place.tree[path]
        for path, entry in changes.items():
            if entry is not None:
                place.tree[path] = entry
        root, folders = place.tree.write()
        who = f"{patch.author} {patch.date}"
        commit = objects.commit(root, (place.tip,), who, who, patch.message)
        self._made.update((item.id, item) for item in (*folders, commit))
        built = Built(patch, commit.id, root, placing.moved)
        place.tip = commit.id
        place.commits.append(built)
        return built

    def _build(self, place: _Place) -> Build:
        touched = {
            path: entry.id if entry else None
            for path in {*place.files, *self._goal.files}
            for entry in (place.files.get(path),)
            if entry != self._goal.files.get(path)
        }
        made = {**self._contents.made, **self._made}
        return Build(self._goal.base, tuple(place.commits), made, place.files, touched)


def key_of(original: Original, placing: Placing) -> str:
    """A name for what was merged: the patch's files before and after it, and how they lie on the new ones.

    The same merge has the same name on every machine, whatever the patch is called and wherever it stands.
    """
    conflicts = [
        (found.path, found.kind, found.base, found.ours, found.theirs)
        for found in sorted(placing.conflicts, key=lambda found: found.path)
    ]
    record = [
        sorted(original.before.items()),
        sorted(original.after.items()),
        conflicts,
        sorted((path, entry or ()) for path, entry in placing.files.items()),
    ]
    return hashlib.sha256(json.dumps(record).encode()).hexdigest()
