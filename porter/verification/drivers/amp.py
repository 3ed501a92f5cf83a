"""Mixed precision, and the way of the scaler's state through a checkpoint: ``amp.py TREE OUT.json -- ARGS``.

The run ends after its first epoch was saved and is resumed in the same process.
"""

import json
import os
import sys

from entry import Stop, enter, trained

(out,) = enter()

import torch
import train  # the tree's
from utils import accelerator

scalers, losses, dtypes, restored, own = [], [], set(), [], []
conv = torch.nn.Conv2d.forward


def watched(self, x):  # not a hook: those are pickled with the model
    y = conv(self, x)
    if self.training:
        dtypes.add(str(y.dtype))
    return y


torch.nn.Conv2d.forward = watched


def spied(acc):
    make = acc.scaler

    def scaler(*args, **kwargs):
        made = make(*args, **kwargs)
        own.append(isinstance(made, getattr(getattr(acc.module, "amp", None), "GradScaler", ())))
        load = made.load_state_dict

        def load_state_dict(state):
            load(state)
            restored.append(made.state_dict())

        made.load_state_dict = load_state_dict
        scalers.append(made)
        return made

    return scaler


for acc in accelerator.REGISTRY.values():
    acc.scaler = spied(acc)


class Loss(train.ComputeLoss):
    def __call__(self, *args):
        loss, items = super().__call__(*args)
        if torch.is_grad_enabled():
            losses.append(loss.detach())
        return loss, items


train.ComputeLoss = Loss


def saved(last, epoch, *rest):
    if len(scalers) == 1:
        raise Stop  # the run ends here, with one epoch saved


trained(train, sys.argv[1:], {"on_model_save": saved})
state = scalers[-1].state_dict()
trained(train, ["--resume", os.path.join("runs", "exp", "weights", "last.pt")], {})
with open(out, "w", encoding="utf-8") as file:
    json.dump(
        {
            "losses": [float(x) for x in losses],
            "dtypes": sorted(dtypes),
            "enabled": bool(scalers[-1].is_enabled()),
            "saved": state,
            "restored": restored[-1] if restored else None,
            "own": all(own),
            "autocast": hasattr(torch, "autocast"),
        },
        file,
    )
