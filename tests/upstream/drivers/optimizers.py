"""Which optimizer each set of options makes: ``optimizers.py TREE DATA OPTIONS.json``; stops each before it trains."""

import json
from pathlib import Path

from entry import Stop, enter, trained

data, options = enter(charts=True)

import torch
import train  # the tree's

made, found = [], {}
adds = torch.optim.Optimizer.add_param_group


def add_param_group(self, group):
    if not any(self is m for m in made):
        made.append(self)
    return adds(self, group)


def stop():
    raise Stop


torch.optim.Optimizer.add_param_group = add_param_group
common = [
    "--weights",
    "",
    "--cfg",
    "yolov5n.yaml",
    "--img",
    "64",
    "--batch-size",
    "4",
    "--data",
    data,
    "--device",
    "cpu",
]
for words in json.loads(Path(options).read_text()):
    every = [*common, "--workers", "0", "--project", "runs/train", *words]
    trained(train, every, {"on_pretrain_routine_end": stop})
    optimizer = made[-1]
    groups = [{k: v for k, v in g.items() if k != "params"} for g in optimizer.param_groups]
    found[" ".join(words)] = {
        "class": type(optimizer).__name__,
        "groups": [{k: g[k] for k in ("weight_decay", "momentum", "betas", "lr") if k in g} for g in groups],
    }
print("\n" + json.dumps(found))
