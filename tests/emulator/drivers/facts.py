"""What the vendor's plugin would do, expression by expression. Usage: facts.py TYPE EXPRESSION...

An expression sees ``torch``, the device's module ``m``, the plugin ``p``, its type ``kind`` and ``x``, a tensor of
shape (2, 3, 4, 5) there.  Of each it prints the result, or what was raised, and what was counted meanwhile.
"""

import importlib
import json
import sys
import warnings

import torch

kind = sys.argv[1]
plugin = importlib.import_module(f"torch_{kind}")
warnings.simplefilter("ignore")
from porter_emulated import counts  # noqa: E402 it is there once the plugin is imported

torch.manual_seed(0)
scope = {"torch": torch, "m": getattr(torch, kind), "p": plugin, "kind": kind, "x": torch.rand(2, 3, 4, 5).to(kind)}
found = []
for expression in sys.argv[2:]:
    counts.step()
    try:
        result, error = eval(expression, scope), None
        result = str(result.shape) if isinstance(result, torch.Tensor) else repr(result)
    except Exception as caught:
        result, error = None, f"{type(caught).__name__}: {caught}"
    step = counts.step()
    found.append({"result": result, "error": error, "refused": step["refused"], "inside": step["inside"]})
print(json.dumps(found))
