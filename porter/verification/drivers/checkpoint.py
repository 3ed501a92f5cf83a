"""Checkpoints: ``checkpoint.py TREE held PLUGIN FILE...``, ``checkpoint.py TREE foreign FILE OUT DEVICE``; prints JSON.

held      what they hold, in a process that knows no plugin
foreign   save one as a port does that knows no better, with the device's tensors, and as torch before 1.11 did
"""

import json
import os
import sys

from entry import enter

what, *words = enter()

import torch
from utils.checkpoint import load_checkpoint  # the tree's


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


def described(plugin, path):
    from models.experimental import attempt_load
    from utils import torchfile

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


def held(plugin, *paths):
    if "__setstate__" in vars(torch.nn.Upsample):  # torch 1.11 to 2.0 did not complete what older torches pickled
        del torch.nn.Upsample.__setstate__
    return {os.path.basename(path): described(plugin, path) for path in paths}


def foreign(path, out, name):
    from utils.torch_utils import select_device

    device = select_device(name)
    found = load_checkpoint(path)
    found["model"] = found["model"].float().to(device)
    for module in found["model"].modules():
        if type(module) is torch.nn.Upsample:
            vars(module).pop("recompute_scale_factor", None)
    torch.save(found, out)
    return {"device": str(next(found["model"].parameters()).device)}


print("\n" + json.dumps({"held": held, "foreign": foreign}[what](*words)))
