"""``porter apply``: make a tree of upstream with a stack, or put the stack on the user's own clone."""

from __future__ import annotations

from pathlib import Path

import click

from porter.commands.arguments import AnyPath, AnyProject, Names, find_of, names
from porter.commands.options import FOLDER, JSON, UPSTREAM, is_quiet, list_row, print_json, target_option, terminal
from porter.lockfile import Lock
from porter.output import Progress, command_line, counted
from porter.stack import Stack
from porter.tree import short
from porter.tree.make import Applied, apply_stack


def apply(
    targets: Names,
    tree: AnyPath,
    *,
    upstream: str | None = None,
    check: bool = False,
    project: AnyProject = None,
    progress: Progress | None = None,
) -> Applied:
    """Make ``tree`` a tree of upstream with the stack of one or more targets.

    Args:
        targets: a device family of :func:`porter.targets`, or several, for one tree that has them all.
        tree: a folder that does not exist or is empty, or a clean clone of upstream at the pin: there the stack goes
            on a new branch.  One that holds the same stack already is not touched.
        check: only find out whether every patch applies; nothing is written to ``tree``.

    Returns:
        what was done (``how``: ``made``, ``switched``, ``already`` or ``checked``), and the stack as built.

    Raises:
        CheckFailed: a patch does not apply, or the result is not what ``upstream.lock`` says.
        WrongUsage: there is no such target, or ``tree`` holds something that must not be touched.
        EnvironmentFailed: upstream cannot be had, or ``tree`` cannot be written.
    """
    found = find_of(project, tree, to_be_made=True)
    lock = Lock.load(found.lock_path)
    return apply_stack(lock, Stack.load(found, names(targets)), Path(tree), upstream, check, progress)


@click.command(name="apply")
@target_option(multiple=True)
@UPSTREAM
@click.option("--check", is_flag=True, help="Say whether every patch applies, and write nothing.")
@JSON
@click.argument("tree", metavar="DIR", type=FOLDER)
def command(targets: tuple[str, ...], upstream: str | None, check: bool, as_json: bool, tree: Path) -> None:
    """Make DIR a tree of upstream with the stack of one or more targets.

    If there is no DIR it is made. If DIR is your own clean clone at the pin, the stack goes on a new branch
    in it and your branch stays as it is. If DIR holds the same stack already, nothing is touched.
    """
    with terminal() as progress:
        done = apply(targets, tree, upstream=upstream, check=check, progress=progress)
    if as_json:
        print_json("apply", done.record())
    elif not is_quiet():
        _print(done, tree)


def _print(done: Applied, tree: Path) -> None:
    count = len(done.build.commits)
    if done.how == "already":
        click.echo(f"{tree} holds {done.stack.key} already ({counted(count, 'patch')}). Nothing was touched.")
        return
    if done.how == "checked":
        click.echo(f"All {counted(count, 'patch')} of {done.stack.key} apply. Nothing was written to {tree}.")
        return
    for built in done.build.commits:
        label = built.patch.label
        click.echo(list_row(f"  {label:9}  {built.patch.subject}", 13, label, "green"))
    what = "made" if done.how == "made" else f"on the new branch {done.stack.branch}"
    click.echo(f"{tree}: {what}, {counted(count, 'patch')}, commit {done.build.tip[:12]}")
    if done.missing:
        lacks = f"It lacks {counted(len(done.missing), 'file')} of upstream that the package index has not"
        click.echo(f"{lacks}; `{command_line('porter', 'status', tree)}` names them.")
    if done.before:
        click.echo(
            f"Your {short(done.before)} is as it was; `{command_line('porter', 'revert', tree)}` goes back to it."
        )
    words = ("python", "train.py", "--data", "coco128.yaml", "--weights", "", "--cfg", "yolov5s.yaml", "--device")
    click.echo(f"Next: {command_line(*words, done.stack.targets[0], folder=tree)}")
