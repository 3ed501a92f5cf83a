"""What an interpreter has to train with, found out by using it; prints JSON objects, one a line, as they are known.

    environment.py packages MODULE...         what is installed, and whether each module imports
    environment.py torch [TARGET PLACE]...    torch, and of each target's plugin: does it load, find a device, compute

PLACE is the plugin's module, or MODULE/FOLDER: a package of the name that has no such folder is another project's.

Runs outside any tree, on the oldest Python that a vendor ships.  A plugin may end the process: what was known before
has been printed by then.
"""

import importlib
import importlib.util
import json
import os
import platform
import sys
import sysconfig
import warnings

warnings.simplefilter("ignore")  # what packages say about each other is not asked for


def say(**found):
    print(json.dumps(found), flush=True)


def why(error):
    lines = str(error).strip().splitlines() or [""]
    return ("%s: %s" % (type(error).__name__, lines[0])).rstrip(": ")


def installed():
    """Name, as pip normalises it -> version, what it requires, modules at its top."""
    try:
        from importlib.metadata import distributions
    except ImportError:  # before Python 3.8
        import pkg_resources

        return {d.key: {"version": d.version, "requires": [], "modules": []} for d in pkg_resources.working_set}
    found = {}
    for each in distributions():
        name = each.metadata["Name"]
        if name:  # what an interrupted pip left behind has none
            top = (each.read_text("top_level.txt") or "").split()
            row = {"version": each.version, "requires": each.requires or [], "modules": top}
            found.setdefault(name.lower().replace("_", "-").replace(".", "-"), row)
    return found


def packages(names):
    here = {"version": platform.python_version(), "executable": sys.executable, "prefix": sys.prefix}
    here["virtual"] = sys.prefix != getattr(sys, "base_prefix", sys.prefix)
    here["pip"] = importlib.util.find_spec("pip") is not None
    here["ensurepip"] = importlib.util.find_spec("ensurepip") is not None
    marker = os.path.join(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED")  # of PEP 668
    here["managed"] = not here["virtual"] and os.path.exists(marker)
    say(python=here, packages=installed())
    broken = {}
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:  # missing, or whatever a package built for something else does
            broken[name] = why(error)
    say(broken=broken)


def with_torch(names):
    os.environ["TORCH_DEVICE_BACKEND_AUTOLOAD"] = "0"  # plugins have their turn below, one by one
    try:
        import torch
    except Exception as error:  # a shared library is missing, or it was built for another machine
        say(torch={"version": "", "why": why(error)})
        return
    found = {"version": torch.__version__, "cuda": torch.version.cuda or "", "why": ""}
    found["hip"] = getattr(torch.version, "hip", None) or ""
    found["folder"] = os.path.dirname(torch.__file__)
    for name, use in ("numpy", from_numpy), ("tensorboard", tensorboard):
        try:
            use(torch)
            found[name] = ""
        except Exception as error:
            found[name] = why(error)
    say(torch=found)
    for target, module in zip(names[::2], names[1::2]):
        say(plugin=target, **plugin(torch, target, module))


def from_numpy(torch):
    import numpy

    torch.from_numpy(numpy.zeros(1)).numpy()


def tensorboard(torch):
    importlib.import_module("torch.utils.tensorboard")


def plugin(torch, target, place):
    """How far a plugin comes: ``installed`` (its folder), ``loads``, ``available``, ``computes``."""
    module, _, inside = place.partition("/")
    spec = importlib.util.find_spec(module)
    folders = list(spec.submodule_search_locations or []) if spec else []
    if not spec and not hasattr(torch, "is_%s_available" % target):
        return {"installed": "", "foreign": False, "loads": False, "why": "not installed"}
    foreign = bool(spec and inside) and not any(os.path.isdir(os.path.join(x, inside)) for x in folders)
    found = {"installed": folders[0] if folders else getattr(spec, "origin", "") or module, "foreign": foreign}
    if foreign:
        return dict(found, loads=False, why="it is another package of the same name")
    say(plugin=target, loads=False, why="it ended the interpreter while it loaded", **found)
    try:
        version = getattr(importlib.import_module(module), "__version__", "") if spec else ""
    except Exception as error:
        return dict(found, loads=False, why=why(error))
    kind = getattr(torch, target, None)
    ask = getattr(torch, "is_%s_available" % target, None) or getattr(kind, "is_available", None)
    found.update(loads=True, version=str(version), why="")
    try:
        found["lacks"] = "" if ask else "torch.%s.is_available" % target
        found["available"] = bool(ask()) if ask else works(torch, target, found)
        found["count"] = int(kind.device_count()) if found["available"] and hasattr(kind, "device_count") else 0
        name = getattr(kind, "get_device_name", None)
        found["name"] = str(name(0)) if name and found["available"] else ""
    except Exception as error:
        return dict(found, available=False, why=why(error))
    if not found["available"]:
        return dict(found, why=found["why"] or "it finds no device")
    say(plugin=target, computes=False, **dict(found, why="it ended the interpreter while it computed"))
    try:
        found["error"] = compute(torch, target)
    except Exception as error:
        return dict(found, computes=False, why=why(error))
    right = found["error"] < 1e-2
    return dict(found, computes=right, why="" if right else "a linear layer is off by %g" % found["error"])


def works(torch, target, found):
    """Whether a tensor can be made on the device: asks a plugin that has no function to ask."""
    try:
        torch.empty(1, device=target)
    except Exception as error:
        found["why"] = "it has no %s, and a tensor on %s raises %s" % (found["lacks"], target, why(error))
        return False
    return True


def compute(torch, target):
    """The probe of Sophgo's guide, a linear layer on the device, backwards too; how far it is from the host's."""
    torch.manual_seed(0)
    layer = torch.nn.Linear(64, 3)
    x = torch.rand(8, 16, 64)
    results = []
    for where in "cpu", target:
        net = torch.nn.Linear(64, 3)
        net.load_state_dict(layer.state_dict())
        net = net.to(where)
        y = net(x.to(where))
        y.sum().backward()
        results.append([t.detach().cpu() for t in (y, net.weight.grad)])
    return max(float((a - b).abs().max()) for a, b in zip(*results))


what, *rest = sys.argv[1:]
# where train.py has its tree (namespace packages look at that, too); nothing beside this file is to be imported
sys.path[0] = os.path.join(sys.path[0], "a-tree")
{"packages": packages, "torch": with_torch}[what](rest)
sys.stdout.flush()
os._exit(0)  # a driver's threads may outlive the interpreter, and end it by a signal
