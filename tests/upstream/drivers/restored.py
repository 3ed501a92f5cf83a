"""Resume a run and compare its state before the first step with its checkpoint: ``restored.py OUT CKPT -- ARGS``."""

import json
import sys

from entry import enter

out, path = enter()

import torch
import train  # the tree's
from utils.callbacks import Callbacks
from utils.checkpoint import load_checkpoint

saved = load_checkpoint(path)
found = {"same": {}}
emas, models, optimizers = [], [], []


class EMA(train.ModelEMA):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        emas.append(self)
        models.append(args[0])


def equal(a, b):
    """Whether two state dicts (nested dicts, lists, tensors, numbers) are the same; tensors as float32."""
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and torch.equal(a.float(), b.float())
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(equal(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return isinstance(b, (list, tuple)) and len(a) == len(b) and all(map(equal, a, b))
    return a == b


def look():
    """Called before the first epoch, when everything has been restored."""
    optimizer = optimizers[-1]
    found["same"]["optimizer"] = equal(saved["optimizer"], optimizer.state_dict())
    for name, model in ("ema", emas[-1].ema), ("model", models[-1]):
        found["same"][name] = equal(dict(saved["run"][name]), dict(model.state_dict()))
    found["same"]["updates"] = saved["updates"] == emas[-1].updates > 0
    found["momentum_buffers"] = sum(1 for s in optimizer.state_dict()["state"].values() if s)


def end_of_batch(ni, *rest):
    found["first_ni"] = ni
    with open(out, "w") as file:
        json.dump(found, file)
    sys.stdout.flush()
    raise SystemExit(0)


adds = torch.optim.Optimizer.add_param_group


def add_param_group(self, group):
    if self not in optimizers:
        optimizers.append(self)
    return adds(self, group)


torch.optim.Optimizer.add_param_group = add_param_group
train.ModelEMA = EMA
callbacks = Callbacks()
callbacks.register_action("on_pretrain_routine_end", callback=look)
callbacks.register_action("on_train_batch_end", callback=end_of_batch)
train.main(train.parse_opt(), callbacks)
