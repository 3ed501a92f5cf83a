"""A bump at work: the journal, the worktree and the pins brought together, up to where a person is needed."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from porter import process
from porter.errors import WrongUsage
from porter.git.objects import Entry, Object
from porter.lockfile import Lock
from porter.output import Progress
from porter.patch import Patch
from porter.rebase import conflicts, new_pin, new_stacks, write_stacks
from porter.rebase.new_pin import NewPin
from porter.rebase.new_stacks import Fate, Pick
from porter.rebase.outcome import (
    CONFLICT,
    DONE,
    DRY,
    HALTED,
    OFFSET,
    PAUSED,
    RESOLVED,
    SKIPPED,
    TAKEN,
    Bump,
    Halt,
    PatchOutcome,
    suspects,
)
from porter.rebase.state import Halted, Journal, Resolution, Store
from porter.rebase.worktree import Stop, Worktree
from porter.rebase.write_stacks import Rewrite
from porter.sources.history import History
from porter.stack import COMMON, Stack, available, load_parts, must_be_known
from porter.stack.build import Builder, Contents
from porter.temporary import work_folder


class BumpRun:
    """A bump that is at work.

    Attributes:
        journal: what was decided so far.
        new: the new pin.
        tree: where git rebases the stacks.

    Args:
        store: the bump on disk; locked by the caller.
        lock: the project's.
        upstream: the only source to ask, if one was named.
        hold: the descriptor of the store's lock; None where nothing is going to be written.
    """

    journal: Journal  # these two are there once open() was called
    new: NewPin

    def __init__(
        self, store: Store, lock: Lock, upstream: str | None, progress: Progress | None, hold: int | None
    ) -> None:
        self.store = store
        self.project = store.project
        self.lock = lock
        self.progress = progress or Progress()
        self.history = History(lock, upstream, progress=self.progress)
        self.tree = Worktree(store.tree, store.memory, hold)
        self._is_dry = hold is None
        self._is_fresh = False  # this process made git stop where it stands
        self._favouring = True
        self._conflicts: dict[str, str] = {}  # of a dry run: patch's id -> the files that do not merge
        self._originals: dict[str, str] = {}  # patch's id -> its commit on the old pin
        self._patches: dict[str, Patch] = {}  # commit that is picked -> the patch
        self._parts: dict[str, list[Patch]] = {}
        self._made: dict[str, Object] = {}
        self._contents = Contents({})

    def check_targets(self, targets: Sequence[str]) -> None:
        """Refuse a target that there is no stack for."""
        must_be_known(targets, available(self.project.patches))

    def open(self, journal: Journal) -> None:
        """Take up a bump whose commits are at hand: read the patches and the files of both commits.

        Raises:
            CheckFailed: a patch is malformed or does not apply to the old pin, or an object in the cache is damaged.
            WrongUsage: the new commit cannot be pinned.
        """
        self.journal = journal
        self._parts = load_parts(self.project)
        self.tree.borrow(self.history.repository.path)
        self.new = new_pin.find(self.history, journal.new, journal.rev)
        builder = Builder(self.new.before)
        for targets in [[name] for name in self._targets] or [[]]:
            build = builder.build(Stack.of(self._parts, targets).patches)
            self._made.update(build.objects)
            self._originals.update((built.patch.id, built.commit) for built in build.commits)
        known = {**self.new.before.objects, **self.new.snapshot.objects, **self._made}
        self._contents = Contents(known)
        self._name_commits()

    def _name_commits(self) -> None:
        patches = {patch.id: patch for part in self._parts.values() for patch in part}
        self._patches = {self._commit(patch): patch for patch in patches.values()}

    def _commit(self, patch: Patch) -> str:
        return self.journal.replaced.get(patch.id, self._originals[patch.id])

    def _patch(self, stop: Stop) -> Patch:
        """The patch that waits at a stop.

        Raises:
            WrongUsage: a person has put a commit of their own on git's list.
        """
        if stop.commit not in self._patches:
            raise WrongUsage(
                f"{self.tree.path} stopped at a commit that is none of the stacks': {stop.commit[:12]}",
                hint="Finish it there (git rebase --continue, or --skip), then: porter bump",
            )
        return self._patches[stop.commit]

    def update(self, **changes: Any) -> None:
        """Note something, on disk as well unless nothing is to be written."""
        self.journal = replace(self.journal, **changes)
        if not self._is_dry:
            self.store.write(self.journal)

    # -- what a person asks for -------------------------------------------------------------------------------

    def advance(self, since: int) -> Bump:
        """Rebase the stacks as far as they go: to the end, where all is written, or to where a person is needed.

        Args:
            since: the number of the first patch that is to be told about.
        """
        stop = self._rebase()
        return self._finish(since) if stop.at_end else self._tell(stop, since)

    def status(self) -> Bump:
        """What there is to say of the bump where it stands."""
        return self._tell(self._rebase(), 0)

    def go_on(self) -> Bump:
        """Take what the person made of the patch that waits, and rebase the rest.

        Raises:
            WrongUsage: it is not resolved.
        """
        stop = self.tree.stop()
        since = self.journal.halted.told
        if stop is not None and stop.commit:
            patch = self._patch(stop)
            since, below = self._position(stop)
            if self._is_theirs(patch):
                made = self.tree.take(patch.id, below)
                self._remember(stop, below, made)
                self.update(halted=replace(self.journal.halted, patch=patch.id, told=since))
                self._step(self.tree.go_on)
        elif stop is not None and not stop.at_end:
            self._step(self.tree.go_on)
            self.update(targets=())
        return self.advance(since)

    def _is_theirs(self, patch: Patch) -> bool:
        """Whether what stands in the worktree for the patch that waits is a person's work."""
        halted = self.journal.halted
        if halted.patch == patch.id:
            return not halted.remembered
        # a porter that was killed told nobody: what is as git left it is nobody's work
        return not (self.tree.unmerged() or self.tree.is_clean)

    def _remember(self, stop: Stop, below: str, made: Resolution) -> None:
        unmerged = {row.partition("\t")[2] for row in self.journal.halted.unmerged}
        if unmerged:
            self.store.keep(self.tree.key(stop.commit, below), made)
            changes = self._patch(stop).changes
            if not set(made) <= unmerged.union(*((change.old, change.new) for change in changes)):
                self.tree.forget()  # git rerere would take the part of it that it holds for the whole

    def skip(self) -> Bump:
        """Leave the patch that waits out, and rebase the rest.

        Raises:
            WrongUsage: none does.
        """
        stop = self._rebase()
        if not stop.commit:
            raise WrongUsage("no patch waits to be resolved", hint="porter bump --continue")
        since, _ = self._position(stop)
        self.update(halted=Halted(self._patch(stop).id, since))
        self._step(self.tree.skip)
        return self.advance(since)

    def redo(self, patch: str) -> Bump:
        """Go back to a patch, by its id, and halt there, with it as it is now.

        Raises:
            WrongUsage: the rebase has not come to it, or another one is half resolved.
        """
        stop = self._rebase()
        halted = self.journal.halted
        if stop.commit and halted.fingerprint != self.tree.fingerprint() and not self._is_given_up(stop):
            raise WrongUsage(
                f"you are at work on {halted.patch}, which would be lost",
                hint="Finish it first (porter bump --continue), or leave it out for now (porter bump --skip).",
            )
        if patch not in {halted.patch, *(pick.patch.id for pick in self._picks(stop))}:
            raise WrongUsage(f"the bump has not come to {patch} yet", hint="porter bump --continue")
        self._discard()
        self.update(
            halting=(*self.journal.halting, patch),
            skipped=tuple(i for i in self.journal.skipped if i != patch),
        )
        return self.advance(0)

    def _is_given_up(self, stop: Stop) -> bool:
        """Whether nothing is left in the worktree of the patch that waits: a person took it all back with git."""
        return self.tree.is_clean and self.tree.repository.text("rev-parse", "HEAD") == self._position(stop)[1]

    def preview(self, favouring: bool = True) -> Bump:
        """How each patch would fare if those that do not apply were resolved, in a folder that is gone afterwards.

        Args:
            favouring: resolved in their favour, where that can be told; otherwise left out.
        """
        self._favouring = favouring
        with work_folder("porter-bump-") as folder:
            with suppress(FileNotFoundError):
                shutil.copytree(self.store.memory, folder / "rr-cache")
            self.tree = Worktree(folder / "tree", folder / "rr-cache", None)
            self._rebase()
            return self._bump(DRY, self._fates(self._picks(Stop("", True))), 0)

    # -- the rebase --------------------------------------------------------------------------------------------

    @property
    def _targets(self) -> tuple[str, ...]:
        return available(self.project.patches)

    @property
    def _waiting(self) -> tuple[str, ...]:
        """The targets that follow when the person says so."""
        return tuple(name for name in self._targets if self.journal.targets and name not in self.journal.targets)

    def _rebase(self) -> Stop:
        """Rebase the stacks up to where a person is needed, or to a pause."""
        stop = self.tree.stop()
        if stop is None:
            self.progress.step("rebasing the stacks")
            self._discard()
            old, new = self.lock.pin.commit, self.new.pin.commit
            tip = self._commit(self._parts[COMMON][-1]) if self._parts[COMMON] else old
            self.tree.begin(self._todo(), self._made.values(), tip, old, new, self.history.repository.path)
            stop = self._came()
        self._note(stop)
        while stop.commit and self._is_settled(stop):
            stop = self._step(self.tree.go_on)
        if stop.at_end:
            return stop
        told, _ = self._position(stop)
        patch = self._patch(stop).id if stop.commit else ""
        if not patch:
            self.update(halted=Halted(told=told))
        elif self.journal.halted.patch != patch:
            fingerprint = self.tree.fingerprint() if self._is_fresh else ""
            self.update(halted=Halted(patch, told, self.tree.unmerged(), fingerprint))
        return stop

    def _todo(self) -> list[str]:
        """The commands for git: common's patches, then each target's on the new common."""

        def rows(part: str) -> list[str]:
            return [f"{self._verb(patch)} {self._commit(patch)} {patch.subject}" for patch in self._parts[part]]

        waiting = self._waiting
        first = [name for name in self._targets if name not in waiting]
        found = [*rows(COMMON), f"label {COMMON}"]
        for name in first:
            found += [f"reset {COMMON}", *rows(name)]
        found.append("break")
        for name in waiting:
            found += [f"reset {COMMON}", *rows(name)]
        return [*found, "break"] if waiting else found

    def _verb(self, patch: Patch) -> str:
        if patch.id in self.journal.skipped:
            return "drop"
        return "edit" if patch.id in self.journal.halting else "pick"

    def _came(self) -> Stop:
        """Where this process made git stop."""
        stop = self.tree.stop()
        assert stop is not None  # else git would have failed
        self._is_fresh = True
        return stop

    def _step(self, act: Callable[[], None]) -> Stop:
        """Let git go on, and note what became of the patch at which it stood."""
        act()
        stop = self._came()
        self._note(stop)
        return stop

    def _position(self, stop: Stop) -> tuple[int, str]:
        """How many patches were decided before a stop, and the commit that the waiting one goes on."""
        found, tip = new_stacks.decided(self.tree, self._patches, self.new.pin.commit, stop.commit)
        return len(found), tip

    def _picks(self, stop: Stop) -> list[Pick]:
        return new_stacks.decided(self.tree, self._patches, self.new.pin.commit, stop.commit)[0]

    def _note(self, stop: Stop) -> None:
        """Note what became of the patch that waited, whoever made git go on."""
        halted = self.journal.halted
        pick = next((pick for pick in self._picks(stop) if pick.patch.id == halted.patch), None)
        if pick is None:
            return
        changes: dict[str, Any] = {"halted": Halted(told=halted.told)}
        changes["halting"] = tuple(i for i in self.journal.halting if i != halted.patch)
        kind = "remembered" if halted.remembered else "resolved" if pick.new != pick.below else "skipped"
        changes[kind] = tuple(dict.fromkeys((*getattr(self.journal, kind), halted.patch)))
        self.update(**changes)

    def _discard(self) -> None:
        """Put an end to the rebase; what persons made of patches is what will be picked from now on."""
        if self._is_dry:
            return
        journal = self.journal
        made = {pick.patch.id: pick.new for pick in self._picks(Stop("", True)) if pick.new != pick.below}
        resolved = journal.resolved
        if journal.halted.patch in made and not journal.halted.remembered:  # nobody has noted it yet
            resolved = tuple(dict.fromkeys((*resolved, journal.halted.patch)))
        settled = {i: made[i] for i in (*resolved, *journal.remembered) if i in made}
        self.tree.discard()
        replaced = {i: commit for i, commit in {**journal.replaced, **settled}.items() if i not in journal.skipped}
        self.update(resolved=resolved, replaced=replaced, halted=Halted())
        self._name_commits()

    def _is_settled(self, stop: Stop) -> bool:
        """Whether nobody is needed where git stopped; then all that is to go on with is staged."""
        patch, halted = self._patch(stop), self.journal.halted
        if patch.id in self.journal.halting:
            return False
        if halted.patch == patch.id:
            return halted.remembered  # a porter that was killed had decided it
        if not self._is_fresh and not self.tree.is_clean:
            return False  # a person may have been at work since git stopped
        unmerged = self.tree.unmerged()
        told, below = self._position(stop)
        if unmerged:  # else git rerere has resolved all, or nothing is left of the patch
            known = self.store.resolution(self.tree.key(stop.commit, below)) if self.store.remembers else None
            if known is None or not self.tree.stage(known):
                return self._is_dry and self._favour(patch, unmerged)
        self.update(halted=Halted(patch.id, told, remembered=True))
        return True

    def _favour(self, patch: Patch, unmerged: Sequence[str]) -> bool:
        """Stage a conflict as resolved in the patch's favour; where that cannot be told, without the patch."""
        found = conflicts.read(unmerged, patch)
        self._conflicts[patch.id] = ", ".join(conflict.path for conflict in found)
        self._look_at(found)
        self.tree.forget()
        try:
            if not self._favouring:
                raise ValueError
            self.tree.replace({c.path: conflicts.favoured(c, self._contents) for c in found})
        except ValueError:
            self.tree.put_back()
        return True

    def _look_at(self, found: Sequence[conflicts.Conflict]) -> None:
        """Read the files of conflicts."""
        blobs = {entry.id for c in found for entry in (c.base, c.ours, c.theirs) if entry}
        self._contents.made.update(self.tree.repository.find(i for i in blobs if i not in self._contents))

    # -- what there is to say ----------------------------------------------------------------------------------

    def _tell(self, stop: Stop, since: int) -> Bump:
        told = self._fates(self._picks(stop))
        if not stop.commit:
            return self._bump(PAUSED, told, since, waiting=self._waiting)
        patch = self._patch(stop)
        found = conflicts.read(self.journal.halted.unmerged, patch)
        self._look_at(found)
        clashes = conflicts.clashes(found, self._contents, self.history, self.new.snapshot)
        halt = Halt(patch.id, patch.label, patch.subject, tuple(clashes), self.tree.path, tuple(self.tree.strays()))
        return self._bump(HALTED, told, since, halt=halt, waiting=self._waiting)

    def _fates(self, done: Sequence[Pick]) -> list[Fate]:
        known = {
            **dict.fromkeys((*self.journal.resolved, *self.journal.remembered), RESOLVED),
            **dict.fromkeys(self.journal.skipped, SKIPPED),
            **dict.fromkeys(self._conflicts, CONFLICT),
        }
        return new_stacks.fates(done, self.tree, self.new.snapshot, self._contents, known, self.lock.pin.commit)

    def _bump(self, state: str, told: Sequence[Fate], since: int, **more: Any) -> Bump:
        pin = self.lock.pin
        rows = tuple(self._row(fate) for fate in told[since:])
        counts = Counter(fate.outcome for fate in told)
        return Bump(state, f"{pin.name} {pin.tag}", self.new, rows, dict(counts), **more)

    def _row(self, fate: Fate) -> PatchOutcome:
        said, patch = "", fate.pick.patch
        if fate.outcome == OFFSET:
            said = f"moved by {', '.join(f'{lines:+d}' for lines in fate.moved)} lines"
        elif fate.outcome == CONFLICT:
            said = self._conflicts[patch.id]
        elif fate.outcome == TAKEN:
            steps = conflicts.takers(patch, fate.below, self._contents, self.history, self.new.snapshot)
            said = "; ".join(f"{step.id[:9]} {step.subject}" for step in steps)
        elif fate.outcome == RESOLVED and patch.id not in self.journal.resolved:
            said = "as you did before"
        if fate.renamed:
            renamed = ", ".join(f"{old} is {new} by now" for old, new in fate.renamed)
            said = f"{said}; {renamed}" if said else renamed
        return PatchOutcome(patch.id, patch.label, patch.subject, fate.outcome, said)

    # -- the end -----------------------------------------------------------------------------------------------

    def _suspects(self, planned: Rewrite) -> tuple[str, ...]:
        """What of the new patches a person should look at again."""
        old = {patch.id: patch for part in self._parts.values() for patch in part}
        new = [patch for part in planned.parts.values() for patch in part]

        def at(files: Mapping[str, Entry]) -> Callable[[str], bytes]:
            def read(path: str) -> bytes:
                if path not in files:
                    return b""
                blob = files[path].id
                return self._contents[blob] if blob in self._contents else self.tree.repository.find([blob])[blob].data

            return read

        return tuple(suspects(old, new, at(self.new.before.files), at(self.new.snapshot.files)))

    def _finish(self, since: int) -> Bump:
        """Write the new stacks, once they are verified: all of them or none."""
        done = self._picks(Stop("", True))
        told = self._fates(done)
        self.progress.step("writing the patches")
        planned = new_stacks.plan(self.project, done, self.tree, self.new, self._targets)
        planned = replace(planned, seen=self.journal.inputs)
        new_stacks.fill_cache(self.new, self.progress)
        checks = new_stacks.verify(planned, self.new, self._targets, self.progress)
        found = self._bump(DONE, told, since, checks=checks, files=len(planned.edits), suspects=self._suspects(planned))
        with process.held():
            self.store.backup(planned.edits)
            self.update(written=self.store.inputs_after(planned.edits))
            write_stacks.write(planned)
            self.store.close()
        return found
