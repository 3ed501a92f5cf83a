"""A model of seven layers, and a checkpoint of its training after the first epoch: for drivers that make many files."""

from copy import deepcopy

import numpy as np
import torch

DESIGN = {
    "nc": 2,
    "depth_multiple": 0.33,
    "width_multiple": 0.5,
    "anchors": [[10, 13, 16, 30], [30, 61, 62, 45]],
    "backbone": [
        [-1, 1, "Conv", [16, 6, 2, 2]],
        [-1, 1, "Conv", [16, 3, 2]],
        [-1, 3, "C3", [16]],
        [-1, 1, "SPPF", [16, 5]],
    ],
    "head": [
        [-1, 1, "nn.Upsample", [None, 2, "nearest"]],
        [[-1, 0], 1, "Concat", [1]],
        [[5, 3], 1, "Detect", ["nc", "anchors"]],
    ],
}


def model_of(**changes):
    """The model, or one of a design that differs."""
    from models.yolo import Model  # the tree's

    made = Model({**deepcopy(DESIGN), **changes}, ch=3, nc=2)
    made.nc, made.names = 2, ["cat", "dog"]
    return made


def optimizer_of(model, kind=torch.optim.SGD, **named):
    """With the groups of train.py, before its first step."""
    norms = [m.weight for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    weights = [m.weight for m in model.modules() if isinstance(m, torch.nn.Conv2d)]
    biases = [m.bias for m in model.modules() if isinstance(getattr(m, "bias", None), torch.nn.Parameter)]
    made = kind(norms, lr=0.01, **(named or {"momentum": 0.9, "nesterov": True}))
    made.add_param_group({"params": weights, "weight_decay": 5e-4})
    made.add_param_group({"params": biases})
    torch.optim.lr_scheduler.LambdaLR(made, lr_lambda=lambda epoch: 1.0)  # gives each group its initial_lr
    for x in model.parameters():
        x.grad = torch.zeros_like(x)
    return made


def stepped(optimizer):
    """An optimizer's state after a step."""
    optimizer.step()
    return optimizer.state_dict()


def honest():
    """What train.py saves."""
    from utils.checkpoint import run_state  # the tree's

    model = model_of()
    return {
        "epoch": 0,
        "best_fitness": np.array([0.1]),
        "model": deepcopy(model).half(),
        "ema": deepcopy(model).half(),
        "updates": 3,
        "optimizer": stepped(optimizer_of(model)),
        "scaler": None,
        "run": run_state(model, model, last_opt_step=-1, maps=np.zeros(2), best=(0.1, 0)),
        "wandb_id": None,
    }
