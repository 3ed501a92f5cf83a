"""Run snippets of Python on an emulated device; print for each what it raised. Usage: limits.py TYPE SNIPPET..."""

import importlib
import json
import sys
import warnings

import torch

kind = sys.argv[1]
importlib.import_module(f"torch_{kind}")
warnings.simplefilter("ignore")
from porter_emulated import counts  # noqa: E402 it is there once the plugin is imported

found = []
for snippet in sys.argv[2:]:
    counts.step()
    try:
        exec(snippet, {"torch": torch, "x": torch.rand(3, 4, device=kind), "kind": kind})
        error = None
    except Exception as caught:
        error = f"{type(caught).__name__}: {caught}"
    step = counts.step()
    found.append({"error": error, "refused": step["refused"], "fallen_back": step["fallen_back"]})
print(json.dumps(found))
