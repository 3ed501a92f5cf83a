"""Save a checkpoint as a port does that knows no better, with the device's tensors, and as torch before 1.11 did.

``foreign.py TREE CHECKPOINT OUT DEVICE``; prints JSON.
"""

import json

from entry import enter

path, out, device = enter()

import torch
from utils.checkpoint import load_checkpoint  # the tree's
from utils.torch_utils import select_device

device = select_device(device)
found = load_checkpoint(path)
found["model"] = found["model"].float().to(device)
for module in found["model"].modules():
    if type(module) is torch.nn.Upsample:
        vars(module).pop("recompute_scale_factor", None)
torch.save(found, out)
print("\n" + json.dumps({"device": str(next(found["model"].parameters()).device)}))
