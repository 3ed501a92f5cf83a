"""Rebase every stack onto another upstream commit: begin, stop where a person is needed, go on, or undo.

Until the last step nothing in ``patches/`` or ``upstream.lock`` changes; that step is
:mod:`porter.rebase.write_stacks`'s, all or nothing.  What is kept on disk meanwhile is told in
:mod:`porter.rebase.state`; the work itself is :mod:`porter.rebase.session`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from porter.errors import WrongUsage
from porter.lockfile import Lock
from porter.output import Progress
from porter.project import Project
from porter.rebase.outcome import ALREADY, DONE, Bump
from porter.rebase.session import Errand
from porter.rebase.state import Journal, Store
from porter.stack import find_patch


def begin(
    project: Project,
    rev: str,
    targets: Sequence[str] = (),
    upstream: str | None = None,
    progress: Progress | None = None,
) -> Bump:
    """Begin a bump to ``rev``, and carry the stacks as far as they go by themselves.

    Args:
        targets: carry ``common`` and these first, and pause before the others; by default all in one go.
        upstream: the only source to ask, see :class:`porter.sources.history.History`.

    Raises:
        WrongUsage: a bump is open, there is no such commit or target, or the stacks came with the installed package.
        CheckFailed: the stacks are not in order, or what came out does not verify.
        SurroundingsFailed: upstream cannot be had, or a folder cannot be written.
    """
    store = _store(project)
    with store.locked() as hold:
        journal = store.journal()
        if journal is not None:
            raise WrongUsage(f"a bump to {journal.rev} is open", hint="porter bump --continue, --skip or --abort")
        errand = Errand(store, Lock.load(project.lock_path), upstream, progress, hold)
        found = _aim(errand, rev, targets, upstream)
        if found is not None:
            return found
        store.close()  # what a porter that died while it ended the last bump left
        store.write(errand.journal)
        return errand.advance(0)


def preview(
    project: Project,
    rev: str,
    targets: Sequence[str] = (),
    upstream: str | None = None,
    progress: Progress | None = None,
) -> Bump:
    """How each patch would fare on ``rev`` if those that do not fit were resolved in their favour.

    Writes nothing but the cache.

    Raises:
        WrongUsage, CheckFailed, SurroundingsFailed: as :func:`begin`.
    """
    errand = Errand(Store(project), Lock.load(project.lock_path), upstream, progress, None)
    return _aim(errand, rev, targets, upstream) or errand.preview()


def go_on(project: Project, progress: Progress | None = None) -> Bump:
    """Take what the person made of the patch that did not fit, and carry the rest.

    Raises:
        WrongUsage: no bump is open, or the patch is not resolved.
        CheckFailed, SurroundingsFailed: as :func:`begin`.
    """

    def act(errand: Errand) -> Bump:
        course = errand.replay()
        halted = course.halted
        if halted is None:
            errand.update(targets=())
        elif errand.is_laid(halted):  # else a porter died before it could lay the patch out
            errand.store.keep(halted.key, errand.desk.take(errand.sheet(course, halted)))
            errand.decide(halted, resolved=(*errand.journal.resolved, halted.key))
        return errand.advance(len(course.fates))

    return _run(project, progress, act)


def skip(project: Project, progress: Progress | None = None) -> Bump:
    """Leave the patch that did not fit out, and carry the rest.

    Raises:
        WrongUsage: no bump is open, or none of its patches waits.
        CheckFailed, SurroundingsFailed: as :func:`begin`.
    """

    def act(errand: Errand) -> Bump:
        course = errand.replay()
        if course.halted is None:
            raise WrongUsage("no patch waits to be resolved", hint="porter bump --continue")
        errand.decide(course.halted, skipped=(*errand.journal.skipped, course.halted.patch.id))
        return errand.advance(len(course.fates))

    return _run(project, progress, act)


def redo(project: Project, name: str, progress: Progress | None = None) -> Bump:
    """Go back to a patch that was resolved, skipped or fitted by itself, and halt there, with it as it is now.

    Args:
        name: see :func:`porter.stack.find_patch`.

    Raises:
        WrongUsage: no bump is open, there is no such patch, or another one is half resolved.
        CheckFailed, SurroundingsFailed: as :func:`begin`.
    """

    def act(errand: Errand) -> Bump:
        patch = find_patch(project, name)
        course = errand.replay()
        halted = course.halted
        if halted is not None and errand.is_laid(halted) and errand.desk.touched:
            raise WrongUsage(
                f"you are at work on {halted.patch.id}, which would be lost",
                hint="Finish it first (porter bump --continue), or leave it out for now (porter bump --skip).",
            )
        fate = next((fate for fate in course.fates if fate.patch.id == patch.id), None)
        if fate is None:
            raise WrongUsage(f"the bump has not come to {patch.id} yet", hint="porter bump --continue")
        errand.update(
            halting=(*errand.journal.halting, patch.id),
            skipped=tuple(i for i in errand.journal.skipped if i != patch.id),
        )
        return errand.advance(0)

    return _run(project, progress, act)


def where(project: Project, progress: Progress | None = None) -> Bump:
    """Where the open bump stands.

    Raises:
        WrongUsage: no bump is open.
        CheckFailed, SurroundingsFailed: as :func:`begin`.
    """
    return _run(project, progress, lambda errand: errand.stand(errand.replay(), 0))


def abort(project: Project) -> Journal:
    """Give the bump up: everything is as it was before it, but for the resolutions, which are remembered.

    Raises:
        WrongUsage: no bump is open, or a file was edited since the new stacks were written.
        SurroundingsFailed: a folder cannot be written.
    """
    store = _store(project)
    with store.locked():
        journal = store.journal()
        if journal is None:
            raise _none_open()
        if _is_written(store, journal):
            store.restore()
        store.close()
        return journal


def _run(project: Project, progress: Progress | None, act: Callable[[Errand], Bump]) -> Bump:
    """Do something with the open bump.

    Raises:
        WrongUsage: there is none, or the stacks were edited since it began.
    """
    store = _store(project)
    with store.locked() as hold:
        journal = store.journal()
        if journal is None:
            raise _none_open()
        if _is_written(store, journal):  # a porter died between its last two steps
            store.close()
            return Bump(DONE, journal.origin[:12], None)
        _check_inputs(store, journal)
        errand = Errand(store, Lock.load(project.lock_path), journal.upstream or None, progress, hold)
        errand.history.resolve(journal.goal)  # fetched again where the cache was emptied meanwhile
        errand.open(journal)
        return act(errand)


def _aim(errand: Errand, rev: str, targets: Sequence[str], upstream: str | None) -> Bump | None:
    """Let an errand have a goal; what there is to say if it is reached already."""
    errand.check_targets(targets)
    commit = errand.history.resolve(rev)
    pin = errand.lock.pin
    if commit == pin.commit:
        return Bump(ALREADY, f"{pin.name} {pin.tag}", None)
    inputs = errand.store.inputs()
    errand.open(Journal(pin.commit, commit, rev, upstream or "", tuple(sorted(set(targets))), inputs))
    return None


def _is_written(store: Store, journal: Journal) -> bool:
    return bool(journal.written) and store.inputs() == dict(journal.written)


def _check_inputs(store: Store, journal: Journal) -> None:
    now, then = store.inputs(), journal.inputs
    changed = sorted(path for path in {*now, *then} if now.get(path) != then.get(path))
    if changed:
        raise WrongUsage(
            f"{changed[0]} was changed since the bump to {journal.rev} began",
            "\n".join(changed[1:]),
            "Put it back (git checkout), or give the bump up with porter bump --abort and begin again:"
            " what you resolved is remembered.",
        )


def _store(project: Project) -> Store:
    project.must_be_a_checkout()
    return Store(project)


def _none_open() -> WrongUsage:
    return WrongUsage("no bump is open", hint="porter bump REV begins one; --dry-run says how it would go.")
