"""Loading a checkpoint with a ported tree's reader, which runs nothing of it, against torch.load, in turn.

    python benchmarks/loading.py --tree yolov5/ --weights yolov5s.pt [--rounds 15]

Run it with the Python of the environment to measure in; porter has to be importable there. Both are called in one
process that has imported the tree, with one thread, and give a whole model. Seconds are of the processor.
"""

from __future__ import annotations

import argparse
import inspect
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import measure


def main() -> None:
    """Print what each way of loading takes, and the ratio of each round."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in "tree", "weights":
        parser.add_argument(f"--{name}", type=lambda text: Path(text).resolve(), required=True)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    sys.path.insert(0, str(options.tree))
    import torch
    from utils.checkpoint import load_checkpoint  # the tree's

    # torch from 2.6 on loads tensors alone unless told otherwise; old ones cannot be told
    whole = {"weights_only": False} if "weights_only" in inspect.signature(torch.load).parameters else {}

    def timed(load: Callable[[], Any]) -> float:
        began = time.process_time()
        load()
        return time.process_time() - began

    ways = {
        "torch.load": lambda: timed(lambda: torch.load(options.weights, map_location="cpu", **whole)),
        "the tree's reader": lambda: timed(lambda: load_checkpoint(options.weights)),
    }
    measure.in_turn(2, ways)  # the first ones import
    taken = measure.in_turn(options.rounds, ways)
    print(measure.machine(), f"torch {torch.__version__}", sep="\n")
    for name, each in taken.items():
        print(f"{name}: {measure.spread(each, 'ms', 1000)}")
    theirs, ours = taken.values()
    print(f"ratio: {measure.spread(measure.ratios(ours, theirs), '')}")


if __name__ == "__main__":
    main()
