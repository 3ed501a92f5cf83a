"""The calls of calls.json.gz, made again: arguments by their dtype, shape, strides and range of values."""

import gzip
import json
import zlib

import numpy as np
import torch

_LARGE = 8.0
_PLAIN = (bool, int, float, str, type(None))


class Absent(Exception):
    """This version of torch has no such operator, or it takes other arguments."""


class Unmade(Exception):
    """The device cannot even hold the arguments of a call."""


def read(path):
    """The calls, in their order: operator, arguments, named arguments, ranges of the tensors, programs."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        head = json.loads(file.readline())
        calls = [json.loads(line) for line in file]
    if head.get("kind") != "operator calls" or head["calls"] != len(calls):
        raise ValueError("%s holds no operator calls, or not all of them" % path)
    return calls


def operator(name):
    """torch's operator of a name such as ``aten::add.Tensor``.

    Raises:
        Absent: it has none.
    """
    base, _, overload = name[len("aten::") :].partition(".")
    try:
        return getattr(getattr(torch.ops.aten, base), overload or "default")
    except (AttributeError, RuntimeError) as error:
        raise Absent(name) from error


class Arguments:
    """A call's arguments, the same values for the same call on every machine.

    ``host()`` gives them on the host, ``device(name)`` on a device, each time anew.
    """

    def __init__(self, call):
        self.name, self.args, self.kwargs, ranges, _ = call
        self.ranges = iter(())
        self.all = ranges
        self.seed = zlib.crc32(self.name.encode())

    def host(self):
        """Positional and named arguments, as a program on the host would have them."""
        return self._made("cpu")

    def device(self, name):
        """The same where a program on the device would have them.

        Raises:
            Unmade: the device refuses to hold one.
        """
        return self._made(name)

    def _made(self, device):
        self.ranges = iter(self.all)
        self.random = np.random.RandomState(self.seed)
        return [self._value(each, device) for each in self.args], {
            key: self._value(each, device) for key, each in self.kwargs.items()
        }

    def _value(self, given, device):
        if isinstance(given, list):
            return [self._value(each, device) for each in given]
        if not isinstance(given, dict):
            if not isinstance(given, _PLAIN):
                raise ValueError("a call holds %r" % (given,))
            return given
        if "tensor" in given:
            values = self._values(given, next(self.ranges))
            return values if device == "cpu" or given.get("host") else self._on(device, given, values)
        if "dtype" in given:
            return dtype(given["dtype"])
        if "device" in given:
            return torch.device(device if given["device"] else "cpu")
        if "float" in given:
            return float(given["float"])
        return getattr(torch, given["torch"])

    def _values(self, given, within):
        """A tensor of the host with these sizes and strides."""
        kind, span = dtype(given["tensor"]), extent(given)
        low, high = within or (0, 1)
        if (
            kind == torch.float16
        ):  # a sum of values as large as a scaled gradient's would leave the dtype, here or there
            low, high = max(low, -_LARGE), min(high, _LARGE)
        if kind == torch.bool:
            flat = torch.from_numpy(self.random.randint(0, 2, span).astype(np.uint8)).to(kind)
        elif kind.is_floating_point:
            flat = torch.from_numpy(self.random.uniform(low, high, span).astype(np.float32)).to(kind)
        else:
            flat = torch.from_numpy(self.random.randint(low, high + 1, span, dtype=np.int64)).to(kind)
        return torch.as_strided(flat, given["shape"], strides(given))

    @staticmethod
    def _on(device, given, values):
        """The tensor on the device: its memory goes there in one piece, and is seen with the strides there."""
        try:
            if values.is_contiguous():
                return values.to(device)
            flat = torch.as_strided(values, (extent(given),), (1,)).to(device)
            return torch.as_strided(flat, given["shape"], strides(given))
        except Exception as error:  # whatever a plugin raises
            raise Unmade("%s: %s" % (type(error).__name__, error)) from error


def dtype(name):
    found = getattr(torch, name, None)
    if not isinstance(found, torch.dtype):
        raise Absent("torch.%s" % name)
    return found


def strides(given):
    """Of a tensor; those of one that is contiguous are not written down."""
    if "stride" in given:
        return given["stride"]
    made = [1]
    for size in reversed(given["shape"][1:]):
        made.insert(0, made[0] * max(size, 1))
    return made[: len(given["shape"])]


def extent(given):
    """How many elements of memory it covers."""
    if 0 in given["shape"]:
        return 0
    return 1 + sum((size - 1) * step for size, step in zip(given["shape"], strides(given)))


def features(call, function):
    """A call's arguments by their position in torch's schema, as a record has them."""
    _, args, kwargs, _, _ = call
    made = []
    for number, argument in enumerate(function._schema.arguments):
        made.append(args[number] if number < len(args) else kwargs.get(argument.name))
    return made
