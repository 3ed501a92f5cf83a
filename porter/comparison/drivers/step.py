"""A training step of a tree's, as its train.py makes it, from weights and a batch that are given."""

import contextlib
import os
import random

import numpy as np
import torch
import yaml
from watching import LOSS, STEP, Thing


def seed(number):
    random.seed(number)
    np.random.seed(number % 2**32)
    torch.manual_seed(number)


def batch(config, stride):
    """Images as the loader gives them (uint8) and targets of the data set's first pictures."""
    from utils.datasets import create_dataloader  # the tree's

    with open(config["data"], encoding="utf-8", errors="ignore") as file:
        data = yaml.safe_load(file)
    train = data["train"]
    if not os.path.isabs(str(train)):
        train = os.path.join(str(data.get("path") or os.path.dirname(config["data"])), str(train))
    loader, _ = create_dataloader(train, config["img"], config["batch"], stride, hyp=None, augment=False, workers=0)
    images, targets, _, _ = next(iter(loader))
    return images, targets


def hyperparameters():
    with open(os.path.join("data", "hyps", "hyp.scratch.yaml"), errors="ignore", encoding="utf-8") as file:
        return yaml.safe_load(file)


class Training:
    """A model on a device, its loss and its optimizer, as train.py has them.

    Args:
        model: of the tree's class, on the host; it is not changed.
        device: where to train.
        config: ``img`` and, for mixed precision, ``precision``.
        dtype: float32, or float64 to see what rounding does.
    """

    def __init__(self, model, device, config, dtype=torch.float32):
        from copy import deepcopy

        from utils import accelerator  # the tree's
        from utils.loss import ComputeLoss

        self.device, self.dtype = torch.device(device), dtype
        self.acc = accelerator.get(self.device)
        hyp = hyperparameters()
        self.model = deepcopy(model).to(dtype).to(self.device).train()
        layers = self.model.model[-1].nl
        hyp["box"] *= 3.0 / layers
        hyp["cls"] *= self.model.nc / 80.0 * 3.0 / layers
        hyp["obj"] *= (config["img"] / 640) ** 2 * 3.0 / layers
        hyp["label_smoothing"] = 0.0
        self.model.hyp = hyp
        self.amp = config["precision"] == "amp"
        with self.default():
            self.loss = ComputeLoss(self.model)
        self.first = model
        self._start()

    def _start(self):
        self.scaler = self.acc.scaler(enabled=self.amp and self.dtype == torch.float32 and self.device.type != "cpu")
        self.optimizer = self._optimizer(self.model.hyp)

    def begin_again(self):
        """With the weights, buffers and optimizer of the first step."""
        first = self.first.state_dict()
        with torch.no_grad():
            for name, tensor in self.model.state_dict().items():
                tensor.copy_(first[name])
        for parameter in self.model.parameters():
            parameter.grad = None
        self._start()

    @contextlib.contextmanager
    def default(self):
        """float64 all through, where that is asked for."""
        before = torch.get_default_dtype()
        torch.set_default_dtype(self.dtype)
        try:
            yield
        finally:
            torch.set_default_dtype(before)

    def _optimizer(self, hyp):
        """SGD, with train.py's three groups."""
        norms, weights, biases = [], [], []
        for module in self.model.modules():
            if isinstance(getattr(module, "bias", None), torch.nn.Parameter):
                biases.append(module.bias)
            if isinstance(module, torch.nn.BatchNorm2d):
                norms.append(module.weight)
            elif isinstance(getattr(module, "weight", None), torch.nn.Parameter):
                weights.append(module.weight)
        made = torch.optim.SGD(norms, lr=hyp["lr0"], momentum=hyp["momentum"], nesterov=True)
        made.add_param_group({"params": weights, "weight_decay": hyp["weight_decay"]})
        made.add_param_group({"params": biases})
        return made

    def step(self, images, targets, watch=None, backward=True):
        """One step; ``watch`` sees all of it."""
        with self.default():
            images = images.to(self.device).to(self.dtype) / 255.0
            amp = self.amp and self.dtype == torch.float32 and self.device.type != "cpu"
            with self.acc.autocast(enabled=amp):
                predicted = self.model(images)
                if watch:
                    watch.begin("forward", LOSS)
                loss, items = self.loss(predicted, targets.to(self.dtype))
                if watch:
                    watch.end("forward")
                    watch.computed(LOSS, [loss, items])
            if not backward:
                return
            self.scaler.scale(loss).backward()
            if watch:
                watch.begin("step", STEP)
            self.scaler.step(self.optimizer)
            self.scaler.update()
            if watch:
                watch.end("step")
                for name, parameter in self.model.named_parameters():
                    watch.seen(Thing("step", STEP, name), parameter)
            self.optimizer.zero_grad()
