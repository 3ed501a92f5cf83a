"""``porter show``: a patch, by what a person remembers of it."""

from __future__ import annotations

import click

from porter.commands.arguments import AnyProject, find
from porter.commands.options import JSON, colour, complete_patch, print_bytes, print_json
from porter.patch import Patch
from porter.stack import find_patch


def show(name: str, *, project: AnyProject = None) -> Patch:
    """A patch, by what a person remembers of it.

    Args:
        name: its place (``3``, ``common/3``), or its file name, the beginning of it or a part of it.

    Raises:
        WrongUsage: no patch or several are meant.
        CheckFailed: a stack is malformed.
    """
    return find_patch(find(project), name)


@click.command(name="show")
@JSON
@click.argument("name", metavar="PATCH", shell_complete=complete_patch)
def command(as_json: bool, name: str) -> None:
    """Print a patch: by its place (3, common/3), or a part of its name."""
    patch = show(name)
    if as_json:
        print_json("patch", patch.record())
        return
    click.secho(f"# {patch.id}", fg="yellow")
    print_bytes(patch.data if not colour() else _coloured(patch.data))


def _coloured(data: bytes) -> bytes:
    colours = {b"+": b"\x1b[32m", b"-": b"\x1b[31m", b"@": b"\x1b[36m", b"d": b"\x1b[1m"}
    head, middle, diff = data.partition(b"\ndiff --git ")
    rows = (middle[1:] + diff).split(b"\n")
    painted = [colours[row[:1]] + row + b"\x1b[0m" if row[:1] in colours else row for row in rows]
    return head + b"\n" + b"\n".join(painted)
