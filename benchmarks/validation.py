"""val.py of a ported tree on the CPU against unpatched v6.0's, in turn, in the same environment.

    python benchmarks/validation.py --pristine v6.0/ --patched yolov5/ --data coco128/ --weights yolov5s.pt [--rounds 2]

Run it with the Python of the environment to measure in (Python 3.9, torch 1.9.1, torchvision: the one that unpatched
v6.0 runs in), porter installed there. ``--data`` is a folder with ``images/train2017`` and ``labels/train2017``. Each
run is the whole program, its start included, on a copy of the data without a label cache; the line of its metrics is
printed. Unpatched v6.0 wants a font in its configuration folder and pip when it starts: it is given the font and a pip
that finds nothing.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import tempfile
from pathlib import Path

import measure
import yaml


def validate(tree: Path, options: argparse.Namespace, scratch: Path) -> measure.Cost:
    """Validate once; what it took."""
    data, own = scratch / "data", {"PIP_NO_INDEX": "1", "YOLOV5_CONFIG_DIR": str(scratch), "MPLCONFIGDIR": str(scratch)}
    shutil.rmtree(data, ignore_errors=True)
    shutil.copytree(options.data, data)
    names = yaml.safe_load((options.patched / "data" / "coco128.yaml").read_text(encoding="utf-8"))["names"]
    split = "images/train2017"
    (data / "data.yaml").write_text(
        yaml.safe_dump({"path": str(data), "train": split, "val": split, "nc": len(names), "names": names})
    )
    words = ["--data", data / "data.yaml", "--weights", options.weights, "--img", options.img, "--batch-size", 16]
    words += ["--device", "cpu", "--project", scratch / "runs", "--name", tree.name, "--exist-ok"]
    out = scratch / "said"
    command = f'exec "$0" val.py "$@" > {out} 2>&1'
    took = measure.cost(
        ["sh", "-c", command, sys.executable, *words], cwd=tree, env={**own, "OMP_NUM_THREADS": str(options.threads)}
    )
    print(tree.name, *re.findall(r"(?m)^ +all +(.*)$", out.read_text()), took, flush=True)
    return took


def main() -> None:
    """Print what both take, and the ratio of each round."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, what in (
        ("pristine", "unpatched v6.0"),
        ("patched", "a tree"),
        ("data", "coco128"),
        ("weights", "a model"),
    ):
        parser.add_argument(f"--{name}", type=lambda text: Path(text).resolve(), required=True, help=what)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--img", type=int, default=640)
    parser.add_argument("--threads", type=int, default=1, help="of torch (OpenMP)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        measure.put_font(scratch)
        found = measure.in_turn(
            options.rounds,
            {
                "unpatched": lambda: validate(options.pristine, options, scratch),
                "patched": lambda: validate(options.patched, options, scratch),
            },
        )
    import torch

    print(f"{measure.machine()}, torch {torch.__version__}, {options.threads} thread(s), {options.img} px")
    for at, what in enumerate(("wall", "CPU")):
        times = {name: [cost[at] for cost in costs] for name, costs in found.items()}
        for name, values in times.items():
            print(f"{what:4} time, {name:10} {measure.spread(values, 's')}")
        ratio = measure.ratios(times["patched"], times["unpatched"])
        print(f"{what:4} time, patched / unpatched: {measure.spread(ratio, '')}")


if __name__ == "__main__":
    main()
