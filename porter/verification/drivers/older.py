"""The device with the surface of a vendor's builds of PyTorch 1.6 and 1.9: ``older.py TREE NAME``; prints JSON.

Those answer torch.is_NAME_available() and keep what came to torch.NAME later in torch_NAME.core.NAME_model.
"""

import importlib
import json
import sys
import types

from entry import enter

(name,) = enter()

import torch

plugin = importlib.import_module("torch_" + name)
module = getattr(torch, name)
older = types.ModuleType("torch_%s.core.%s_model" % (name, name))
for function in "is_available", "device_count", "set_device", "synchronize", "get_device_properties":
    setattr(older, function, getattr(module, function))
    delattr(module, function)
setattr(torch, "is_%s_available" % name, older.is_available)
sys.modules["torch_%s.core" % name] = types.ModuleType("torch_%s.core" % name)
sys.modules[older.__name__] = older

from utils import accelerator  # the tree's
from utils.torch_utils import select_device

found = {"refused": "", "count": 0, "expected": older.device_count()}
try:
    device = select_device(name)
    acc = accelerator.get(device)
    acc.synchronize()
    found["count"] = acc.device_count()
    torch.nn.Linear(12, 3).to(device)(torch.rand(2, 12).to(device))
except SystemExit as error:  # what --device ends with
    found["refused"] = str(error)
print("\n" + json.dumps(found))
