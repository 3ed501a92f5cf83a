"""Data sets to train on: downloaded, drawn here, looked through."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from porter.commands.arguments import AnyPath, path

if TYPE_CHECKING:
    from porter.commands.data import Laid
    from porter.datasets.generate import DataSet
    from porter.datasets.review import Review
    from porter.output import Progress


def fetch(
    name: str,
    dest: AnyPath | None = None,
    *,
    mirrors: Sequence[str] = (),
    link: bool = False,
    require_known: bool = False,
    progress: Progress | None = None,
) -> Laid:
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
        SurroundingsFailed: it cannot be downloaded or written.
        WrongUsage: there is no such data set, or a mirror makes no sense.
    """
    from porter.commands.data import fetch as run

    return run(name, path(dest), mirrors, link, progress, require_known)


def make(
    dest: AnyPath,
    *,
    images: int = 128,
    seed: int = 0,
    size: tuple[int, int] = (160, 120),
    classes: int = 80,
    progress: Progress | None = None,
) -> DataSet:
    """Draw labelled scenes that a YOLOv5 can learn, in its own layout, into the new folder ``dest``.

    Args:
        images: pictures to train on; a quarter more are made for validation.
        seed: the same seed gives the same bytes on every machine.
        size: width and height of each picture, in pixels.
        classes: how many of the 80 classes occur.

    Raises:
        WrongUsage: ``dest`` exists, or a number makes no sense.
        SurroundingsFailed: it cannot be written.
    """
    from porter.datasets.generate import Recipe
    from porter.datasets.generate import make as run

    return run(Path(dest), Recipe(images, seed, *size, classes), progress)


def check(file: AnyPath, *, progress: Progress | None = None) -> Review:
    """Look through a data set for what v6.0 would trip over, leave out or learn wrongly.

    Args:
        file: its yaml.

    Returns:
        ``problems``, which have to be mended, and ``warnings``, each with file and line.

    Raises:
        WrongUsage: the yaml cannot be read as one of a data set.
        SurroundingsFailed: a folder cannot be read.
    """
    from porter.datasets.review import review
    from porter.output import Progress

    return review(Path(file), progress or Progress())
