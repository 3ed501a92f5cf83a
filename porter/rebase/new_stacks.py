"""The new stacks: what became of each patch, as patch files and lock, verified before any of it is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from porter import auditing
from porter.auditing import allowed
from porter.errors import CheckFailed
from porter.git.objects import Entry, Object, Sides, step
from porter.output import Progress, command_line, counted
from porter.patch import Patch, PatchFailed
from porter.project import Project
from porter.rebase import write_stacks
from porter.rebase.commits import canonical, parse
from porter.rebase.new_pin import NewPin
from porter.rebase.outcome import APPLIES, CONFLICT, MERGED, OFFSET, RESOLVED, SKIPPED, TAKEN
from porter.rebase.worktree import Worktree
from porter.rebase.write_stacks import Rewrite
from porter.sources.cache import Cache
from porter.sources.snapshot import Extent, Snapshot
from porter.stack import COMMON, Stack, check_against_lock
from porter.stack.build import Build, Built, Contents, commit_of, effect
from porter.verification import static
from porter.verification.report import FAILED, PASSED, Failed, Outcome

_REDO = "porter bump --redo PATCH goes back to a patch, --abort gives the bump up. patches/ is as it was."


def plan(project: Project, done: Sequence[Pick], tree: Worktree, new: NewPin, targets: Sequence[str]) -> Rewrite:
    """The project's files as they will be.

    Raises:
        CheckFailed: the stacks do not go together any more, or a patch file does not hold what was merged.
    """
    built = _builds(done, tree, new.pin.commit, targets)
    forms = canonical(new.snapshot, built.values(), borrow=tree.repository)
    parts = {part: [patch for patch in patches if patch.stack == part] for part, patches in zip(built, forms)}
    try:
        planned = write_stacks.plan(project, parts, new.snapshot, new.lock)
    except CheckFailed as error:
        error.hint = _REDO
        raise
    for target in targets:
        if planned.builds[target].tip != built[target].tip:
            raise CheckFailed(
                f"the new patches of {target} do not give what was merged",
                f"expected commit {built[target].tip}\nfound    commit {planned.builds[target].tip}",
                _REDO,
            )
    return planned


def _builds(picks: Sequence[Pick], tree: Worktree, base: str, targets: Sequence[str]) -> dict[str, Build]:
    """The new stacks' commits as :class:`porter.stack.build.Builder` makes them: ``common``, each target's whole stack.

    git's own have a committer and a date of this machine, and a message that a person may have edited.
    """
    kept = [pick for pick in picks if pick.new != pick.below]
    roots = {i: parse(item).tree for i, item in tree.repository.find({pick.new for pick in kept}).items()}
    made: dict[str, Object] = {}
    found: dict[str, Build] = {}
    for part in (COMMON, *targets):
        commits = list(found[COMMON].commits) if part != COMMON else []
        for pick in kept:
            if pick.patch.stack == part:
                root = roots[pick.new]
                commit = commit_of(pick.patch, root, commits[-1].commit if commits else base)
                made[commit.id] = commit
                commits.append(Built(pick.patch, commit.id, root))
        found[part] = Build(base, tuple(commits), made, {}, {})
    return found


def fill_cache(new: NewPin, progress: Progress) -> None:
    """Put the new pin into the cache, as `porter upstream fetch` would."""
    extent = Extent(new.pin, new.pin.files)
    cache = Cache()
    with cache.locked(progress):
        if not cache.has(extent.ref):
            snapshot = extent.snapshot(new.snapshot.objects)
            cache.keep(extent.ref, extent.base, snapshot.objects.values(), shallow=snapshot.shallow)


def verify(planned: Rewrite, new: NewPin, targets: Sequence[str], progress: Progress) -> dict[str, list[Outcome]]:
    """Check a tree of each target, in memory, as `porter verify --level static` would in a folder.

    What the audit finds is told only: upstream has places that no patch ports yet at every move, and nobody could
    move if they stood in the way.

    Raises:
        CheckFailed: a tree is not what its patches make, or is no Python.
    """
    entries, found = allowed.read(planned.project.patches), {}
    for target in targets:
        progress.step(f"verifying {target}")
        build = planned.builds[target]
        check_against_lock(planned.lock, Stack.of(planned.parts, [target]), build, partial=False)
        files = auditing.python(new.snapshot, build)
        wrong = static.complaints(files)
        if wrong:
            what = f"the new tree of {target} does not verify; nothing was written"
            raise CheckFailed(what, "\n".join(wrong), _REDO)
        locked = Outcome("tree", static.TREE, PASSED, f"{counted(len(build.commits), 'patch')} as they are locked", 0.0)
        found[target] = [locked, _audited(target, files, entries, targets), _imported(target, files)]
    return found


def _imported(target: str, files: Mapping[str, bytes]) -> Outcome:
    """What the check ``import`` would find, as far as reading tells it.  Told only: upstream may need a new package."""
    wrong = static.unimportable(files)
    said = "; ".join(wrong[:5]) + (f"; and {len(wrong) - 5} more" if len(wrong) > 5 else "")
    repeat = command_line("porter", "verify", "--target", target, "--check", "import")
    return Outcome("import", static.IMPORT, FAILED if wrong else PASSED, said, 0.0, repeat=repeat)


def _audited(
    target: str, files: Mapping[str, bytes], entries: list[allowed.Allowance], targets: Sequence[str]
) -> Outcome:
    repeat = command_line("porter", "verify", "--target", target, "--check", "audit")
    outcome = Outcome("audit", static.AUDIT, PASSED, "", 0.0, repeat=repeat)
    try:
        finding = static.audited(lambda: auditing.look(files, target, None, entries, targets))
        return replace(outcome, said=finding.said, figures=finding.figures)
    except Failed as error:
        return replace(outcome, state=FAILED, said=error.why)


# What became of each patch that `git rebase` picked.


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
