"""What an interpreter has to train with, found out by using it; prints JSON objects, one a line, as they are known.

    interpreter.py packages MODULE...               what is installed, and whether each module imports
    interpreter.py torch [TARGET PLACE]...          torch, and how far each target's plugin comes with it
    interpreter.py device TARGET PLACE PROBE...     torch, one plugin, and what the target's probes say of a device
    interpreter.py name NAME                        what torch makes of a name, without any plugin

PLACE is the plugin's module, or MODULE/FOLDER: a package of the name that has no such folder is another project's, and
is not imported.

Runs outside any tree, on the oldest Python that a vendor ships.  A plugin may end the process: what was known before
has been printed by then, and what is printed later holds.
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
    print("\n" + json.dumps(found), flush=True)


def why(error):
    """An error in one line, with its kind."""
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


def found_at(place):
    """A plugin's module, its spec (None: there is none), its folders, and whether it is another project's."""
    module, _, inside = place.partition("/")
    spec = importlib.util.find_spec(module)
    folders = list(spec.submodule_search_locations or []) if spec else []
    foreign = bool(spec and inside) and not any(os.path.isdir(os.path.join(x, inside)) for x in folders)
    return module, spec, folders, foreign


def with_torch(names):
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
    module, spec, folders, foreign = found_at(place)
    if not spec and not hasattr(torch, "is_%s_available" % target):
        return {"installed": "", "foreign": False, "loads": False, "why": "not installed"}
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
        refused = "" if ask else refusal(torch, target)
        found["available"] = bool(ask()) if ask else not refused
        if refused:
            found["why"] = "it has no %s, and %s" % (found["lacks"], refused)
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


def refusal(torch, target):
    """Why no tensor can be made on the device, which says whether there is one where a plugin has nothing to ask."""
    try:
        torch.empty(1, device=target)
    except Exception as error:
        return "a tensor on %s raises %s" % (target, why(error))
    return ""


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


def message(error):
    """The same in one line, but for the error's kind."""
    return " ".join(str(error).split()) or type(error).__name__


def answer(target, plugin, probes, torch):
    """What the first probe that exists, such as torch.mlu.is_available(), says: ``available``, ``why``, ``lacks``.

    A plugin need not have any of them: then a tensor that can be made on the device says that it works.
    """
    for probe in probes:
        found = torch
        for name in probe[: -len("()")].split(".")[1:]:
            found = getattr(found, name, None)
        if found is not None:
            try:
                there = bool(found())
            except Exception as error:
                return {"available": False, "why": "%s raises %s: %s" % (probe, type(error).__name__, error)}
            return {"available": there, "why": "" if there else "%s finds no device" % plugin}
    lacks = probes[-1][: -len("()")]
    refused = refusal(torch, target)
    said = "%s loads, but has no %s, and %s" % (plugin, lacks, refused) if refused else ""
    return {"available": not refused, "why": said, "lacks": lacks}


def device(names):
    target, place, *probes = names
    found = {"python": platform.python_version(), "torch": None, "plugin": None}
    found.update(available=False, why="", lacks="", loads=False, foreign=None)
    plugin, spec, _, foreign = found_at(place)
    folder = os.path.dirname(spec.origin) if spec and spec.origin else None
    found.update({"foreign": folder or plugin} if foreign else {"plugin": folder})
    try:
        import torch
    except Exception as error:  # it is not there, or a library of its own is not
        say(**dict(found, why=message(error)))
        return
    found.update(torch=torch.__version__, packages={name: each["version"] for name, each in installed().items()})
    if found["plugin"]:
        say(**dict(found, why="%s ended the interpreter while it was imported" % plugin))
        try:
            module = importlib.import_module(plugin)
        except Exception as error:  # whatever a plugin does when its driver is missing: that is the finding
            found["why"] = "%s does not load: %s" % (plugin, message(error))
        else:
            found.update(loads=True, version=getattr(module, "__version__", ""))
            found.update(answer(target, plugin, probes, torch))
    say(**found)


def name(names):
    (word,) = names
    try:
        import torch
    except Exception as error:  # it is not there, or a library of its own is not
        say(torch=None, why=str(error))
        return
    try:
        known = bool(torch.device(word))
    except RuntimeError:
        known = False
    distributed = getattr(torch, "distributed", None)
    backends = getattr(getattr(distributed, "Backend", None), "default_device_backend_map", {})
    say(torch=torch.__version__, type=known, module=hasattr(torch, word), backend=backends.get(word, ""))


what, *rest = sys.argv[1:]
# torch 2.5 and later import every plugin otherwise; one at a time here
os.environ["TORCH_DEVICE_BACKEND_AUTOLOAD"] = "0"
# where train.py has its tree (namespace packages look at that, too); nothing beside this file is to be imported
sys.path[0] = os.path.join(sys.path[0], "a-tree")
{"packages": packages, "torch": with_torch, "device": device, "name": name}[what](rest)
sys.stdout.flush()
os._exit(0)  # a driver's threads may outlive the interpreter, and end it by a signal
