"""The cpu's own noise: how far a step is from the same in float64, by two orders of summation.

It is that of the device's precision.  Few cpus compute in half precision, and old torch not at all: what each module
makes is rounded to it instead.
"""

import math
import os

import figures
import torch
from lockstep import Lockstep
from sides import Kept, beginning, change, recorders, run
from step import Training, parameters
from tensors import Reader, Writer, host
from watching import STEP, Thing

# How far float32's rounding carries depends on depth, hardly on the size of the batch: one small image shows it.  In
# half precision batch norm over the few numbers of a small image would carry it too far: there it is the batch itself.
IMAGES, PIXELS = 1, 96


class Noise:
    """Notes how far every tensor is from the same of a record, as a part of its usual size.

    Args:
        reader: of the record; ``prefix``: the step, in its names.
        began: the parameters' values at the beginning, by their names.  Of a parameter it is a part of its change: what
            its gradient is off by, as the change is, or what shows in the parameter beside its own rounding.
        gradients: name of a parameter -> how far the first step's gradient is off; the same for all steps.
        found: name -> that; the larger stays.
    """

    def __init__(self, reader, prefix, sizes, began, gradients, found):
        self.reader, self.prefix, self.sizes = reader, prefix, sizes
        self.began, self.gradients, self.found = began, gradients, found

    def __call__(self, thing, tensor):
        name = self.prefix + thing.name
        if name not in self.sizes:
            return
        reference = self.reader.get(name)
        began = beginning(thing, self.began)
        if self.sizes[name] is None:
            usual, largest = figures.size(reference)
            rounding = 0.0
            if began is not None:
                usual, rounding = change(reference, began), figures.epsilon(tensor.dtype) * largest
            self.sizes[name] = usual, rounding
        usual, rounding = self.sizes[name]
        part = self.gradients.get(thing.parameter, 0.0) if began is not None else 0.0
        if usual and reference.shape == tensor.shape:
            part = max(part, (figures.distance(host(tensor), reference) - rounding) / usual)
        self.found[thing.name] = max(self.found.get(thing.name, 0.0), part)
        if thing.phase == "backward" and thing.parameter:
            self.gradients[thing.parameter] = max(self.gradients.get(thing.parameter, 0.0), part)


def small(images, stride):
    """A few of the images, a part of their pixels; both sides stay multiples of the model's stride."""
    every = max(1, min(images.shape[2:]) // PIXELS)
    images = images[:IMAGES, :, ::every, ::every]
    height, width = (size // stride * stride for size in images.shape[2:])
    return images[:, :, :height, :width]


class FollowingNoise:
    """Notes how far every tensor is from a reference that goes on from each: the error of one operation alone.

    Args:
        reference: a lockstep that follows; ``names``: of what it makes.
        found: name -> the largest error as a part of the tensor's usual size; the larger stays.
    """

    def __init__(self, reference, names, found):
        self.reference, self.found = reference, found
        reference.begin(names)

    def __call__(self, thing, tensor):
        reference = self.reference.take(thing)
        if reference is None or reference.shape != tensor.shape:
            return
        reference = host(reference)
        usual = figures.size(reference)[0]
        error = figures.distance(host(tensor), reference) if usual else 0.0
        self.found[thing.name] = max(self.found.get(thing.name, 0.0), error / (usual or 1.0))
        self.reference.substitute(tensor)


class Largest:
    """The largest gradient of a step."""

    def __init__(self):
        self.found = 0.0

    def __call__(self, thing, tensor):
        if thing.phase == "backward":
            self.found = max(self.found, figures.size(host(tensor))[1])


def scale(model, images, targets, config):
    """What the loss is multiplied by where gradients are in half precision: a power of two, so that none is too large.

    train.py's scaler finds it by trying, and leaves out the steps that fail.  The largest gradient of one image may be
    this many times smaller than that of the whole batch.
    """
    if config["precision"] == "fp32":
        return 1.0
    largest = Largest()
    watched = small(images, int(model.stride.max())), targets[targets[:, 0] < IMAGES]
    run(Training(model, "cpu", config), *watched, dict(config, steps=1), lambda number: largest)
    room = torch.finfo(torch.float16).max / (16.0 * len(images) * largest.found or 1.0)
    return 2.0 ** min(16, max(0, math.floor(math.log(room, 2))))


def noise(model, images, targets, config, training):
    """How far the steps in the device's precision, in two orders of summation, are from those in float64.

    Args:
        training: of the model on the cpu, in float32; it is as new afterwards.

    Returns:
        name -> the largest error as a part of the tensor's usual size, for each step; in float32 of a parameter as a
        part of its change.
    """
    if config["precision"] == "fp32":
        images, targets = small(images, int(model.stride.max())), targets[targets[:, 0] < IMAGES]
    # what a parameter of the first step is off by, as a part of its change, is what its gradient is
    updates = config["steps"] > 1 or config["precision"] != "fp32"
    file, recorded = os.path.join(config["out"], "exact.npz"), []
    exact = Kept() if config["steps"] == 1 else Writer(file)  # the weights of many steps are too much for the memory
    precise = Training(model, "cpu", config, torch.float64)
    run(precise, images, targets, config, recorders(exact, recorded), updates=updates)
    if config["steps"] > 1:
        exact.close({})
        exact = Reader(file)
    sizes = {"%d/%s" % (number, row["name"]): None for number, rows in enumerate(recorded) for row in rows}
    found = [{} for _ in recorded]
    began, gradients = parameters(model) if config["precision"] == "fp32" else {}, {}
    rounded = training if config["precision"] == "fp32" else Training(model, "cpu", config, rounds=True)
    for other_order in False, True:
        noises = [Noise(exact, "%d/" % number, sizes, began, gradients, each) for number, each in enumerate(found)]
        before = torch.backends.mkldnn.set_flags(not other_order)  # oneDNN's kernels sum in an order of their own
        try:
            run(rounded, images, targets, config, noises.__getitem__, updates=updates)
        finally:
            torch.backends.mkldnn.set_flags(*before[:1])
        rounded.begin_again()
    if not updates:
        for name in began:
            found[0][Thing("step", STEP, name).name] = gradients.get(name, 0.0)
    if config["steps"] > 1:
        exact.close()
        os.remove(file)
    return found


def following_noise(model, images, targets, config, training):
    """The same for half precision, where the reference follows the device.

    The step in float64 goes on from each tensor of the rounded one, so that what an error leads to later, such as
    another edge of two boxes, is not counted.  Arguments and result are those of :func:`noise`.
    """
    names = set()
    watched = small(images, int(model.stride.max())), targets[targets[:, 0] < IMAGES]
    run(training, *watched, dict(config, steps=1), lambda number: lambda thing, tensor: names.add(thing.name))
    training.begin_again()
    rounded = Training(model, "cpu", config, rounds=True)
    found = [{} for _ in range(config["steps"])]
    for other_order in False, True:
        exact = Lockstep(Training(model, "cpu", config, torch.float64), images, targets, config, follows=True)
        before = torch.backends.mkldnn.set_flags(not other_order)
        try:
            of_step = lambda number: FollowingNoise(exact, names, found[number])  # noqa: B023, E731
            run(rounded, images, targets, config, of_step, end=exact.end)
        finally:
            torch.backends.mkldnn.set_flags(*before[:1])
            exact.close()
        rounded.begin_again()
    return found
