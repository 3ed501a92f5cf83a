"""Every step of upstream's own CI, in its order: .github/workflows/ci-testing.yml of v6.0.

With the official yolov5s.pt and the real coco128 where they are at hand (see conftest.py), else with a yolov5s made
here and generated scenes.  hubconf.py downloads a picture: that one comes from the tree.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from porter.datasets import generate

from .harness import CHECKOUT, Run, Tree
from .jobs import WEIGHTS, Shop

BATCH = 32  # pictures: of all that the real set has more takes time alone
STEPS = """
train.py --img 64 --batch 32 --weights yolov5s.pt --cfg yolov5s.yaml --epochs 1 --device cpu
val.py --img 64 --batch 32 --weights yolov5s.pt --device cpu
val.py --img 64 --batch 32 --weights runs/train/exp/weights/last.pt --device cpu
detect.py --weights yolov5s.pt --device cpu
detect.py --weights runs/train/exp/weights/last.pt --device cpu
hubconf.py
models/yolo.py --cfg yolov5s.yaml
models/tf.py --weights yolov5s.pt
export.py --img 64 --batch 1 --weights yolov5s.pt --include torchscript onnx
"""
MAKE = (
    "train.py --img 64 --batch 32 --weights  --cfg yolov5s.yaml --epochs 1 --noval --sync-bn --name made --device cpu"
)


def lay_out(shop: Shop, tree: Tree) -> Path:
    """A folder with a copy of the tree, called yolov5, and the data where data/coco128.yaml looks for it."""
    root = shop.lab.folder("ci")
    shutil.copytree(tree.path, root / "yolov5", ignore=shutil.ignore_patterns(".git", "runs", "__pycache__"))
    data = root / "datasets" / "coco128"
    real = Path(os.environ.get("PORTER_DATA") or CHECKOUT.parent / "shared" / "data") / "coco128"
    if (real / "labels" / "train2017").is_dir():
        (data / "images" / "train2017").mkdir(parents=True)
        (data / "labels" / "train2017").mkdir(parents=True)
        for picture in sorted((real / "images" / "train2017").iterdir())[:BATCH]:
            shutil.copyfile(picture, data / "images" / "train2017" / picture.name)
            label = real / "labels" / "train2017" / f"{picture.stem}.txt"
            if label.exists():
                shutil.copyfile(label, data / "labels" / "train2017" / label.name)
    else:
        made = generate.make(root / "scenes", images=BATCH, size=(128, 96)).path
        for kind in "images", "labels":
            shutil.copytree(made / kind / "train", data / kind / "train2017")
    return root / "yolov5"


def weights(shop: Shop, tree: Tree) -> None:
    """A yolov5s.pt in the tree."""
    if WEIGHTS.is_file():
        shutil.copyfile(WEIGHTS, tree.path / "yolov5s.pt")
    else:
        step(shop, tree, MAKE).ok()
        (tree.path / "runs" / "train" / "made" / "weights" / "last.pt").rename(tree.path / "yolov5s.pt")


def step(shop: Shop, tree: Tree, line: str) -> Run:
    """One step's line, run in the tree; an empty word stands between two spaces."""
    program, *words = line.split(" ")
    if program == "hubconf.py":
        return shop.lab.driver(tree, "selftest.py", cwd=tree.path)
    return shop.lab.script(tree, program, *words, cwd=tree.path)


def test_the_steps_are_upstreams(tree: Tree) -> None:
    """Where the tree came with upstream's workflow (trees made of packages from an index have none)."""
    file = tree.path / ".github" / "workflows" / "ci-testing.yml"
    if file.exists():
        text = file.read_text().replace("${{ matrix.model }}", "yolov5s").replace("$di", "cpu")
        assert re.findall(r"(?m)^ +python (\w\S*\.py.*?)(?: +#.*)?$", text) == STEPS.split("\n")[1:-1]


def passes(shop: Shop, tree: Tree, lines: Sequence[str]) -> None:
    """Each of these steps ends well, but for TensorFlow's where there is none, which says so.

    With TensorFlow 2.11 unpatched v6.0 ends there too, with "name 'SPPF' is not defined": its models/tf.py does not
    know that layer of its own yolov5s.
    """
    for line in lines:
        run = step(shop, tree, line)
        if line.startswith("models/tf.py") and importlib.util.find_spec("tensorflow") is None:
            assert run.status == 1 and "No module named 'tensorflow'" in run.err, run.story()
        else:
            run.ok()


def test_every_step(shop: Shop, tree: Tree) -> None:
    own = Tree(tree.name, lay_out(shop, tree))
    weights(shop, own)
    train, *rest = STEPS.strip().splitlines()
    passes(shop, own, [train])
    on_last = [line for line in rest if "last.pt" in line]  # two at a time, since most of a step is starting it
    with ThreadPoolExecutor(2) as pool:
        both = [on_last, [line for line in rest if line not in on_last]]
        list(pool.map(lambda lines: passes(shop, own, lines), both))
    assert (own.path / "runs" / "train" / "exp" / "results.csv").read_text().count("\n") == 2
    assert {path.name for path in (own.path / "runs" / "detect").rglob("*.jpg")} >= {
        "bus.jpg",
        "zidane.jpg",
        "image5.jpg",
    }
    assert (own.path / "yolov5s.torchscript.pt").stat().st_size > 20e6
    assert (own.path / "yolov5s.onnx").stat().st_size > 20e6, "the weights are somewhere else"
