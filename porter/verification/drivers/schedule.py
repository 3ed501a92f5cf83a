"""Train, and write down when the optimizer stepped and how: ``schedule.py TREE OUT.json -- ARGUMENTS OF train.py``."""

import json

from entry import batch_ended, enter, replace_sgd

(out,) = enter()

found = {"iterations": [], "steps": [], "kept": [], "groups": []}
pending, optimizers = [], []


def watched(kind):
    class SGD(kind):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            optimizers.append(self)

        def step(self, *args, **kwargs):
            pending.append([[float(g["lr"]), float(g["momentum"])] for g in self.param_groups])
            return super().step(*args, **kwargs)

    return SGD


def end_of_batch(*words):
    ni = batch_ended(words)[0]
    found["iterations"].append(ni)
    for groups in pending:
        found["steps"].append({"iteration": ni, "groups": groups})
        gradients = (p.grad for g in optimizers[0].param_groups for p in g["params"])
        if any(g is not None and bool((g != 0).any()) for g in gradients):
            found["kept"].append(ni)
    del pending[:]


replace_sgd(watched)

import train  # the tree's
from utils.callbacks import Callbacks

callbacks = Callbacks()
callbacks.register_action("on_train_batch_end", callback=end_of_batch)
train.main(train.parse_opt(), callbacks)
for group in optimizers[0].param_groups:
    found["groups"].append([sorted({p.dim() for p in group["params"]}), bool(group["weight_decay"])])
with open(out, "w", encoding="utf-8") as file:
    json.dump(found, file)
