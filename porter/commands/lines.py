"""``porter lines``: the releases of upstream that there are stacks for."""

from __future__ import annotations

import click

from porter.commands.arguments import AnyProject, find
from porter.line import Line, describe
from porter.output import hanging, labelled, to_json
from porter.stack import COMMON


def lines(*, project: AnyProject = None) -> list[Line]:
    """The releases of upstream that there are stacks for, the default one first.

    Raises:
        WrongUsage: a lock or a ``target.yaml`` is malformed.
        CheckFailed: a lock does not agree with itself, or a stack is malformed.
        EnvironmentFailed: a file cannot be read.
    """
    return describe(find(project))


@click.command(name="lines")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
def command(as_json: bool) -> None:
    """List the releases of upstream that there are stacks for: lines, as --line takes them."""
    found = lines()
    if as_json:
        click.echo(to_json([labelled("line", line.record()) for line in found], for_stdout=True), nl=False)
        return
    heads = ("line", "upstream", "date", "patches", "targets", "sources")
    rows = [heads, *map(_row, found)]
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        text = "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths)).rstrip()
        text = hanging(text, sum(widths[:-1]) + 2 * (len(widths) - 1), less=widths[0] + 2)
        click.echo(click.style(text, dim=True) if row is heads else text)


def _row(line: Line) -> tuple[str, ...]:
    own = ", ".join(f"{target} {line.patches[target]}" for target in line.targets)
    pin = line.upstream
    index = f"package index ({line.indexed} of {line.files} files)"
    sources = ["git" if source.startswith("git ") else index for source in line.sources]
    name = f"{line.name}*" if line.default else line.name
    patches = f"common {line.patches[COMMON]}"
    kinds = ", ".join(dict.fromkeys(sources))
    alone = "" if line.indexed else " alone"
    return name, pin["commit"][:12], pin["date"][:10], patches, own, f"{kinds}{alone}"
