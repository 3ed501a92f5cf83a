"""``porter bump``: rebase every stack onto another upstream commit; stop where a person is needed, go on, or undo.

Until the last step nothing in ``patches/`` or ``upstream.lock`` changes; that step is
:mod:`porter.rebase.write_stacks`'s, all or nothing.  What is kept on disk meanwhile is told in
:mod:`porter.rebase.state`; the work itself is :mod:`porter.rebase.session`'s.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from porter.commands.arguments import AnyProject, Names, find, names
from porter.commands.options import (
    JSON,
    UPSTREAM,
    colour,
    complete_patch,
    in_line,
    list_row,
    print_json,
    target_option,
    tell,
    terminal,
)
from porter.errors import WrongUsage
from porter.line import name_of
from porter.lockfile import Lock
from porter.output import Progress, command_line, counted, hanging
from porter.project import Project
from porter.rebase import write_stacks
from porter.rebase.conflicts import Clash, Region
from porter.rebase.outcome import ALREADY, DONE, Bump, Halt
from porter.rebase.session import BumpRun
from porter.rebase.state import Journal, Store
from porter.sources.history import UpstreamCommit
from porter.sources.remote import must_be_a_source
from porter.stack import find_patch

_COLOURS = {
    "applies": "green",
    "offset": "green",
    "merged": "green",
    "resolved": "green",
    "taken": "cyan",
    "skipped": "yellow",
    "conflict": "red",
}
_MOST_LINES = 12  # of one side of a conflict; the files hold the rest
_MOST_COMMITS = 4


def bump(
    rev: str,
    targets: Names = (),
    *,
    dry_run: bool = False,
    upstream: str | None = None,
    project: AnyProject = None,
    progress: Progress | None = None,
) -> Bump:
    """Rebase every stack onto another upstream commit, as far as it goes by itself.

    Args:
        rev: a tag, a branch or a commit id.
        targets: carry ``common`` and these first, and pause before the others.
        dry_run: say how each patch would fare, each conflict taken as resolved in the patch's favour; nothing but the
            cache is written.

    Returns:
        what became of each patch; ``state`` is ``halted`` where a person is needed, and ``halt`` says where.

    Raises:
        WrongUsage: a bump is open, there is no such commit or target, or the stacks came with the installed package.
        CheckFailed: the stacks are not in order, or what came out does not verify.
        EnvironmentFailed: upstream cannot be had, or a folder cannot be written.
    """
    found, chosen = find(project), names(targets)
    if dry_run:
        session = BumpRun(Store(found), Lock.load(found.lock_path), upstream, progress, None)
        return _aim(session, rev, chosen, upstream) or session.preview()
    store = _store(found)
    with store.locked() as hold:
        journal = store.journal()
        if journal is not None:
            raise WrongUsage(f"a bump to {journal.rev} is open", hint="porter bump --continue, --skip or --abort")
        store.close()  # what a porter that died while it ended the last bump left
        session = BumpRun(store, Lock.load(found.lock_path), upstream, progress, hold)
        reached = _aim(session, rev, chosen, upstream)
        if reached is not None:
            return reached
        store.write(session.journal)
        return session.advance(0)


def bump_status(*, project: AnyProject = None, progress: Progress | None = None) -> Bump:
    """Where the open bump stands.

    Raises:
        WrongUsage: no bump is open.
        CheckFailed, EnvironmentFailed: as :func:`bump`.
    """
    return _run(find(project), progress, BumpRun.status)


def bump_continue(*, project: AnyProject = None, progress: Progress | None = None) -> Bump:
    """Take the patch as resolved in the folder that was named, and go on.

    Raises:
        WrongUsage: no bump is open, or the patch is not resolved.
        CheckFailed, EnvironmentFailed: as :func:`bump`.
    """
    return _run(find(project), progress, BumpRun.go_on)


def bump_skip(*, project: AnyProject = None, progress: Progress | None = None) -> Bump:
    """Leave the patch that does not fit out, and go on.

    Raises:
        WrongUsage: no bump is open, or none of its patches waits.
        CheckFailed, EnvironmentFailed: as :func:`bump`.
    """
    return _run(find(project), progress, BumpRun.skip)


def bump_redo(patch: str, *, project: AnyProject = None, progress: Progress | None = None) -> Bump:
    """Go back to a patch, named as :func:`porter.show` takes it, and stop there.

    Raises:
        WrongUsage: no bump is open, there is no such patch, or another one is half resolved.
        CheckFailed, EnvironmentFailed: as :func:`bump`.
    """
    found = find(project)
    return _run(found, progress, lambda session: session.redo(find_patch(found, patch).id))


def bump_abort(*, project: AnyProject = None) -> Journal:
    """Give the open bump up: all is as it was before it, but what was resolved is remembered.  Returns what it was.

    Raises:
        WrongUsage: no bump is open, or a file was edited since the new stacks were written.
        EnvironmentFailed: a folder cannot be written.
    """
    store = _store(find(project))
    with store.locked():
        journal = store.journal()
        if journal is None:
            raise _none_open(store)
        if _is_written(store, journal):
            store.restore()
        store.close()
        return journal


def _run(project: Project, progress: Progress | None, act: Callable[[BumpRun], Bump]) -> Bump:
    """Do something with the open bump.

    Raises:
        WrongUsage: there is none, or the stacks were edited since it began.
    """
    store = _store(project)
    with store.locked() as hold:
        journal = store.journal()
        if journal is None:
            raise _none_open(store)
        if _is_written(store, journal):  # a porter died between its last two steps
            store.close()
            return Bump(DONE, journal.old[:12], None)
        _check_inputs(store, journal)
        session = BumpRun(store, Lock.load(project.lock_path), journal.upstream or None, progress, hold)
        session.history.resolve(journal.new)  # fetched again where the cache was emptied meanwhile
        session.open(journal)
        return act(session)


def _aim(session: BumpRun, rev: str, targets: Sequence[str], upstream: str | None) -> Bump | None:
    """Let a session have a new pin; what there is to say if it is reached already."""
    session.check_targets(targets)
    if upstream:
        must_be_a_source(upstream)
    commit = session.history.resolve(rev)
    pin = session.lock.pin
    if commit == pin.commit:
        return Bump(ALREADY, f"{pin.name} {pin.tag}", None)
    inputs = write_stacks.inputs(session.project)
    session.open(Journal(pin.commit, commit, rev, upstream or "", tuple(sorted(set(targets))), inputs))
    return None


def _is_written(store: Store, journal: Journal) -> bool:
    return bool(journal.written) and write_stacks.inputs(store.project) == dict(journal.written)


def _check_inputs(store: Store, journal: Journal) -> None:
    changed = write_stacks.changed_since(store.project, journal.inputs)
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


def _none_open(store: Store) -> WrongUsage:
    top = store.project.top
    elsewhere = [one for one in (top, *top.others.values()) if Store(one).journal() is not None]
    hint = "porter bump REV begins one; --dry-run says how it would go."
    if elsewhere:
        hint = f"One is open in another line: {command_line('porter', '--line', name_of(elsewhere[0]), 'bump')}"
    return WrongUsage("no bump is open", hint=hint)


@click.command(name="bump")
@click.argument("rev", required=False)
@target_option(" to carry first, with common, pausing before the others", multiple=True)
@UPSTREAM
@click.option("--dry-run", is_flag=True, help="Say how each patch would fare, and write nothing.")
@click.option("--continue", "go_on", is_flag=True, help="Take the patch as resolved in the folder, and go on.")
@click.option("--skip", is_flag=True, help="Leave the patch that does not fit out, and go on.")
@click.option(
    "--redo",
    metavar="PATCH",
    shell_complete=complete_patch,
    help="Go back to a patch, named as `porter show` takes it, and stop there.",
)
@click.option("--abort", is_flag=True, help="Give the bump up; all is as it was before.")
@JSON
def command(
    rev: str | None,
    targets: Sequence[str],
    upstream: str | None,
    dry_run: bool,
    go_on: bool,
    skip: bool,
    redo: str | None,
    abort: bool,
    as_json: bool,
) -> None:
    """Rebase every stack onto another upstream commit: a tag, a branch or a commit id.

    Stops with exit code 1 where a patch does not fit, and says why. Resolve it in the folder that is named, with
    git as ever, and go on with --continue; --skip leaves the patch out; --abort gives the bump up. Patches that
    upstream has taken are dropped. patches/ and upstream.lock change at the end, all at once. Without any argument:
    say where the bump stands.
    """
    given = [name for name, is_given in _given(rev, go_on, skip, redo, abort) if is_given]
    if len(given) > 1:
        raise WrongUsage(f"{' and '.join(given)} do not go together", hint="porter bump --help")
    if (targets or upstream or dry_run) and not rev:
        raise WrongUsage("--target, --upstream and --dry-run go with a REV", hint="porter bump --help")
    if abort:
        journal = bump_abort()
        if as_json:
            print_json("bump", {"state": "aborted", "rev": journal.rev, "to": {"commit": journal.new}})
            return
        tell(f"The bump to {journal.rev} is given up; patches/ and upstream.lock are as they were before it.")
        return
    with terminal() as progress:
        if rev:
            found = bump(rev, targets, dry_run=dry_run, upstream=upstream, progress=progress)
        elif redo is not None:
            found = bump_redo(redo, progress=progress)
        else:
            act = bump_continue if go_on else bump_skip if skip else bump_status
            found = act(progress=progress)
    if as_json:
        print_json("bump", found.record())
    else:
        _print(found, fresh=bool(rev))
    raise SystemExit(1 if found.conflicts or found.failed else 0)


def _given(rev: str | None, go_on: bool, skip: bool, redo: str | None, abort: bool) -> list[tuple[str, bool]]:
    return [
        ("REV", bool(rev)),
        ("--continue", go_on),
        ("--skip", skip),
        ("--redo", redo is not None),
        ("--abort", abort),
    ]


def _print(found: Bump, fresh: bool) -> None:
    if found.new_pin is None:
        already = found.state == "already"
        click.echo(f"{found.origin} {'is the pin already.' if already else 'was left; the new stacks are in place.'}")
        return
    if fresh:
        _print_pin(found)
    for one in found.rows:
        text = f"  {one.outcome:8} {one.label:9}  {one.subject}" + (f"  ({one.said})" if one.said else "")
        click.echo(list_row(text, 22, one.outcome, _COLOURS[one.outcome]))
    if found.halt:
        _print_halt(found.halt, found.new_pin.pin.tag)
    elif found.state == "paused":
        left = f"Still to be carried: {', '.join(found.waiting)}." if found.waiting else "All patches are carried."
        click.echo(f"{left} Nothing is written yet: {in_line('porter bump --continue')}")
    elif found.state == "dry run":
        guess = " Each conflict was taken as resolved in the patch's favour." if found.conflicts else ""
        click.echo(hanging(f"{_counts(found)}. Nothing was written.{guess}", 0))
    else:
        _print_done(found)


def _print_pin(found: Bump) -> None:
    new = found.new_pin
    assert new is not None
    commits = f"{counted(new.commits, 'commit')} later" if new.commits else "not after it"
    click.echo(f"{found.origin} -> {new.pin.tag} ({new.pin.commit[:12]} of {new.pin.date[:10]}, {commits})")
    _warn_licence(found)
    for source in new.dropped:
        click.echo(f"{source} holds the files of the old pin only, and leaves upstream.lock", err=True)


def _warn_licence(found: Bump) -> None:
    assert found.new_pin is not None
    if found.new_pin.licences.changed:
        word = click.style("warning:", fg="yellow", bold=True) if colour(sys.stderr) else "warning:"
        click.echo(f"{word} {found.new_pin.licences}", err=True)


def _counts(found: Bump) -> str:
    return ", ".join(f"{count} {outcome}" for outcome, count in found.counts.items())


def _print_done(found: Bump) -> None:
    new = found.new_pin
    assert new is not None
    for name, outcomes in found.checks.items():
        passed = [outcome.check for outcome in outcomes if outcome.state == "passed"]
        click.echo(f"verify --level static, {name}: {', '.join(passed)} passed")
    for name, outcome in found.failed:
        click.echo(f"{click.style('failed', fg='red')}, {name}: {outcome.check}: {outcome.said}")
    click.echo(f"{_counts(found)}. {counted(found.files, 'file')} written; upstream.lock pins {new.pin.tag}.")
    _warn_licence(found)
    for line in found.suspects:
        click.echo(f"look at {line}", err=True)
    tell(in_line("Next: porter lint, porter verify, then commit patches/ and upstream.lock"))


def _print_halt(halt: Halt, tag: str) -> None:
    heading = click.style("conflict", fg="red", bold=True) if halt.files else "stopped"
    click.echo(f"{heading}: {halt.label}  {halt.subject}")
    for clash in halt.files:
        _print_clash(clash, tag)
    if halt.strays:
        click.echo(f"Not git's, so not taken along: {', '.join(halt.strays[:5])}")
    click.echo(f"The folder {_shown(halt.folder)} holds it, as a rebase that stopped: edit, then git add.")
    click.echo(in_line("Then: porter bump --continue    or --skip to leave the patch out, --abort to give up"))


def _print_clash(clash: Clash, tag: str) -> None:
    click.echo(f"\n  {click.style(clash.path, bold=True)}: {clash.why}")
    for region in clash.regions:
        _print_region(region, tag)
    _print_commits(clash.commits)


def _print_region(region: Region, tag: str) -> None:
    click.echo(f"  {tag}, line {region.first} to {region.last}")
    for side, rows, paint in (
        (f"{tag} has", region.ours, "yellow"),
        ("before the patch", region.base, "white"),
        ("the patch has", region.theirs, "cyan"),
    ):
        click.echo(f"    {side}:" if rows else f"    {side}: nothing")
        for line in rows[:_MOST_LINES]:
            click.secho(f"      | {line.decode(errors='replace').rstrip()}", fg=paint)
        if len(rows) > _MOST_LINES:
            click.echo(f"      | … {len(rows) - _MOST_LINES} more lines")
    _print_commits(region.commits)


def _print_commits(commits: Sequence[UpstreamCommit]) -> None:
    if commits:
        click.echo("    upstream's commits there:")
    for step in commits[:_MOST_COMMITS]:
        click.echo(f"      {step.id[:9]} {step.date} {step.subject}")
    if len(commits) > _MOST_COMMITS:
        click.echo(f"      … {len(commits) - _MOST_COMMITS} more")


def _shown(folder: Path) -> str:
    """A folder from where the person is, if that is shorter."""
    return min(str(folder), os.path.relpath(folder), key=len)
