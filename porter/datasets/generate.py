"""A data set of generated scenes in YOLOv5's own layout, for training with nothing downloaded."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from porter import process
from porter.datasets.scenes import Scene, class_name, scene
from porter.errors import WrongUsage, refused
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
SHOWN = tuple(map(class_name, range(len(COCO))))  # the classes of scenes, as many


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


def make(
    dest: str | os.PathLike[str],
    *,
    images: int = 128,
    seed: int = 0,
    size: tuple[int, int] = (160, 120),
    classes: int = len(COCO),
    layout: Layout = OWN,
    progress: Progress | None = None,
) -> DataSet:
    """Draw labelled scenes that a YOLOv5 can learn, in its own layout, into the new folder ``dest``.

    Args:
        images: pictures to train on; a quarter more are made for validation.
        seed: the same seed gives the same bytes on every machine; more images with it begin with the same ones.
        size: width and height of each picture, in pixels.
        classes: how many of the 80 classes occur; all 80 are named, each for what it shows, and COCO has as
            many, so that its weights can be used.
        layout: what the folders are called; with one folder only, nothing is made for validation.

    Raises:
        WrongUsage: ``dest`` exists, or a number makes no sense.
        EnvironmentFailed: it cannot be written.
    """
    for what, value, low, high in (
        ("the number of images", images, 1, 1_000_000),
        ("the width of a picture", size[0], SMALLEST, LARGEST),
        ("the height of a picture", size[1], SMALLEST, LARGEST),
        ("the number of classes", classes, 1, len(COCO)),
    ):
        if not low <= value <= high:
            raise WrongUsage(f"{what} must be from {low} to {high}, not {value}")
    dest = Path(os.path.abspath(dest))
    exists = WrongUsage(f"{dest} exists already", hint="Name a folder that does not exist, or remove it first.")
    if os.path.lexists(dest):
        raise exists
    progress = progress or Progress()
    names = {"train": layout.train} if layout.one else {"train": layout.train, "val": layout.val}
    counts = {split: images if split == "train" else max(images // 4, 1) for split in names}
    head = (
        f"# {images} generated scenes, made by porter data make (scenes edition {EDITION}):\n"
        f"# --images {images} --seed {seed} --size {size[0]}x{size[1]} --classes {classes}\n"
    )
    text = data_yaml(head, dest, {"train": f"images/{layout.train}", "val": f"images/{layout.val}"}, SHOWN)
    objects = dict.fromkeys(names, 0)
    try:
        with staged(dest, _LOCK) as folder:
            for split, name in names.items():
                pictures, labels = folder.path / "images" / name, folder.path / "labels" / name
                pictures.mkdir(parents=True)
                labels.mkdir(parents=True)
                for number in range(1, counts[split] + 1):
                    key = f"porter scenes {EDITION}: {seed} {split} {number} {classes}"
                    empty = number % 50 == 0  # as in coco128, a few pictures show nothing and have no label file
                    made = scene(key, *size, classes, empty=empty)
                    objects[split] += _write(made, number, pictures, labels)
                    progress.step(f"drawing scenes: {split}", number, counts[split])
            (folder.path / YAML).write_bytes(text.encode("ascii"))
            with process.held():
                folder.finish()
                (dest / _LOCK).unlink()
    except Taken as error:  # another porter was faster
        raise exists from error
    except OSError as error:
        raise refused(f"cannot make {dest}", error) from error
    return DataSet(dest, counts, objects)


def _write(made: Scene, number: int, pictures: Path, labels: Path) -> int:
    """Write one picture and its labels; return how many objects it shows."""
    (pictures / f"{number:012d}.png").write_bytes(made.picture())
    if made.boxes:
        (labels / f"{number:012d}.txt").write_bytes(made.labels().encode())
    return len(made.boxes)


def data_yaml(head: str, path: Path, splits: Mapping[str, str], classes: Sequence[str] = COCO) -> str:
    """The yaml of a data set as v6.0 reads it, in ASCII.

    v6.0 takes a relative ``path`` from the current folder, so it is absolute here: the one thing that
    differs between machines.  A JSON string is a YAML string whatever characters it holds.
    """
    names = ", ".join(f"'{name}'" for name in classes)
    return (
        f"{head}"
        f"path: {json.dumps(str(path))}\n"
        f"train: {splits['train']}\n"
        f"val: {splits['val']}\n"
        f"nc: {len(classes)}\n"
        f"names: [{names}]\n"
    )
