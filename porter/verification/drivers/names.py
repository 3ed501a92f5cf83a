"""What torch makes of a name: ``names.py NAME``; prints JSON.  Plugins that are installed are left out of it."""

import json
import os
import sys

os.environ["TORCH_DEVICE_BACKEND_AUTOLOAD"] = "0"  # torch 2.5 and later import every plugin otherwise

try:
    import torch
except Exception as error:  # it is not there, or a library of its own is not
    print("\n" + json.dumps({"torch": None, "why": str(error)}))
    sys.exit()

(name,) = sys.argv[1:]
try:
    known = bool(torch.device(name))
except RuntimeError:
    known = False
distributed = getattr(torch, "distributed", None)
backends = getattr(getattr(distributed, "Backend", None), "default_device_backend_map", {})
print(
    "\n"
    + json.dumps(
        {"torch": torch.__version__, "type": known, "module": hasattr(torch, name), "backend": backends.get(name, "")}
    )
)
