"""One patch on the files of any commit, in memory: where it applies, merges, conflicts or is not needed.

The result is what ``git am -3`` gives.  The patch is applied plainly first (no fuzz; a hunk may have moved).  Where
that fails, what the patch makes of the files it was written for is merged three-way with the files that are there;
a file that upstream renamed is followed to its new name.  Where that fails too it is a conflict, and a patch whose
result is there already is taken.

The files that a patch was written for are those of the pin after the patches before it (:func:`originals`): the very
blobs that its ``index`` lines name, which ``git am -3`` would look up in a clone that holds the stack.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from porter.diff import Change, Mismatch
from porter.diff import Placed as Moved
from porter.objects import Entry, step
from porter.patch import Patch, PatchFailed
from porter.rebase import threeway
from porter.rebase.renames import Renames
from porter.rebase.threeway import Sides
from porter.sources.snapshot import Snapshot
from porter.stack import Contents, effect

APPLIES = "applies"  # every hunk is where its header says
OFFSET = "offset"  # every hunk is there, some elsewhere
MERGED = "merged"  # three-way, without a conflict
CONFLICT = "conflict"
TAKEN = "taken"  # the tree has it already
OUTCOMES = (APPLIES, OFFSET, MERGED, CONFLICT, TAKEN)
LINK = "120000"


@dataclass(frozen=True)
class Original:
    """A patch, and the files that it was written for.

    Attributes:
        patch: the patch.
        before: path -> entry, of the files it names that were there before it.
        after: path -> entry, of the files it names that are there after it.
    """

    patch: Patch
    before: Mapping[str, Entry]
    after: Mapping[str, Entry]


@dataclass(frozen=True)
class Conflict:
    """A file that does not merge.

    Attributes:
        path: its path in the tree.
        kind: ``content``, ``add/add``, ``modify/delete`` (the tree has it no more), ``delete/modify`` (the patch
            deletes what changed), ``rename/delete``, ``rename/add``, ``rename/rename``, ``type`` (link or file),
            ``file/folder``, or ``no index`` (a rename or a new mode without a hunk names no blob that its file could
            be followed by).
        base, ours, theirs: its entry in the patch's ancestor, in the tree, and after the patch; None where absent.
        marked: id of the content with conflict markers, empty where there is nothing to mark.
        mode: the file's mode.
    """

    path: str
    kind: str
    base: Entry | None
    ours: Entry | None
    theirs: Entry | None
    marked: str = ""
    mode: str = "100644"


@dataclass(frozen=True)
class Placing:
    """What became of one patch on one tree.

    Attributes:
        outcome: one of :data:`OUTCOMES`.
        files: what changes: path -> entry, None where the file goes.  Of a conflict, the part that merged; of a patch
            that is taken, nothing.
        conflicts: the files that do not merge.
        moved: path and hunk, for the hunks of a plain application that were not where their headers say.
        renamed: old and new path of the files that the patch was followed to.
    """

    outcome: str
    files: Mapping[str, Entry | None] = field(default_factory=dict)
    conflicts: tuple[Conflict, ...] = ()
    moved: tuple[tuple[str, Moved], ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()

    @property
    def stands(self) -> bool:
        """Whether the patch is in the tree afterwards, or was there before."""
        return self.outcome != CONFLICT


def originals(patches: Iterable[Patch], snapshot: Snapshot, contents: Contents) -> list[Original]:
    """Each of a stack's patches with the files it was written for.

    Args:
        patches: in order, ``common`` first.
        snapshot: the pin.
        contents: has the snapshot's blobs; those that the patches make are added.

    Raises:
        PatchFailed: a patch does not apply to the pin.
    """
    files = dict(snapshot.files)
    found = []
    for patch in patches:
        paths = _paths(patch)
        before = {path: files[path] for path in paths if path in files}
        step(files, effect(patch, files.get, contents, snapshot.missing).files)
        found.append(Original(patch, before, {path: files[path] for path in paths if path in files}))
    return found


@dataclass
class _Plan:
    """A three-way merge of a patch with a tree, the contents not merged yet."""

    tree: Mapping[str, Entry]
    renamed: Mapping[str, str]
    files: dict[str, Entry | None] = field(default_factory=dict)
    conflicts: list[Conflict] = field(default_factory=list)
    texts: list[Conflict] = field(default_factory=list)  # contents to merge; conflicts where that fails

    def clash(
        self, path: str, kind: str, base: Entry | None = None, ours: Entry | None = None, theirs: Entry | None = None
    ) -> None:
        self.conflicts.append(Conflict(path, kind, base, ours, theirs))


class Placer:
    """Places patches on trees.

    Args:
        contents: has the blobs of the trees and of the patches' originals; those that placing makes are added.
        ours: what the tree's side is called in conflict markers; the patch's side is called by its subject.
    """

    def __init__(self, contents: Contents, ours: str = "upstream") -> None:
        self.contents = contents
        self._ours = ours
        self._renames = Renames(contents.__getitem__)

    def place(self, original: Original, files: Mapping[str, Entry]) -> Placing:
        """A patch on one tree, given with all its files: path -> entry.

        Raises:
            SurroundingsFailed: git, or the disk for temporary files, failed.
        """
        gone = {path: entry for path, entry in original.before.items() if path not in files}
        if not gone:
            plain = self._plain(original, files)
            if plain:
                return plain
        new = {path: entry for path, entry in files.items() if path not in original.before}
        plan = _plan(original, files, self._renames.find(gone, new) if gone else {})
        self._merge(original, plan)
        changes = {path: entry for path, entry in plan.files.items() if files.get(path) != entry}
        renamed = tuple(sorted(plan.renamed.items()))
        if not plan.conflicts:
            return Placing(MERGED if changes else TAKEN, changes, renamed=renamed)
        if self._is_there(original.patch, plan):
            return Placing(TAKEN, renamed=renamed)
        return Placing(CONFLICT, changes, tuple(sorted(plan.conflicts, key=lambda c: c.path)), renamed=renamed)

    def _plain(self, original: Original, files: Mapping[str, Entry]) -> Placing | None:
        """The patch applied without a merge; None where it does not apply."""
        try:
            done = effect(original.patch, files.get, self.contents)
        except PatchFailed:
            return None
        if any(_in_the_way(path, files, done.files) for path, entry in done.files.items() if entry):
            return None
        return Placing(OFFSET if done.moved else APPLIES, done.files, moved=done.moved)

    def _merge(self, original: Original, plan: _Plan) -> None:
        """Merge the contents that a plan needs, and note each where it belongs."""
        jobs = [Sides(*(self.contents[entry.id] for entry in _sides(text))) for text in plan.texts]
        for text, (data, clean) in zip(plan.texts, threeway.merge(jobs, self._ours, original.patch.subject)):
            blob, mode = self.contents.add(data), _merged_mode(text)
            if clean and mode:
                plan.files[text.path] = Entry(mode, blob)
            else:
                plan.conflicts.append(replace(text, marked=blob, mode=mode or text.mode))

    def _is_there(self, patch: Patch, plan: _Plan) -> bool:
        """Whether the tree has what the patch makes: whether the patch can be taken back from it."""
        for change in patch.changes:
            old, new = (plan.renamed.get(path, path) for path in (change.old, change.new))
            entry = plan.tree.get(new)
            if change.kind in ("delete", "rename") and plan.tree.get(old):
                return False
            if change.kind == "delete":
                continue
            if entry is None or (change.new_mode and entry.mode != change.new_mode):
                return False
            try:
                change.reversed.apply(self.contents[entry.id])
            except Mismatch:
                return False
        return True


def _paths(patch: Patch) -> list[str]:
    """Every path that a patch names, once."""
    return list(dict.fromkeys(path for change in patch.changes for path in (change.old, change.new)))


def _in_the_way(path: str, files: Mapping[str, Entry], changes: Mapping[str, Entry | None]) -> bool:
    """Whether a file cannot be put at ``path``: a folder is there, or a folder of it is a file.

    Args:
        changes: what else is going to change.
    """
    if path in files:
        return False
    parts = path.split("/")
    folders = ("/".join(parts[:n]) for n in range(1, len(parts)))
    if any(folder in files and changes.get(folder, 1) for folder in folders):
        return True
    inside = path + "/"
    return any(other.startswith(inside) and changes.get(other, 1) for other in files)


def _sides(text: Conflict) -> tuple[Entry, Entry, Entry]:
    assert text.base and text.ours and text.theirs
    return text.base, text.ours, text.theirs


def _merged_mode(text: Conflict) -> str:
    """The mode that one side changed, or both alike; empty if they disagree."""
    base, ours, theirs = (entry.mode for entry in _sides(text))
    if ours in (base, theirs):
        return theirs
    return ours if theirs == base else ""


def _plan(original: Original, files: Mapping[str, Entry], renamed: Mapping[str, str]) -> _Plan:
    """What a three-way merge does with each file, as git does it."""
    plan = _Plan(files, renamed)
    targets: set[str] = set()  # the new names of files that the patch renames
    for change in original.patch.changes:
        if change.kind == "rename":
            targets.add(change.new)
        if change.kind != "add":
            _plan_change(change, original, plan)
    for path, theirs in original.after.items():
        if path not in original.before and path not in targets:
            _plan_added(path, theirs, plan)
    return plan


def _plan_change(change: Change, original: Original, plan: _Plan) -> None:
    """A file that was there before the patch."""
    old, base = change.old, original.before[change.old]
    where = old if old in plan.tree else plan.renamed.get(old)
    ours = plan.tree[where] if where else None
    if change.kind == "delete":
        if where is None:
            return  # both deleted it
        if where == old and ours == base:
            plan.files[old] = None
        else:
            plan.clash(where, "delete/modify" if where == old else "rename/delete", base, ours)
        return
    theirs = original.after[change.new]
    if where is None or ours is None:
        plan.clash(change.new, "rename/delete" if change.new != old else "modify/delete", base, None, theirs)
    elif change.new != old and where not in (old, change.new):
        plan.clash(change.new, "rename/rename", base, ours, theirs)
    elif where != old and not change.hunks:
        plan.clash(where, "no index", base, ours, theirs)
    else:
        _plan_content(Conflict(change.new if change.new != old else where, "content", base, ours, theirs), where, plan)
        if where not in (old, change.new) and where in original.after:
            plan.clash(where, "rename/add", base, ours, theirs)


def _plan_content(text: Conflict, where: str, plan: _Plan) -> None:
    """A file that all three have: ours is at ``where``, the result goes to the text's path."""
    sides = _sides(text)
    links = [entry.mode == LINK for entry in sides]
    if text.path != where:
        plan.files[where] = None
    if text.path != where and text.path in plan.tree:
        plan.conflicts.append(replace(text, kind="rename/add"))
    elif text.path != where and _in_the_way(text.path, plan.tree, plan.files):
        plan.conflicts.append(replace(text, kind="file/folder"))
    elif any(links) and not all(links):
        plan.conflicts.append(replace(text, kind="type"))
    elif any(links) and len({entry.id for entry in sides}) == 3:
        plan.conflicts.append(text)
    else:
        plan.texts.append(replace(text, mode=sides[1].mode))


def _plan_added(path: str, theirs: Entry, plan: _Plan) -> None:
    """A file that the patch adds."""
    ours = plan.tree.get(path)
    if path in plan.renamed.values():
        plan.clash(path, "rename/add", None, ours, theirs)
    elif ours is not None and ours != theirs:
        plan.clash(path, "add/add", None, ours, theirs)
    elif _in_the_way(path, plan.tree, plan.files):
        plan.clash(path, "file/folder", None, None, theirs)
    else:
        plan.files[path] = theirs
