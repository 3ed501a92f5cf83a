"""What an interpreter has: ``facts.py MODULE PROBE...``, the vendor's plugin and the target's probes; prints JSON.

Runs outside any tree and imports torch at most, since a plugin that does not load must not end it.
"""

import importlib.util
import json
import os
import platform
import sys


def packages():
    # versions of what is installed, by name; empty before Python 3.8
    try:
        from importlib import metadata
    except ImportError:
        return {}
    return {str(each.metadata["Name"]).lower(): each.version for each in metadata.distributions()}


def answer(probes, torch):
    """What the first probe that exists, such as torch.mlu.is_available(), says."""
    for probe in probes:
        found = torch
        for name in probe[: -len("()")].split(".")[1:]:
            found = getattr(found, name, None)
        if found is not None:
            return bool(found())
    return False


def main(plugin, *probes):
    found = {"python": platform.python_version(), "torch": None, "plugin": None, "available": False, "why": ""}
    spec = importlib.util.find_spec(plugin)
    found["plugin"] = os.path.dirname(spec.origin) if spec and spec.origin else None
    try:
        import torch
    except ImportError as error:
        found["why"] = str(error)
        return found
    found["torch"] = torch.__version__
    found["packages"] = packages()
    if found["plugin"]:
        try:
            module = importlib.import_module(plugin)
            found["version"] = getattr(module, "__version__", "")
            found["available"] = answer(probes, torch)
            found["why"] = "" if found["available"] else "%s finds no device" % plugin
        except Exception as error:  # whatever a plugin does when its driver is missing: that is the finding
            found["why"] = "%s does not load: %s" % (plugin, error)
    return found


print("\n" + json.dumps(main(*sys.argv[1:])))
