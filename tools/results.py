"""Show what a training run reached: the last epochs of its results.csv and where its files lie.

python tools/results.py yolov5/runs/train       the newest run in there
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

EPOCHS = 5
COLUMNS = {
    "epoch": "epoch",
    "train/box_loss": "box loss",
    "train/obj_loss": "object loss",
    "train/cls_loss": "class loss",
    "metrics/precision": "P",
    "metrics/recall": "R",
    "metrics/mAP_0.5": "mAP@.5",
    "metrics/mAP_0.5:0.95": "mAP@.5:.95",
}


def main(runs: Path) -> int:
    """Print the newest run under ``runs``; return the exit code."""
    written = sorted(runs.glob("*/results.csv"), key=lambda p: p.stat().st_mtime)
    if not written:
        print(f"no run under {runs} has a results.csv", file=sys.stderr)
        return 1
    with written[-1].open(newline="") as file:
        rows = [{key.strip(): value.strip() for key, value in row.items()} for row in csv.DictReader(file)]
    run = written[-1].parent
    table = Table(title=f"{run}: the last of {len(rows)} epochs")
    for title in COLUMNS.values():
        table.add_column(title, justify="right")
    for row in rows[-EPOCHS:]:
        table.add_row(row["epoch"], *(f"{float(row[key]):.3f}" for key in list(COLUMNS)[1:]))
    console = Console()
    console.print(table)
    for what, pattern in (("pictures", "*.jpg"), ("curves", "*.png"), ("weights", "weights/*.pt")):
        names = sorted(path.relative_to(run).as_posix() for path in run.glob(pattern))
        console.print(f"{what}: {', '.join(names) or 'none'}", highlight=False, soft_wrap=True)
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(Path(sys.argv[1])))
