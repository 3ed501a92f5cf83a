"""What checkpoints hold, in a process that knows no plugin: ``checkpoint.py TREE PLUGIN FILE...``; prints JSON."""

import json
import os
import sys

from entry import enter

plugin, *paths = enter()

import torch
from models.experimental import attempt_load  # the tree's
from utils import torchfile
from utils.checkpoint import load_checkpoint

if "__setstate__" in vars(torch.nn.Upsample):  # torch 1.11 to 2.0 did not complete what older torches pickled
    del torch.nn.Upsample.__setstate__


def tensors(x):
    if isinstance(x, torch.Tensor):
        yield x
    elif isinstance(x, torch.nn.Module):
        yield from x.parameters()
        yield from x.buffers()
        for module in x.modules():  # what v6.0 hangs on a module is neither a parameter nor a buffer
            for value in vars(module).values():
                if not isinstance(value, (torch.nn.Module, dict)):
                    yield from tensors(value)
    elif isinstance(x, dict):
        for value in x.values():
            yield from tensors(value)
    elif isinstance(x, (list, tuple)):
        for value in x:
            yield from tensors(value)


def described(path):
    found = list(tensors(load_checkpoint(path)))
    # the device that was written beside each storage
    with open(path, "rb") as file:
        kinds = {storage.location.split(":")[0] for storage in torchfile.read(file).storages.values()}
    model = attempt_load(path, torch.device("cpu"))
    y = model(torch.zeros(1, 3, 64, 64))[0]
    finite = all(bool(torch.isfinite(t.float()).all()) for t in found if t.numel()) and bool(torch.isfinite(y).all())
    return {
        "tensors": len(found),
        "devices": sorted({t.device.type for t in found}),
        "written": sorted(kinds - {"cpu"}),
        "finite": finite,
        "modules": sorted(m for m in sys.modules if m in (plugin, "porter_emulated") and m != "torch"),
    }


print("\n" + json.dumps({os.path.basename(path): described(path) for path in paths}))
