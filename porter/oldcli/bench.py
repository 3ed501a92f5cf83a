"""``porter bench``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from porter.commands.options import FOLDER, JSON, complete_target, device, print_json, terminal

if TYPE_CHECKING:
    from porter.commands.bench import Result


@click.command()
@click.option("--target", required=True, metavar="NAME", shell_complete=complete_target, help="A device family.")
@device
@click.option("--iters", type=click.IntRange(1), default=100, show_default=True, help="Iterations that count, a run.")
@click.option("--warm-up", type=click.IntRange(0), default=10, show_default=True, help="Iterations before, left out.")
@click.option("--runs", type=click.IntRange(1), default=3, show_default=True, help="How often each is measured.")
@click.option("--cfg", default="yolov5s.yaml", show_default=True, metavar="YAML", help="The model.")
@click.option("--img", type=click.IntRange(32), default=640, show_default=True, help="Pixels.")
@click.option("--batch", type=click.IntRange(1), default=16, show_default=True, help="Images in a batch.")
@click.option("--workers", type=click.IntRange(0), default=8, show_default=True, help="Processes that load data.")
@click.option("--data", metavar="YAML", type=FOLDER, help="A data set.  [default: scenes drawn for it]")
@click.option(
    "--precision",
    type=click.Choice(["fp32", "amp", "fp16"]),
    default="fp32",
    show_default=True,
    help="amp is --pyamp; fp16, in a tree for tpu, is train_fp16.py.",
)
@click.option(
    "--against", default="", metavar="cpu|cuda|DIR", help="Measure this device, or this tree, in turn with it."
)
@click.option("--python", metavar="EXE", default=sys.executable, help="Train with this interpreter.")
@click.option("--threads", type=click.IntRange(0), default=0, help="Of torch, on the host.  [default: a core each]")
@JSON
@click.option("--trend", metavar="FILE", type=FOLDER, help="Append the figures to this file, a JSON object a line.")
@click.argument("tree", metavar="DIR", type=FOLDER)
def bench(target: str, tree: Path, as_json: bool, trend: Path | None, **asked: Any) -> None:
    """Measure how fast the tree in DIR trains on the target.

    Each run is a process of its own that trains from nothing; the times are those of the tree's metric collector. What
    it is compared with is measured in turn with it, and the ratio is taken round by round.
    """
    from porter.api import bench as run

    with terminal() as progress:
        found = run(target, tree, **asked, begun=progress.note, progress=progress)
    if trend:
        from porter.measurement.trend import append

        append(trend, found.trend())
    if as_json:
        print_json("bench", found.record())
    else:
        _print(found)


def _print(found: Result) -> None:
    rows = found.rows()
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for number, row in enumerate(rows):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()
        click.secho(line, bold=number == 0)
    if found.ratio:
        from porter.measurement.turns import spread

        names = " / ".join(each.subject.name for each in found.measured)
        click.echo(f"images/s, {names}: {spread(found.ratio, '')}")
    for mark in sorted({each.mark for each in found.measured if each.mark}):
        click.secho(f"{mark}: these are times of this machine's processor; no card was in it.", fg="yellow", bold=True)
