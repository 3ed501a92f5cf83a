"""``porter bench``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from porter.cli.shared import FOLDER, complete_target, print_json

if TYPE_CHECKING:
    from porter.commands.bench import Result


@click.command()
@click.option("--target", default="", metavar="NAME", shell_complete=complete_target, help="A device family.")
@click.option(
    "--device",
    type=click.Choice(["auto", "hardware", "emulated", "cpu"]),
    default="auto",
    show_default=True,
    help="auto: the card if there is one, else an emulated one, else the cpu.",
)
@click.option("--profile", metavar="CARD", default="", help="The card to emulate, such as sg2260.")
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
@click.option("--threads", type=click.IntRange(1), help="Of torch, on the host.  [default: a core each]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--trend", metavar="FILE", type=FOLDER, help="Append the figures to this file, a JSON object a line.")
@click.option("--plot", metavar="FILE", type=FOLDER, help="Measure nothing: draw such a file, as FILE.svg.")
@click.argument("tree", metavar="[DIR]", type=FOLDER, required=False)
def bench(as_json: bool, trend: Path | None, plot: Path | None, threads: int | None, **asked: object) -> None:
    """Measure how fast the tree in DIR trains on the target.

    Each run is a process of its own that trains from nothing; the times are those of the tree's metric collector. What
    it is compared with is measured in turn with it, and the ratio is taken round by round.
    """
    from porter.commands.bench import Request
    from porter.commands.bench import bench as run
    from porter.progress import Terminal
    from porter.project import Project

    if plot:
        _plot(plot)
        return
    for name, shown in ("target", "--target NAME"), ("tree", "DIR"):
        if not asked[name]:
            raise click.UsageError(f"Missing {shown}.")
    request = Request(**asked, threads=threads or 0)  # type: ignore[arg-type]  # the options are Request's fields
    with Terminal() as progress:
        found = run(Project.find(), request, progress, progress.note)
    if trend:
        from porter.bench.trend import append, entry

        append(trend, entry(found))
    if as_json:
        print_json(found.record())
    else:
        _print(found)
    if trend:
        click.echo(f"Next: porter bench --plot {trend}", err=as_json)


def _print(found: Result) -> None:
    rows = found.rows()
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for number, row in enumerate(rows):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()
        click.secho(line, bold=number == 0)
    if found.ratio:
        from porter.bench.turns import spread

        names = " / ".join(each.subject.name for each in found.measured)
        click.echo(f"images/s, {names}: {spread(found.ratio, '')}")
    if any(each.emulated for each in found.measured):
        click.secho("EMULATED: these are times of this machine's processor; no card was in it.", fg="yellow", bold=True)


def _plot(file: Path) -> None:
    from porter.bench.trend import draw, read
    from porter.document import write

    entries = read(file)
    picture = file.with_name(file.name + ".svg")
    write(picture, draw(entries).encode())
    click.echo(f"{picture}: {len(entries)} measurements")
