"""A data set looked through before it is trained on: what v6.0 would trip over, leave out or learn wrongly.

Pictures and labels are found as v6.0 finds them, from the same yaml.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from porter import yamlfile
from porter.datasets.labels import Box, parse
from porter.datasets.picture import SUFFIXES, Corrupt, identify
from porter.errors import SurroundingsFailed, WrongUsage
from porter.output import Progress, printable
from porter.yamlfile import Value

_SPLITS = ("train", "val", "test")
_HEAD = 65536  # bytes of pictures of one size that are compared first


@dataclass(frozen=True)
class Finding:
    """Something wrong or odd.

    Attributes:
        file: where.
        line: from 1; 0 where it is about the file as a whole.
        kind: one of a fixed set of words, as ``duplicate label``.
        detail: what is there.
    """

    file: str
    line: int
    kind: str
    detail: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return printable(f"{where}: {self.kind}{': ' if self.detail else ''}{self.detail}")


@dataclass
class Split:
    """What one split has: pictures, pictures with and without a label file, label files with nothing in them."""

    pictures: int = 0
    labelled: int = 0
    unlabelled: int = 0
    empty: int = 0
    objects: int = 0


@dataclass
class Review:
    """What was found.

    Attributes:
        names: the classes.
        problems: what has to be mended.
        warnings: what may be on purpose.
        classes: objects of each class.
        boxes: picture -> its objects, for pictures that can be used.
    """

    data: Path
    names: list[str]
    splits: dict[str, Split] = field(default_factory=dict)
    problems: list[Finding] = field(default_factory=list)
    warnings: list[Finding] = field(default_factory=list)
    classes: Counter[int] = field(default_factory=Counter)
    boxes: dict[Path, list[Box]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "data": str(self.data),
            "splits": {name: vars(split) for name, split in self.splits.items()},
            "objects": {self.names[label]: count for label, count in sorted(self.classes.items())},
            "problems": [vars(finding) for finding in self.problems],
            "warnings": [vars(finding) for finding in self.warnings],
        }


def review(data: Path, progress: Progress) -> Review:
    """Look through the data set of a yaml.

    Raises:
        WrongUsage: the yaml cannot be read as one of a data set.
        SurroundingsFailed: a folder cannot be read.
    """
    fields = yamlfile.read(data).mapping()
    found = Review(data, _names(fields, data))
    root = _root(fields, data)
    seen: dict[Path, str] = {}
    labels: dict[str, dict[Path, Path]] = {}
    try:
        for split in _SPLITS:
            if split in fields and _paths(fields[split]):
                found.splits[split] = Split()
                pictures = list(_pictures(fields[split], root, found))
                labels[split] = _look(pictures, split, seen, found, progress)
        _strays(labels, found)
        _twins(list(seen), found, progress)
    except OSError as error:
        raise SurroundingsFailed(f"cannot read {error.filename or data}", error.strerror or str(error)) from error
    if "train" in found.splits and found.splits["train"].pictures and not found.splits["train"].labelled:
        found.problems.append(Finding(str(data), fields["train"].line, "no labels", "no picture of train has any"))
    return found


# -- the yaml ---------------------------------------------------------------------------------------------------


def _names(fields: dict[str, Value], data: Path) -> list[str]:
    """The classes' names; v6.0 asks for ``nc`` of them in a list."""
    for name in ("train", "val", "nc"):
        if name not in fields:
            raise WrongUsage(f"{data} is no yaml of a data set: it has no {name}")
    count = int(fields["nc"].text(r"\d+", "a number of classes"))
    if "names" not in fields:
        return [f"class{i}" for i in range(count)]
    names = [value.text() for value in fields["names"].sequence("a list of the classes' names")]
    if len(names) != count:
        raise WrongUsage(f"{data}, line {fields['names'].line}: {len(names)} names for {count} classes (nc)")
    return names


def _root(fields: dict[str, Value], data: Path) -> Path:
    """The data set's folder.  v6.0 takes it from the current folder, which is the tree for a yaml in a tree."""
    text = _scalar(fields["path"]) if "path" in fields else ""
    root = Path(text)
    if not root.is_absolute() and not root.exists():
        tree = data.absolute().parent.parent
        if (tree / "train.py").is_file() or (tree / root).exists():
            root = Path(os.path.normpath(tree / root))
    return root


def _scalar(value: Value) -> str:
    """Text, or nothing where the yaml has none."""
    text = value.text(".*", "a path")
    return "" if text in ("", "~", "null") else text


def _paths(value: Value) -> list[tuple[str, int]]:
    """A split's paths, each with its line."""
    try:
        return [(text, value.line)] if (text := _scalar(value)) else []
    except WrongUsage:
        return [(_scalar(item), item.line) for item in value.sequence("a path or a list of paths")]


def _pictures(value: Value, root: Path, found: Review) -> Iterator[tuple[Path, str, int]]:
    """A split's pictures: path, and the file and line that name it (line 0 for what a folder holds)."""
    for text, line in _paths(value):
        path = root / text
        if path.is_dir():
            yield from ((p, str(path), 0) for p in sorted(_inside(path)) if _suffix(p) in SUFFIXES)
        elif path.is_file():
            for number, entry in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
                picture = path.parent / entry if entry.startswith("./") else Path(entry)
                if entry.strip() and _suffix(picture) in SUFFIXES:
                    yield picture, str(path), number
        else:
            found.problems.append(Finding(str(value.file), line, "missing", f"there is no {path}"))


def _inside(folder: Path) -> Iterator[Path]:
    """The files below a folder, through links too, hidden ones left out: what v6.0's glob finds."""
    been: set[str] = set()
    for at, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        real = os.path.realpath(at)
        if real in been:  # links that lead in a circle
            folders.clear()
            continue
        been.add(real)
        yield from (Path(at) / name for name in names if not name.startswith("."))


def _suffix(path: Path) -> str:
    return path.suffix[1:].lower()


# -- pictures and labels ------------------------------------------------------------------------------------------


def label_file(picture: Path) -> Path:
    """Where v6.0 looks for a picture's labels: in ``labels`` instead of the last ``images`` of its path."""
    text = str(picture)
    before, images, after = text.rpartition(f"{os.sep}images{os.sep}")
    return Path(f"{before}{os.sep}labels{os.sep}{after}" if images else text).with_suffix(".txt")


def _look(
    pictures: list[tuple[Path, str, int]], split: str, seen: dict[Path, str], found: Review, progress: Progress
) -> dict[Path, Path]:
    """Look at a split's pictures and their labels; label file -> picture."""
    counts = found.splits[split]
    labels: dict[Path, Path] = {}
    here: set[Path] = set()
    for number, (picture, named_by, line) in enumerate(pictures, 1):
        if number % 100 == 0 or number == len(pictures):
            progress.step(f"looking through {split}", number, len(pictures))
        counts.pictures += 1
        if picture in here:
            found.problems.append(Finding(named_by, line, "duplicate picture", f"{picture} is named before"))
            continue
        here.add(picture)
        file = label_file(picture)
        other = labels.setdefault(file, picture)
        if other != picture:
            found.problems.append(Finding(str(picture), 0, "shared label file", f"{other} has {file} too"))
            continue
        first = picture not in seen  # coco128 validates on what it trains on
        seen.setdefault(picture, split)
        usable = _picture(picture, named_by, line, found, first)
        boxes = _labels(file, counts, found, first)
        if first:
            found.classes.update(box.label for box in boxes)
            if usable:
                found.boxes[picture] = boxes
    return labels


def _picture(picture: Path, named_by: str, line: int, found: Review, first: bool) -> bool:
    """Whether a picture can be used; a complaint if not."""
    try:
        identify(picture)
        return True
    except FileNotFoundError:
        finding = Finding(named_by, line, "missing", f"there is no {picture}")
    except Corrupt as error:
        finding = Finding(str(picture), 0, "corrupt picture", str(error))
    if first:
        found.problems.append(finding)
    return False


def _labels(file: Path, counts: Split, found: Review, first: bool) -> list[Box]:
    """A picture's objects; counted, and what is wrong complained about once."""
    try:
        data = file.read_bytes()
    except FileNotFoundError:  # a picture of nothing, for v6.0
        counts.unlabelled += 1
        return []
    counts.labelled += 1

    def problem(line: int, kind: str, detail: str) -> None:
        if first:
            found.problems.append(Finding(str(file), line, kind, detail))

    def warning(line: int, kind: str, detail: str) -> None:
        if first:
            found.warnings.append(Finding(str(file), line, kind, detail))

    boxes = parse(data, len(found.names), problem, warning)
    counts.empty += not data.strip()
    counts.objects += len(boxes)
    return boxes


def _strays(labels: dict[str, dict[Path, Path]], found: Review) -> None:
    """Label files beside those of the pictures that belong to none."""
    known = {file for files in labels.values() for file in files}
    for folder in sorted({file.parent for file in known}):
        if folder.is_dir() and folder.name != "images":
            for entry in sorted(os.scandir(folder), key=lambda e: e.name):
                file = folder / entry.name
                if entry.name.endswith(".txt") and file not in known and entry.name != "classes.txt":
                    found.problems.append(Finding(str(file), 0, "label without a picture", ""))


def _twins(pictures: list[Path], found: Review, progress: Progress) -> None:
    """Pictures of the same bytes under two names."""
    sizes: dict[int, list[Path]] = defaultdict(list)
    for picture in pictures:
        if picture.is_file():
            sizes[picture.stat().st_size].append(picture)
    alike = [same for same in sizes.values() if len(same) > 1]
    for number, same in enumerate(alike, 1):
        progress.step("comparing pictures of equal size", number, len(alike))
        heads = _grouped(same, _HEAD)
        for group in heads:
            for twins in _grouped(group, -1):
                for twin in twins[1:]:
                    found.problems.append(Finding(str(twin), 0, "duplicate picture", f"the same bytes as {twins[0]}"))


def _grouped(pictures: list[Path], length: int) -> list[list[Path]]:
    """Pictures whose first ``length`` bytes (-1: all) are alike, in groups of two or more."""
    groups: dict[bytes, list[Path]] = defaultdict(list)
    for picture in pictures:
        with open(picture, "rb") as file:
            groups[hashlib.sha256(file.read(length)).digest()].append(picture)
    return [group for group in groups.values() if len(group) > 1]
