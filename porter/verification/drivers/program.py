"""One of the tree's programs as it is, but for its charts: ``program.py TREE PROGRAM -- ARGUMENTS``.

TensorBoard's graph is one of them.  To trace it classify/train.py runs the model that it trains, more or less often
with what the device can do of torch's own check of a trace, and batch norm counts each time.
"""

import runpy
import sys

from entry import enter

(program,) = enter()
if program == "classify/train.py":
    from utils import loggers  # the tree's

    loggers.log_tensorboard_graph = lambda *_, **__: None
sys.argv[0] = f"{sys.path[0]}/{program}"
runpy.run_path(sys.argv[0], run_name="__main__")
