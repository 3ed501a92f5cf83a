"""One side of a comparison: what it records, or how what it makes differs from a record."""

import threading
import time

import figures
import torch
from step import Training, seed
from tensors import host
from watching import Watch

# How far rounding carries depends on depth and dtype, hardly on the size of the batch: one small image shows it.
NOISE_IMAGES, NOISE_PIXELS = 1, 128


def said(thing):
    """A thing as the record has it."""
    return {
        "name": thing.name,
        "phase": thing.phase,
        "path": thing.path,
        "what": thing.what,
        "node": thing.node,
    }


class Kept:
    """A writer, and reader, of what is small enough to stay in memory."""

    def __init__(self):
        self.tensors = {}
        self.get = self.tensors.__getitem__

    def put(self, name, tensor):
        self.tensors[name] = tensor.clone()


class Recorder:
    """Writes every tensor of a step, and how large it is.

    Args:
        writer: of tensors.py, or :class:`Kept`; tensors are not kept beyond their turn.
        prefix: the step, in the names.
    """

    def __init__(self, writer, prefix):
        self.writer, self.prefix, self.rows = writer, prefix, []
        self.lock = threading.Lock()  # the backward pass has a thread for each device

    def __call__(self, thing, tensor):
        tensor = host(tensor)
        usual, largest = figures.size(tensor)
        row = dict(said(thing), dtype=str(tensor.dtype).partition(".")[2], shape=list(tensor.shape))
        with self.lock:
            self.rows.append(dict(row, usual=usual, largest=largest))
            self.writer.put(self.prefix + thing.name, tensor)


class Noise:
    """Notes how far every tensor is from the same of a record, as a part of its usual size."""

    def __init__(self, reader, prefix, rows, found):
        self.reader, self.prefix, self.found = reader, prefix, found
        self.rows = {row["name"]: row for row in rows}

    def __call__(self, thing, tensor):
        row = self.rows.get(thing.name)
        if row is None or not row["usual"]:
            return
        reference = self.reader.get(self.prefix + thing.name)
        if reference.shape == tensor.shape:
            error = float((host(tensor).to(reference.dtype) - reference).abs().max()) if reference.numel() else 0.0
            self.found[thing.name] = max(self.found.get(thing.name, 0.0), error / row["usual"])


class Comparer:
    """Compares every tensor of a step with a record's, at once."""

    def __init__(self, reader, prefix, rows, noise, keep):
        self.reader, self.prefix, self.noise, self.keep = reader, prefix, noise, keep
        self.rows = {row["name"]: row for row in rows}
        self.missing = set(self.rows)
        self.first = None
        self.count = 0
        self.largest_noise = 0.0  # of the tensors so far
        self.lock = threading.Lock()  # the backward pass has a thread for each device

    def __call__(self, thing, tensor):
        with self.lock:
            self._compare(thing, tensor)

    def _compare(self, thing, tensor):
        row = self.rows.get(thing.name)
        # another version's graph may compute a gradient by other nodes: those are not comparable
        if row is None or (thing.phase == "backward" and list(tensor.shape) != row["shape"]):
            return
        self.missing.discard(thing.name)
        tensor, reference = host(tensor), self.reader.get(self.prefix + thing.name)
        found = figures.compare(tensor, reference)
        dtype = tensor.dtype if tensor.dtype.is_floating_point else torch.float32
        part = self.noise.get(thing.name, 0.0)
        if thing.phase == "backward" and thing.path == "loss":  # few numbers, not those of the noise's batch
            part = max(part, self.largest_noise)
        self.largest_noise = max(self.largest_noise, part)
        allowed = figures.band(part, row["usual"], row["largest"], dtype)
        outside = figures.outside(found, allowed)
        made = dict(said(thing), shape=row["shape"], dtype=str(tensor.dtype).partition(".")[2], allowed=allowed)
        made.update(found, outside=outside, order=self.count)
        self.count += 1
        if outside and self.first is None:
            self.first = made
        self.keep(made)


def noise(model, images, targets, config):
    """The cpu's own noise: how far the step in float32, in two orders of summation, is from the step in float64.

    Returns:
        name -> the largest error as a part of the tensor's usual size, for each step.
    """
    every = max(1, min(images.shape[2:]) // NOISE_PIXELS)
    images, targets = images[:NOISE_IMAGES, :, ::every, ::every], targets[targets[:, 0] < NOISE_IMAGES]
    exact, recorded = Kept(), []
    run(Training(model, "cpu", config, torch.float64), images, targets, config, recorders(exact, recorded))
    found = [{} for _ in range(config["steps"])]
    for other_order in False, True:
        noises = [Noise(exact, "%d/" % n, recorded[n], found[n]) for n in range(config["steps"])]
        before = torch.backends.mkldnn.set_flags(not other_order)  # oneDNN's kernels sum in an order of their own
        try:
            run(Training(model, "cpu", config), images, targets, config, noises.__getitem__)
        finally:
            torch.backends.mkldnn.set_flags(*before[:1])
    return found


def recorders(writer, recorded):
    def of_step(number):
        made = Recorder(writer, "%d/" % number)
        recorded.append(made.rows)
        return made

    return of_step


def run(training, images, targets, config, of_step, entered=None, end=None):
    """All steps of a training, each watched; returns the seconds of each.

    Args:
        of_step: gives what sees a step, by its number.  After the first step only losses and parameters are looked at.
        end: asked after each step whether that was enough.
    """
    seconds = []
    for number in range(config["steps"]):
        seed(config["seed"])
        seen = of_step(number)
        began = time.time()
        watch = Watch(training.model, seen if not number else results(seen), entered)
        try:
            training.step(images, targets, watch)
        finally:
            watch.close()
        seconds.append(time.time() - began)
        if end and end():
            break
    return seconds


def results(seen):
    """Of a later step what comes of it alone: each tensor of the first is looked at, of all steps would be too many."""

    def some(thing, tensor):
        if thing.phase == "step" or (thing.path == "loss" and thing.phase == "forward"):
            seen(thing, tensor)

    return some
