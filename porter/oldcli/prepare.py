"""``porter prepare``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from porter.commands.options import (
    FOLDER,
    JSON,
    MIRROR,
    UPSTREAM,
    colour,
    complete_target,
    is_quiet,
    print_json,
    terminal,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from porter.commands.prepare import Step


@click.command()
@click.option("--target", required=True, metavar="NAME", shell_complete=complete_target, help="A device family.")
@click.option("--install", is_flag=True, help="Have pip install what is missing; torch and NumPy stay as they are.")
@click.option("--torch", is_flag=True, help="With --install: the pinned torch too, where there is none.")
@click.option("--weights", default="", metavar="NAME", help="Download this checkpoint of upstream's, as yolov5m.pt.")
@click.option("--release", default="v6.0", show_default=True, help="Of upstream, for the checkpoint: v6.0 or v6.1.")
@click.option("--data", default="", metavar="NAME|YAML", help="coco128, coco, scenes (drawn here), or a yaml you have.")
@click.option("--python", metavar="EXE", default=sys.executable, help="The interpreter that is to train.")
@UPSTREAM
@MIRROR
@JSON
@click.argument("tree", metavar="DIR", type=FOLDER)
def prepare(target: str, as_json: bool, tree: Path, **asked: Any) -> None:
    """From nothing to the command that trains: make the tree in DIR, see to packages, weights and data.

    Run again it does what is missing and says what is there. Without --install packages are named, not installed.
    """
    from porter.api import prepare as run
    from porter.errors import SurroundingsFailed

    silent = as_json or is_quiet()
    with terminal() as progress:
        ended = (lambda step: None) if silent else _print(progress.say)
        found = run(target, tree, **asked, ended=ended, progress=progress)
    if as_json:
        print_json("prepare", found.record())
    elif is_quiet():
        click.echo(found.train)
    else:
        click.echo(f"Then: porter doctor --target {target}, and train:")
        click.echo(f"  {found.train}")
    if found.unusable:
        raise SurroundingsFailed(found.unusable, hint=f"All the rest is done. Next: porter doctor --target {target}")


def _print(say: Callable[[str], None]) -> Callable[[Step], None]:
    def show(step: Step) -> None:
        colours = {"done": "green", "left to you": "yellow"}
        state = f"{step.state:13}"
        state = click.style(state, fg=colours.get(step.state)) if colour() else state
        say(f"{state} {step.name}: {step.said}")
        for command in step.commands:
            say(f"{'':13}   {command}")

    return show
