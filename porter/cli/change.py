"""The commands that change the stacks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from porter.cli.shared import FOLDER, UPSTREAM

if TYPE_CHECKING:
    from porter.lifecycle.export import Exported
    from porter.lifecycle.importing import Imported
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


@click.command(name="import")
@click.option("--target", metavar="NAME", required=True, help="The device family whose stack it is for.")
@click.option("--stack", metavar="NAME", default="", help="The stack that it goes to: common, or the target (default).")
@click.option("--base", metavar="REV", default="", help="The upstream commit that it was made for; found by default.")
@click.option("--tree", metavar="DIR", type=FOLDER, help="Where the tree to look at goes.  [default: ./import-SOURCE]")
@click.option("--split", is_flag=True, help="One patch a file, of a diff or a copy that has no message.")
@click.option("--accept", is_flag=True, help="Put what came of it, as the tree has it, into the stacks.")
@UPSTREAM
@click.argument("source", metavar="SOURCE", type=FOLDER)
def take(
    target: str, stack: str, base: str, tree: Path | None, split: bool, accept: bool, upstream: str | None, source: Path
) -> None:
    """Turn somebody else's changes into patches: what fits is committed in a tree, the rest lies beside its files.

    SOURCE is a diff, mails of git format-patch, a folder with a quilt series or patch files, or a changed copy of
    upstream's folder. Nothing in the stacks changes before --accept. Exit code 1 if something did not fit.
    """
    from porter.lifecycle.importing import Request
    from porter.lifecycle.importing import take as run
    from porter.progress import Terminal
    from porter.project import Project

    request = Request(source, target, stack, base, tree, split, accept, upstream)
    with Terminal() as progress:
        done = run(Project.find(), request, progress)
    _print_imported(done, request.place)


def _print_imported(done: Imported, tree: Path) -> None:
    from collections import Counter
    from shlex import quote

    if done.base:
        click.echo(f"made for {done.base}")
    for outcome in done.outcomes:
        counts = ", ".join(f"{number} {word}" for word, number in sorted(outcome.hunks.items())) or "nothing"
        click.echo(f"  {outcome.patch.subject or outcome.patch.name}: {counts}")
        seen = Counter((reject.path, reject.why) for reject in outcome.rejects)
        for (path, why), count in seen.items():
            times = f" ({count} times)" if count > 1 else ""
            click.echo(f"    {click.style('rejected', fg='red')} {path}: {why}{times}")
    if done.lacking:
        click.echo(f"not taken for deleted: {len(done.lacking)} files of upstream that the copy lacks")
    if done.exported:
        print_edits(done.exported.rewrite)
        click.echo("Next: porter lint, which says what is left to say in the messages")
        return
    click.echo(f"{tree}: a tree with the stack and what fits of it")
    if done.rejects:
        click.echo("what does not fit, with both sides: " + ", ".join(done.rejects), err=True)
    again = "and remove the .rej files, " if done.rejects else ""
    click.echo(f"Next: look at it (git -C {quote(str(tree))} log -p), {again}then the same command with --accept")
    if done.rejects:
        raise SystemExit(1)
