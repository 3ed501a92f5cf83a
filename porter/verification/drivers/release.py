"""What upstream's releases call differently, found in the tree itself.  To be asked once ``entry.enter`` was called."""

import importlib
import importlib.util


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
