"""Whether a device answers as porter needs it to: ``probe.py TREE WHAT DEVICE``; prints JSON.

layer   the probe of Sophgo's guide, forwards and backwards, and what else every program asks of a device
timer   whether the device's own clock stands still while the device rests, and whether memory is counted
older   the device with the surface of a vendor's builds of PyTorch 1.6 and 1.9: those answer
        torch.is_NAME_available() and keep what came to torch.NAME later in torch_NAME.core.NAME_model
"""

import importlib
import json
import sys
import time
import types

from entry import enter, leave

what, name = enter()

import torch

REST = 0.5  # seconds


def chosen():
    """The tree's device, and its accelerator."""
    from utils import accelerator
    from utils.torch_utils import select_device

    device = select_device(name)
    return device, accelerator.get(device)


def layer():
    from utils.general import init_seeds  # the tree's

    device, acc = chosen()
    torch.manual_seed(0)
    inputs, layer = torch.rand(10, 20, 12), torch.nn.Linear(12, 3)
    results = []
    for where in torch.device("cpu"), device:
        x, net = inputs.clone().to(where).requires_grad_(), torch.nn.Linear(12, 3)
        net.load_state_dict(layer.state_dict())
        net.to(where)
        y = net(x)
        y.sum().backward()
        results.append([t.detach().cpu() for t in (y, x.grad, net.weight.grad, net.bias.grad)])
        kinds = [t.device.type for t in (y, x.grad, net.weight.grad)]
    acc.synchronize()
    if hasattr(acc, "upload"):  # some cards have no bytes
        bytes_ = torch.arange(192, dtype=torch.uint8).view(1, 3, 8, 8)
        assert torch.equal(acc.upload(bytes_, device).cpu(), bytes_.float()), "pictures arrive as something else"
    seeded = None
    if name != "cpu":
        torch.random._seed_custom_device = lambda seed: None  # before torch 2.1 there was none
        init_seeds(7)
        seeded = acc.module.initial_seed() if hasattr(acc.module, "initial_seed") else None
    return {
        "kinds": kinds,
        "count": acc.device_count() if name != "cpu" else 1,
        "error": max(float((a - b).abs().max()) for a, b in zip(*results)),
        "equal": all(torch.equal(a, b) for a, b in zip(*results)),
        "seeded": seeded,
        "names": acc.describe([0]),
        "named": hasattr(acc.module, "get_device_properties"),
    }


def timer():
    device, acc = chosen()
    timer = acc.timer()
    seconds = None
    if timer and hasattr(getattr(acc.module, "Event", None), "hardware_time"):  # others tell the time between them
        timer.start()
        torch.ones(2, 2).to(device) + 1
        time.sleep(REST)
        seconds = timer.stop()

    def counts(function):
        """Whether the plugin really counts memory: one may have the function's name and raise when it is called."""
        try:
            return getattr(acc.module, function)() > 0
        except (AttributeError, KeyError):
            return False

    kept = torch.ones(64, 64).to(device)
    memory = any(counts(function) for function in ("memory_reserved", "memory_allocated"))
    del kept
    return {"rest": REST, "seconds": seconds, "memory": memory}


def older():
    plugin = importlib.import_module("torch_" + name)
    module = getattr(torch, name)
    older = types.ModuleType("torch_%s.core.%s_model" % (name, name))
    for function in "is_available", "device_count", "set_device", "synchronize", "get_device_properties":
        setattr(older, function, getattr(module, function))
        delattr(module, function)
    setattr(torch, "is_%s_available" % name, older.is_available)
    sys.modules[plugin.__name__ + ".core"] = types.ModuleType(plugin.__name__ + ".core")
    sys.modules[older.__name__] = older

    found = {"refused": "", "count": 0, "expected": older.device_count()}
    try:
        device, acc = chosen()
        acc.synchronize()
        found["count"] = acc.device_count()
        torch.nn.Linear(12, 3).to(device)(torch.rand(2, 12).to(device))
    except SystemExit as error:  # what --device ends with
        found["refused"] = str(error)
    return found


print("\n" + json.dumps({"layer": layer, "timer": timer, "older": older}[what]()))
leave()
