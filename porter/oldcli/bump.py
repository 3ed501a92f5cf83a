"""``porter bump``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from porter.commands.options import JSON, UPSTREAM, colour, print_json, tell, terminal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from porter.rebase.conflicts import Clash, Region
    from porter.rebase.outcome import Bump, Halt
    from porter.sources.history import Step

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


@click.command()
@click.argument("rev", required=False)
@click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="NAME",
    help="Carry common and this target first, and pause before the others; may be repeated.",
)
@UPSTREAM
@click.option("--dry-run", is_flag=True, help="Say how each patch would fare, and write nothing.")
@click.option("--continue", "go_on", is_flag=True, help="Take the patch as resolved in the folder, and go on.")
@click.option("--skip", is_flag=True, help="Leave the patch that does not fit out, and go on.")
@click.option("--redo", metavar="PATCH", help="Go back to a patch, named as `porter show` takes it, and stop there.")
@click.option("--abort", is_flag=True, help="Give the bump up; all is as it was before.")
@JSON
def bump(
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
    from porter import api
    from porter.errors import WrongUsage

    given = [name for name, is_given in _given(rev, go_on, skip, redo, abort) if is_given]
    if len(given) > 1:
        raise WrongUsage(f"{' and '.join(given)} do not go together", hint="porter bump --help")
    if (targets or upstream or dry_run) and not rev:
        raise WrongUsage("--target, --upstream and --dry-run go with a REV", hint="porter bump --help")
    if abort:
        journal = api.bump_abort()
        if as_json:
            print_json("bump", {"state": "aborted", "rev": journal.rev, "to": {"commit": journal.goal}})
            return
        tell(f"The bump to {journal.rev} is given up; patches/ and upstream.lock are as they were before it.")
        return
    with terminal() as progress:
        if rev:
            found = api.bump(rev, targets, dry_run=dry_run, upstream=upstream, progress=progress)
        elif redo is not None:
            found = api.bump_redo(redo, progress=progress)
        else:
            act = api.bump_continue if go_on else api.bump_skip if skip else api.bump_status
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
    if found.goal is None:
        already = found.state == "already"
        click.echo(f"{found.origin} {'is the pin already.' if already else 'was left; the new stacks are in place.'}")
        return
    if fresh:
        _print_goal(found)
    for row in found.rows:
        outcome = click.style(f"{row.outcome:8}", fg=_COLOURS[row.outcome])
        said = click.style(f"  ({row.said})", dim=True) if row.said else ""
        stack, _, name = row.patch.partition("/")
        click.echo(f"  {outcome} {stack}/{name[:4]}  {row.subject}{said}")
    if found.halt:
        _print_halt(found.halt, found.goal.pin.tag)
    elif found.state == "paused":
        left = f"Still to be carried: {', '.join(found.waiting)}." if found.waiting else "All patches are carried."
        click.echo(f"{left} Nothing is written yet: porter bump --continue")
    elif found.state == "dry run":
        guess = " Each conflict was taken as resolved in the patch's favour." if found.conflicts else ""
        click.echo(f"{_counts(found)}. Nothing was written.{guess}")
    else:
        _print_done(found)


def _print_goal(found: Bump) -> None:
    goal = found.goal
    assert goal is not None
    commits = f"{goal.commits} commits later" if goal.commits else "not after it"
    click.echo(f"{found.origin} -> {goal.pin.tag} ({goal.pin.commit[:12]} of {goal.pin.date[:10]}, {commits})")
    _warn_licence(found)
    for source in goal.dropped:
        click.echo(f"{source} holds the files of the old pin only, and leaves upstream.lock", err=True)


def _warn_licence(found: Bump) -> None:
    assert found.goal is not None
    if found.goal.licences.changed:
        word = click.style("warning:", fg="yellow", bold=True) if colour(sys.stderr) else "warning:"
        click.echo(f"{word} {found.goal.licences}", err=True)


def _counts(found: Bump) -> str:
    return ", ".join(f"{count} {outcome}" for outcome, count in found.counts.items())


def _print_done(found: Bump) -> None:
    goal = found.goal
    assert goal is not None
    for name, outcomes in found.checks.items():
        passed = [outcome.check for outcome in outcomes if outcome.state == "passed"]
        click.echo(f"verify --level static, {name}: {', '.join(passed)} passed")
    for name, outcome in found.failed:
        click.echo(f"{click.style('failed', fg='red')}, {name}: {outcome.check}: {outcome.said}")
    click.echo(f"{_counts(found)}. {found.files} files written; upstream.lock pins {goal.pin.tag}.")
    _warn_licence(found)
    tell("Next: porter lint, porter verify, then commit patches/ and upstream.lock")


def _print_halt(halt: Halt, tag: str) -> None:
    stack, _, name = halt.patch.partition("/")
    heading = click.style("conflict", fg="red", bold=True) if halt.files else "stopped"
    click.echo(f"{heading}: {stack}/{name[:4]}  {halt.subject}")
    for clash in halt.files:
        _print_clash(clash, tag)
    if halt.strays:
        click.echo(f"Not git's, so not taken along: {', '.join(halt.strays[:5])}")
    click.echo(f"The folder {_shown(halt.desk)} holds it, as a cherry-pick that stopped: edit, then git add.")
    click.echo("Then: porter bump --continue    or --skip to leave the patch out, --abort to give up")


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


def _print_commits(commits: Sequence[Step]) -> None:
    if commits:
        click.echo("    upstream's commits there:")
    for step in commits[:_MOST_COMMITS]:
        click.echo(f"      {step.id[:9]} {step.date} {step.subject}")
    if len(commits) > _MOST_COMMITS:
        click.echo(f"      … {len(commits) - _MOST_COMMITS} more")


def _shown(folder: Path) -> str:
    """A folder from where the person is, if that is shorter."""
    return min(str(folder), os.path.relpath(folder), key=len)
