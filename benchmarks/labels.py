"""Scanning the labels of a large data set, and reading its cache, in a ported tree against unpatched v6.0, in turn.

    python benchmarks/labels.py --pristine v6.0/ --patched yolov5/ [--files 100000] [--rounds 2]

Run it with the Python of the environment to measure in (Python 3.9, torch 1.9.1, torchvision: the one that unpatched
v6.0 runs in); porter has to be importable there. The pictures are one JPEG of 16 pixels under many names (hard links),
so that opening them costs little; each has the labels of one of coco128's kinds: none, some boxes, many. Seconds are of
all processors together, of the loader alone: the data set made anew without a cache, then with the cache that it left.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

import measure
from PIL import Image

_LINKS = 10_000  # names of one picture: ext4 has at most 65,000
LOAD = """
import json, resource, sys
def used():
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in both)
sys.path.insert(0, sys.argv[1])
from utils.datasets import LoadImagesAndLabels
began = used()
data = LoadImagesAndLabels(sys.argv[2], 64)
open(sys.argv[3], "w").write(json.dumps([used() - began, len(data.labels), sum(map(len, data.labels))]))
"""


def make(folder: Path, count: int) -> None:
    """The data set: ``images/`` and ``labels/``."""
    for name in "images", "labels":
        (folder / name).mkdir(parents=True)
    picture = Image.new("RGB", (16, 16))
    texts = ["".join(f"{k % 80} 0.{k + 10} 0.5 0.1 0.0{k % 9 + 1}\n" for k in range(n)) for n in (0, 1, 3, 7, 20)]
    for number in range(count):
        original = folder / f"{number // _LINKS}.jpg"
        if number % _LINKS == 0:
            picture.save(original)
        os.link(original, folder / "images" / f"{number:06}.jpg")
        (folder / "labels" / f"{number:06}.txt").write_text(texts[number % len(texts)])


def load(tree: Path, folder: Path) -> float:
    """Make the loader once; processor seconds of that."""
    out = folder / "took.json"
    own = {"PIP_NO_INDEX": "1", "OMP_NUM_THREADS": "1", "YOLOV5_CONFIG_DIR": str(folder), "MPLCONFIGDIR": str(folder)}
    measure.cost([sys.executable, "-c", LOAD, tree, folder / "images", out], cwd=folder, env=own)
    took, pictures, boxes = json.loads(out.read_text())
    print(tree.name, f"{pictures} pictures, {boxes} boxes, {took:.1f} s", flush=True)
    return float(took)


def main() -> None:
    """Print what scanning and reading take of both, and the ratio of each round."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in "pristine", "patched":
        parser.add_argument(f"--{name}", type=lambda text: Path(text).resolve(), required=True)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    print(measure.machine())
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        measure.put_font(folder)
        make(folder, options.files)
        cache = folder / "labels.cache"

        def scan(tree: Path) -> float:
            cache.unlink(missing_ok=True)
            return load(tree, folder)

        for what, work in ("scan", scan), ("read", lambda tree: load(tree, folder)):
            times: dict[str, list[float]] = {"v6.0": [], "porter": []}
            for _ in range(options.rounds):
                for name, tree in ("v6.0", options.pristine), ("porter", options.patched):
                    if what == "read":
                        scan(tree)  # each reads its own
                    times[name].append(work(tree))
            shares = [ours / theirs for ours, theirs in zip(times["porter"], times["v6.0"])]
            for name, taken in times.items():
                print(f"{what} {name}: {measure.spread(taken, 's')}")
            print(f"{what} porter / v6.0: {measure.spread(shares, '')}")


if __name__ == "__main__":
    main()
