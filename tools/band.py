"""Measure the band of the check ``converges``: trainings of unpatched v6.0, one for each seed.

    python tools/band.py --tree V6.0 --data COCO128.yaml --weights yolov5s.pt --img 320 --seeds 5

Run it under v6.0's own environment: Python 3.9, torch 1.9.1, torchvision 0.10.1, one thread (OMP_NUM_THREADS=1), with
PIP_NO_INDEX=1, since v6.0 runs pip, and with a font as Arial.ttf in $YOLOV5_CONFIG_DIR, since it downloads one.
Prints a row of porter/verification/figures.yaml for each seed, minutes apart.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import tempfile
from pathlib import Path

COLUMNS = ("metrics/mAP_0.5", "metrics/mAP_0.5:0.95", "train/box_loss", "train/obj_loss", "train/cls_loss")
# v6.0 has one seed.  What it does after the last row of results.csv is to validate the best epoch again.
SEEDED = """
import runpy, sys
seed = int(sys.argv.pop(1))
sys.path.insert(0, sys.argv[1])
from utils import general
own = general.init_seeds
general.init_seeds = lambda first=0: own(first + seed)
general.strip_optimizer = lambda *_: sys.exit(0)
sys.argv[:2] = [sys.argv[1] + "/train.py"]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("tree", "data", "weights"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--img", type=int, default=320)
    parser.add_argument("--seeds", type=int, default=5)
    given = parser.parse_args()
    words = [given.tree.resolve(), "--data", given.data.resolve(), "--weights", given.weights.resolve()]
    words += ["--img", given.img, "--batch", 16, "--epochs", 3, "--noautoanchor", "--noval", "--sync-bn"]
    words += ["--workers", 0, "--device", "cpu", "--project", "runs", "--name", "run"]
    for seed in range(given.seeds):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-c", SEEDED, str(seed), *map(str, words)]
            subprocess.run(command, cwd=folder, check=True, stdout=sys.stderr)
            with open(Path(folder, "runs", "run", "results.csv"), newline="") as file:
                *_, last = csv.DictReader(file, skipinitialspace=True)
        row = {name.strip(): value.strip() for name, value in last.items()}
        print(f"      - [{', '.join(row[name] for name in COLUMNS)}]", flush=True)


if __name__ == "__main__":
    main()
