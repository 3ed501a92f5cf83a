"""``porter weights``: checkpoints (.pt), downloaded, looked into without running them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from porter import checkpoints
from porter.checkpoints import Checkpoint
from porter.commands.arguments import AnyPath, AnyProject, find
from porter.commands.options import FOLDER, JSON, MIRROR, REQUIRE_KNOWN, complete_weights, print_json, tell, terminal
from porter.downloads.digests import Digests
from porter.downloads.download import Downloaded
from porter.downloads.partial import amount
from porter.downloads.weights import obtain, release_of
from porter.lockfile import glance
from porter.output import Progress, command_line, printable


def fetch(
    name: str,
    dest: AnyPath = ".",
    *,
    release: str = "",
    mirrors: Sequence[str] = (),
    require_known: bool = False,
    project: AnyProject = None,
    progress: Progress | None = None,
) -> Downloaded:
    """Download a checkpoint of upstream's; it is looked into before it gets its name.

    Args:
        name: yolov5 n, s, m, l or x, for 1280 pixels with a 6, as ``yolov5m6.pt``; ``.pt`` may be left out.
        dest: the folder to put it in.
        release: of upstream: ``v6.0``, ``v6.1``, ``v6.2`` or ``v7.0``; empty: the line's own.
        mirrors: where it is tried first, as for :func:`porter.data.fetch`.
        require_known: refuse one that porter knows no digest of.

    Raises:
        CheckFailed: what came, or what is there, is not upstream's, or is no checkpoint, or it has no known digest.
        EnvironmentFailed: it cannot be downloaded or written.
        WrongUsage: there is no such checkpoint or release, or a mirror makes no sense.
    """
    release = release or release_of(glance(find(project).lock_path)[0])
    digests = Digests(strict=require_known)
    return obtain(name, Path(dest), progress or Progress(), release=release, mirrors=mirrors, digests=digests)


def inspect(file: AnyPath) -> Checkpoint:
    """What a checkpoint is; nothing in it is run, and torch is not needed.

    Raises:
        CheckFailed: it asks to run something, and what; or it is damaged, or no checkpoint of torch's.
        EnvironmentFailed: it cannot be read.
        WrongUsage: it is no file.
    """
    return checkpoints.inspect(Path(file))


@click.group(name="weights")
def command() -> None:
    """Checkpoints (.pt): downloaded, looked into without running them."""


@command.command(name="fetch")
@click.option("--release", default="", help="Of upstream: v6.0, v6.1, v6.2 or v7.0.  [default: the line's]")
@click.option("--dest", metavar="DIR", type=FOLDER, default=".", help="Where to put it.  [default: the current folder]")
@MIRROR
@REQUIRE_KNOWN
@JSON
@click.argument("name", metavar="yolov5s.pt", shell_complete=complete_weights)
def fetch_command(
    release: str, dest: Path, mirrors: tuple[str, ...], require_known: bool, as_json: bool, name: str
) -> None:
    """Download one of upstream's checkpoints.

    They are yolov5 n, s, m, l and x, for 1280 pixels with a 6, as yolov5m6.pt.

    What was downloaded when it is interrupted is gone on with. porter knows the digests of v6.0's yolov5n.pt and
    yolov5s.pt; of another the first download's is kept, and later ones are held to it. PORTER_MIRROR names
    mirrors for every download.
    """
    with terminal() as progress:
        made = fetch(name, dest, release=release, mirrors=mirrors, require_known=require_known, progress=progress)
    found = made.record()
    if as_json:
        print_json("weights", found)
        return
    tell(f"{made.path}: {found['how']}\n  {made.trust}")
    train = command_line("python", "train.py", "--weights", made.path, "--data", "coco128.yaml")
    tell(f"Next, in a tree: {train}")


@command.command(name="inspect")
@JSON
@click.argument("file", metavar="FILE", type=FOLDER)
def inspect_command(as_json: bool, file: Path) -> None:
    """Say what a checkpoint is, without running anything in it.

    torch is not needed.

    A file that would run something is refused by the name of what it would run. Exit code 1 then.
    """
    found = inspect(file)
    if as_json:
        print_json("checkpoint", found.as_json())
    else:
        for name, text in _lines(found):
            click.echo(f"{name:12}{text}")


def _lines(found: Checkpoint) -> list[tuple[str, str]]:
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
