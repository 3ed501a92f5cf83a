"""Train, detect, ask the hub's model and validate, by a right or a fast clock: ``clock.py TREE CLOCK WEIGHTS DATA``.

CLOCK is ``right`` or ``fast``. By the fast one time passes 100 times too fast and a minute more at each reading, so
that whatever has a limit finds it passed on a machine of any speed; and threads that draw get no further until somebody
waits for them, as on a machine that has no time for them. Prints JSON: val.py's metrics and what the hub's model found.
What the programs write is in ``runs``.
"""

import itertools
import json
import sys
import threading
import time
from pathlib import Path

from entry import enter

clock, weights, data = enter()
UNSURE = "1e-5"  # confidence from which boxes count: a model after 20 iterations is sure of nothing


def hasty(right):
    """A clock from a clock: both have the same reading now."""
    began, readings = right(), itertools.count()

    def read():
        # TensorBoard's thread of its own would always have something to flush, and leave no time to the others
        if sys._getframe(1).f_globals.get("__name__", "").startswith("tensorboard"):
            return right()
        return began + 100 * (right() - began) + 60 * next(readings)

    return read


if clock == "fast":
    for name in "time", "perf_counter", "monotonic":
        setattr(time, name, hasty(getattr(time, name)))

import detect  # the tree's, as all below
import numpy
import torch
import train
import val
from models.common import AutoShape
from models.experimental import attempt_load
from utils import plots


class Late:
    """NumPy, for the module that draws: a thread that looked for the largest pixel stays there until it is joined."""

    def __getattr__(self, name):
        return getattr(numpy, name)

    def max(self, pixels):
        found = numpy.max(pixels)
        if threading.current_thread() is not threading.main_thread():
            awaited(threading.current_thread()).wait(MOST)
        return found


MOST = 60  # seconds: where nobody waits


def awaited(thread):
    """Set when somebody waits for the thread."""
    return thread.__dict__.setdefault("_awaited", threading.Event())


def join(self, timeout=None, own=threading.Thread.join):
    awaited(self).set()
    return own(self, timeout)


if clock == "fast":
    plots.np, threading.Thread.join = Late(), join


def given(program, *words):
    """What its command line gives the program."""
    sys.argv = [program.__file__, *words, "--project", f"runs/{program.__name__}", "--device", "cpu"]
    return program.parse_opt()


common = ("--weights", weights, "--img", "96")
pictures = sorted(map(str, (Path(data).parent / "images" / "val").iterdir()))
words = ("--data", data, "--batch-size", "16", "--workers", "0", "--sync-bn", "--epochs", "1")
train.main(given(train, *common, *words))
common = (*common, "--conf-thres", UNSURE, "--save-txt", "--save-conf")
detect.main(given(detect, *common, "--source", str(Path(pictures[0]).parent), "--max-det", "50"))
shaped = attempt_load(weights, torch.device("cpu"))
shaped = shaped.autoshape() if hasattr(shaped, "autoshape") else AutoShape(shaped)  # up to v6.0; later
shaped.conf = float(UNSURE)
hub = [boxes.tolist() for boxes in shaped(pictures[:8], size=96).xyxy]
# the last of all: what still draws when the program ends has to come to its end
metrics = val.run(**vars(given(val, *common, "--data", data, "--batch-size", "16")))[0]
print("\n" + json.dumps({"metrics": [float(value) for value in metrics], "hub": hub}))
