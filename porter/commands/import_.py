"""``porter import``: somebody else's patch, or their changed copy of upstream, becomes patches of a stack.

What comes of it is a tree to look at: the stack, a commit for each foreign patch, and beside the files what did not
fit (``.rej``).  People work the rest in there, with git, and the tree is then exported like any other.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from porter.commands.arguments import AnyPath, AnyProject, find
from porter.commands.options import (
    FOLDER,
    JSON,
    UPSTREAM,
    in_line,
    print_edits,
    print_json,
    target_option,
    tell,
    terminal,
)
from porter.errors import CheckFailed, WrongUsage
from porter.foreign.tree import RECORD, REJECT, Imported, make
from porter.output import Progress, command_line, counted, printable
from porter.rebase.export import export_tree

_LONG = 40  # letters of a name that a folder has from its source


def import_(
    source: AnyPath,
    target: str,
    *,
    stack: str = "",
    base: str = "",
    tree: AnyPath | None = None,
    split: bool = False,
    accept: bool = False,
    upstream: str | None = None,
    project: AnyProject = None,
    progress: Progress | None = None,
) -> Imported:
    """Turn somebody else's changes into commits of a tree: what fits is committed, the rest lies beside its files.

    Args:
        source: a diff, mails of git format-patch, a folder of patches, or a changed copy of upstream's folder.
        target: the device family whose stack it is for.
        stack: the stack that the patches go to: ``common``, or the target's own (by default).
        base: the upstream commit that it was made for; found by default.
        tree: where the tree to look at goes.  None: ``import-SOURCE`` in the current folder.
        split: one patch a file, of a diff or a copy that has no message.
        accept: put what came of it, as the tree has it, into the stacks.

    Returns:
        the tree, what became of each patch, and ``rejects``: the files that hold what did not fit.

    Raises:
        CheckFailed: nothing of it fits; or it is to be accepted, and rejects are left.
        WrongUsage: there is no such source, or the tree's folder is taken.
        EnvironmentFailed: upstream cannot be had, or the tree cannot be written.
    """
    found, progress, source = find(project), progress or Progress(), Path(source)
    stack = stack or target
    place = Path(tree or f"import-{os.path.basename(os.path.realpath(source)).partition('.')[0][:_LONG]}")
    if not os.path.lexists(place):
        made = make(found, source, target, stack, base, place, split, upstream, progress)
    elif not (place / RECORD).is_file():
        raise WrongUsage(f"{place} is there already, and no import made it", hint="Name another: --tree DIR.")
    elif not accept:
        raise WrongUsage(
            f"{place} is there already, from an import before",
            hint="Look at it, then run this again with --accept; or remove it, or name another: --tree DIR.",
        )
    else:
        made = Imported(place)
    if not accept:
        return made
    left = sorted(str(path.relative_to(place)) for path in place.rglob(f"*{REJECT}"))
    if left:
        raise CheckFailed(
            f"{counted(len(left), 'file')} in {place} with what did not fit: {left[0]}",
            "\n".join(left[1:]),
            "Work them in or give them up, commit, remove the files, and run this again with --accept.",
        )
    return replace(made, exported=export_tree(found, place, (target,), stack=stack, progress=progress))


@click.command(name="import")
@target_option(" whose stack it is for", required=True)
@click.option("--stack", metavar="NAME", default="", help="The stack that it goes to: common, or the target (default).")
@click.option("--base", metavar="REV", default="", help="The upstream commit that it was made for; found by default.")
@click.option("--tree", metavar="DIR", type=FOLDER, help="Where the tree to look at goes.  [default: ./import-SOURCE]")
@click.option("--split", is_flag=True, help="One patch a file, of a diff or a copy that has no message.")
@click.option("--accept", is_flag=True, help="Put what came of it, as the tree has it, into the stacks.")
@UPSTREAM
@JSON
@click.argument("source", metavar="SOURCE", type=FOLDER)
def command(as_json: bool, source: Path, target: str, **options: Any) -> None:
    """Turn somebody else's changes into patches: what fits is committed in a tree, the rest lies beside its files.

    SOURCE is a diff, mails of git format-patch, a folder with a quilt series or patch files, or a changed copy of
    upstream's folder. Nothing in the stacks changes before --accept. Exit code 1 if something did not fit.
    """
    with terminal() as progress:
        done = import_(source, target, **options, progress=progress)
    if as_json:
        print_json("import", done.record())
    else:
        _print(done)
    raise SystemExit(1 if done.rejects and not done.exported else 0)


def _print(done: Imported) -> None:
    if done.base:
        click.echo(f"made for {done.base}")
    for outcome in done.outcomes:
        counts = ", ".join(f"{number} {word}" for word, number in sorted(outcome.hunks.items())) or "nothing"
        click.echo(f"  {printable(outcome.patch.subject or outcome.patch.name)}: {counts}")
        rejected = Counter((reject.path, reject.why) for reject in outcome.rejects)
        for (path, why), count in rejected.items():
            times = f" ({count} times)" if count > 1 else ""
            click.echo(f"    {click.style('rejected', fg='red')} {printable(path)}: {printable(why)}{times}")
    if done.lacking:
        click.echo(f"not taken for deleted: {counted(len(done.lacking), 'file')} of upstream that the copy lacks")
    for path in done.cut:
        click.echo(
            f"look at {printable(path)}: a hunk has fewer lines than its header says; is the end missing?", err=True
        )
    for name in done.rebound:
        click.echo(f"look at {printable(name)}", err=True)
    if done.exported:
        print_edits(done.exported.rewrite)
        tell(in_line("Next: porter lint, which says what is left to say in the messages"))
        return
    click.echo(f"{done.tree}: a tree with the stack and what fits of it")
    if done.rejects:
        click.echo("what does not fit, with both sides: " + printable(", ".join(done.rejects)), err=True)
    again = "and remove the .rej files, " if done.rejects else ""
    log = command_line("git", "-C", done.tree, "log", "-p")
    tell(f"Next: look at it ({log}), {again}then the same command with --accept")
