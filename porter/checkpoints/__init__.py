"""Checkpoints (.pt files): what is in one, read without running anything in it; torch is not needed.

The rules are those of the trees: pickles.py and torchfile.py are files of theirs, byte for byte.
"""

from __future__ import annotations

import io
import struct
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from porter.checkpoints import torchfile
from porter.checkpoints.pickles import Array, Hostile, Made, Tensor, Unreadable
from porter.checkpoints.torchfile import Content
from porter.errors import CheckFailed, WrongUsage, refused


@dataclass
class Checkpoint:
    """What a file says about itself.

    Attributes:
        format: ``zip`` or ``legacy``.
        kind: ``YOLOv5 checkpoint``, ``state dict`` or ``something else``.
        epoch: the last one trained; -1 for a finished training, ``None`` where there is none.
        optimizer: whether the optimizer's state is in it, so that a training can go on.
        anchors: of each scale, width and height in pixels by turns.
        parameters: numbers that are trained.
        layers: modules without modules in them.
        modules: classes of modules -> how many.
        dtypes, devices: of all tensors -> how many.
    """

    path: Path
    format: str
    kind: str
    size: int
    epoch: int | None = None
    date: str | None = None
    best_fitness: float | None = None
    optimizer: bool = False
    ema: bool = False
    updates: int | None = None
    fields: list[str] = field(default_factory=list)
    model: str | None = None
    classes: list[str] = field(default_factory=list)
    anchors: list[list[float]] = field(default_factory=list)
    strides: list[float] = field(default_factory=list)
    parameters: int = 0
    layers: int = 0
    modules: dict[str, int] = field(default_factory=dict)
    dtypes: dict[str, int] = field(default_factory=dict)
    devices: dict[str, int] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """For programs.  Its kind is called ``content`` there: ``kind`` is what kind of record that is."""
        fields = {name: value for name, value in vars(self).items() if name != "kind"}
        return {**fields, "path": str(self.path), "content": self.kind}


def inspect(path: Path) -> Checkpoint:
    """What is in a file.

    Raises:
        CheckFailed: it asks to run something, and what; or it is damaged, or no checkpoint of torch's.
        EnvironmentFailed: it cannot be read.
        WrongUsage: it is no file.
    """
    try:
        with open(path, "rb") as file:
            size = file.seek(0, io.SEEK_END)
            file.seek(0)
            return _describe(path, size, torchfile.read(file))
    except FileNotFoundError as error:
        raise WrongUsage(f"there is no {path}", hint="Upstream's own: porter weights fetch yolov5s.pt") from error
    except IsADirectoryError as error:
        raise WrongUsage(f"{path} is a folder", hint="Name a .pt file.") from error
    except Hostile as error:
        raise CheckFailed(
            f"{path} is refused: {error}",
            "Nothing in it was run; torch.load would run it.",
            "Do not load it. Upstream's own: porter weights fetch yolov5s.pt",
        ) from error
    except Unreadable as error:
        raise CheckFailed(
            f"{path} is damaged, or no checkpoint", str(error), "Upstream's own: porter weights fetch yolov5s.pt"
        ) from error
    except OSError as error:
        raise refused(f"cannot read {path}", error) from error


# -- the content ------------------------------------------------------------------------------------------------


def _describe(path: Path, size: int, content: Content) -> Checkpoint:
    value = content.value
    tensors = list(_tensors(value))
    for storage in {tensor.storage.key: tensor.storage for tensor in tensors}.values():
        content.fetch(storage)  # checks its sum
    made = Checkpoint(
        path,
        content.form,
        "something else",
        size,
        dtypes=dict(Counter(tensor.storage.dtype for tensor in tensors)),
        devices=dict(Counter(tensor.storage.location for tensor in tensors)),
    )
    model = value
    if isinstance(value, dict):
        made.fields = [str(key) for key in value]
        model = value.get("ema") or value.get("model")
        if value and all(isinstance(part, Tensor) for part in value.values()):
            made.kind = "state dict"
            made.parameters = sum(tensor.count for tensor in value.values())
        made.epoch, made.updates = _whole(value.get("epoch")), _whole(value.get("updates"))
        made.date = value["date"] if isinstance(value.get("date"), str) else None
        made.best_fitness = next(iter(_numbers(value.get("best_fitness"))), None)
        made.optimizer, made.ema = value.get("optimizer") is not None, value.get("ema") is not None
    if isinstance(model, Made) and isinstance(model.state, dict):
        made.kind = "YOLOv5 checkpoint"
        _describe_model(model, made, content)
    return made


def _describe_model(model: Made, made: Checkpoint, content: Content) -> None:
    if isinstance(model.get("yaml_file"), str):
        made.model = model.get("yaml_file")
    names = model.get("names")
    names = list(names.values()) if isinstance(names, dict) else names
    made.classes = [str(name) for name in names] if isinstance(names, list) else []
    modules = list(_modules(model))
    made.parameters = sum(p.count for m in modules for p in _part(m, "_parameters") if isinstance(p, Tensor))
    made.layers = sum(1 for m in modules if not any(isinstance(part, Made) for part in _part(m, "_modules")))
    made.modules = dict(Counter(m.name.name for m in modules).most_common())
    for module in modules:
        if module.name.name == "Detect":
            _describe_detect(module, made, content)


def _describe_detect(detect: Made, made: Checkpoint, content: Content) -> None:
    """The head's strides and anchors; the model holds the latter in units of the stride."""
    buffers = detect.get("_buffers")
    anchors = buffers.get("anchors") if isinstance(buffers, dict) else None
    strides = detect.get("stride")
    if not (isinstance(anchors, Tensor) and isinstance(strides, Tensor) and len(anchors.shape) == 3):
        return
    made.strides = _floats(content.fetch(strides.storage), strides)
    flat = _floats(content.fetch(anchors.storage), anchors)
    row = anchors.shape[1] * 2
    made.anchors = [
        [round(number * stride, 2) for number in flat[at : at + row]]
        for stride, at in zip(made.strides, range(0, len(flat), row or 1))
    ]


def _numbers(value: Any) -> list[Any]:
    """The numbers of a NumPy array or scalar, or of Python; none if it is neither."""
    if isinstance(value, (int, float)):
        return [value]
    return value.values() if isinstance(value, Array) else []


def _floats(data: Any, tensor: Tensor) -> list[float]:
    """A small tensor's numbers, out of its storage's bytes; none if they are no floats."""
    letter = {"float16": "e", "float32": "f", "float64": "d"}.get(tensor.storage.dtype)
    if letter is None or tensor.count > 1000:
        return []
    size = struct.calcsize(letter)
    piece = data[tensor.offset * size : (tensor.offset + tensor.count) * size]
    return list(struct.unpack(f"<{tensor.count}{letter}", piece)) if len(piece) == tensor.count * size else []


def _whole(value: Any) -> int | None:
    return value if type(value) is int else None


def _part(module: Made, name: str) -> list[Any]:
    part = module.get(name)
    return list(part.values()) if isinstance(part, dict) else []


def _modules(model: Made) -> Iterator[Made]:
    """A module and all in it, each once."""
    return _each_once(model, lambda one: [part for part in _part(one, "_modules") if isinstance(part, Made)])


def _tensors(value: Any) -> Iterator[Tensor]:
    """Every tensor in a value, each once."""
    return (one for one in _each_once(value, _held) if isinstance(one, Tensor))


def _held(value: Any) -> Iterable[Any]:
    """What a value holds."""
    if isinstance(value, Made):
        return [value.state]
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, (list, tuple)) else ()


def _each_once(value: Any, held: Callable[[Any], Iterable[Any]]) -> Iterator[Any]:
    """A value, what it holds, what that holds, and so on; what is held twice, or holds itself, comes once."""
    todo, done = [value], set()
    while todo:
        one = todo.pop()
        if id(one) not in done:
            done.add(id(one))
            yield one
            todo += held(one)
