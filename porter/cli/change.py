"""The commands that change the stacks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from porter.cli.shared import FOLDER

if TYPE_CHECKING:
    from porter.lifecycle.export import Exported
    from porter.lifecycle.rewrite import Rewrite


@click.command()
@click.option(
    "--target", "targets", multiple=True, metavar="NAME", help="Whose stacks the tree holds, if it does not say itself."
)
@click.option("--check", is_flag=True, help="Write nothing; exit code 1 if the files are not what the tree gives.")
@click.option("--stack", metavar="NAME", default="", help="Where commits without a line 'Stack: NAME' belong.")
@click.option("--into", metavar="PATCH", default="", help="Fold what is not committed into this patch.")
@click.option("--new", "subject", metavar="SUBJECT", default="", help="Make what is not committed a patch of --stack.")
@click.option("--why", metavar="TEXT", default="", help="With --new: the paragraph that says why the patch exists.")
@click.option(
    "--trailer", "trailers", multiple=True, metavar="TEXT", help="With --new: such as 'Reason: device'; repeatable."
)
@click.argument("tree", metavar="[TREE]", type=FOLDER, default=".")
def export(
    targets: Sequence[str],
    check: bool,
    stack: str,
    into: str,
    subject: str,
    why: str,
    trailers: Sequence[str],
    tree: Path,
) -> None:
    """Make the patches what the commits in TREE are, one patch a commit.

    Commit, amend, reorder, split and drop with git as you like, and mend with git commit --fixup; export folds the
    fixups and puts common's commits first. Patches of untouched commits keep every byte. Other targets' patches
    are brought in step, or nothing is written. The lock follows.
    """
    from porter.errors import WrongUsage
    from porter.lifecycle.export import New, Request
    from porter.lifecycle.export import export as run
    from porter.progress import Terminal
    from porter.project import Project

    new = None
    if subject:
        if not stack:
            raise WrongUsage("--new does not say which stack the patch is for", hint="Add --stack common, for example.")
        new = New(subject, stack, why, tuple(trailers))
    elif why or trailers:
        raise WrongUsage("--why and --trailer describe a new patch", hint="Name it: --new 'SUBJECT' --stack STACK.")
    with Terminal() as progress:
        request = Request(tree, tuple(targets), stack, into, new, check)
        done = run(Project.find(), request, progress)
    _print_exported(done, check, tree)


def _print_exported(done: Exported, check: bool, tree: Path) -> None:
    for path in done.untracked[:10]:
        click.echo(f"not in any patch, as git does not know it: {path}", err=True)
    if len(done.untracked) > 10:
        click.echo(f"and {len(done.untracked) - 10} more files that git does not know", err=True)
    name = "+".join(done.targets)
    if not done.rewrite.edits:
        click.echo(f"The stacks are what {tree} gives for {name}. No file was touched.")
    elif check:
        print_edits(done.rewrite)
        click.echo(f"The stacks are not what {tree} gives for {name}; `porter export {tree}` writes them.", err=True)
        raise SystemExit(1)
    else:
        print_edits(done.rewrite)
        click.echo("Next: porter lint")
    if done.committed:
        click.echo(f"{tree}: what was not committed is commit {done.committed[:12]} now")


def print_edits(rewrite: Rewrite) -> None:
    """A line for each file that changes."""
    for edit in rewrite.edits:
        word, colour = ("new", "green") if edit.before is None else ("changed", "yellow")
        if edit.after is None:
            word, colour = "gone", "red"
        click.echo(f"  {click.style(f'{word:8}', fg=colour)} {edit.path}")
