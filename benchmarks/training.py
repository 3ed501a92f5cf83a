"""Training speed on the CPU of a ported tree against unpatched v6.0, in turn, in the same environment.

    python benchmarks/training.py --pristine v6.0/ --patched yolov5/ --data scenes/data.yaml [--rounds 4]

Run it with the Python of the environment to measure in (Python 3.9, torch 1.9.1: the one that unpatched v6.0 runs in),
porter installed there.
Each run is a process of its own that trains yolov5n with no worker processes, so that the data loading is counted as
well, and notes the time at the end of every iteration: wall time, and the CPU time of the process, which other programs
on the machine disturb far less. The first epoch is warm-up (it also draws pictures in threads); an iteration's time is
from the end of the one before it in its epoch. Unpatched v6.0 wants a font in its configuration folder and pip when it
starts: it is given the font and a pip that finds nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import measure


def inside(tree: Path, result: Path, arguments: list[str]) -> None:
    """In the child: train in ``tree`` and write each epoch's mean iteration, wall and CPU seconds, as JSON."""
    sys.path.insert(0, str(tree))
    os.chdir(tree)
    import train  # the tree's
    from utils.callbacks import Callbacks

    ends: list[list[tuple[float, float]]] = [[]]

    def clock(*_: object, **__: object) -> None:
        ends[-1].append((time.perf_counter(), time.process_time()))

    callbacks = Callbacks()
    callbacks.register_action("on_train_batch_end", "clock", clock)
    callbacks.register_action("on_train_epoch_end", "clock", lambda *_, **__: ends.append([]))
    sys.argv = ["train.py", *arguments]
    train.main(train.parse_opt(), callbacks)
    whole = [marks for marks in ends if len(marks) > 1]
    epochs = [[(last - first) / (len(marks) - 1) for first, last in zip(marks[0], marks[-1])] for marks in whole]
    result.write_text(json.dumps(epochs))


def train_once(
    tree: Path, options: argparse.Namespace, scratch: Path, device: str = "cpu", env: Mapping[str, str] | None = None
) -> tuple[float, float]:
    """Train on a device; the median iteration of the epochs after the first, in wall and CPU seconds."""
    result, runs = scratch / "result.json", scratch / "runs"
    words = (
        f"--img {options.img} --batch {options.batch} --epochs {options.epochs} --workers 0 --device {device}".split()
    )
    words += ["--weights", "", "--cfg", options.cfg, "--data", str(options.data), "--noval", "--nosave"]
    words += ["--project", str(runs), "--noautoanchor"]
    own = {"PIP_NO_INDEX": "1", "YOLOV5_CONFIG_DIR": str(scratch), "MPLCONFIGDIR": str(scratch)}
    env = {**os.environ, **own, "OMP_NUM_THREADS": str(options.threads), **(env or {})}
    done = subprocess.run(
        [sys.executable, str(Path(__file__).resolve()), "--inside", str(tree), str(result), *words],
        env=env,
        cwd=scratch,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(f"training in {tree} ended with status {done.returncode}:\n{done.stdout.decode()[-4000:]}")
    shutil.rmtree(runs)
    wall, cpu = zip(*json.loads(result.read_text())[1:])
    return statistics.median(wall), statistics.median(cpu)


def add_options(parser: argparse.ArgumentParser, **defaults: object) -> None:
    """How :func:`train_once` trains, and how often."""
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=4, help="of each run, the first not counted")
    parser.add_argument("--threads", type=int, default=1, help="of torch (OpenMP)")
    parser.add_argument("--cfg", help="the model")
    parser.add_argument("--img", type=int)
    parser.add_argument("--batch", type=int)
    parser.set_defaults(**defaults)


def main() -> None:
    """Print both speeds and the ratio of each round."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pristine", type=Path, required=True, help="a checkout of unpatched v6.0")
    parser.add_argument("--patched", type=Path, required=True, help="a tree made by porter apply")
    parser.add_argument("--data", type=Path, required=True, help="the data.yaml of a set made by porter data make")
    add_options(parser, cfg="yolov5n.yaml", img=160, batch=16)
    options = parser.parse_args()
    options.data = options.data.resolve()
    pristine, patched = options.pristine.resolve(), options.patched.resolve()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        measure.put_font(scratch)
        found = measure.in_turn(
            options.rounds,
            {
                "unpatched": lambda: train_once(pristine, options, scratch),
                "patched": lambda: train_once(patched, options, scratch),
            },
        )
    import torch

    print(f"{measure.machine()}, torch {torch.__version__}, {options.threads} thread(s)")
    for at, what in enumerate(("wall", "CPU")):
        speeds = {name: [1 / times[at] for times in rounds] for name, rounds in found.items()}
        for name, values in speeds.items():
            print(f"{what:4} time, {name:10} {measure.spread(values, 'it/s')}")
        ratio = measure.ratios(speeds["patched"], speeds["unpatched"])
        print(f"{what:4} time, patched / unpatched: {measure.spread(ratio, '')}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        inside(Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:])
    else:
        main()
