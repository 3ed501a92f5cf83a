"""The pictures that the checks train on: a part of coco128 where that is to be had, else generated scenes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from porter.datasets import generate
from porter.downloads import datasets
from porter.errors import EnvironmentFailed, PorterError, WrongUsage, os_errors
from porter.output import Progress

KINDS = ("auto", "coco128", "scenes")
_SCENES = "generated scenes of coco128's layout and classes"


@dataclass(frozen=True)
class Pictures:
    """A small data set: ``images/train``, ``images/val``, their labels, ``data.yaml``.

    Attributes:
        path: its folder.
        says: one line for people: what it is.
    """

    path: Path
    says: str


def pictures(
    kind: str,
    count: int,
    folder: Path,
    tree: Path,
    progress: Progress,
    begun: Callable[[str], None] = lambda line: None,
) -> Pictures:
    """``count`` pictures to train on and a quarter as many for validation, put into ``folder``.

    Args:
        kind: ``coco128``, ``scenes``, or ``auto``: coco128 if it is there or can be downloaded, else scenes.
        tree: beside which coco128 may be, where v6.0 keeps it.
        begun: gets a line before a download.

    Raises:
        WrongUsage: ``PORTER_DATA`` names a folder without coco128.
        EnvironmentFailed: coco128 was asked for and is not to be had, or the disk is full.
    """
    why = ""
    if kind != "scenes":
        try:
            found = datasets.find_coco128(tree)
            if found is None:
                begun("data: fetching coco128, 7 MB")
                found = datasets.fetch_coco128(progress)
            return _part(found, count, folder)
        except WrongUsage:
            raise
        except PorterError as error:
            if kind == "coco128":
                hint = f"`porter data fetch coco128`, or name the folder that holds it in {datasets.DATA_VARIABLE}."
                raise EnvironmentFailed("coco128 is not to be had", str(error), hint) from error
            said = ": ".join(part for part in (error.what, error.why) if part).replace("\n", " ")
            why = f" (no coco128: {said})"
    made = generate.make(folder, images=count, size=(128, 96))
    return Pictures(made.path, _SCENES + why)


def _part(found: datasets.Found, count: int, folder: Path) -> Pictures:
    """The first labelled pictures of coco128, copied: v6.0 writes beside what it trains on."""
    images, labels = found.path / "images" / "train2017", found.path / "labels" / "train2017"
    labelled = [path for path in sorted(images.iterdir()) if (labels / f"{path.stem}.txt").is_file()]
    wanted = count + count // 4
    if len(labelled) < wanted:
        raise EnvironmentFailed(f"{found.path} has {len(labelled)} labelled pictures, {wanted} are needed")
    with os_errors(f"cannot write {folder}"):
        for split, chosen in ("train", labelled[:count]), ("val", labelled[count:wanted]):
            for kind in "images", "labels":
                (folder / kind / split).mkdir(parents=True)
            for path in chosen:
                shutil.copyfile(path, folder / "images" / split / path.name)
                shutil.copyfile(labels / f"{path.stem}.txt", folder / "labels" / split / f"{path.stem}.txt")
        text = generate.data_yaml("", folder, {split: f"images/{split}" for split in ("train", "val")})
        (folder / "data.yaml").write_text(text, encoding="utf-8")
    return Pictures(folder, f"{wanted} pictures of {found.word}")
