"""What a tree's scripts write and print, read for the checks."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path

from porter.verification.child import Run
from porter.verification.finding import Failed

# v6.0, utils/loggers/__init__.py: tools of others read the file by these
COLUMNS = [
    "epoch", "train/box_loss", "train/obj_loss", "train/cls_loss", "metrics/precision", "metrics/recall",
    "metrics/mAP_0.5", "metrics/mAP_0.5:0.95", "val/box_loss", "val/obj_loss", "val/cls_loss",
    "x/lr0", "x/lr1", "x/lr2",
]  # fmt: skip


def results(folder: Path, columns: Sequence[str] = COLUMNS) -> list[dict[str, float]]:
    """results.csv, one dictionary a line.

    Args:
        columns: that it has to have; none: any.

    Raises:
        Failed: there is none, its columns are others, or a number in it is none.
    """
    path = folder / "results.csv"
    if not path.is_file():
        raise Failed("it left no results.csv")
    with open(path, newline="", encoding="utf-8") as file:
        lines = [[cell.strip() for cell in line] for line in csv.reader(file)]
    if not lines:
        raise Failed("results.csv is empty")
    if columns and lines[0] != columns:
        raise Failed(f"results.csv has the columns {', '.join(lines[0])}")
    rows = [dict(zip(lines[0], map(float, line))) for line in lines[1:]]
    for row in rows:
        bad = [name for name, value in row.items() if value != value or abs(value) == float("inf")]
        if bad:
            raise Failed(f"epoch {row['epoch']:.0f}: {bad[0]} is {row[bad[0]]}")
    return rows


def table(run: Run) -> list[float]:
    """P, R, mAP@.5 and mAP@.5:.95 over all classes, as val.py printed them.

    Raises:
        Failed: it did not.
    """
    rows = re.findall(r"(?m)^ +all +\d+ +\d+ +(\S+) +(\S+) +(\S+) +(\S+)$", run.text)
    if not rows:
        raise Failed("val.py printed no table", run.tail(), run.shown())
    return [float(cell) for cell in rows[-1]]
