"""How a driver gets into a tree: ``driver.py TREE OWN-ARGUMENTS... -- ARGUMENTS-OF-THE-TREE'S-PROGRAM``."""

import contextlib
import importlib
import importlib.util
import json
import os
import sys
import types


def enter(program="train.py", charts=False):
    """Put the tree where the driver's own folder was on sys.path; returns the driver's own arguments.

    Matplotlib draws nothing from now on, unless ``charts`` are asked for: they are half of a training of 20 iterations.
    The check ``pictures`` looks at a training with all of them.
    """
    # else torch 2.5 and later import every plugin that is installed; the tree's own scripts keep it from that as well
    os.environ.setdefault("TORCH_DEVICE_BACKEND_AUTOLOAD", "0")
    tree, *words = sys.argv[1:]
    cut = words.index("--") if "--" in words else len(words)
    sys.path[0] = tree
    sys.argv = [f"{tree}/{program}", *words[cut + 1 :]]
    if not charts:
        _draw_no_charts()
    return words[:cut]


def _draw_no_charts():
    from matplotlib import pyplot
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    Figure.draw = Figure.savefig = Figure.tight_layout = FigureCanvasAgg.draw = lambda *_, **__: None
    # seaborn is not even imported, nor SciPy with it: a fifth of what a process does to start
    seaborn = types.ModuleType("seaborn")
    seaborn.set = seaborn.pairplot = seaborn.histplot = lambda *_, **__: None
    seaborn.heatmap = lambda *_, **__: pyplot.gca()
    sys.modules["seaborn"] = seaborn


def expect(holds, why):
    """A demand of the check's: where it does not hold the driver ends here, and ``why`` is what the check says."""
    if not holds:
        print("\n" + json.dumps({"failed": why}))
        leave()


class Stop(Exception):
    """Raised by what a training calls back: it ends here."""


def trained(train, words, actions):
    """Run the tree's train.py, which ``train`` is, with these words; ``actions``: hook -> what it calls back."""
    from utils.callbacks import Callbacks  # the tree's

    sys.argv = [sys.argv[0], *words]
    callbacks = Callbacks()
    callbacks._callbacks = {k: [] for k in callbacks._callbacks}  # v6.0 keeps them in the class
    for hook, action in actions.items():
        callbacks.register_action(hook, callback=action)
    with contextlib.suppress(Stop):
        train.main(train.parse_opt(), callbacks)


def leave():
    """End at once, without taking the interpreter down around the autograd engine's threads.

    A thread that is still letting go of the last backward pass, and wants the interpreter meanwhile, is ended by it
    in a way that C++ answers with SIGABRT.  So it is with gloo's threads.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


# What upstream's releases call differently, found in the tree itself.  To be asked once `enter` was called.


def dataloaders():
    """The module of the data sets: ``utils/datasets.py`` up to v6.1, ``utils/dataloaders.py`` from v6.2 on."""
    later = importlib.util.find_spec("utils.dataloaders")
    return importlib.import_module("utils.dataloaders" if later else "utils.datasets")


def pictures(dataset):
    """The files of a data set's pictures: the attribute ``img_files`` up to v6.1, ``im_files`` from v6.2 on."""
    return dataset.im_files if hasattr(dataset, "im_files") else dataset.img_files


def batch_ended(words):
    """Iteration, model and images, of what ``on_train_batch_end`` is called with: v7.0 names the model first."""
    first, second, images, *_ = words
    return (first, second, images) if isinstance(first, int) else (second, first, images)


def replace_sgd(make):
    """Let ``make`` make the class that the tree takes for torch's SGD, of that class; before the tree is imported.

    train.py has the name SGD up to v6.1; from v6.2 on ``smart_optimizer`` asks torch.optim for it.
    """
    import torch

    torch.optim.SGD = made = make(torch.optim.SGD)
    return made
