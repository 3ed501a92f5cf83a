"""A data set of generated scenes in YOLOv5's own layout, for training with nothing downloaded."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from porter import process
from porter.datasets.scenes import scene
from porter.errors import SurroundingsFailed, WrongUsage
from porter.files import Taken, staged
from porter.output import Progress

YAML = "data.yaml"
_LOCK = ".porter-lock"
EDITION = 1  # of the scenes: raised when the same seed gives other bytes than before
SMALLEST, LARGEST = 32, 4096  # pixels, a picture's side

# COCO's 80 detection classes in the order of its category ids (cocodataset.org).
# fmt: off
COCO = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
    "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow", "elephant",
    "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard",
    "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle",
    "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich", "orange", "broccoli",
    "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch", "potted plant", "bed", "dining table", "toilet",
    "tv", "laptop", "mouse", "remote", "keyboard", "cell phone", "microwave", "oven", "toaster", "sink",
    "refrigerator", "book", "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush",
)
# fmt: on


@dataclass(frozen=True)
class Recipe:
    """What decides every picture and label.

    Attributes:
        images: pictures to train on; a quarter as many (at least one) are added for validation.
        seed: another number gives other scenes; more images with the same seed begin with the same ones.
        width, height: of every picture, in pixels, from SMALLEST to LARGEST.
        classes: how many of the 80 classes occur; all 80 are named, so that COCO's weights fit.
    """

    images: int = 128
    seed: int = 0
    width: int = 160
    height: int = 120
    classes: int = len(COCO)

    def __post_init__(self) -> None:
        for what, value, low, high in (
            ("the number of images", self.images, 1, 1_000_000),
            ("the width of a picture", self.width, SMALLEST, LARGEST),
            ("the height of a picture", self.height, SMALLEST, LARGEST),
            ("the number of classes", self.classes, 1, len(COCO)),
        ):
            if not low <= value <= high:
                raise WrongUsage(f"{what} must be from {low} to {high}, not {value}")

    @property
    def splits(self) -> dict[str, int]:
        """How many pictures each folder has."""
        return {"train": self.images, "val": max(self.images // 4, 1)}


@dataclass(frozen=True)
class Layout:
    """What the folders below ``images/`` and ``labels/`` are called."""

    train: str
    val: str

    @property
    def one(self) -> bool:
        """Whether there is one folder only: then what it was trained on is what it is validated on."""
        return self.train == self.val


OWN = Layout("train", "val")
LIKE_COCO128 = Layout("train2017", "train2017")


@dataclass(frozen=True)
class DataSet:
    """A data set on disk: its folder and how many pictures and labelled objects each split has."""

    path: Path
    images: dict[str, int]
    objects: dict[str, int]

    @property
    def yaml(self) -> Path:
        """What ``train.py --data`` takes."""
        return self.path / YAML

    def record(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        return {"path": str(self.path), "yaml": str(self.yaml), "images": self.images, "objects": self.objects}


def make(dest: Path, recipe: Recipe, progress: Progress | None = None, layout: Layout = OWN) -> DataSet:
    """Make a data set at ``dest``, aside first, so that it is there whole or not at all.

    With a layout of one folder only what is to train on is made.

    Raises:
        WrongUsage: ``dest`` exists.
        SurroundingsFailed: it cannot be written (permission, full disk).
    """
    dest = Path(os.path.abspath(dest))
    exists = WrongUsage(f"{dest} exists already", hint="Name a folder that does not exist, or remove it first.")
    if os.path.lexists(dest):
        raise exists
    progress = progress or Progress()
    names = {"train": layout.train} if layout.one else {"train": layout.train, "val": layout.val}
    try:
        with staged(dest, _LOCK) as folder:
            objects = {split: _fill(folder.path, split, names[split], recipe, progress) for split in names}
            (folder.path / YAML).write_bytes(_yaml(dest, recipe, layout).encode("ascii"))
            with process.held():
                folder.finish()
                (dest / _LOCK).unlink()
    except Taken as error:  # another porter was faster
        raise exists from error
    except OSError as error:
        raise SurroundingsFailed(f"cannot make {dest}", error.strerror or str(error)) from error
    return DataSet(dest, {split: recipe.splits[split] for split in names}, objects)


def _fill(root: Path, split: str, name: str, recipe: Recipe, progress: Progress) -> int:
    """Write one split's pictures and labels into the folders ``name``; return how many objects they hold."""
    images, labels = root / "images" / name, root / "labels" / name
    images.mkdir(parents=True)
    labels.mkdir(parents=True)
    objects, count = 0, recipe.splits[split]
    for number in range(1, count + 1):
        key = f"porter scenes {EDITION}: {recipe.seed} {split} {number} {recipe.classes}"
        empty = number % 50 == 0  # as in coco128, a few pictures show nothing and have no label file
        made = scene(key, recipe.width, recipe.height, recipe.classes, empty=empty)
        name = f"{number:012d}"
        (images / f"{name}.png").write_bytes(made.picture())
        if made.boxes:
            (labels / f"{name}.txt").write_bytes(made.labels().encode())
        objects += len(made.boxes)
        progress.step(f"drawing scenes: {split}", number, count)
    return objects


def _yaml(dest: Path, recipe: Recipe, layout: Layout) -> str:
    head = (
        f"# {recipe.images} generated scenes, made by porter data make (scenes edition {EDITION}):\n"
        f"# --images {recipe.images} --seed {recipe.seed} --size {recipe.width}x{recipe.height}"
        f" --classes {recipe.classes}\n"
    )
    return data_yaml(head, dest, {"train": f"images/{layout.train}", "val": f"images/{layout.val}"})


def data_yaml(head: str, path: Path, splits: Mapping[str, str]) -> str:
    """The yaml of a data set of COCO's classes as v6.0 reads it, in ASCII.

    v6.0 takes a relative ``path`` from the current folder, so it is absolute here: the one thing that
    differs between machines.  A JSON string is a YAML string whatever characters it holds.
    """
    names = ", ".join(f"'{name}'" for name in COCO)
    return (
        f"{head}"
        f"path: {json.dumps(str(path))}\n"
        f"train: {splits['train']}\n"
        f"val: {splits['val']}\n"
        f"nc: {len(COCO)}\n"
        f"names: [{names}]\n"
    )
