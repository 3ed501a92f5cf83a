"""The mlu accelerator with the plugin that PYTHONPATH has: ``mlu_builds.py TREE DRIVER-FILES``; prints JSON."""

import json
from types import SimpleNamespace

from entry import enter

(files,) = enter(charts=True)

import torch
from utils import accelerator  # the tree's
from utils.accelerator import mlu
from utils.metric_collector import MetricCollector

acc = accelerator.get("mlu")
mlu.DRIVER = files
available = acc.is_available()
timer = acc.timer()
times = None
if timer:
    timer.start()
    times = timer.stop()
own = getattr(getattr(torch, "mlu", SimpleNamespace()), "amp", None)
MetricCollector(enable_only_benchmark=True, acc=acc).dump()
print()
print(
    json.dumps(
        {
            "available": available,
            "amp": {id(torch.cuda.amp): "torch.cuda.amp", id(own): "own"}[id(acc.plugin_amp())],
            "timer": type(timer).__name__,
            "seconds": times,
            "shown": acc.describe([0]),
        }
    )
)
