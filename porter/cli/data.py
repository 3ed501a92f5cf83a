"""``porter data``: the group of commands about data sets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from porter.cli.shared import FOLDER, MIRROR, print_json

if TYPE_CHECKING:
    from porter.assets.review import Review

_SHOWN = 100  # findings, on a terminal


@click.group()
def data() -> None:
    """Data sets to train on: downloaded, drawn here, looked through."""


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


@data.command()
@click.option(
    "--dest",
    metavar="DIR",
    type=FOLDER,
    help="The folder that holds data sets.  [default: datasets beside the tree, where the yaml of v6.0 looks]",
)
@MIRROR
@click.option("--link", is_flag=True, help="With --dest: link the data set to where the yaml of v6.0 looks, too.")
@click.option("--json", "as_json", is_flag=True, help="Say what was done as JSON.")
@click.argument("name", type=click.Choice(["coco128", "coco"]))
def fetch(dest: Path | None, mirrors: tuple[str, ...], link: bool, as_json: bool, name: str) -> None:
    """Download a data set and lay it out as v6.0 expects it: coco128 (7 MB) or coco (20 GB, twice that on disk).

    Run it in a tree or beside one. What was downloaded when it is interrupted is gone on with. The digest of a first
    download is kept, and later ones are held to it. PORTER_MIRROR names mirrors for every download.
    """
    from porter.assets import published
    from porter.assets.dataset import YAML
    from porter.progress import Terminal

    usual = published.default_folder(Path.cwd())
    with Terminal() as progress:
        made = published.obtain(published.SETS[name], dest or usual, progress, mirrors=mirrors)
    place = published.link(made.path, usual) if link else made.path
    found_by_v6 = place == usual / name
    argument = f"{name}.yaml" if found_by_v6 else str(made.path / YAML)
    if as_json:
        print_json({"path": str(made.path), "how": made.how, "trust": list(made.trust), "data": argument})
        return
    click.echo(f"{made.path}: {name}, {made.how}")
    for line in made.trust:
        click.echo(f"  {line}")
    if place != made.path:
        click.echo(f"{place} leads there")
    if not found_by_v6 and not (made.path / YAML).is_file():
        click.echo(f"Next: porter data fetch {name} --dest '{made.path.parent}' --link, so that v6.0 finds it")
        return
    click.echo(f"Next, in a tree: python train.py --data {argument} --weights yolov5s.pt")


@data.command()
@click.option("--json", "as_json", is_flag=True, help="Say everything that was found as JSON.")
@click.option("--sheet", metavar="FILE", type=FOLDER, help="Draw up to 16 pictures with their boxes (.jpg or .png).")
@click.argument("file", metavar="DATA.yaml", type=FOLDER)
def check(as_json: bool, sheet: Path | None, file: Path) -> None:
    """Look through a data set for what v6.0 would trip over, leave out or learn wrongly; say file and line.

    Exit code 1 if anything has to be mended.
    """
    from porter.assets.review import review
    from porter.progress import Terminal

    with Terminal() as progress:
        found = review(file, progress)
    if sheet:
        from porter.assets.sheet import draw

        drawn = draw(sheet, found.boxes, found.names)
        click.echo(f"{sheet}: {drawn} pictures", err=as_json)
    if as_json:
        print_json(found.as_json())
    else:
        _print_review(found)
    raise SystemExit(1 if found.problems else 0)


def _print_review(found: Review) -> None:
    for word, findings in (("problem", found.problems), ("warning", found.warnings)):
        for finding in findings[:_SHOWN]:
            click.echo(f"{finding}" if word == "problem" else f"{finding} (warning)")
        if len(findings) > _SHOWN:
            click.echo(f"and {len(findings) - _SHOWN} more {word}s; --json has them all")
    for name, split in found.splits.items():
        without = f", {split.unlabelled} without labels" if split.unlabelled else ""
        click.echo(f"{name}: {split.pictures} pictures{without}, {split.objects} objects")
    there = f"{len(found.classes)} of {len(found.names)} classes"
    click.echo(f"{found.data}: {there}, problems: {len(found.problems)}, warnings: {len(found.warnings)}")
