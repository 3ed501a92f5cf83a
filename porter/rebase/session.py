"""One run of a bump: the patches, the history and the decisions brought together, as far as they lead."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from porter import auditing, process
from porter.auditing import allowed
from porter.errors import CheckFailed
from porter.lockfile import Lock
from porter.output import Progress
from porter.patch import Patch
from porter.project import Project
from porter.rebase import conflicts, new_pin, write_stacks
from porter.rebase.merge import CONFLICT, OFFSET, TAKEN
from porter.rebase.new_pin import Goal
from porter.rebase.outcome import DONE, DRY, HALTED, PAUSED, Bump, Halt, Row
from porter.rebase.render import canonical
from porter.rebase.replay import RESOLVED, Course, Fate, Replay
from porter.rebase.state import Journal, Resolution, Store
from porter.rebase.worktree import Desk, Sheet
from porter.sources.cache import Cache
from porter.sources.history import History
from porter.sources.snapshot import Extent
from porter.stack import COMMON, Build, Builder, Stack, agree, available, load_parts, must_be_known
from porter.verification import static
from porter.verification.finding import Failed
from porter.verification.report import FAILED, PASSED, Outcome

_ANCESTOR = "before the patch"
_REDO = "porter bump --redo PATCH goes back to a patch, --abort gives the bump up. patches/ is as it was."


class _Decisions:
    """What the journal and the remembered resolutions decide."""

    def __init__(self, store: Store, journal: Journal) -> None:
        self._store = store
        self._journal = journal

    def skips(self, patch: str) -> bool:
        return patch in self._journal.skipped

    def halts(self, patch: str) -> bool:
        return patch in self._journal.halting

    def resolution(self, key: str) -> Resolution | None:
        return self._store.resolution(key)


class Errand:
    """A bump that is being carried out.

    Args:
        store: the bump on disk; locked by the caller.
        lock: the project's.
        upstream: the only source to ask, if one was named.
        hold: the descriptor of the store's lock; None where nothing is going to be written.
    """

    def __init__(
        self, store: Store, lock: Lock, upstream: str | None, progress: Progress | None, hold: int | None
    ) -> None:
        self.store = store
        self.project = store.project
        self.lock = lock
        self.progress = progress or Progress()
        self.history = History(lock, upstream, progress=self.progress)
        self._hold = hold
        self._journal: Journal | None = None
        self._goal: Goal | None = None
        self._parts: dict[str, list[Patch]] = {}
        self._replay: Replay | None = None

    @property
    def journal(self) -> Journal:
        """What was decided so far."""
        assert self._journal is not None  # open() was called
        return self._journal

    @property
    def goal(self) -> Goal:
        """Where the bump leads."""
        assert self._goal is not None  # open() was called
        return self._goal

    @property
    def desk(self) -> Desk:
        """Where a person resolves."""
        assert self._hold is not None
        return Desk(self.store.tree, self._hold)

    def check_targets(self, targets: Sequence[str]) -> None:
        """Refuse a target that there is no stack for."""
        must_be_known(targets, available(self.project.patches))

    def open(self, journal: Journal) -> None:
        """Take up a bump whose commits are at hand: read the patches and the files of both commits.

        Raises:
            CheckFailed: a patch is malformed, or an object in the cache is damaged.
            WrongUsage: the goal cannot be pinned.
        """
        self._journal = journal
        self._parts = load_parts(self.project)
        self._goal = new_pin.find(self.history, journal.goal, journal.rev)

    def update(self, **changes: Any) -> None:
        """Decide something, and write it down."""
        self._journal = replace(self.journal, **changes)
        self.store.write(self.journal)

    def decide(self, halted: Fate, **changes: Any) -> None:
        """Decide what becomes of a patch that waits, so that nothing halts there any more."""
        self.update(halting=tuple(i for i in self.journal.halting if i != halted.patch.id), **changes)

    def replay(self, going_on: bool = False) -> Course:
        """How far the stacks come by what was decided so far."""
        if self._replay is None:
            self._replay = Replay(self._parts, self.goal.before, self.goal.snapshot, self.progress)
        return self._replay.run(self._now, _Decisions(self.store, self.journal), going_on=going_on)

    def advance(self, since: int) -> Bump:
        """Carry the stacks as far as they go: to the end, where all is written, or to where a person is needed.

        Args:
            since: the number of the first patch that is to be told about.
        """
        course = self.replay()
        if course.halted is None and not self._waiting:
            return self._finish(course, since)
        return self.stand(course, since)

    def stand(self, course: Course, since: int) -> Bump:
        """What there is to say where the stacks have come to; a patch that waits is laid out if it is not yet."""
        halted = course.halted
        if halted is None:
            return self._bump(PAUSED, course, since, waiting=self._waiting)
        if not self.is_laid(halted):
            self.progress.step(f"laying out {halted.patch.id}")
            self.desk.lay(self.sheet(course, halted), self.history.repository.path / "objects")
        clashes = conflicts.clashes(halted, course.contents, self.history, self.goal.snapshot)
        halt = Halt(halted.patch.id, halted.patch.subject, tuple(clashes), self.store.tree, tuple(self.desk.strays()))
        return self._bump(HALTED, course, since, halt=halt, waiting=self._waiting)

    def is_laid(self, halted: Fate) -> bool:
        """Whether a patch that waits lies on the desk."""
        return self.desk.key == self._desk_key(halted)

    def _desk_key(self, halted: Fate) -> str:
        again = halted.patch.id in self.journal.halting  # not with its conflicts, but as it was resolved
        return f"{halted.key}-again" if again else halted.key

    def preview(self) -> Bump:
        """How each patch would fare if those that do not fit were resolved in their favour."""
        return self._bump(DRY, self.replay(going_on=True), 0)

    def sheet(self, course: Course, halted: Fate) -> Sheet:
        """A patch that waits, as the desk takes it."""
        patch, placing, contents = halted.patch, halted.placing, course.contents
        old = self._built_before(patch.stack)
        number = next(n for n, built in enumerate(old.commits) if built.patch.id == patch.id)
        sides = (self.goal.before, self.goal.snapshot)
        known = {
            i: item for some in (*(s.objects for s in sides), old.objects, course.made) for i, item in some.items()
        }
        labels = (f"{self.goal.pin.tag} and the patches so far", _ANCESTOR, f"{patch.stack}/{patch.number:04d}")
        clashes = placing.conflicts
        return Sheet(
            key=self._desk_key(halted),
            patch=patch.id,
            message=patch.message,
            tip=halted.tip,
            original=old.commits[number].commit,
            subject=patch.subject,
            entries=placing.files,
            stages={clash.path: (clash.base, clash.ours, clash.theirs) for clash in clashes},
            contents={clash.path: conflicts.content(clash, contents, labels) for clash in clashes},
            objects=known,
            shallow=tuple(side.base for side in sides if side.shallow),
        )

    @property
    def _now(self) -> tuple[str, ...]:
        """The targets to carry in this run."""
        return self.journal.targets or available(self.project.patches)

    @property
    def _waiting(self) -> tuple[str, ...]:
        """Those that are still to follow."""
        return tuple(name for name in available(self.project.patches) if name not in self._now)

    def _built_before(self, part: str) -> Build:
        """The stack that a part belongs to, on the old pin."""
        own = () if part == COMMON else self._parts[part]
        return Stack((part,), (*self._parts[COMMON], *own)).build(self.goal.before)

    def _finish(self, course: Course, since: int) -> Bump:
        """Write the new stacks: aside, where they are verified, then all of them in their place."""
        self.progress.step("writing the patches")
        planned = self._plan(course)
        self._fill_cache()
        checks = self._verify(self.store.stage(planned.edits))
        with process.held():
            self.store.backup(planned.edits)
            self.update(written=self.store.inputs_after(planned.edits))
            write_stacks.write(planned)
            self.store.close()
        return self._bump(DONE, course, since, checks=checks, files=len(planned.edits))

    def _plan(self, course: Course) -> write_stacks.Rewrite:
        """The project's files as they will be.

        Raises:
            CheckFailed: the stacks do not go together any more, or a patch file does not hold what was merged.
        """
        assert course.common is not None  # nothing waits
        builds = [course.common, *course.builds.values()]
        forms = canonical(self.goal.snapshot, builds, borrow=self.history.repository)
        parts = {COMMON: forms[0]}
        for target, patches in zip(course.builds, forms[1:]):
            parts[target] = [patch for patch in patches if patch.stack == target]
        try:
            planned = write_stacks.plan(self.project, parts, self.goal.snapshot, self.goal.lock)
        except CheckFailed as error:
            error.hint = _REDO
            raise
        for target, build in course.builds.items():
            if planned.builds[target].tip != build.tip:
                raise CheckFailed(
                    f"the new patches of {target} do not give what was merged",
                    f"expected commit {build.tip}\nfound    commit {planned.builds[target].tip}",
                    _REDO,
                )
        return planned

    def _fill_cache(self) -> None:
        """Put the new pin into the cache, as `porter upstream fetch` would."""
        extent = Extent(self.goal.pin, self.goal.pin.files)
        cache = Cache()
        with cache.locked(self.progress):
            if not cache.has(extent.ref):
                snapshot = extent.snapshot(self.goal.snapshot.objects)
                cache.keep(extent.ref, extent.base, snapshot.objects.values(), shallow=snapshot.shallow)

    def _verify(self, staged: Project) -> dict[str, list[Outcome]]:
        """Check a tree of each target, in memory, as `porter verify --level static` would in a folder.

        What the audit finds is told only: upstream has places that no patch ports yet at every move, and nobody could
        move if they stood in the way.

        Raises:
            CheckFailed: a tree is not what its patches make, or is no Python.
        """
        lock, entries = Lock.load(staged.lock_path), allowed.read(staged.patches)
        snapshot = Extent(lock.pin, lock.pin.files).snapshot(self.goal.snapshot.objects)
        parts, builder, targets = load_parts(staged), Builder(snapshot), available(staged.patches)
        found = {}
        for target in targets:
            self.progress.step(f"verifying {target}")
            stack = Stack.of(parts, [target])
            build = builder.build(stack)
            agree(lock, stack, build, partial=False)
            files = auditing.python(snapshot, build)
            wrong = static.complaints(files)
            if wrong:
                what = f"the new tree of {target} does not verify; nothing was written"
                raise CheckFailed(what, "\n".join(wrong), _REDO)
            locked = Outcome("tree", static.TREE, PASSED, f"{len(build.commits)} patches as they are locked", 0.0)
            found[target] = [locked, _audited(target, files, entries, targets)]
        return found

    def _bump(self, state: str, course: Course, since: int, **more: Any) -> Bump:
        pin = self.lock.pin
        rows = tuple(self._row(fate, course) for fate in course.fates[since:])
        counts = Counter(fate.outcome for fate in course.fates)
        return Bump(state, f"{pin.name} {pin.tag}", self.goal, rows, dict(counts), **more)

    def _row(self, fate: Fate, course: Course) -> Row:
        said, placing = "", fate.placing
        if fate.outcome == OFFSET:
            said = (
                "moved by " + ", ".join(dict.fromkeys(f"{placed.offset:+d}" for _, placed in placing.moved)) + " lines"
            )
        elif fate.outcome == CONFLICT:
            said = ", ".join(clash.path for clash in placing.conflicts)
        elif fate.outcome == TAKEN:
            takers = conflicts.takers(fate, course.contents, self.history, self.goal.snapshot)
            said = "; ".join(f"{step.id[:9]} {step.subject}" for step in takers)
        elif fate.outcome == RESOLVED and fate.key not in self.journal.resolved:
            said = "as you did before"
        if placing.renamed and fate.outcome not in (CONFLICT, TAKEN):
            renamed = ", ".join(f"{old} is {new} by now" for old, new in placing.renamed)
            said = f"{said}; {renamed}" if said else renamed
        return Row(fate.patch.id, fate.patch.subject, fate.outcome, said)


def _audited(target: str, files: Mapping[str, bytes], entries: list[allowed.Entry], targets: Sequence[str]) -> Outcome:
    outcome = Outcome("audit", static.AUDIT, PASSED, "", 0.0, repeat=f"porter verify --target {target} --check audit")
    try:
        finding = static.audited(lambda: auditing.look(files, target, None, entries, targets))
        return replace(outcome, said=finding.said, figures=finding.figures)
    except Failed as error:
        return replace(outcome, state=FAILED, said=error.why)
