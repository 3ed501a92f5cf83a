"""Train, and write down what happened, exactly: ``record.py TREE OUT.json [KILL-AT] -- ARGUMENTS OF train.py``.

Under the emulated device each iteration ends a step of its counters.  While it trains nothing is done that the
device would notice: losses are kept as they are and read at the end.  KILL-AT is the iteration (from 0 over all
epochs) after which the process dies of SIGKILL; what was recorded by then is written first.
"""

import hashlib
import json
import os
import signal
import sys
import threading

from entry import batch_ended, enter

out, *rest = enter()
kill_at = int(rest[0]) if rest else None

import torch
import train  # the tree's
from utils.callbacks import Callbacks

losses, numbers, shapes, devices = [], [], [], set()
models, emas, first, precision = [], [], {}, set()


def exact(tensor):
    return [float(x) for x in tensor.detach().reshape(-1).tolist()]


def digest(state):
    h = hashlib.sha256()
    for name, tensor in state.items():
        tensor = tensor.detach().cpu().contiguous()
        h.update(("%s %s %s\n" % (name, tensor.dtype, tuple(tensor.shape))).encode())
        h.update(tensor.numpy().tobytes())
    return h.hexdigest()


class Loss(train.ComputeLoss):
    def __init__(self, model, *args):
        super().__init__(model, *args)
        models.append(model)
        first.update((n, p.detach().cpu().clone()) for n, p in model.named_parameters())

    def __call__(self, p, targets, *args):
        loss, items = super().__call__(p, targets, *args)
        if torch.is_grad_enabled():
            losses.append((loss.detach(), items))
            devices.add(p[0].device.type)
            precision.add(str(p[0].dtype))
        return loss, items


class EMA(train.ModelEMA):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        emas.append(self)


def counts():
    return sys.modules.get("porter_emulated.counts")


def write():
    model = models[0]
    parameters = dict(model.named_parameters())
    still = [n for n, p in parameters.items() if torch.equal(p.detach().cpu(), first[n])]
    state = {k.replace("module.", "", 1) if k.startswith("module.") else k: v for k, v in model.state_dict().items()}
    found = {
        "losses": [exact(loss) + exact(items) for loss, items in losses],
        "iterations": numbers,
        "shapes": shapes,
        "devices": sorted(devices),
        "precision": sorted(precision),
        "weights": digest(state),
        "still": still,
        "parameters": len(parameters),
        "ema": {"weights": digest(emas[0].ema.state_dict()), "updates": emas[0].updates} if emas else None,
        "steps": counts().snapshot() if counts() else None,
    }
    rank = os.environ.get("RANK", "")
    with open(out + rank, "w", encoding="utf-8") as file:
        json.dump(found, file)


def end_of_batch(*words):
    ni, _, imgs = batch_ended(words)
    numbers.append(ni)
    shapes.append(list(imgs.shape))
    if counts():
        counts().step()
    if ni == kill_at:
        write()
        for thread in threading.enumerate():  # pictures being drawn: their files are not what is looked at
            if thread is not threading.current_thread() and thread.name.startswith("Thread-"):
                thread.join(10)
        os.kill(os.getpid(), signal.SIGKILL)


train.ComputeLoss, train.ModelEMA = Loss, EMA
callbacks = Callbacks()
callbacks.register_action("on_train_batch_end", callback=end_of_batch)
train.main(train.parse_opt(), callbacks)
if kill_at is not None:
    raise SystemExit("iteration %d was never reached" % kill_at)
write()
