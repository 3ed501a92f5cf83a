"""The commands that make, describe and undo a tree."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from porter.cli.shared import FOLDER, JSON, UPSTREAM, complete_target, is_quiet, print_json, tell, terminal

if TYPE_CHECKING:
    from porter.commands.apply import Applied
    from porter.tree.clone import Status


@click.command()
@click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="NAME",
    shell_complete=complete_target,
    help="A device family of `porter targets`; may be repeated.",
)
@UPSTREAM
@click.option("--check", is_flag=True, help="Say whether every patch applies, and write nothing.")
@JSON
@click.argument("folder", metavar="DIR", type=FOLDER)
def apply(targets: Sequence[str], upstream: str | None, check: bool, as_json: bool, folder: Path) -> None:
    """Make DIR a tree of upstream with the stack of one or more targets.

    If there is no DIR it is made. If DIR is your own clean clone at the pin, the stack goes on a new branch
    in it and your branch stays as it is. If DIR holds the same stack already, nothing is touched.
    """
    from porter.api import apply as run

    with terminal() as progress:
        done = run(targets, folder, upstream=upstream, check=check, progress=progress)
    if as_json:
        print_json("apply", done.record())
    elif not is_quiet():
        _print_applied(done, folder)


def _print_applied(done: Applied, folder: Path) -> None:
    from shlex import quote

    count = len(done.build.commits)
    if done.how == "already":
        click.echo(f"{folder} holds {done.stack.key} already ({count} patches). Nothing was touched.")
        return
    if done.how == "checked":
        click.echo(f"All {count} patches of {done.stack.key} apply. Nothing was written to {folder}.")
        return
    for built in done.build.commits:
        name = click.style(f"{built.patch.stack}/{built.patch.number:04d}", fg="green")
        click.echo(f"  {name}  {built.patch.subject}")
    what = "made" if done.how == "made" else f"on the new branch {done.stack.branch}"
    click.echo(f"{folder}: {what}, {count} patches, commit {done.build.tip[:12]}")
    if done.missing:
        lacks = f"It lacks {len(done.missing)} files of upstream that the package index has not"
        click.echo(f"{lacks}; `porter status {folder}` names them.")
    if done.before:
        from porter.tree.clone import short

        click.echo(f"Your {short(done.before)} is as it was; `porter revert {folder}` goes back to it.")
    device = done.stack.targets[0]
    command = f"python train.py --data coco128.yaml --weights '' --cfg yolov5s.yaml --device {device}"
    click.echo(f"Next: cd {quote(str(folder))} && {command}")


@click.command()
@JSON
@click.argument("folder", metavar="[DIR]", type=FOLDER, default=".")
def status(as_json: bool, folder: Path) -> None:
    """Say what the tree in DIR holds: the pin, each patch, your commits and changes on top."""
    from porter.api import status as run

    found = run(folder)
    if as_json:
        print_json("status", found.record())
    else:
        _print_status(found)


def _print_status(found: Status) -> None:
    pin, head = found.pin, found.branch or f"detached at {found.head[:12]}"
    click.echo(f"{found.path}: {pin['name']} {pin['tag']} ({pin['commit'][:12]}), {head}")
    if found.targets:
        click.echo(f"stack: {'+'.join(found.targets)}, {len(found.patches)} patches")
    elif not found.commits:
        click.echo("stack: none, this is upstream")
    colours = {"applied": "green", "changed": "yellow", "missing": "red"}
    for patch in found.patches:
        state = click.style(f"{patch.state:8}", fg=colours[patch.state])
        click.echo(f"  {state} {patch.stack}/{patch.number:04d}  {patch.subject}")
    if found.commits:
        click.echo(f"your commits: {len(found.commits)}")
        for commit in found.commits[-20:]:
            click.echo(f"  {commit.id[:12]}  {commit.subject}")
    if found.changes:
        click.echo("your changes:")
        for change in found.changes:
            click.echo(f"  {change.code} {change.path}")
    if found.missing:
        click.echo(f"missing: {len(found.missing)} files of upstream that its source had not:")
        click.echo("  " + ", ".join(found.missing))
    if found.unfinished:
        click.echo(f"unfinished: {found.unfinished}")


@click.command()
@JSON
@click.argument("folder", metavar="DIR", type=FOLDER)
def revert(as_json: bool, folder: Path) -> None:
    """Bring the tree in DIR back to upstream: your branch, or master in a tree that porter made.

    Refused if you have commits or changes on the stack; nothing of yours is ever lost.
    """
    from porter.api import revert as run
    from porter.tree.clone import short

    done = run(folder)
    if as_json:
        print_json("revert", done.record())
    elif not done.done:
        tell(f"{folder} is upstream as it is ({short(done.head)}). Nothing was touched.")
    else:
        moved = "" if done.pristine else ", which has moved since the stack was applied"
        tell(f"{folder}: back at {short(done.head)}{moved}; the stack's branch is gone")
