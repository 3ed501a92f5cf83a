"""Checkpoints of this tree and of older ones, loaded by it and by torch.load: ``bitwise.py TREE FILE...``; prints JSON.

Prints how many files were the same, every tensor bit for bit and every attribute.
"""

import json
import os
import time
from copy import deepcopy

from entry import enter

given = enter(charts=True)

import models.yolo
import numpy as np
import torch
from models.experimental import attempt_load
from utils.checkpoint import load_checkpoint, run_state, to_half

PLAIN = {"weights_only": False} if "weights_only" in torch.load.__code__.co_varnames else {}


def same(x, y, where=""):
    assert type(x) is type(y), (where, type(x), type(y))
    if isinstance(x, torch.Tensor):
        shown = [(t.dtype, t.shape, t.stride(), t.requires_grad, t.is_leaf, t.device.type) for t in (x, y)]
        assert shown[0] == shown[1] and torch.equal(x, y), (where, shown)
    elif isinstance(x, torch.nn.Module):
        same(vars(x), vars(y), where + "." + type(x).__name__)
    elif isinstance(x, dict):
        assert list(x) == list(y), (where, list(x), list(y))
        for key in x:
            same(x[key], y[key], where + "/" + str(key))
        same(getattr(x, "_metadata", None), getattr(y, "_metadata", None), where)
    elif isinstance(x, (list, tuple)):
        assert len(x) == len(y), where
        for one, other in zip(x, y):
            same(one, other, where + "[]")
    else:
        assert np.array_equal(x, y), (where, x, y)


def written():
    """Files of a training here: SGD and Adam, zip and the older form, and without what older torches did not know."""
    for name, optimizer in (("sgd", torch.optim.SGD), ("adam", torch.optim.Adam)):
        model = models.yolo.Model(os.path.dirname(models.yolo.__file__) + "/yolov5n.yaml", nc=2)
        model.names = ["cat", "dog"]
        optimizer = optimizer(model.parameters(), lr=0.01, **({"momentum": 0.9} if name == "sgd" else {}))
        model(torch.rand(1, 3, 64, 64))[0].sum().backward()
        optimizer.step()
        if name == "adam":
            for module in model.modules():
                vars(module).pop("recompute_scale_factor", None)
                vars(module).pop("_is_full_backward_hook", None)
        half = to_half(model)
        found = {"epoch": 3, "best_fitness": np.array([0.25]), "model": half, "ema": half, "updates": 12}
        found.update(optimizer=optimizer.state_dict(), wandb_id=None, date="2021", fitness=np.float64(0.5))
        found.update(run=run_state(model, model, epoch=3), size=torch.Size([3]), kind=torch.float16, bag={1, 2})
        found.update(bf16=torch.ones(3).bfloat16(), flag=torch.tensor([True]), none=torch.empty(0))
        for form in True, False:
            torch.save(found, name + ".pt", _use_new_zipfile_serialization=form)
            yield name + ".pt"


def others():
    """Files as other trees leave them: v5.0, whose train.py put more on a model, and those that keep their options."""
    model = models.yolo.Model(os.path.dirname(models.yolo.__file__) + "/yolov5n.yaml", nc=2)
    model.nc, model.names = 2, ["cat", "dog"]
    five = deepcopy(model)
    five.hyp, five.gr, five.class_weights, five.traced = {"lr0": 0.01}, 1.0, torch.ones(2), False
    head = five.model[-1]
    del head.anchor_grid
    head.register_buffer("anchor_grid", (head.anchors * head.stride.view(-1, 1, 1)).view(head.nl, 1, -1, 1, 1, 2))
    for module in five.modules():
        if type(module) is models.yolo.Conv:
            module.act = torch.nn.Hardswish()  # v3.1 and v4.0
    six = deepcopy(model)
    six.names = {0: "cat", 1: "dog"}
    asked = {"weights": "yolov5n.pt", "data": "coco.yaml", "save_dir": "runs/train/exp", "freeze": [0], "evolve": None}
    for name, one, more in (
        ("five", five, {"training_results": "0/299 2.1G 0.1 0.02"}),
        ("six", six, {"opt": asked, "git": {"remote": None, "branch": "master", "commit": None}, "date": "2022"}),
    ):
        found = {"epoch": -1, "best_fitness": np.array([0.25]), "model": to_half(one), "ema": None, "updates": None}
        torch.save({**found, "optimizer": None, "wandb_id": None, **more}, name + ".pt")
        attempt_load(name + ".pt")  # and it computes
        yield name + ".pt"


files = 0
for file in [*given, *written(), *others()]:
    same(torch.load(file, map_location="cpu", **PLAIN), load_checkpoint(file))
    files += 1

ratios = []
for _ in range(7 if given else 0):  # by turns: what else the machine does meets both
    start = time.process_time()
    torch.load(given[0], map_location="cpu", **PLAIN)
    middle = time.process_time()
    load_checkpoint(given[0])
    ratios.append((time.process_time() - middle) / (middle - start))
print("\n" + json.dumps({"same": files, "ratio": sorted(ratios)[len(ratios) // 2] if ratios else None}))
