"""One call of an operator, kept in a file and made again.

The file holds numbers and a description in JSON.  What the description names is looked up among torch's operators that
compute with tensors; nothing else can be called.
"""

import re

import figures
import torch
from tensors import BadFile, Reader, Writer, host, tensors_in

_DTYPES = {
    str(each).partition(".")[2]: each
    for each in (getattr(torch, name) for name in dir(torch))
    if isinstance(each, torch.dtype)
}
_PLAIN = (bool, int, float, str, type(None))
# results that an operator's own backward reads, and nobody else: a device keeps there what its backward needs
_PRIVATE = {
    "native_batch_norm": (1, 2),
    "_native_batch_norm_legit": (1, 2),
    "_native_batch_norm_legit_functional": (1, 2),
    "_batch_norm_with_update": (1, 2, 3),
    "_batch_norm_with_update_functional": (1, 2, 3),
    "native_layer_norm": (1, 2),
    "native_group_norm": (1, 2),
}


def on(device, value):
    """A call's arguments on another device, their layout kept; whatever else they hold stays."""
    if isinstance(value, torch.Tensor):
        return _copied(_copied(value.detach(), "cpu"), device)
    if isinstance(value, (list, tuple)):
        return type(value)(on(device, each) for each in value)
    if isinstance(value, dict):
        return {name: on(device, each) for name, each in value.items()}
    return torch.device(device) if isinstance(value, torch.device) else value


def _copied(tensor, device):
    """A tensor of the same size and strides; one that was expanded is so again, for nothing may be written to it."""
    size = tensor.size()
    for dimension, stride in enumerate(tensor.stride()):
        if stride == 0 and tensor.size(dimension) > 1:
            tensor = tensor.narrow(dimension, 0, 1)
    made = torch.empty_strided(tensor.size(), tensor.stride(), dtype=tensor.dtype, device=device)
    return made.copy_(tensor).expand(size)


def widened(value):
    """The same in float64."""
    if isinstance(value, torch.Tensor):
        return value.double() if value.dtype.is_floating_point else value
    if isinstance(value, (list, tuple)):
        return type(value)(widened(each) for each in value)
    if isinstance(value, dict):
        return {name: widened(each) for name, each in value.items()}
    return torch.float64 if isinstance(value, torch.dtype) and value.is_floating_point else value


def results(function, args, kwargs):
    """What a call returns and what it leaves in its arguments, tensors in one list."""
    returned = function(*args, **kwargs)
    found = tensors_in(returned)
    return found + [each for each in tensors_in([list(args), kwargs]) if not any(each is one for one in found)]


def _results_of_a_step(function, args, kwargs):
    """The same, with what the cpu's forward keeps for this backward in place of what the device's kept."""
    if function._schema.name == "aten::native_batch_norm_backward" and args[7]:  # training
        # of half-precision images they are in float32
        _, mean, invstd = torch.native_batch_norm(args[1].to(args[5].dtype), None, None, None, None, True, 0.0, args[8])
        args = [*args[:5], mean, invstd, *args[7:]]
    return results(function, args, kwargs)


def judge(function, args, kwargs, mine, of_a_step=False):
    """Compare what a device made of a call with what the cpu makes of the same arguments.

    Args:
        args, kwargs: of the host, as they were before the call; they are not changed.
        mine: what :func:`results` gave on the device, on the host.
        of_a_step: a step on the device made the call: what its operators keep for their own backward is theirs.

    Returns:
        the figures of the worst result, with ``allowed``, ``outside`` and its ``number``; None where the cpu cannot
        make the call.
    """
    made = _results_of_a_step if of_a_step else results
    private = _PRIVATE.get(function._schema.name.partition("::")[2], ()) if of_a_step else ()
    try:
        wanted = made(function, on("cpu", args), on("cpu", kwargs))
    except (RuntimeError, NotImplementedError, TypeError):
        return None
    try:
        exact = made(function, widened(on("cpu", args)), widened(on("cpu", kwargs)))
    except (RuntimeError, NotImplementedError, TypeError):
        exact = wanted
    worst = None
    for number, (a, b) in enumerate(zip(mine, wanted)):
        if not b.numel() or number in private:
            continue
        usual, largest = figures.size(b)
        found = figures.compare(a, b, usual, largest)
        noise = 0.0
        if usual and number < len(exact) and exact[number].shape == b.shape:
            noise = float((b.double() - exact[number].double()).abs().max()) / usual
        dtype = b.dtype if b.dtype.is_floating_point else torch.float32
        allowed = figures.band(noise if noise == noise else 0.0, usual, largest, dtype)
        found.update(number=number, allowed=allowed, outside=figures.outside(found, allowed))
        if worst is None or (found["outside"], found["absolute"]) > (worst["outside"], worst["absolute"]):
            worst = found
    return worst


# -- in a file -----------------------------------------------------------------------------------------


def write(path, name, overload, args, kwargs, mine, more):
    """Keep a call: its arguments as they were, and what the device made of them."""
    writer = Writer(path)
    kept = []

    def plain(value):
        if isinstance(value, torch.Tensor):
            kept.append(value)
            writer.put("argument%d" % (len(kept) - 1), value)
            dtype = str(value.dtype).partition(".")[2]
            return {"tensor": len(kept) - 1, "dtype": dtype, "stride": list(value.stride())}
        if isinstance(value, (list, tuple)):
            return [plain(each) for each in value]
        if isinstance(value, torch.dtype):
            return {"dtype": str(value).partition(".")[2]}
        if isinstance(value, torch.device):
            return {"device": True}
        if isinstance(value, (torch.layout, torch.memory_format)):
            return {"torch": str(value).partition(".")[2]}
        return value if isinstance(value, _PLAIN) else {"unknown": str(value)}

    meta = {"kind": "kept operator", "schema": 1, "operator": name, "overload": overload, "torch": torch.__version__}
    meta.update(args=plain(list(args)), kwargs={key: plain(value) for key, value in kwargs.items()}, **more)
    for number, tensor in enumerate(mine):
        writer.put("result%d" % number, tensor)
    writer.close(dict(meta, results=len(mine)))


def read(path):
    """The operator of a kept call, its arguments and what the device made of them, all on the host.

    Raises:
        BadFile: it is none, or names what is no operator on tensors.
    """
    reader = Reader(path)
    meta = reader.meta
    if meta.get("kind") != "kept operator":
        raise BadFile("%s is no kept operator of porter compare" % path)

    def made(value):
        if isinstance(value, list):
            return [made(each) for each in value]
        if not isinstance(value, dict):
            return value
        if "tensor" in value:
            tensor = reader.get("argument%d" % int(value["tensor"])).to(_DTYPES[value["dtype"]])
            stride = [int(step) for step in value["stride"]]
            if len(stride) != tensor.dim() or any(step < 0 for step in stride) or span(tensor, stride) > 2**33:
                raise BadFile("%s: a tensor is laid out as none can be" % path)
            return torch.empty_strided(tensor.size(), stride, dtype=tensor.dtype).copy_(tensor)
        if "dtype" in value:
            return _DTYPES[value["dtype"]]
        if "device" in value:
            return torch.device("cpu")
        raise BadFile("%s: an argument cannot be read" % path)

    try:
        function = operator(meta["operator"], meta["overload"])
        args, kwargs = made(meta["args"]), {str(key): made(value) for key, value in meta["kwargs"].items()}
        kept = [reader.get("result%d" % number) for number in range(int(meta["results"]))]
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise BadFile("%s: %s: %s" % (path, type(error).__name__, error)) from error
    return meta, function, args, kwargs, kept


def span(tensor, stride):
    """How many elements a tensor with these strides covers."""
    return 1 + sum((size - 1) * step for size, step in zip(tensor.shape, stride) if size)


def operator(name, overload):
    """torch's operator of this name, such as ``aten::silu_``, that takes a tensor.

    Raises:
        BadFile: there is none.
    """
    if not re.match(r"aten::\w+\Z", name) or not re.match(r"\w+\Z", overload or "default"):
        raise BadFile("%s is no operator of torch's" % name)
    found = getattr(getattr(torch.ops.aten, name[6:]), overload or "default")
    if not any("Tensor" in str(argument.type) for argument in found._schema.arguments):
        raise BadFile("%s takes no tensor" % name)
    return found


def replay(path, device):
    """Make a kept call again, on the cpu and, if it is another, on a device.

    Returns:
        what was kept of it, and for each side the figures against the cpu, as :func:`judge` gives them.
    """
    meta, function, args, kwargs, kept = read(path)
    found = {"operator": meta["operator"], "overload": meta["overload"], "path": meta.get("path", "")}
    found["arguments"] = ["%s %s" % (str(t.dtype).partition(".")[2], list(t.shape)) for t in tensors_in([args, kwargs])]
    found["kept"] = judge(function, args, kwargs, kept, of_a_step=True)
    if device != "cpu":
        mine = results(function, on(device, args), on(device, kwargs))
        found["device"] = judge(function, args, kwargs, [host(each) for each in mine], of_a_step=True)
    return found
