"""Train, and write down every loss and every weight, exactly: ``lockstep.py TREE RECORD.json -- ARGS``.

The same script runs in unpatched v6.0 and in a ported tree; it only looks at names that both have.
"""

import hashlib
import inspect
import json

from entry import enter

(out,) = enter()

import numpy
import torch
import train  # the tree's
from utils.callbacks import Callbacks

# torch from 2.6 on loads tensors alone unless told otherwise; old ones cannot be told
WHOLE = {"weights_only": False} if "weights_only" in inspect.signature(torch.load).parameters else {}
record = {"losses": [], "validation": [], "weights": [], "ema": [], "shapes": [], "final": {}}
emas = []


def exact(tensor):
    return [x.hex() for x in tensor.detach().reshape(-1).tolist()]


def digest(state):
    h = hashlib.sha256()
    for name, tensor in state.items():
        h.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        h.update(tensor.detach().contiguous().numpy().tobytes())
    return h.hexdigest()


class Loss(train.ComputeLoss):
    def __call__(self, *args):
        loss, items = super().__call__(*args)
        record["losses" if torch.is_grad_enabled() else "validation"].append(exact(loss) + exact(items))
        return loss, items


class EMA(train.ModelEMA):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        emas.append(self)


def end_of_batch(ni, model, imgs, *rest):
    record["weights"].append(digest(model.state_dict()))
    record["ema"].append(f"{emas[-1].updates} {digest(emas[-1].ema.state_dict())}")
    record["shapes"].append(list(imgs.shape))


def end_of_training(last, best, *rest):
    for path in last, best:
        with open(path, "rb") as file:
            head = file.read(2)
        assert head == b"PK", f"{path} is no checkpoint"
        # written by this very process
        checkpoint = torch.load(str(path), map_location="cpu", **WHOLE)
        record["final"][path.name] = digest(checkpoint["model"].state_dict())
        record["final"][path.name + " fitness"] = numpy.asarray(checkpoint["best_fitness"]).item().hex()


train.ComputeLoss, train.ModelEMA = Loss, EMA
callbacks = Callbacks()
callbacks.register_action("on_train_batch_end", callback=end_of_batch)
callbacks.register_action("on_train_end", callback=end_of_training)
train.main(train.parse_opt(), callbacks)
with open(out, "w") as file:
    json.dump(record, file)
