"""``porter doctor``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from porter.commands.options import JSON, complete_target, print_json, tell, terminal

if TYPE_CHECKING:
    from porter.commands.doctor import Diagnosis


@click.command()
@click.option(
    "--target",
    default="",
    metavar="NAME",
    shell_complete=complete_target,
    help="A device family of `porter targets`; without it, the cpu.",
)
@click.option("--python", metavar="EXE", default=sys.executable, help="The interpreter that is to train.")
@JSON
def doctor(target: str, python: str, as_json: bool) -> None:
    """Say whether training can work here, and what to do where it cannot.

    Looks at the machine, the driver, the cards, the interpreter and its packages by using them; changes nothing. Exit
    code 1 if training on the target, or without one on the cpu, could not work.
    """
    from porter.api import doctor as run

    with terminal() as progress:
        found = run(target, python=python, progress=progress)
    if as_json:
        print_json("doctor", found.record())
    else:
        _print(found)
    raise SystemExit(1 if found.problems else 0)


def _print(found: Diagnosis) -> None:
    for heading, rows in found.sections().items():
        click.secho(heading, bold=True)
        for name, value in rows:
            click.echo(f"  {name:22} {value}")
    for trouble in found.troubles:
        click.echo()
        level = click.style(trouble.level, fg="red" if trouble.level == "problem" else "yellow", bold=True)
        click.echo(f"{level}: {trouble.what} [{trouble.trap}]")
        click.echo(f"  do: {trouble.do}")
    click.echo()
    click.secho(found.verdict, fg="red" if found.problems else "green")
    if found.problems and found.target:
        name = found.target.name
        there = found.plugin and found.plugin.installed and not found.plugin.foreign
        device = " --device emulated" if there else ""  # an installed plugin goes before, unless this is said
        tell(f"Without a card: porter verify --target {name}{device} proves a tree on an emulated one.")
    elif found.problems == []:
        tell(f"Next: porter prepare --target {found.target.name if found.target else 'mlu'} ./yolov5")
