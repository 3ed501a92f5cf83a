"""``porter weights``: the group of commands about checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from porter.commands.options import FOLDER, JSON, MIRROR, REQUIRE_KNOWN, print_json, tell, terminal
from porter.output import printable

if TYPE_CHECKING:
    from porter.checkpoints.inspection import Checkpoint


@click.group()
def weights() -> None:
    """Checkpoints (.pt): downloaded, looked into without running them."""


@weights.command()
@click.option("--release", default="v6.0", show_default=True, help="Of upstream: v6.0 or v6.1.")
@click.option("--dest", metavar="DIR", type=FOLDER, default=".", help="Where to put it.  [default: the current folder]")
@MIRROR
@REQUIRE_KNOWN
@JSON
@click.argument("name", metavar="yolov5s.pt")
def fetch(release: str, dest: Path, mirrors: tuple[str, ...], require_known: bool, as_json: bool, name: str) -> None:
    """Download one of upstream's checkpoints.

    They are yolov5 n, s, m, l and x, for 1280 pixels with a 6, as yolov5m6.pt.

    What was downloaded when it is interrupted is gone on with. porter knows the digests of v6.0's yolov5n.pt and
    yolov5s.pt; of another the first download's is kept, and later ones are held to it. PORTER_MIRROR names
    mirrors for every download.
    """
    from porter.api.weights import fetch as run

    with terminal() as progress:
        made = run(name, dest, release=release, mirrors=mirrors, require_known=require_known, progress=progress)
    found = made.record()
    if as_json:
        print_json("weights", found)
        return
    tell(f"{made.path}: {found['how']}\n  {made.trust}")
    tell(f"Next, in a tree: python train.py --weights {made.path} --data coco128.yaml")


@weights.command()
@JSON
@click.argument("file", metavar="FILE", type=FOLDER)
def inspect(as_json: bool, file: Path) -> None:
    """Say what a checkpoint is, without running anything in it.

    torch is not needed.

    A file that would run something is refused by the name of what it would run. Exit code 1 then.
    """
    from porter.api.weights import inspect as run

    found = run(file)
    if as_json:
        print_json("checkpoint", found.as_json())
    else:
        for name, text in _lines(found):
            click.echo(f"{name:12}{text}")


def _lines(found: Checkpoint) -> list[tuple[str, str]]:
    from porter.downloads.partial import amount

    def counted(counts: dict[str, int]) -> str:
        return ", ".join(f"{count} {name}" for name, count in counts.items())

    lines = [("file", f"{found.path}, {amount(found.size)}, {found.kind} ({found.format})")]
    if found.kind == "YOLOv5 checkpoint":
        shown = ", ".join(map(printable, found.classes[:5])) + (", …" if len(found.classes) > 5 else "")
        scales = (f"{_pairs(row)} (stride {stride:g})" for stride, row in zip(found.strides, found.anchors))
        lines += [
            ("model", f"{found.model or 'of an unknown yaml'}, {found.layers} layers, {found.parameters:,} parameters"),
            ("classes", f"{len(found.classes)}: {shown}"),
            ("anchors", "; ".join(scales) or "not known"),
            ("epoch", _epoch(found)),
            ("EMA", "yes" if found.ema else "no"),
        ]
        if found.best_fitness is not None:
            lines.append(("fitness", f"{found.best_fitness:.4f}"))
        if found.date:
            lines.append(("date", found.date))
    elif found.parameters:
        lines.append(("parameters", f"{found.parameters:,}"))
    lines += [("tensors", counted(found.dtypes)), ("saved on", counted(found.devices))]
    return [(name, text) for name, text in lines if text]


def _pairs(row: list[float]) -> str:
    return " ".join(f"{width:g}x{height:g}" for width, height in zip(row[::2], row[1::2]))


def _epoch(found: Checkpoint) -> str:
    where = "finished" if found.epoch == -1 else "unknown" if found.epoch is None else f"{found.epoch}, from 0"
    return f"{where}; with the optimizer: train.py --resume goes on" if found.optimizer else f"{where}; no optimizer"
