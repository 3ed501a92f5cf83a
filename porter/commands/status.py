"""``porter status``: what a tree holds."""

from __future__ import annotations

from pathlib import Path

import click

from porter import tree as trees
from porter.commands.arguments import AnyPath, AnyProject, find_of
from porter.commands.options import FOLDER, JSON, list_row, print_json
from porter.output import counted, hanging
from porter.tree import Status


def status(tree: AnyPath = ".", *, project: AnyProject = None) -> Status:
    """What ``tree`` holds: the pin, each patch, commits and changes on top, files that are missing.

    Raises:
        WrongUsage: it is no tree of upstream at the pin.
    """
    return trees.status(find_of(project, tree), Path(tree))


@click.command(name="status")
@JSON
@click.argument("tree", metavar="[DIR]", type=FOLDER, default=".")
def command(as_json: bool, tree: Path) -> None:
    """Say what the tree in DIR holds: the pin, each patch, your commits and changes on top."""
    found = status(tree)
    if as_json:
        print_json("status", found.record())
    else:
        _print(found)


def _print(found: Status) -> None:
    pin, head = found.pin, found.branch or f"detached at {found.head[:12]}"
    click.echo(f"{found.path}: {pin['name']} {pin['tag']} ({pin['commit'][:12]}), {head}")
    if found.targets:
        click.echo(f"stack: {'+'.join(found.targets)}, {counted(len(found.patches), 'patch')}")
    elif not found.commits:
        click.echo("stack: none, this is upstream")
    colours = {"applied": "green", "changed": "yellow", "missing": "red"}
    for patch in found.patches:
        text = f"  {patch.state:8} {patch.stack + '/' + str(patch.number):9}  {patch.subject}"
        click.echo(list_row(text, 22, patch.state, colours[patch.state]))
    if found.commits:
        click.echo(f"your commits: {len(found.commits)}")
        for commit in found.commits[-20:]:
            click.echo(hanging(f"  {commit.id[:12]}  {commit.subject}", 16))
    if found.changes:
        click.echo("your changes:")
        for change in found.changes:
            click.echo(f"  {change.code} {change.path}")
    if found.missing:
        click.echo(f"missing: {counted(len(found.missing), 'file')} of upstream that its source had not:")
        click.echo(hanging("  " + ", ".join(found.missing), 2))
    if found.unfinished:
        click.echo(f"unfinished: {found.unfinished}")
