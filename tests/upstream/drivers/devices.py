"""What the tree knows of devices, as JSON: ``devices.py TREE``."""

import json

from entry import enter

enter(charts=True)

from utils import accelerator  # the tree's
from utils.torch_utils import is_device_available, select_device

names = ["", "cpu", "0", "0,1", "cuda:1", "cpu:0", "gpu", "0;1", "mlu:x", "tpu:-1", "0,", "1.5"]
for kind in "mlu", "tpu":
    names += [kind, kind.upper(), kind + ":1", kind + ":0,1"]


def parsed(name):
    try:
        acc, indices = accelerator.parse(name)
    except accelerator.DeviceUnavailable:
        return None
    return [acc.type, indices]


print(repr(is_device_available))
print(
    json.dumps(
        {
            "available": dict(is_device_available),
            "default": select_device("").type,
            "parsed": {name: parsed(name) for name in names},
        }
    )
)
