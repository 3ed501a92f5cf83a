"""``porter carry``: a change of a patch, made in one line, made in the later ones too."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from porter.commands.arguments import AnyPath, AnyProject, find
from porter.commands.options import FOLDER, JSON, UPSTREAM, complete_line, complete_patch, print_json, tell, terminal
from porter.errors import WrongUsage
from porter.line import earlier_state, lines, name_of
from porter.output import Progress, command_line
from porter.rebase import carry as carrying
from porter.rebase.carry import ABSENT, CARRIED, CONFLICT, LineOutcome
from porter.stack import find_patch


@dataclass(frozen=True)
class Carried:
    """What :func:`carry` did.

    Attributes:
        patch: its id; ``source``: the line that the change was made in.
        lines: what became of it in each later line, in order, up to the first in which it conflicts.
    """

    patch: str
    source: str
    lines: tuple[LineOutcome, ...]

    @property
    def conflict(self) -> LineOutcome | None:
        """The line in which a person is needed, or None."""
        return next((line for line in self.lines if line.state == CONFLICT), None)

    def record(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        return {"patch": self.patch, "from": self.source, "lines": [asdict(line) for line in self.lines]}


def carry(
    patch: str,
    *,
    to: str = "",
    since: str = "HEAD",
    folder: AnyPath = ".",
    upstream: str | None = None,
    project: AnyProject = None,
    progress: Progress | None = None,
) -> Carried:
    """Make the change of a patch in the later lines too: what was mended, merged into the patch that each line has.

    The line with the change is the project's own, the default one unless another is named.

    Args:
        patch: named as :func:`porter.show` takes it.
        to: the last line to carry it to; empty: all that come after.
        since: the commit of the project's repository that has the patch as it was before the change.
        folder: where the tree ``carry-LINE`` is made if the change conflicts.

    Raises:
        WrongUsage: there is no such patch, line or commit, the patch has not changed, or no line comes after.
        CheckFailed: a stack does not apply, or another target's does not fit any more.
        EnvironmentFailed: upstream cannot be had, or a folder cannot be written.
    """
    found, progress = find(project), progress or Progress()
    found.must_be_a_checkout()
    known, source = lines(found), name_of(found)
    after = list(known)[list(known).index(source) + 1 :]
    if to and to not in after:
        raise WrongUsage(f"no line {to} comes after {source}", hint=f"These do: {', '.join(after) or 'none'}.")
    if not after:
        raise WrongUsage(f"no line comes after {source}", hint="`porter lines` lists them.")
    wanted = {name: known[name] for name in after[: after.index(to) + 1 if to else None]}
    named = find_patch(found, patch).id
    with ExitStack() as stack:
        before = earlier_state(found, since, stack)
        made = tuple(carrying.carry(found, before, named, wanted, Path(folder), upstream, progress))
    return Carried(named, source, made)


@click.command(name="carry")
@click.option(
    "--to", metavar="LINE", default="", shell_complete=complete_line, help="The last line.  [default: all that follow]"
)
@click.option(
    "--since",
    metavar="REV",
    default="HEAD",
    show_default=True,
    help="The commit of porter's repository that has the patch as it was.",
)
@click.option(
    "--folder",
    metavar="DIR",
    type=FOLDER,
    default=".",
    help="Where a tree is left if it conflicts.  [default: the current folder]",
)
@UPSTREAM
@JSON
@click.argument("patch", metavar="PATCH", shell_complete=complete_patch)
def command(to: str, since: str, folder: Path, upstream: str | None, as_json: bool, patch: str) -> None:
    """Make the change of PATCH in the later lines too.

    What was mended is merged into the patch that each line has, so that what was resolved for a release stays. Where it
    conflicts, the tree carry-LINE is left to resolve it in, and the exit code is 1.

    \b
    porter export ./yolov5 && porter carry common/12
    porter carry --line v6.2 common/12      from v6.2 on
    """
    with terminal() as progress:
        done = carry(patch, to=to, since=since, folder=folder, upstream=upstream, progress=progress)
    if as_json:
        print_json("carry", done.record())
    else:
        _print(done)
    raise SystemExit(1 if done.conflict else 0)


_SAYS = {
    CARRIED: "carried",
    "same": "has it already",
    ABSENT: "has no such patch",
    CONFLICT: "conflicts in",
}


def _print(done: Carried) -> None:
    for line in done.lines:
        detail = ", ".join(line.conflicts or line.files)
        click.echo(f"{line.line}: {_SAYS[line.state]}{f' {detail}' if line.conflicts else ''}")
        if line.files:
            tell(f"  wrote {detail}")
    if done.conflict:
        tree = done.conflict.tree
        go_on = command_line("git", "-C", tree, "cherry-pick", "--continue")
        again = command_line("porter", "carry", "--line", done.conflict.line, done.patch)
        tell(f"Resolve it in {tree}, git add, then: {go_on}; {command_line('porter', 'export', tree)}")
        tell(f"Then, for the lines after it: {again}")
