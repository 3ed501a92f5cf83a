"""What upstream's releases do differently, by tag, from upstream's source; and what their scripts write and print."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from porter.verification.child import Run
from porter.verification.report import Failed, NotShown


@dataclass(frozen=True)
class Release:
    """What the train.py of a release does.

    Attributes:
        warm_up: iterations of warm-up at least.
        bias: the number of the optimizer's parameter group that holds the biases.
        cosine: whether the learning rate falls along a cosine where nobody asks for one; else along a line.
        stops: what it says when ``--patience 1`` is exceeded.
        graphless: what its tree says where TensorBoard gets no graph; a patch's until upstream went on by itself.
    """

    warm_up: int
    bias: int
    cosine: bool
    stops: str
    graphless: str


_STOPS = "no improvement observed in last 1 epochs"
_GRAPHLESS = "TensorBoard graph visualization failure"  # utils/loggers/__init__.py
# train.py: `nw =`, `warmup_bias_lr`, `lf =`; from v6.2 on smart_optimizer() of utils/torch_utils.py begins with the
# biases; EarlyStopping there
RELEASES = {
    "v6.0": Release(
        warm_up=1000, bias=2, cosine=True, stops="EarlyStopping patience 1 exceeded", graphless="TensorBoard: no graph"
    ),
    "v6.1": Release(warm_up=1000, bias=2, cosine=False, stops=_STOPS, graphless="TensorBoard: no graph"),
    "v6.2": Release(warm_up=100, bias=0, cosine=False, stops=_STOPS, graphless=_GRAPHLESS),
    "v7.0": Release(warm_up=100, bias=0, cosine=False, stops=_STOPS, graphless=_GRAPHLESS),
}


def release(tag: str) -> Release:
    """What is known of a release.

    Raises:
        NotShown: nothing is, as of a commit between two of them.
    """
    if tag not in RELEASES:
        raise NotShown(f"what upstream's source says at {tag} is not known here; of {', '.join(RELEASES)} it is")
    return RELEASES[tag]


def default_hyp(tree: Path) -> Path:
    """The file of hyperparameters that a tree's train.py takes where ``--hyp`` names none."""
    found = re.search(r"'--hyp'.*?'(data/hyps/[\w.-]+)'", (tree / "train.py").read_text(encoding="utf-8"))
    return tree / (found[1] if found else "data/hyps/hyp.scratch.yaml")


# What a tree's scripts write and print, read for the checks.

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
