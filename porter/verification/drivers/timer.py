"""Whether the device's own clock stands still while the device rests: ``timer.py TREE DEVICE``; prints JSON."""

import json
import time

from entry import enter

(name,) = enter()

import torch
from utils import accelerator  # the tree's
from utils.torch_utils import select_device

REST = 0.5  # seconds
device = select_device(name)
acc = accelerator.get(device)
timer = acc.timer()
seconds = None
if timer and hasattr(getattr(acc.module, "Event", None), "hardware_time"):  # other events tell the time between them
    timer.start()
    torch.ones(2, 2).to(device) + 1
    time.sleep(REST)
    seconds = timer.stop()


def counts(name):
    """Whether the plugin really counts memory: one may have the function's name and raise when it is called."""
    try:
        return getattr(acc.module, name)() > 0
    except (AttributeError, KeyError):
        return False


kept = torch.ones(64, 64).to(device)
memory = any(counts(name) for name in ("memory_reserved", "memory_allocated"))
print("\n" + json.dumps({"rest": REST, "seconds": seconds, "memory": memory}))
