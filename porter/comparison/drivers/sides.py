"""One side of a comparison: what it records, or how what it makes differs from a record."""

import threading
import time

import figures
import torch
from step import seed
from tensors import host
from watching import HANDED, LOSS, Watch, kind


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
    """Writes every tensor of a step.

    Args:
        writer: of tensors.py, or :class:`Kept`; tensors are not kept beyond their turn.
        prefix: the step, in the names.
    """

    def __init__(self, writer, prefix):
        self.writer, self.prefix, self.rows = writer, prefix, []
        self.lock = threading.Lock()  # the backward pass has a thread for each device

    def __call__(self, thing, tensor):
        tensor = host(tensor)
        row = dict(said(thing), dtype=str(tensor.dtype).partition(".")[2], shape=list(tensor.shape))
        with self.lock:
            self.rows.append(row)
            self.writer.put(self.prefix + thing.name, tensor)


class Recorded:
    """A record as what to compare with; :class:`lockstep.Lockstep` has the same methods.

    Args:
        things: the rows of each step, as :class:`Recorder` made them.
    """

    follows = False  # what is recorded goes on from nothing else

    def __init__(self, reader, things):
        self.reader, self.things, self.number = reader, things, -1

    def begin(self, names):
        self.number += 1
        self.left = {row["name"] for row in self.things[self.number]}

    def take(self, thing):
        if thing.name not in self.left:
            return None
        self.left.discard(thing.name)
        return self.reader.get("%d/%s" % (self.number, thing.name))

    def end(self):
        return len(self.left)


SELECTED = 0.1  # of a gradient's numbers: so many may go to another place because a rounding decided so


def selects(thing):
    """Whether a gradient goes where the largest value was, or comes of one that does: all of the loss's."""
    return thing.phase == "backward" and (thing.path == LOSS or thing.what == HANDED or "pool" in kind(thing.node))


class Comparer:
    """Compares every tensor of a step with a reference's, at once.

    Args:
        reference: :class:`Recorded` or a lockstep.
        noise: the cpu's own, for this step.
        precision: the device's.  In half precision a rounding may decide which of two boxes' edges the loss takes, and
            so move single gradients as far as they go.  A reference that follows goes on from each tensor of the
            device's: so every tensor is judged by itself.  Of one that does not, of what comes after the loss a NaN or
            an infinity alone is outside.
        first_step: whether this is the step of which every tensor is seen.
        began: the parameters' values at the beginning, by their names, on the host.  In float32 the noise of one is
            a part of how far it has come: the loss, and so its gradient, grows with the batch, and it does not.
        keep: gets each tensor's figures.
    """

    def __init__(self, reference, noise, precision, first_step, began, keep):
        self.reference, self.noise, self.keep = reference, noise, keep
        self.began = began if precision == "fp32" else {}
        self.follows = reference.follows and first_step
        self.whole = precision == "fp32" or self.follows  # whether backward and step are judged by their values
        self.first = None
        self.count = 0
        self.largest_noise = 0.0  # of the tensors so far
        self.lock = threading.Lock()  # the backward pass has a thread for each device
        # dtype -> where each tensor of the device is copied to: memory that is asked for anew costs more than the copy
        self.rooms = {}
        reference.begin(noise)

    def __call__(self, thing, tensor):
        with self.lock:
            self._compare(thing, tensor)

    def _compare(self, thing, tensor):
        reference = self.reference.take(thing)
        # another version's graph may compute a gradient by other nodes: those are not comparable
        if reference is None or (thing.phase == "backward" and tensor.shape != reference.shape):
            return
        tensor, reference = self._fetched(tensor), host(reference)
        usual, largest = figures.size(reference)
        found = figures.compare(tensor, reference, usual, largest)
        dtype = tensor.dtype if tensor.dtype.is_floating_point else torch.float32
        part = self.noise.get(thing.name, 0.0)
        # few numbers, not those of the noise's batch; one that follows has no half precision in its own loss
        if (thing.path == LOSS and (thing.phase == "backward" or self.follows)) or thing.what == HANDED:
            part = max(part, self.largest_noise)
        self.largest_noise = max(self.largest_noise, part)
        began = beginning(thing, self.began)
        if began is not None:
            usual = change(reference, began)
        allowed = figures.band(part, usual, largest, dtype)
        judged = self.whole or thing.phase == "forward"
        outside = figures.outside(found if judged else dict(found, absolute=0.0), allowed)
        if outside and self.follows and selects(thing) and not found["nan"] and not found["inf"]:
            outside = figures.share(tensor, reference, allowed) > SELECTED
        if self.follows:
            self.reference.substitute(tensor)
        made = dict(said(thing), shape=list(reference.shape), dtype=str(tensor.dtype).partition(".")[2])
        made.update(found, allowed=allowed, outside=outside, order=self.count)
        self.count += 1
        if outside and self.first is None:
            self.first = made
        self.keep(made)

    def _fetched(self, tensor):
        """A tensor's values in host memory, until the next one's are asked for."""
        if tensor.device.type == "cpu":
            return host(tensor)
        room = self.rooms.get(tensor.dtype)
        if room is None or room.numel() < tensor.numel():
            room = self.rooms[tensor.dtype] = torch.empty(tensor.numel(), dtype=tensor.dtype)
        return room[: tensor.numel()].view(tensor.shape).copy_(tensor.detach())


def beginning(thing, began):
    """What a parameter was at the beginning, of those that are known by name; None for all else."""
    return began.get(thing.parameter) if thing.phase == "step" else None


def change(parameter, began):
    """The root mean square of how far a parameter has come, in its dtype."""
    return figures.size(parameter - began.to(parameter.dtype))[0]


def recorders(writer, recorded):
    def of_step(number):
        made = Recorder(writer, "%d/" % number)
        recorded.append(made.rows)
        return made

    return of_step


def run(training, images, targets, config, of_step, entered=None, end=None, updates=True):
    """All steps of a training, each watched; returns the seconds of each.

    Args:
        of_step: gives what sees a step, by its number.  After the first step only losses and parameters are looked at.
        end: called after each step.
        updates: whether the optimizer makes its part of a step.
    """
    seconds = []
    for number in range(config["steps"]):
        seed(config["seed"])
        seen = of_step(number)
        began = time.time()
        watch = Watch(training.model, seen if not number else results(seen), entered)
        try:
            training.step(images, targets, watch, updates)
        finally:
            watch.close()
        seconds.append(time.time() - began)
        if end:
            end()
    return seconds


def results(seen):
    """Of a later step what comes of it alone: each tensor of the first is looked at, of all steps would be too many."""

    def some(thing, tensor):
        if thing.phase == "step" or (thing.path == LOSS and thing.phase == "forward"):
            seen(thing, tensor)

    return some
