"""``porter data``: data sets to train on, downloaded, drawn here, looked through."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from porter.commands.arguments import AnyPath, AnyProject, find, find_of, path
from porter.commands.options import FOLDER, JSON, MIRROR, REQUIRE_KNOWN, is_quiet, print_json, tell, terminal
from porter.datasets.generate import YAML
from porter.datasets.generate import make as make
from porter.diagnosis.interpreter import find_python
from porter.downloads import datasets
from porter.downloads.digests import Digests
from porter.errors import WrongUsage
from porter.files import write_file
from porter.lockfile import Lock
from porter.output import Progress, command_line, counted
from porter.stack import Stack, available
from porter.temporary import work_folder
from porter.tree import TRAIN, status
from porter.tree.make import apply_stack
from porter.verification import loader
from porter.verification.device import must_have_torch
from porter.verification.loader import Review

_SHOWN = 100  # findings, on a terminal


@dataclass(frozen=True)
class FetchedSet(datasets.Fetched):
    """A data set that is there now, and how to train on it.

    Attributes:
        place: where v6.0 finds it: the folder itself or a link to it; the folder if v6.0 does not find it.
        data: what ``train.py --data`` takes; empty: v6.0's yaml does not find it and it has none of its own.
    """

    place: Path
    data: str

    def record(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        return {"path": str(self.path), "how": self.how, "trust": list(self.trust), "data": self.data}


def fetch(
    name: str,
    dest: AnyPath | None = None,
    *,
    mirrors: Sequence[str] = (),
    link: bool = False,
    require_known: bool = False,
    progress: Progress | None = None,
) -> FetchedSet:
    """Download a data set and lay it out as v6.0 expects it.

    Args:
        name: ``coco128`` (7 MB) or ``coco`` (20 GB, twice that on disk).
        dest: the folder that holds data sets.  None: ``datasets`` beside the tree that is, or is in, the current
            folder: there v6.0 looks.
        mirrors: where it is tried first: URLs or folders that hold the file by its name, or patterns with ``{url}``
            or ``{name}`` in them.
        link: with ``dest``: link the data set to where v6.0 looks, too.
        require_known: refuse what porter knows no digest of.

    Raises:
        CheckFailed: what came, or what is there, is not the data set, or it has no known digest.
        EnvironmentFailed: it cannot be downloaded or written.
        WrongUsage: there is no such data set, or a mirror makes no sense.
    """
    if name not in datasets.SETS:
        raise WrongUsage(f"there is no data set {name}", hint=f"There are: {', '.join(datasets.SETS)}.")
    usual = datasets.default_folder(Path.cwd())
    digests = Digests(strict=require_known)
    folder = path(dest) or usual
    made = datasets.obtain(datasets.SETS[name], folder, progress or Progress(), mirrors=mirrors, digests=digests)
    place = datasets.link(made.path, usual) if link else made.path
    own = made.path / YAML
    data = f"{name}.yaml" if place == usual / name else str(own) if own.is_file() else ""
    return FetchedSet(made.path, made.how, made.trust, place, data)


def check(
    file: AnyPath,
    *,
    tree: AnyPath | None = None,
    python: str | None = None,
    sheet: AnyPath | None = None,
    project: AnyProject = None,
    progress: Progress | None = None,
) -> Review:
    """Have a tree's own loader read a data set: what would v6.0 trip over, leave out or learn wrongly?

    Nothing is written to the data set, and nothing is downloaded.

    Args:
        file: its yaml.
        tree: whose loader.  None: that of the ported tree that the current folder is in, else of one made for this.
        python: the interpreter that it runs under; it needs torch.  None: this one.
        sheet: a .jpg or .png to draw up to 16 pictures into, with their boxes.

    Returns:
        ``problems``, which have to be mended, and ``warnings``, each with file and line.

    Raises:
        WrongUsage: the yaml cannot be read as one of a data set, or ``tree`` or ``python`` is none.
        EnvironmentFailed: there is no torch, a folder cannot be read, or upstream cannot be had.
    """
    data, picture = Path(file), path(sheet)
    if picture and picture.suffix.lower() not in (".jpg", ".jpeg", ".png"):
        raise WrongUsage(f"{picture} is no .jpg and no .png", hint="Name the sheet as sheet.jpg.")
    if not data.is_file():
        raise WrongUsage(f"there is no {data}", hint="Name the yaml of a data set.")
    python, progress = find_python(python or sys.executable), progress or Progress()
    must_have_torch(python)
    with work_folder("porter-data-") as root:
        found = _ported(project, path(tree), root, progress)
        folders = [Path.cwd(), found, data.absolute().parent.parent]  # v6.0 takes a relative path from the tree
        drawn = root / f"sheet{picture.suffix}" if picture else None
        progress.step(f"reading {data}")
        review = loader.review(data, found, python, root, folders, drawn)
        if picture and drawn and review.sheet:  # with no picture to draw there are problems, which are said
            write_file(picture, drawn.read_bytes())
    return review


def _ported(project: AnyProject, given: Path | None, root: Path, progress: Progress) -> Path:
    """The tree whose loader reads: the one named, the one that the current folder is in, or one made in ``root``.

    Only a tree with our patches will do: in upstream's, a label cache or a yaml can run what it names.
    """
    if given is not None:
        if not status(find_of(project, given), given).targets:
            hint = "porter apply --target NAME DIR makes one; without --tree one is made for this."
            raise WrongUsage(f"{given} is not a ported tree", hint=hint)
        return given.absolute()
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / TRAIN).is_file() and (folder / ".git").exists():
            with suppress(WrongUsage):
                if status(find_of(project, folder), folder).targets:
                    return folder
    found = find(project)
    stack = Stack.load(found, available(found.patches)[:1])
    apply_stack(Lock.load(found.lock_path), stack, root / "tree", None, False, progress)
    return root / "tree"


@click.group(name="data")
def command() -> None:
    """Data sets to train on: downloaded, drawn here, looked through."""


def _size(context: click.Context, option: click.Parameter, value: str) -> tuple[int, int]:
    """A width and a height in pixels, from ``160x120``."""
    width, _, height = value.partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise click.BadParameter(f"{value!r} is not a width and a height in pixels, as 160x120.", context, option)
    return int(width), int(height)


@command.command(name="make")
@click.option(
    "--like", type=click.Choice(["coco128"]), default="coco128", show_default=True, help="Layout, and as many classes."
)
@click.option("--images", default=128, show_default=True, help="Pictures to train on; a quarter more for validation.")
@click.option("--seed", default=0, show_default=True, help="The same seed gives the same bytes on every machine.")
@click.option(
    "--size", callback=_size, metavar="WxH", default="160x120", show_default=True, help="Of each picture, in pixels."
)
@click.option("--classes", default=80, show_default=True, help="How many of the 80 classes occur.")
@JSON
@click.argument("dest", metavar="DEST", type=FOLDER)
def make_command(
    like: str, images: int, seed: int, size: tuple[int, int], classes: int, as_json: bool, dest: Path
) -> None:
    """Draw labelled scenes, which a YOLOv5 can learn, into a new folder.

    DEST is laid out as a YOLOv5 wants it.

    A class is one of 8 shapes in one of 10 colours.
    """
    with terminal() as progress:
        made = make(dest, images=images, seed=seed, size=size, classes=classes, progress=progress)
    if as_json:
        print_json("data", made.record())
        return
    parts = (
        f"{counted(made.images[split], 'picture')} with {counted(made.objects[split], 'object')} in {split}"
        for split in made.images
    )
    tell(f"{dest}: {', '.join(parts)}")
    train = ("python", "train.py", "--data", made.yaml, "--img", str(max(size)), "--weights", "", "--cfg")
    tell(f"Next, in a tree: {command_line(*train, 'yolov5n.yaml')}")


@command.command(name="fetch")
@click.option(
    "--dest",
    metavar="DIR",
    type=FOLDER,
    help="The folder that holds data sets.  [default: datasets beside the tree, where the yaml of v6.0 looks]",
)
@MIRROR
@click.option("--link", is_flag=True, help="With --dest: link the data set to where the yaml of v6.0 looks, too.")
@REQUIRE_KNOWN
@JSON
@click.argument("name", type=click.Choice(["coco128", "coco"]))
def fetch_command(
    dest: Path | None, mirrors: tuple[str, ...], link: bool, require_known: bool, as_json: bool, name: str
) -> None:
    """Download a data set and lay it out as v6.0 expects it.

    The sets are coco128 (7 MB) and coco (20 GB, twice that on disk).

    Run it in a tree or beside one. What was downloaded when it is interrupted is gone on with. Every picture and label
    of coco128 is held to its published digest, and so are COCO's pictures. Of COCO's labels the first download's digest
    is kept, and later ones are held to it. PORTER_MIRROR names mirrors for every download.
    """
    with terminal() as progress:
        made = fetch(name, dest, mirrors=mirrors, link=link, require_known=require_known, progress=progress)
    if as_json:
        print_json("data", made.record())
    elif not is_quiet():
        _print_fetched(made, name)


def _print_fetched(made: FetchedSet, name: str) -> None:
    click.echo(f"{made.path}: {name}, {made.how}")
    for line in made.trust:
        click.echo(f"  {line}")
    if made.place != made.path:
        click.echo(f"{made.place} leads there")
    if made.data:
        train = command_line("python", "train.py", "--data", made.data, "--weights", "yolov5s.pt")
        click.echo(f"Next, in a tree: {train}")
    else:
        again = command_line("porter", "data", "fetch", name, "--dest", made.path.parent, "--link")
        click.echo(f"Next: {again}, so that v6.0 finds it")


@command.command(name="check")
@JSON
@click.option("--sheet", metavar="FILE", type=FOLDER, help="Draw up to 16 pictures with their boxes (.jpg or .png).")
@click.option("--tree", metavar="DIR", type=FOLDER, help="Whose loader reads; else that of the tree you are in.")
@click.option("--python", metavar="EXE", default=sys.executable, help="The interpreter that is to train.")
@click.argument("file", metavar="DATA.yaml", type=FOLDER)
def check_command(as_json: bool, sheet: Path | None, tree: Path | None, python: str, file: Path) -> None:
    """Find what v6.0 would trip over, leave out or learn wrongly.

    The loader of the ported tree that you are in reads the data, or that of a tree made for this. It writes nothing
    beside the data and downloads nothing. Each finding names file and line.

    Exit code 1 if anything has to be mended.
    """
    with terminal() as progress:
        found = check(file, tree=tree, python=python, sheet=sheet, progress=progress)
    if sheet:
        tell(
            f"{sheet}: {counted(found.sheet, 'picture')}" if found.sheet else f"{sheet}: not made, no picture",
            err=as_json,
        )
    if as_json:
        print_json("data-check", found.as_json())
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
        click.echo(f"{name}: {counted(split.pictures, 'picture')}{without}, {counted(split.objects, 'object')}")
    there = f"{len(found.classes)} of {len(found.names)} classes"
    click.echo(f"{found.data}: {there}, problems: {len(found.problems)}, warnings: {len(found.warnings)}")
