"""The commands that change the stacks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from porter.commands.options import FOLDER, JSON, UPSTREAM, print_edits, print_json, tell, terminal

if TYPE_CHECKING:
    from porter.commands.import_ import Imported


@click.command(name="import")
@click.option("--target", metavar="NAME", required=True, help="The device family whose stack it is for.")
@click.option("--stack", metavar="NAME", default="", help="The stack that it goes to: common, or the target (default).")
@click.option("--base", metavar="REV", default="", help="The upstream commit that it was made for; found by default.")
@click.option("--tree", metavar="DIR", type=FOLDER, help="Where the tree to look at goes.  [default: ./import-SOURCE]")
@click.option("--split", is_flag=True, help="One patch a file, of a diff or a copy that has no message.")
@click.option("--accept", is_flag=True, help="Put what came of it, as the tree has it, into the stacks.")
@UPSTREAM
@JSON
@click.argument("source", metavar="SOURCE", type=FOLDER)
def take(as_json: bool, source: Path, target: str, **options: Any) -> None:
    """Turn somebody else's changes into patches: what fits is committed in a tree, the rest lies beside its files.

    SOURCE is a diff, mails of git format-patch, a folder with a quilt series or patch files, or a changed copy of
    upstream's folder. Nothing in the stacks changes before --accept. Exit code 1 if something did not fit.
    """
    from porter.api import import_ as run

    with terminal() as progress:
        done = run(source, target, **options, progress=progress)
    if as_json:
        print_json("import", done.record())
    else:
        _print_imported(done)
    raise SystemExit(1 if done.rejects and not done.exported else 0)


def _print_imported(done: Imported) -> None:
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
    for name in done.rebound:
        click.echo(f"look at {name}", err=True)
    if done.exported:
        print_edits(done.exported.rewrite)
        tell("Next: porter lint, which says what is left to say in the messages")
        return
    click.echo(f"{done.tree}: a tree with the stack and what fits of it")
    if done.rejects:
        click.echo("what does not fit, with both sides: " + ", ".join(done.rejects), err=True)
    again = "and remove the .rej files, " if done.rejects else ""
    tell(f"Next: look at it (git -C {quote(str(done.tree))} log -p), {again}then the same command with --accept")
