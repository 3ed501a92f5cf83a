"""What an interpreter has: ``facts.py TARGET MODULE[/FOLDER] PROBE...``, the vendor's plugin and the target's probes.

``available`` says whether there is a device, ``why`` why there is none, and ``lacks`` which probe the plugin has not: a
plugin need not have any of them, and then a tensor that can be made on the device says that it works.
Prints JSON objects, one a line, later ones over earlier ones: a plugin may end the process, and what was known before
has been printed by then.  Where a package of the module's name has no such FOLDER, it is another project's
(``foreign``) and is not imported.  Runs outside any tree and imports torch at most.
"""

import importlib.util
import json
import os
import platform
import sys

os.environ["TORCH_DEVICE_BACKEND_AUTOLOAD"] = "0"  # torch 2.5 and later import every plugin otherwise; ours comes below


def say(found):
    print("\n" + json.dumps(found), flush=True)


def why(error):
    # in one line
    return " ".join(str(error).split()) or type(error).__name__


def packages():
    # versions of what is installed, by name; empty before Python 3.8
    try:
        from importlib import metadata
    except ImportError:
        return {}
    return {str(each.metadata["Name"]).lower(): each.version for each in metadata.distributions()}


def answer(target, plugin, probes, torch):
    """What the first probe that exists, such as torch.mlu.is_available(), says: ``available``, ``why``, ``lacks``."""
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
    try:
        torch.empty(1, device=target)
    except Exception as error:
        said = "%s loads, but has no %s, and a tensor on %s raises %s: %s"
        why = said % (plugin, lacks, target, type(error).__name__, (str(error).splitlines() or [""])[0])
        return {"available": False, "why": why, "lacks": lacks}
    return {"available": True, "why": "", "lacks": lacks}


def main(target, plugin, *probes):
    found = {"python": platform.python_version(), "torch": None, "plugin": None}
    found.update(available=False, why="", lacks="", loads=False, foreign=None)
    plugin, _, folder = plugin.partition("/")
    spec = importlib.util.find_spec(plugin)
    found["plugin"] = os.path.dirname(spec.origin) if spec and spec.origin else None
    folders = spec.submodule_search_locations or [] if spec else []
    if spec and folder and not any(os.path.isdir(os.path.join(x, folder)) for x in folders):
        found["foreign"], found["plugin"] = found["plugin"] or plugin, None
    try:
        import torch
    except Exception as error:  # it is not there, or a library of its own is not
        found["why"] = why(error)
        return found
    found["torch"] = torch.__version__
    found["packages"] = packages()
    if found["plugin"]:
        say(dict(found, why="%s ended the interpreter while it was imported" % plugin))
        try:
            module = importlib.import_module(plugin)
        except Exception as error:  # whatever a plugin does when its driver is missing: that is the finding
            found["why"] = "%s does not load: %s" % (plugin, why(error))
        else:
            found.update(loads=True, version=getattr(module, "__version__", ""))
            found.update(answer(target, plugin, probes, torch))
    return found


say(main(*sys.argv[1:]))
