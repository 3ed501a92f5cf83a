"""Which operator it was: every operator of a part of a step, made on the device and again on the cpu.

torch shows its operators to a TorchDispatchMode from 2.0 on.  Before, the name of the graph's node has to do.
"""

import calls
import torch
from sides import run
from tensors import host, tensors_in

try:
    from torch.utils._python_dispatch import TorchDispatchMode
except ImportError:  # before torch 1.12
    TorchDispatchMode = None

_UNTOLD = ("empty", "new_empty", "rand", "bernoulli", "dropout", "normal", "uniform", "native_dropout")


def can_watch():
    return TorchDispatchMode is not None and hasattr(torch.autograd.graph.Node, "register_prehook")


class Found(Exception):
    """The operator was found: the step need not go on."""


def find_operator(training, images, targets, first, config):
    """Make the step again up to the operator that is wrong.

    Args:
        first: the first thing that left its band.

    Returns:
        ``name``, ``overload``, ``path`` and ``phase`` of where it runs, its ``figures``, and ``file``, where its
        arguments are kept; or ``name`` alone, of the graph's node, where torch shows no operators; or None.
    """
    if not can_watch():
        return {"name": first["node"], "kept": False} if first["node"] else None
    for part in (first["phase"], first["path"]), None:  # first where it showed, then everywhere
        found = _watched(training, images, targets, part, config)
        if found is not None:
            return found
        training.begin_again()
    return None


def _watched(training, images, targets, part, config):
    place = {"at": None}
    found = []

    class Mode(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            kwargs = kwargs or {}
            at = place["at"]
            if at is None or not _counts(function, args, kwargs, training.device.type):
                return function(*args, **kwargs)
            before = calls.on("cpu", list(args)), calls.on("cpu", dict(kwargs))
            returned = function(*args, **kwargs)
            mine = [host(t) for t in calls.results(lambda *a, **k: returned, args, kwargs)]
            figures = calls.judge(function, before[0], before[1], mine, of_a_step=True)
            if figures is not None and figures["outside"] and not found:
                name, _, overload = str(function).replace("aten.", "aten::", 1).partition(".")
                file = config["keep"]
                more = {"path": at[1], "phase": at[0], "device": config["says"]}
                calls.write(file, name, overload, before[0], before[1], mine, more)
                found.append(dict(more, name=name, overload=overload, figures=figures, file=file, kept=True))
            return returned

    def entered(phase, path):
        inside = path is not None and (part is None or _within(phase, path, part))
        place["at"] = (phase, path) if inside else None

    with Mode():
        run(training, images, targets, dict(config, steps=1), lambda number: lambda thing, tensor: None, entered)
    return found[0] if found else None


def _within(phase, path, part):
    wanted, module = part
    return phase == wanted and (path == module or not module or path.startswith(module + ".") or phase == "step")


def _counts(function, args, kwargs, kind):
    """Whether an operator computes something on the device that the cpu can compute again."""
    name = str(function)
    base = name.partition(".")[2].partition(".")[0]
    if not name.startswith("aten.") or base.startswith(_UNTOLD) or (base.endswith("_like") and "rand" in base):
        return False
    given = tensors_in([list(args), kwargs])
    if not any(t.device.type == kind for t in given):
        return False
    returns = function._schema.returns
    written = any(a.alias_info is not None and a.alias_info.is_write for a in function._schema.arguments)
    views = bool(returns) and all(r.alias_info is not None for r in returns) and not written
    return bool(function._schema.arguments) and not views
