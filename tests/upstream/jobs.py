"""What several tests look at, done once in each tree: trainings, mostly.

A job is a function of the shop and a tree.  It fails the tests that need it when what it runs fails.
Each starts one process at least, which costs seconds, so tests share them.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from .harness import CHECKOUT, Lab, Run, Training, Tree, newest, own_data

WEIGHTS = Path(os.environ.get("PORTER_TEST_WEIGHTS") or CHECKOUT.parent / "shared" / "data" / "yolov5s.pt")

# yolov5n, 40 images in batches of 4: 10 iterations an epoch, a second or two
SCRATCH = ("--weights", "", "--cfg", "yolov5n.yaml", "--batch-size", 4)
# The same without a graph for TensorBoard, seconds for what no test but test_train looks at.  v6.0 draws none with
# --sync-bn, which does nothing else in a single process.
BARE = (*SCRATCH, "--sync-bn")
NB = 10  # iterations an epoch
FP16_ON_CPU = hasattr(getattr(torch, "amp", None), "GradScaler")  # from torch 2.3 on


@dataclass(frozen=True)
class Shop:
    """Gives out the jobs' results.

    Attributes:
        trees: every tree by name, ``pristine`` among them.
        data: the data set that trainings copy.
    """

    lab: Lab
    trees: dict[str, Tree]
    data: Path

    def get(self, name: str, tree: Tree) -> Any:
        """The result of a job, which is done now if it was not yet."""
        return self.lab.done((name, tree.name), lambda: JOBS[name](self, tree))

    def ahead(self, name: str, tree: Tree) -> None:
        """Queue a job."""
        if name not in NEEDS_WEIGHTS or WEIGHTS.is_file():
            self.lab.ahead((name, tree.name), lambda: JOBS[name](self, tree))

    def train(self, tree: Tree, *args: object, **options: Any) -> Training:
        """:meth:`Lab.train` on the session's data."""
        return self.lab.train(tree, self.data, *args, **options)


def well(tree: Tree, training: Training) -> Training:
    """A training that ended well.  Unpatched v6.0 is not asked to be offline: it is not."""
    if tree.name == "pristine":
        assert training.run.status == 0, training.run.story()
    else:
        training.run.ok()
    return training


def scratch(shop: Shop, tree: Tree) -> Training:
    """Two epochs from nothing, with every chart, and the files of the metric collector asked for."""
    cwd = shop.lab.folder("scratch")
    env = {"BENCHMARK_LOG": str(cwd / "benchmark.log"), "AVG_LOG": str(cwd / "accuracy.log")}
    return well(tree, shop.train(tree, *SCRATCH, "--epochs", 2, cwd=cwd, env=env, charts=True))


def killed(shop: Shop, tree: Tree) -> Training:
    """Three epochs, of which one and a half were done when SIGKILL came."""
    driver = ("record.py", os.devnull, NB + NB // 2)  # nobody reads what it recorded
    training = shop.train(tree, *BARE, "--epochs", 3, driver=driver)
    assert training.run.status == -9, training.run.story()
    return training


def copy_of_killed(shop: Shop, tree: Tree, name: str) -> Training:
    """A killed run's folder in a place of its own.  opt.yaml holds absolute paths of the data: they are moved too."""
    training = shop.get("killed", tree)
    old, new = training.run.folder, shop.lab.folder(name)
    shutil.copytree(old, new, dirs_exist_ok=True)
    for file in new.rglob("*.yaml"):
        file.write_text(file.read_text().replace(str(old), str(new)))
    return Training(replace(training.run, folder=new), newest(new / "runs" / "train"))


def resumed(shop: Shop, tree: Tree) -> Training:
    """The killed run, gone on with in the same folder: in the seed's words where mlu is, else with no more said."""
    was = copy_of_killed(shop, tree, "resumed")
    words = "--resume"
    if "mlu" in tree.targets:
        words += " --batch 28 --data coco.yaml --cfg yolov5m.yaml --device cpu"
        words += " --weights ./runs/train/exp/weights/last.pt"
    run = shop.lab.script(tree, "train.py", *words.split(), cwd=was.run.folder, charts=False)
    return well(tree, Training(run, was.folder))


def finetuned(shop: Shop, tree: Tree) -> Training:
    """One epoch from the official yolov5s.pt."""
    return well(tree, shop.train(tree, "--weights", WEIGHTS, "--batch-size", 4, "--epochs", 1))


@dataclass(frozen=True)
class Detection:
    """What detect.py found in the two pictures that come with v6.0."""

    run: Run
    boxes: dict[str, list[dict[str, float]]]  # picture -> class, x1, y1, x2, y2 (pixels), confidence


SIZES = {"bus": (810, 1080), "zidane": (1280, 720)}  # width, height of data/images, pixels


def detected(shop: Shop, tree: Tree) -> Detection:
    """detect.py with yolov5s.pt on bus.jpg and zidane.jpg, boxes back in pixels."""
    return detect(shop, tree, WEIGHTS)


def detect(shop: Shop, tree: Tree, weights: Path) -> Detection:
    """detect.py on v6.0's own pictures."""
    cwd = shop.lab.folder("detect")
    args = ["--weights", weights, "--source", tree.path / "data" / "images", "--save-txt", "--save-conf"]
    run = shop.lab.script(
        tree, "detect.py", *args, "--device", "cpu", "--project", "runs/detect", cwd=cwd, charts=False
    )
    assert run.status == 0, run.story()
    if tree.name != "pristine":
        run.ok()
    boxes: dict[str, list[dict[str, float]]] = {}
    for name, (width, height) in SIZES.items():
        boxes[name] = []
        file = newest(cwd / "runs" / "detect") / "labels" / f"{name}.txt"
        for line in file.read_text().splitlines() if file.exists() else []:
            cls, x, y, w, h, conf = map(float, line.split())
            corners = ((x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height)
            boxes[name].append({"class": cls, **dict(zip(("x1", "y1", "x2", "y2"), corners)), "conf": conf})
    return Detection(run, boxes)


def validate(shop: Shop, tree: Tree, weights: Path, *args: object) -> Training:
    """val.py on a copy of the data, in the mlu seed's words."""
    cwd = shop.lab.folder("val")
    words = ["--data", own_data(shop.data, cwd), "--conf", 0.001, "--iou", 0.65, "--weight", weights]
    words += ["--img", 96, "--batch-size", 4, *args]
    env = {"AVG_LOG": str(cwd / "accuracy.log")}
    run = shop.lab.script(tree, "val.py", *words, "--device", "cpu", "--project", "runs/val", cwd=cwd, env=env)
    return well(tree, Training(run, newest(cwd / "runs" / "val")))


LOCKSTEP: dict[str, Sequence[object]] = {
    "sgd": ("--workers", 0),
    # hyp.yaml asks for anchors that fit so closely that new ones are made
    "multi-scale": ("--multi-scale", "--workers", 2, "--hyp", "hyp.yaml"),
    "images": ("--adam", "--image-weights", "--quad", "--cache", "--label-smoothing", 0.1),
    "schedule": ("--rect", "--linear-lr", "--freeze", 2, "--save-period", 1, "--single-cls"),
}


def lockstep(config: str) -> Callable[[Shop, Tree], dict[str, Any]]:
    """A job: two epochs of ten iterations under drivers/lockstep.py, every loss and every weight written down."""

    def job(shop: Shop, tree: Tree) -> dict[str, Any]:
        cwd = shop.lab.folder(f"lockstep-{config}")
        driver = ("lockstep.py", cwd / "record.json")
        hyp = (tree.path / "data" / "hyps" / "hyp.scratch.yaml").read_text()
        (cwd / "hyp.yaml").write_text(re.sub(r"(?m)^anchor_t: .*$", "anchor_t: 1.3", hyp))
        training = well(tree, shop.train(tree, *BARE, "--epochs", 2, *LOCKSTEP[config], cwd=cwd, driver=driver))
        record: dict[str, Any] = json.loads((cwd / "record.json").read_text())
        record["results.csv"] = (training.folder / "results.csv").read_text()
        record["output"] = training.run.text
        return record

    return job


def inspect(shop: Shop, tree: Tree) -> dict[str, Any]:
    """The optimizer that each set of options makes."""
    cwd = shop.lab.folder("optimizers")
    sets = [[], ["--optimizer", "SGD"], ["--optimizer", "Adam"], ["--optimizer", "AdamW"], ["--adam"]]
    (cwd / "options.json").write_text(json.dumps(sets))
    run = shop.lab.driver(tree, "optimizers.py", own_data(shop.data, cwd), cwd / "options.json", cwd=cwd).ok()
    found: dict[str, Any] = json.loads(run.out.splitlines()[-1])
    return found


def hostile(shop: Shop, tree: Tree) -> dict[str, Any]:
    """What became of files that run code when plain pickle loads them; see drivers/hostile.py."""
    cwd = shop.lab.folder("hostile")
    shop.lab.driver(tree, "hostile.py", WEIGHTS, cwd=cwd).offline()
    result: dict[str, Any] = json.loads((cwd / "hostile.json").read_text())
    return result


def senseless(shop: Shop, tree: Tree) -> dict[str, Any]:
    """How programs end that are given checkpoints that make no sense; the files' paths; see drivers/senseless.py."""
    cwd = shop.lab.folder("senseless")
    run = shop.lab.driver(tree, "senseless.py", cwd=cwd).offline()
    found: dict[str, Any] = json.loads(run.out.splitlines()[-1])
    for one in found.values():
        one["path"] = cwd / one["file"]
    return found


def mutated(shop: Shop, tree: Tree) -> dict[Path, str | None]:
    """Mutated checkpoints, and the loader's refusals; see drivers/mutated.py."""
    cwd = shop.lab.folder("mutated")
    run = shop.lab.driver(tree, "mutated.py", 400, cwd=cwd).offline()
    return {cwd / name: said for name, said in json.loads(run.out.splitlines()[-1]).items()}


def reached(*words: object) -> Callable[[Shop, Tree], dict[str, Any]]:
    """A job: what loading files of random content reaches; see drivers/reach.py."""

    def job(shop: Shop, tree: Tree) -> dict[str, Any]:
        run = shop.lab.driver(tree, "reach.py", *words, cwd=shop.lab.folder("reach")).offline()
        assert run.status == 0, run.story()
        found: dict[str, Any] = json.loads(run.out.splitlines()[-1])
        return found

    return job


# of random content; the oldest torch, which takes its time, gets a third
FILES = 300 if FP16_ON_CPU else 100

JOBS: dict[str, Callable[[Shop, Tree], Any]] = {
    "scratch": scratch,
    "killed": killed,
    "resumed": resumed,
    "finetuned": finetuned,
    "detected": detected,
    "hostile": hostile,
    "senseless": senseless,
    "mutated": mutated,
    "reach": reached(FILES),
    "reach-broken": reached(40, "broken"),
    "optimizers": inspect,
    **{f"lockstep-{config}": lockstep(config) for config in LOCKSTEP},
}
NEEDS_WEIGHTS = {"finetuned", "detected", "hostile"}


def table(run: Run) -> list[str]:
    """The lines of val.py's table (classes, images, labels, P, R, mAP), as printed."""
    return re.findall(r"(?m)^ +[\w ]+(?: +\d+){2}(?: +[\d.e+-]+){4}$", run.out)
