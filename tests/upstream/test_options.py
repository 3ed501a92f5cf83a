"""What the ported train.py takes beyond v6.0's, and the seeds' own command lines."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest

from .harness import Tree, newest, own_data
from .jobs import BARE, FP16_ON_CPU, NB, Shop

# Word for word from the two documents the project comes from, and what they stand for.
COMMANDS = {
    "tpu": (
        "train_fp16.py --img 640 --epoch 3 --data coco128.yaml --weights yolov5s.pt --workers 1 --batch-size 2 "
        "--device tpu --optimizer SGD",
        "train.py --img 640 --epoch 3 --data coco128.yaml --weights yolov5s.pt --workers 1 --batch-size 2 "
        "--device tpu --optimizer SGD",
    ),
    "mlu": (
        'train.py --img 640 --batch 28 --epochs 1 --data  coco.yaml --weights "" --cfg yolov5m.yaml --device mlu',
        "train.py --batch 28 --epochs 1 --data coco.yaml --cfg yolov5m.yaml  --device mlu  "
        "--weights ../yolov5_model/yolov5m.pt",
        "train.py --resume --batch 28 --data coco.yaml --cfg yolov5m.yaml  --device mlu  "
        "--weights ./runs/train/exp3/weights/last.pt",
        "val.py --data coco.yaml --conf 0.001 --iou 0.65 --weight runs/train/exp4/weights/best.pt --device mlu",
    ),
}
MEANT: dict[str, dict[str, Any]] = {
    COMMANDS["tpu"][0]: {
        "imgsz": 640, "epochs": 3, "weights": "yolov5s.pt", "workers": 1, "batch_size": 2, "device": "tpu",
        "optimizer": "SGD",
    },
    COMMANDS["mlu"][0]: {
        "imgsz": 640, "batch_size": 28, "epochs": 1, "weights": "", "cfg": "yolov5m.yaml", "device": "mlu",
    },
    COMMANDS["mlu"][2]: {"resume": True, "batch_size": 28, "weights": "./runs/train/exp3/weights/last.pt"},
    COMMANDS["mlu"][3]: {
        "conf_thres": 0.001, "iou_thres": 0.65, "weights": ["runs/train/exp4/weights/best.pt"], "device": "mlu",
    },
}  # fmt: skip
MEANT[COMMANDS["tpu"][1]] = MEANT[COMMANDS["tpu"][0]]


@pytest.mark.parametrize("target", COMMANDS)
def test_the_seeds_commands_are_understood(shop: Shop, trees: dict[str, Tree], target: str) -> None:
    for name in target, "mlu+tpu":
        cwd = shop.lab.folder("options")
        (cwd / "commands.json").write_text(json.dumps([shlex.split(c) for c in COMMANDS[target]]))
        run = shop.lab.driver(trees[name], "options.py", cwd / "commands.json", cwd=cwd).ok()
        found = json.loads(run.out.splitlines()[-1])
        for command, options in zip(COMMANDS[target], found):
            for key, value in MEANT.get(command, {}).items():
                assert options[key] == value, (command, key, options[key])


@pytest.mark.trees("tpu")
@pytest.mark.parametrize("number", range(2))
def test_the_tpu_seeds_commands_train(shop: Shop, tree: Tree, weights: Path, number: int) -> None:
    """As they stand, but for the size of pictures, the data and the device; in a folder with the weights."""
    words = shlex.split(COMMANDS["tpu"][number])
    replaced = {"640": "64", "coco128.yaml": "data/data.yaml", "tpu": "cpu"}
    words = [replaced.get(w, w) for w in words]
    if words[0] == "train_fp16.py" and not FP16_ON_CPU:
        cwd = shop.lab.folder("seed")
        own_data(shop.data, cwd)
        (cwd / "yolov5s.pt").write_bytes(weights.read_bytes())
        run = shop.lab.script(tree, *words, cwd=cwd)
        assert run.status == 1 and "Traceback" not in run.text, run.story()
        assert run.err.splitlines()[-1].endswith("has no gradient scaler for cpu"), run.story()
        return
    in_tree(shop, tree, weights, words, epochs=3)


@pytest.mark.trees("mlu")
@pytest.mark.parametrize("number", range(2))
def test_the_mlu_seeds_commands_train(shop: Shop, tree: Tree, weights: Path, number: int) -> None:
    """The first from nothing; the second from a checkpoint (the official yolov5s: yolov5m.pt is not at hand)."""
    words = shlex.split(COMMANDS["mlu"][number])
    replaced = {"640": "64", "coco.yaml": "data/data.yaml", "mlu": "cpu", "yolov5m.yaml": "yolov5n.yaml"}
    if number == 1:
        replaced.update({"yolov5m.yaml": "yolov5s.yaml", "../yolov5_model/yolov5m.pt": "yolov5s.pt"})
        words += ["--img", "64"]
    in_tree(shop, tree, weights, [replaced.get(w, w) for w in words], epochs=1)


def in_tree(shop: Shop, tree: Tree, weights: Path, words: list[str], epochs: int) -> None:
    """Run a seed's command in a folder that looks to it like the tree's own: same relative paths."""
    cwd = shop.lab.folder("seed")
    few_data(shop.data, cwd)
    (cwd / "yolov5s.pt").write_bytes(weights.read_bytes())
    run = shop.lab.script(tree, words[0], *words[1:], "--project", "runs/train", cwd=cwd, charts=False).ok()
    lines = (newest(cwd / "runs" / "train") / "results.csv").read_text().splitlines()
    assert len(lines) == 1 + epochs, run.story()


def few_data(data: Path, cwd: Path) -> None:
    """A copy with the first pictures only: yolov5s in FP16 takes the cpu seconds for each."""
    own_data(data, cwd)
    for kind, count in ("train", 4), ("val", 2):
        for file in sorted((cwd / "data" / "images" / kind).iterdir())[count:]:
            file.unlink()


@pytest.mark.parametrize(
    "config", [pytest.param(c, marks=pytest.mark.jobs(f"lockstep-{c}")) for c in ("images", "schedule")]
)
def test_upstreams_other_options(shop: Shop, tree: Tree, config: str) -> None:
    """With packages on which unpatched v6.0 does not run; where it does, test_lockstep compares."""
    record = shop.get(f"lockstep-{config}", tree)
    assert len(record["weights"]) == 2 * NB


def test_evolve(shop: Shop, tree: Tree) -> None:
    """Two generations, the second of which reads what the first wrote.  It writes into the tree: a copy is taken."""
    cwd = shop.lab.folder("evolve")
    shutil.copytree(tree.path, cwd / "tree")
    copy = Tree(tree.name, cwd / "tree")
    shop.train(copy, *BARE, "--epochs", 1, "--evolve", 2, cwd=cwd, charts=True).run.ok()
    folder = copy.path / "runs" / "evolve" / "exp"
    assert len((folder / "evolve.csv").read_text().splitlines()) == 3
    assert "Best generation" in (folder / "hyp_evolve.yaml").read_text()
    assert (folder / "evolve.png").stat().st_size > 1000


@pytest.mark.jobs("optimizers")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), "SGD"),
        (("--optimizer", "SGD"), "SGD"),
        (("--optimizer", "Adam"), "Adam"),
        (("--optimizer", "AdamW"), "AdamW"),
        (("--adam",), "Adam"),
    ],
)
def test_optimizer(shop: Shop, tree: Tree, words: tuple[str, ...], expected: str) -> None:
    found = shop.get("optimizers", tree)[" ".join(words)]
    assert found["class"] == expected
    # only the second group's weights decay, in AdamW too, where torch's own default would decay the others
    assert [g["weight_decay"] for g in found["groups"]] == [0, pytest.approx(0.0005), 0]
    momentum = {"SGD": "momentum"}.get(expected)
    assert all((g[momentum] if momentum else g["betas"][0]) == 0.937 for g in found["groups"])


def test_unknown_optimizer_is_refused(shop: Shop, tree: Tree) -> None:
    run = shop.lab.script(tree, "train.py", "--optimizer", "Ada", cwd=shop.lab.folder("ada"), charts=False).offline()
    assert run.status == 2 and "invalid choice: 'Ada'" in run.err and "AdamW" in run.err


@pytest.mark.verified("amp")
def test_mixed_precision_and_its_scaler_are_resumed(shop: Shop, tree: Tree) -> None:
    """--pyamp on the cpu, and the gradient scaler's state goes through a checkpoint.

    The cpu needs no scaler and old torch has none for it, so the state is followed with a scaler that the
    driver puts in the accelerator's place; everything else is the tree's.
    """
    cwd = shop.lab.folder("amp")
    own_data(shop.data, cwd)
    run = shop.lab.driver(tree, "amp.py", "data/data.yaml", cwd=cwd).ok()
    found = json.loads(run.out.splitlines()[-1])
    assert found["saved"]["scale"] == found["restored"]["scale"] == 1024.0
    assert found["saved"]["_growth_tracker"] == found["restored"]["_growth_tracker"] > 0
    assert found["enabled"] == [True, True]
    assert all(loss == loss and loss > 0 for loss in found["losses"])
    if found["autocast"]:  # torch 1.10 and later have autocast on the cpu
        assert "torch.bfloat16" in found["dtypes"]
