"""``porter data``: the group of commands about data sets."""

from __future__ import annotations

from pathlib import Path

import click

from porter.cli.shared import FOLDER


@click.group()
def data() -> None:
    """Data sets to train on, made here: nothing is downloaded."""


def _size(context: click.Context, option: click.Parameter, value: str) -> tuple[int, int]:
    """A width and a height in pixels, from ``160x120``."""
    width, _, height = value.partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise click.BadParameter(f"{value!r} is not a width and a height in pixels, as 160x120.", context, option)
    return int(width), int(height)


@data.command()
@click.option(
    "--like", type=click.Choice(["coco128"]), default="coco128", show_default=True, help="Layout and classes."
)
@click.option("--images", default=128, show_default=True, help="Pictures to train on; a quarter more for validation.")
@click.option("--seed", default=0, show_default=True, help="The same seed gives the same bytes on every machine.")
@click.option(
    "--size", callback=_size, metavar="WxH", default="160x120", show_default=True, help="Of each picture, in pixels."
)
@click.option("--classes", default=80, show_default=True, help="How many of the 80 classes occur.")
@click.argument("folder", metavar="DEST", type=FOLDER)
def make(like: str, images: int, seed: int, size: tuple[int, int], classes: int, folder: Path) -> None:
    """Draw labelled scenes that a YOLOv5 can learn, in its own layout, into the new folder DEST.

    A class is one of 8 shapes in one of 10 colours.
    """
    from porter.assets.dataset import Recipe
    from porter.assets.dataset import make as run
    from porter.progress import Terminal

    recipe = Recipe(images, seed, *size, classes)
    with Terminal() as progress:
        made = run(folder, recipe, progress)
    parts = (f"{made.images[split]} pictures with {made.objects[split]} objects in {split}" for split in made.images)
    click.echo(f"{folder}: {', '.join(parts)}")
    click.echo(f"Next, in a tree: python train.py --data {made.yaml} --img {max(size)} --weights '' --cfg yolov5n.yaml")
