"""A training step of a tree's, as its train.py makes it, from weights and a batch that are given."""

import contextlib
import os
import random
import re

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
    try:
        from utils.dataloaders import create_dataloader  # the tree's, from v6.2 on
    except ImportError:
        from utils.datasets import create_dataloader

    with open(config["data"], errors="ignore") as file:
        data = yaml.safe_load(file)
    train = data["train"]
    if not os.path.isabs(str(train)):
        train = os.path.join(str(data.get("path") or os.path.dirname(config["data"])), str(train))
    loader, _ = create_dataloader(train, config["img"], config["batch"], stride, hyp=None, augment=False, workers=0)
    images, targets, _, _ = next(iter(loader))
    return images, targets


def hyperparameters():
    """Those that train.py takes where --hyp names none."""
    with open("train.py", encoding="utf-8") as file:
        named = re.search(r"'--hyp'.*?'(data/hyps/[\w.-]+)'", file.read())
    with open(named.group(1), errors="ignore", encoding="utf-8") as file:
        return yaml.safe_load(file)


def halved(tensor):
    """A tensor as half precision has it, in the dtype that it has."""
    return tensor.half().to(tensor.dtype)


def round_modules(model):
    """Let each module round to half precision what it makes, its gradient, and a convolution's weight while it uses it.

    A rounded weight moves a mean, which rounded values hardly do.  The backward pass sees the weight as it is.
    """

    def before(module, inputs):
        module.exact = module.weight.data
        module.weight.data = halved(module.weight.data)

    def after(module, inputs, output):
        if isinstance(module, torch.nn.Conv2d):
            module.weight.data = module.exact
        return halved(output)

    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_pre_hook(before)
        if not list(module.children()):
            module.register_forward_hook(after)


def parameters(model):
    """A model's parameters by their names, for nobody to change."""
    return {name: parameter.detach() for name, parameter in model.named_parameters()}


class Training:
    """A model on a device, its loss and its optimizer, as train.py has them.

    Args:
        model: of the tree's class, on the host; it is not changed.
        device: where to train.
        config: ``img``, ``scale`` of the loss, and ``precision``, which is the device's: the cpu computes in ``dtype``.
        dtype: float32, or float64 to see what rounding does.
        rounds: round what each module makes to half precision, and its gradient: what a device's precision does, on
            any cpu.
    """

    def __init__(self, model, device, config, dtype=torch.float32, rounds=False):
        from copy import deepcopy

        from utils import accelerator  # the tree's
        from utils.loss import ComputeLoss

        self.device, self.scale, self.rounds = torch.device(device), config["scale"], rounds
        self.precision = "fp32" if self.device.type == "cpu" else config["precision"]
        self.parts = config["precision"] != "fp32"  # the backward pass in two
        self.dtype = torch.float16 if self.precision == "fp16" else dtype
        self.default_dtype = dtype  # of the loss
        self.acc = accelerator.get(self.device)
        hyp = hyperparameters()
        self.model = deepcopy(model).to(self.dtype).to(self.device).train()
        layers = self.model.model[-1].nl
        hyp["box"] *= 3.0 / layers
        hyp["cls"] *= self.model.nc / 80.0 * 3.0 / layers
        hyp["obj"] *= (config["img"] / 640) ** 2 * 3.0 / layers
        hyp["label_smoothing"] = 0.0
        self.model.hyp = hyp
        with self.default():
            self.loss = ComputeLoss(self.model)
        if rounds:
            round_modules(self.model)
        self.first = model
        self._start()

    def _start(self):
        self.scaler = None
        if self.precision != "fp32":
            scaler = self.acc.scaler(enabled=True) if self.precision == "amp" else self.acc.scaler_fp16()
            if scaler.is_enabled():
                scaler.load_state_dict(dict(scaler.state_dict(), scale=self.scale))
                self.scaler = scaler
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
        torch.set_default_dtype(self.default_dtype)
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

    def step(self, images, targets, watch=None, updates=True):
        """One step; without its ``updates`` the gradients alone."""
        with self.default():
            images = images.to(self.device).to(self.dtype) / 255.0
            images = halved(images) if self.rounds else images
            with self.acc.autocast(enabled=self.precision == "amp"):
                made = predicted = self.model(images)
                if watch:
                    watch.begin("forward", LOSS)
                if self.precision == "fp16":
                    predicted = [each.float() for each in made]
                loss, items = self.loss(predicted, targets.to(self.default_dtype))
                if watch:
                    watch.end("forward")
                    watch.computed(LOSS, [loss, items])
            self._backward(loss, made, watch)
            if updates:
                self._step(watch)
            self.optimizer.zero_grad()

    def _step(self, watch):
        if watch:
            watch.begin("step", STEP)
        self._update()
        if watch:
            watch.end("step")
            for name, parameter in self.model.named_parameters():
                watch.show(Thing("step", STEP, name, parameter=name), parameter)

    def _backward(self, loss, made, watch):
        """The gradients: in half precision first those of what the model made, for a watch to see and to replace."""
        if self.scaler is not None:
            loss = self.scaler.scale(loss)
        elif self.scale != 1.0:
            loss = loss * self.scale
        if not self.parts:
            loss.backward()
            return
        gradients = torch.autograd.grad(loss, made)
        torch.autograd.backward(made, watch.handed(gradients) if watch else gradients)

    def _update(self):
        if self.scaler is not None:
            self.scaler.step(self.optimizer)
            self.scaler.update()
            return
        if self.scale != 1.0:
            for parameter in self.model.parameters():
                if parameter.grad is not None:
                    parameter.grad.div_(self.scale)
        self.optimizer.step()
