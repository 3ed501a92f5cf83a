"""Mixed precision on the cpu and the way of the scaler's state through a checkpoint: ``amp.py TREE DATA``.

A scaler that only keeps count stands in for the device's; the training loop, saving and resuming are the tree's.
"""

import json
import os

from entry import Stop, enter, trained

(data,) = enter()

import torch
import train  # the tree's
from utils import accelerator

scalers, losses, dtypes, states = [], [], set(), []


class Scaler:
    """Has a GradScaler's methods and state, with numbers that a test can follow."""

    def __init__(self, enabled):
        self.enabled = enabled
        self.state = {"scale": 65536.0, "_growth_tracker": 0}
        scalers.append(self)

    def is_enabled(self):
        return self.enabled

    def scale(self, loss):
        self.state = dict(self.state, scale=1024.0)
        losses.append(loss.item())
        return loss

    def step(self, optimizer):
        optimizer.step()

    def unscale_(self, optimizer):
        pass

    def update(self):
        self.state = dict(self.state, _growth_tracker=self.state["_growth_tracker"] + 1)

    def state_dict(self):
        return dict(self.state)

    def load_state_dict(self, state):
        self.state = dict(state)
        states.append(dict(state))


acc = accelerator.get("cpu")
acc.scaler = lambda enabled=True: Scaler(enabled)


forward = torch.nn.Conv2d.forward


def watched(self, x):  # not a hook: those are pickled with the model
    y = forward(self, x)
    dtypes.add(str(y.dtype))
    return y


torch.nn.Conv2d.forward = watched


def saved(last, epoch, *rest):
    if epoch == 0 and len(scalers) == 1:
        raise Stop  # the run ends here, with one epoch saved


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
trained(
    train,
    [*common, "--workers", "0", "--epochs", "2", "--project", "runs/train", "--pyamp"],
    {"on_model_save": saved},
)
before = dict(scalers[-1].state)
trained(train, ["--resume", os.path.join("runs", "train", "exp", "weights", "last.pt")], {})
print(
    "\n"
    + json.dumps(
        {
            "saved": before,
            "restored": states[-1] if states else None,
            "enabled": [s.enabled for s in scalers],
            "losses": losses,
            "dtypes": sorted(dtypes),
            "autocast": hasattr(torch, "autocast"),
        }
    )
)
