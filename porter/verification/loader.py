"""A data set read by a tree's own loader, which says what a training would trip over, leave out or learn wrongly."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from porter.errors import EnvironmentFailed, WrongUsage
from porter.output import command_line, printable
from porter.verification.child import Children
from porter.verification.device import no_torch

_DRIVER = Path(__file__).resolve().parent / "drivers" / "loader.py"
_DAY = 86400.0  # seconds; COCO takes minutes, on a network's disk much longer


@dataclass(frozen=True)
class Remark:
    """Something wrong or odd in a data set.

    Attributes:
        file: where.
        line: from 1; 0 where it is about the file as a whole.
        kind: one of a fixed set of words, as ``wrong label``.
        detail: what is there, often in the loader's own words.
    """

    file: str
    line: int
    kind: str
    detail: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return printable(f"{where}: {self.kind}{': ' if self.detail else ''}{self.detail}")


@dataclass(frozen=True)
class Split:
    """What the loader counted in a split: pictures, those with and without a label file, label files with nothing."""

    pictures: int
    labelled: int
    unlabelled: int
    empty: int
    objects: int


@dataclass(frozen=True)
class Review:
    """What the loader found in a data set.

    Attributes:
        names: the classes.
        problems: what has to be mended.
        warnings: what may be on purpose.
        classes: class -> how many objects it has; a class without objects is left out.
        sheet: how many pictures are on the sheet that was asked for.
    """

    data: Path
    names: list[str]
    splits: dict[str, Split]
    problems: list[Remark]
    warnings: list[Remark]
    classes: dict[int, int] = field(default_factory=dict)
    sheet: int = 0

    def as_json(self) -> dict[str, Any]:
        return {
            "data": str(self.data),
            "splits": {name: vars(split) for name, split in self.splits.items()},
            "objects": {self.names[label]: count for label, count in self.classes.items()},
            "problems": [vars(remark) for remark in self.problems],
            "warnings": [vars(remark) for remark in self.warnings],
        }


def review(data: Path, tree: Path, python: str, root: Path, folders: Sequence[Path], sheet: Path | None) -> Review:
    """Have the loader of ``tree`` read the data set of a yaml.

    Args:
        root: an empty folder to work in; nothing else is written to.
        folders: where a relative path of the yaml may begin, tried in turn.
        sheet: where in ``root`` to draw some pictures with their boxes.

    Raises:
        WrongUsage: it is no yaml of a data set, or the interpreter has no torch.
        EnvironmentFailed: porter's own interpreter has no torch, or the loader did not come to its end.
    """
    result = root / "result.json"
    children = Children(root, python, 1, _DAY)
    words = [_DRIVER, tree, data.absolute(), result, sheet or "", *(folder.absolute() for folder in folders)]
    run = children.run(*words, cwd=root)
    if not result.is_file():
        why = f"{python} {run.ending}\n{run.tail(5)}"
        raise EnvironmentFailed(
            "the tree's loader did not come to its end", why, command_line("porter", "doctor", "--python", python)
        )
    found = json.loads(result.read_text(encoding="utf-8"))
    if not found["torch"]:
        raise no_torch(python, found["why"])
    if "what" in found:
        raise WrongUsage(found["what"], found["why"])
    return Review(
        data,
        found["names"],
        {name: Split(**split) for name, split in found["splits"].items()},
        [Remark(**each) for each in found["problems"]],
        [Remark(**each) for each in found["warnings"]],
        dict(found["objects"]),
        found["sheet"],
    )
