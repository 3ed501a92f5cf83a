"""Non-maximum suppression of a ported tree's utils/nms.py against torchvision's, in turn, on made and on real boxes.

    python benchmarks/nms.py --tree yolov5 [--boxes boxes.pth] [--rounds 9]

Run it with the Python of the environment to measure in (Python 3.9, torch 1.9.1, torchvision 0.10.1); porter has to be
importable there. Seconds are the processor's, of one thread; IoU 0.6 and 300 boxes at most, as val.py has them, and
torchvision's answer is cut to 300. Each answer is compared with torchvision's, index for index.

Made boxes: ``spread``, of 80 classes, few of which overlap, as early in training; ``crowded``, 299 objects with their
many candidates, where every box has to be looked at; ``one``, a single object. Real ones: a file of torch.save with a
list of (boxes, scores) as non_max_suppression hands them over.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import measure
import torch
from torchvision.ops import nms as theirs

OVERLAP, KEEP = 0.6, 300
Boxes = tuple[torch.Tensor, torch.Tensor]


def module(tree: Path) -> ModuleType:
    """The tree's utils/nms.py, which needs nothing else of the tree."""
    spec = importlib.util.spec_from_file_location("nms_of_tree", tree / "utils" / "nms.py")
    assert spec is not None and spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def made(kind: str, number: int) -> Boxes:
    """Boxes (number, 4) and scores (number,), float32; a thousand different scores."""
    generator = torch.Generator().manual_seed(0)

    def uniform(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator)

    if kind == "spread":
        corners = uniform(number, 2) * 600 + torch.randint(80, (number, 1), generator=generator) * 4096
        boxes = torch.cat((corners, corners + uniform(number, 2) * 80), 1)
    else:
        corners = uniform(299 if kind == "crowded" else 1, 2) * 600
        objects = torch.cat((corners, corners + 20 + uniform(len(corners), 2) * 10), 1)
        boxes = objects[torch.randint(len(objects), (number,), generator=generator)] + uniform(number, 4) / 2
    return boxes, (uniform(number) * 1000).round() / 1000


def took(function: Callable[..., torch.Tensor], cases: list[Boxes], *words: object) -> float:
    """Processor seconds for all cases."""
    began = time.process_time()
    for boxes, scores in cases:
        function(boxes, scores, OVERLAP, *words)
    return time.process_time() - began


def main() -> None:
    """Print what each takes, and the ratio of each round."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tree", type=Path, required=True, help="a tree made by porter apply")
    parser.add_argument("--boxes", type=Path, help="real boxes")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    torch.set_num_threads(1)
    tree = module(options.tree)
    kinds = "spread", "crowded", "one"
    cases = {f"{kind} {number}": [made(kind, number)] for number in (3000, 30000) for kind in kinds}
    if options.boxes:
        cases["real"] = torch.load(options.boxes)
    print(f"{measure.machine()}, torch {torch.__version__}")
    for name, boxes in cases.items():
        for box, scores in boxes:
            assert tree.plain_nms(box, scores, OVERLAP, KEEP).tolist() == theirs(box, scores, OVERLAP)[:KEEP].tolist()
        found = measure.in_turn(
            options.rounds,
            {
                "torchvision": lambda boxes=boxes: took(theirs, boxes),
                "plain": lambda boxes=boxes: took(tree.plain_nms, boxes, KEEP),
                "nms()": lambda boxes=boxes: took(tree.nms, boxes, KEEP),
            },
        )
        for rival, seconds in found.items():
            ratio = measure.ratios(seconds, found["torchvision"])
            milliseconds = measure.spread([1000 * value for value in seconds], "ms")
            print(f"{name:14} {rival:12} {milliseconds:32} of torchvision's {measure.spread(ratio, '')}")


if __name__ == "__main__":
    main()
