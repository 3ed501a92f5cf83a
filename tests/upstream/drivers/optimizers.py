"""Which optimizer each set of options makes: ``optimizers.py TREE DATA OPTIONS.json``; stops each before it trains."""

import contextlib
import json
import sys
from pathlib import Path

from entry import enter

data, options = enter()

import torch  # noqa: E402
import train  # noqa: E402  (the tree's)
from utils.callbacks import Callbacks  # noqa: E402

made, found = [], {}
adds = torch.optim.Optimizer.add_param_group


def add_param_group(self, group):
    if not any(self is m for m in made):
        made.append(self)
    return adds(self, group)


class Enough(Exception):
    pass


def stop():
    raise Enough


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
    sys.argv = [sys.argv[0], *common, "--workers", "0", "--project", "runs/train", *words]
    callbacks = Callbacks()
    callbacks._callbacks = {k: [] for k in callbacks._callbacks}  # v6.0 keeps them in the class
    callbacks.register_action("on_pretrain_routine_end", callback=stop)
    with contextlib.suppress(Enough):
        train.main(train.parse_opt(), callbacks)
    optimizer = made[-1]
    groups = [{k: v for k, v in g.items() if k != "params"} for g in optimizer.param_groups]
    found[" ".join(words)] = {
        "class": type(optimizer).__name__,
        "groups": [{k: g[k] for k in ("weight_decay", "momentum", "betas", "lr") if k in g} for g in groups],
    }
print("\n" + json.dumps(found))
