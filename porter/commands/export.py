"""``porter export``: the patches become what a tree's commits are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from porter.commands.arguments import AnyPath, AnyProject, Names, find_of, names
from porter.commands.options import FOLDER, JSON, complete_patch, print_edits, print_json, target_option, tell, terminal
from porter.errors import WrongUsage
from porter.line import option_of
from porter.output import Progress, command_line
from porter.rebase.export import Exported, export_tree


def export(
    tree: AnyPath = ".",
    targets: Names = (),
    *,
    check: bool = False,
    stack: str = "",
    into: str = "",
    new: str = "",
    why: str = "",
    trailers: Sequence[str] = (),
    project: AnyProject = None,
    progress: Progress | None = None,
) -> Exported:
    """Make the patches what the commits in ``tree`` are, one patch a commit; all files are written or none.

    Args:
        targets: whose stacks the tree holds, if it does not say itself.
        check: write nothing; ``rewrite.edits`` of the result says what would change.
        stack: where commits without a line ``Stack: NAME`` belong.
        into: fold what is not committed into this patch.
        new: make what is not committed a patch of ``stack`` with this subject; ``why``: the paragraph that says why
            the patch exists; ``trailers``: such as ``Reason: device``.

    Raises:
        CheckFailed: commits cannot be put in the stacks' order, a change is nothing for a patch, or another target's
            stack does not fit any more.  Nothing was written.
        WrongUsage: the tree is in no state to be exported, or the stacks came with the installed package.
        EnvironmentFailed: the tree cannot be read, or the project not be written.
    """
    if new and not stack:
        raise WrongUsage("--new does not say which stack the patch is for", hint="Add --stack common, for example.")
    if not new and (why or trailers):
        raise WrongUsage("--why and --trailer describe a new patch", hint="Name it: --new 'SUBJECT' --stack STACK.")
    return export_tree(
        find_of(project, tree),
        Path(tree),
        names(targets),
        check=check,
        stack=stack,
        into=into,
        new=new,
        why=why,
        trailers=trailers,
        progress=progress,
    )


@click.command(name="export")
@target_option(" whose stack the tree holds, if it does not say so itself", multiple=True)
@click.option("--check", is_flag=True, help="Write nothing; exit code 1 if the files are not what the tree gives.")
@click.option("--stack", metavar="NAME", default="", help="Where commits without a line 'Stack: NAME' belong.")
@click.option(
    "--into",
    metavar="PATCH",
    default="",
    shell_complete=complete_patch,
    help="Fold what is not committed into this patch.",
)
@click.option("--new", metavar="SUBJECT", default="", help="Make what is not committed a patch of --stack.")
@click.option("--why", metavar="TEXT", default="", help="With --new: the paragraph that says why the patch exists.")
@click.option(
    "--trailer", "trailers", multiple=True, metavar="TEXT", help="With --new: such as 'Reason: device'; repeatable."
)
@JSON
@click.argument("tree", metavar="[TREE]", type=FOLDER, default=".")
def command(targets: Sequence[str], check: bool, as_json: bool, tree: Path, **options: Any) -> None:
    """Make the patches what the commits in TREE are, one patch a commit.

    Commit, amend, reorder, split and drop with git as you like, and mend with git commit --fixup; export folds the
    fixups and puts common's commits first. Patches of untouched commits keep every byte. Other targets' patches
    are brought in step, or nothing is written. The lock follows.
    """
    with terminal() as progress:
        done = export(tree, targets, check=check, **options, progress=progress)
    if as_json:
        print_json("export", done.record())
    else:
        _print(done, check, tree)
    raise SystemExit(1 if check and done.rewrite.edits else 0)


def _print(done: Exported, check: bool, tree: Path) -> None:
    for path in done.untracked[:10]:
        tell(f"not in any patch, as git does not know it: {path}", err=True)
    if len(done.untracked) > 10:
        tell(f"and {len(done.untracked) - 10} more files that git does not know", err=True)
    name = "+".join(done.targets)
    if not done.rewrite.edits:
        tell(f"The stacks are what {tree} gives for {name}. No file was touched.")
    elif check:
        print_edits(done.rewrite)
        write = command_line("porter", "export", tree)
        tell(f"The stacks are not what {tree} gives for {name}; `{write}` writes them.", err=True)
    else:
        print_edits(done.rewrite)
        tell(f"Next: {command_line('porter', *option_of(done.rewrite.project), 'lint')}")
    if done.committed and not done.head:
        tell(f"{tree}: what was not committed is commit {done.committed[:12]} now")
    if done.head:
        tell(f"{tree}: its branch is at the exported commits now ({done.head[:12]}); git reflog has the ones before")
