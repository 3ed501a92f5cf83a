"""Train and take the time: ``bench.py TREE OUT.json WARM-UP -- ARGUMENTS OF train.py``.

OUT.json gets the figures of each iteration after the warm-up.  The times are those of the tree's own MetricCollector,
so they are what BENCHMARK_LOG would say, one by one.  Beside them: the wait for each batch of data, memory, and under
the emulated device what each step copied and synchronised, without the collector's own synchronisation.
"""

import json
import resource
import sys
import time

from entry import enter

out, uncounted = enter(charts=True)
uncounted = int(uncounted)

import train  # the tree's
from utils import accelerator  # the tree's
from utils.callbacks import Callbacks

waits, collectors, steps, memory = [], [], [], [0]


class Collector(train.MetricCollector):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.uncounted = 0  # all are kept here; the warm-up is left out at the end
        collectors.append(self)

    def record(self):
        super().record()
        memory[0] = max(memory[0], accelerator.current().memory_reserved())
        if counts():
            counts().step()  # what taking the time made the device do


def counts():
    return sys.modules.get("porter_emulated.counts")


def timed(loader):
    """The same loader, which notes how long each batch was waited for."""

    class Timed(type(loader)):
        def __iter__(self):
            batches = super().__iter__()
            while True:
                begin = time.perf_counter()
                try:
                    batch = next(batches)
                except StopIteration:
                    return
                waits.append(time.perf_counter() - begin)
                yield batch

    loader.__class__ = Timed
    return loader


made = train.create_dataloader


def create_dataloader(*args, **kwargs):
    train.create_dataloader = made  # the first is the training's
    loader, dataset = made(*args, **kwargs)
    return timed(loader), dataset


def end_of_batch(*args, **kwargs):
    if counts():
        step = counts().step()
        kinds = ("uploads", "downloads", "synchronisations", "inside")
        steps.append({kind: sum(found["count"] for found in step[kind]) for kind in kinds})


train.MetricCollector, train.create_dataloader = Collector, create_dataloader
callbacks = Callbacks()
callbacks.register_action("on_train_batch_end", callback=end_of_batch)
train.main(train.parse_opt(), callbacks)

(collector,) = collectors
acc = collector.acc
peak = acc.call("max_memory_allocated") if acc.type != "cpu" else None
host = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
found = {
    "batch_time": collector.elapsed[uncounted:],
    "hardware_time": [t for t in collector.hardware[uncounted:] if t is not None],
    "data_time": waits[uncounted : len(collector.elapsed)],
    "steps": steps[uncounted:],
    "memory": {"device": peak or memory[0], "host": host},
    "metrics": collector.get_metrics(),
    "device": acc.describe([])[0],
}
with open(out, "w", encoding="utf-8") as file:
    json.dump(found, file)
