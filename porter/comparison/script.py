"""A script for a vendor: one call of an operator, without porter and without a model."""

from __future__ import annotations

import json
import math
import zipfile
from pathlib import Path
from typing import Any

from porter.errors import WrongUsage
from porter.output import printable

_SCRIPT = '''\
"""{operator} on {device}, against the cpu.  Needs numpy, torch, {plugin}, and {file} beside it."""
import numpy, torch, {plugin}
kept = numpy.load({file!r}, allow_pickle=False)
def t(number, dtype, stride):
    values = torch.from_numpy(kept["argument%d" % number]).to(dtype)
    return torch.empty_strided(values.shape, stride, dtype=dtype).copy_(values)
def call(d):
    made = torch.ops.aten.{call}({arguments})
    return [x for x in (made if isinstance(made, (tuple, list)) else [made]) if x is not None]
for n, (x, y) in enumerate(zip(call("cpu"), call("{type}"))):
    error = (x.double() - y.cpu().double()).abs()
    print("result", n, tuple(x.shape), "largest error", float(error.max()), "of values up to", float(x.abs().max()))
'''


def describe(file: Path) -> dict[str, Any]:
    """What a kept operator's file says of itself.

    Raises:
        WrongUsage: it is none.
    """
    try:
        with zipfile.ZipFile(file) as kept:
            found = json.loads(kept.read("meta.json"))
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise WrongUsage(f"{file} is no kept operator of porter compare", printable(error)) from error
    if not isinstance(found, dict) or found.get("kind") != "kept operator":
        raise WrongUsage(f"{file} is no kept operator of porter compare")
    return found


def script(file: Path, type_: str, plugin: str, device: str) -> str:
    """The script that makes the kept call on a device and on the cpu.

    Args:
        file: the kept operator, which the script looks for beside itself.
        type_: the device's, as in torch; ``plugin``: the module that brings it.

    Raises:
        WrongUsage: it is no kept operator, or one with an argument that no text stands for.
    """
    found = describe(file)
    try:
        name = str(found["operator"]).partition("::")[2]
        overload = str(found["overload"])
        if not name.isidentifier() or (overload and not overload.isidentifier()):
            raise ValueError("its operator has no name")
        arguments = [_text(each) for each in found["args"]]
        arguments += [f"{key}={_text(value)}" for key, value in found["kwargs"].items() if key.isidentifier()]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WrongUsage(f"{file} cannot be made a script of", printable(error)) from error
    called = f"{name}.{overload or 'default'}"
    return _SCRIPT.format(
        operator=f"aten::{name}", device=printable(device), plugin=plugin, file=file.name, call=called,
        arguments=", ".join(arguments), type=type_,
    )  # fmt: skip


def _text(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_text, value))}]"
    if isinstance(value, dict):
        if "tensor" in value:
            stride = tuple(int(step) for step in value["stride"])
            return f"t({int(value['tensor'])}, {_dtype(value['dtype'])}, {stride}).to(d)"
        if "dtype" in value:
            return _dtype(value["dtype"])
        if "device" in value:
            return "d"
        raise ValueError("an argument of it is kept as a name alone")
    if isinstance(value, float) and not math.isfinite(value):
        return f'float("{value}")'
    return repr(value)


def _dtype(name: Any) -> str:
    if not str(name).isidentifier():
        raise ValueError("a dtype of it is none")
    return f"torch.{name}"
