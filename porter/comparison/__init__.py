"""Where a device parts from the cpu: the same training step on both, every tensor of it compared as it is made.

What runs in the tree's interpreter lies in ``drivers/``: it makes the step, watches it, and finds the operator.
Here it is started, and what came of it is said.
"""

from __future__ import annotations

import json
import math
import os
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from porter.errors import CheckFailed, EnvironmentFailed, WrongUsage
from porter.output import heading, printable
from porter.target import Target
from porter.verification.child import Children, Run
from porter.verification.device import Device

# What a comparison found.


@dataclass(frozen=True)
class TensorRow:
    """A tensor of the step on the device, against the reference's.

    Attributes:
        step: from 0.
        phase: ``forward``, ``backward`` or ``step`` (the optimizer's).
        path: the module that made it, ``loss``, ``optimizer``; empty for the model itself.
        what: which of its tensors: ``output``, ``running_mean``, ``gradient of weight``.
        node: in the backward phase, the autograd graph's node that made it.
        shape, dtype: as on the device.
        absolute: the largest error; ``relative``: the largest as a part of its element, where one below a thousandth of
            the usual size counts as that; ``ulps``: that in units of the last place; ``cosine``: of the two as vectors.
        nan, inf: how many the device has where the reference has none.
        allowed: the largest error that is within the band.
        outside: whether it left the band.
    """

    step: int
    phase: str
    path: str
    what: str
    node: str
    shape: tuple[int, ...]
    dtype: str
    absolute: float
    relative: float
    ulps: float
    cosine: float
    nan: int
    inf: int
    allowed: float
    outside: bool

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> TensorRow:
        """One that a driver wrote."""
        values = {name: found[name] for name in cls.__dataclass_fields__ if name != "shape"}
        return cls(shape=tuple(found["shape"]), **values)

    @property
    def layer(self) -> str:
        """The number of the layer of the model's yaml that the module is in; empty where it is in none."""
        parts = self.path.split(".")
        return parts[1] if len(parts) > 1 and parts[0] == "model" and parts[1].isdigit() else ""

    @property
    def part(self) -> float:
        """The error as a part of the band; infinite where a NaN or Inf is there."""
        if self.nan or self.inf:
            return float("inf")
        return self.absolute / self.allowed if self.allowed else float(bool(self.absolute)) * float("inf") or 0.0


@dataclass(frozen=True)
class Operator:
    """The operator that computes something else than the cpu from the same arguments.

    Attributes:
        name: torch's, such as ``aten::silu``; of a torch that shows no operators, the autograd graph's node.
        path: the module in which it runs; empty where that is not known.
        file: where its arguments and results are kept; empty if they are not.
        figures: of its worst result, as a :class:`TensorRow` has them.
    """

    name: str
    path: str
    file: str
    figures: Mapping[str, Any]


@dataclass(frozen=True)
class Comparison:
    """A comparison.

    Attributes:
        target, tree: what was compared.
        device: on what; ``reference``: against what, in words.
        emulated: whether the device, or the reference, is an emulated one.
        steps: how many were made; ``precision``: the device's, ``fp32``, ``amp`` or ``fp16``.
        rows: every tensor, in the order in which the device made them.
        first: the first that left its band in the first step; None if none did.
        parted: the first step in which something left its band; None if none did.
        operator: which operator did it; None where it is not known, or nothing did.
        yaml: the model's file; ``lines``: layer -> number of its line, and what that says.
        missing: how many tensors of the reference the device did not make, so that they were not compared.
        torch: the version that computed.
        seconds: by part.
    """

    target: str
    tree: str
    device: str
    reference: str
    emulated: bool
    steps: int
    precision: str
    rows: tuple[TensorRow, ...]
    first: TensorRow | None
    parted: int | None
    operator: Operator | None
    yaml: str
    lines: Mapping[str, tuple[int, str]]
    missing: int
    torch: str
    seconds: Mapping[str, float]

    @property
    def differs(self) -> bool:
        """Whether anything left its band."""
        return self.parted is not None

    def line(self, row: TensorRow) -> str:
        """The line of the model's yaml that a row's module is from; empty where it is from none."""
        found = self.lines.get(row.layer)
        return f"{self.yaml}:{found[0]}  {found[1]}" if found else ""

    def record(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        return {
            **heading("compare"),
            **{name: getattr(self, name) for name in ("target", "tree", "device", "reference", "emulated", "torch")},
            "steps": self.steps,
            "precision": self.precision,
            "parted": self.parted,
            "missing": self.missing,
            "first": {**asdict(self.first), "line": self.line(self.first)} if self.first else None,
            "operator": asdict(self.operator) if self.operator else None,
            "yaml": self.yaml,
            "lines": {layer: list(line) for layer, line in self.lines.items()},
            "rows": [asdict(row) for row in self.rows],
            "seconds": dict(self.seconds),
        }


@dataclass(frozen=True)
class Replayed:
    """A kept call of an operator, made again.

    Attributes:
        operator: its name; ``arguments``: dtype and shape of each tensor that it took.
        device: what it was made on again; empty if on the cpu alone.
        kept: the figures of what the device made of it then, against the cpu now; None where the cpu cannot make it.
        again: of what the device makes of it now; None without a device.
    """

    operator: str
    arguments: tuple[str, ...]
    device: str
    kept: Mapping[str, Any] | None
    again: Mapping[str, Any] | None

    @property
    def differs(self) -> bool:
        """Whether what the device makes of it now, or made of it then, is outside the band."""
        found = self.again if self.device else self.kept
        return bool(found and found["outside"])

    def record(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        return asdict(self)


# A script for a vendor: one call of an operator, without porter and without a model.

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


# Its two sides: the drivers that make them in the tree's interpreter.

DRIVERS = Path(__file__).resolve().parent / "drivers"
_REFUSED = "porter compare: "  # how a driver begins to say that a file is none


@dataclass(frozen=True)
class Workload:
    """What both sides do.

    Attributes:
        cfg: the model's yaml; ``weights``: a checkpoint to begin with, else the seed makes them.
        data: a data set's yaml, whose first pictures are the batch.
        img: pixels; ``batch``: images; ``steps``: of training; ``seed``: of everything random.
        precision: the device's: ``fp32``, ``amp`` (mixed) or ``fp16`` (``train_fp16.py``).
    """

    cfg: str
    weights: Path | None
    data: Path | None
    img: int
    batch: int
    steps: int
    seed: int
    precision: str = "fp32"

    def config(self) -> dict[str, Any]:
        """As the driver takes it."""
        given = {"weights": self.weights, "data": self.data}
        files = {name: str(path.absolute()) if path else "" for name, path in given.items()}
        plain = {name: getattr(self, name) for name in ("cfg", "img", "batch", "steps", "seed", "precision")}
        return {**plain, **files}


@dataclass(frozen=True)
class Side:
    """Where a side is made: a tree, and a device."""

    tree: Path
    device: Device


def make(
    children: Children,
    target: Target,
    side: Side,
    load: Workload,
    *,
    record: Path | None = None,
    against: Path | None = None,
    keep: Path | None = None,
    clock: str = "",
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Make a side: record it, or compare it with a record or with the cpu, which is made beside it.

    Args:
        record: where a record is written; then nothing is compared.
        against: the record to compare with.  None: the cpu.
        keep: where the arguments of the operator that is found go.
        clock: measure a plain step as well, in ``wall`` seconds or the ``cpu``'s.

    Returns:
        what the driver says, and its rows.

    Raises:
        WrongUsage: a file is no record.
        CheckFailed: the step fails.
    """
    cwd = children.folder("compare")
    config = {
        **load.config(),
        "device": side.device.name,
        "says": side.device.says,
        "plugin": target.plugin.module if "cpu" not in (side.device.kind, side.device.name) else "",
        "out": str(cwd),
        "record": str(record.absolute()) if record else "",
        "against": str(against.absolute()) if against else "cpu",
        "keep": str(keep.absolute()) if keep else "",
        "threads": children.threads,
        "time": clock,
    }
    (cwd / "config.json").write_text(json.dumps(config), encoding="utf-8")
    words = (DRIVERS / "main.py", side.tree.absolute(), cwd / "config.json")
    run = children.run(*words, cwd=cwd, env=_environment(side.device))
    out = cwd / "result.json"
    if run.status != 0 or not out.is_file():
        raise _failure(run, side.device)
    rows = cwd / "rows.jsonl"
    lines = rows.read_text(encoding="utf-8").splitlines() if rows.is_file() else []
    return json.loads(out.read_text(encoding="utf-8")), [json.loads(line) for line in lines]


def _environment(device: Device) -> Mapping[str, str]:
    """The device's, and what kernels an emulated one is to have."""
    kernels = os.environ.get("PORTER_EMULATED_KERNELS", "")
    given = {"PORTER_EMULATED_KERNELS": os.path.abspath(kernels)} if kernels and device.kind == "emulated" else {}
    # glibc gives each thread memory of its own: the reference's would not be what the other side has freed
    return {**device.environment, **given, "MALLOC_ARENA_MAX": "1"}


def _failure(run: Run, device: Device) -> Exception:
    last = run.tail(1)
    if last.startswith(_REFUSED):
        return WrongUsage(last[len(_REFUSED) :])
    if "No space left on device" in run.text:
        return EnvironmentFailed("the disk is full", last)
    return CheckFailed(f"the step on {device.says} {run.ending}", run.tail(), run.shown())


def compared(
    target: Target, side: Side, found: Mapping[str, Any], rows: list[dict[str, Any]], emulated: bool
) -> Comparison:
    """What a driver said, as it is told."""
    first, operator, model = found["first"], found["operator"], found["model"]
    return Comparison(
        target=target.name,
        tree=str(side.tree),
        device=side.device.says,
        reference=str(found["reference"]),
        emulated=emulated or "EMULATED" in str(found["reference"]),
        steps=found["steps"],
        precision=found["precision"],
        rows=tuple(TensorRow.of(row) for row in rows),
        first=TensorRow.of({**first, "step": 0}) if first else None,
        parted=found["parted"],
        operator=_operator(operator) if operator else None,
        yaml=str(model["file"]),
        lines={layer: (int(line[0]), str(line[1])) for layer, line in model["lines"].items()},
        missing=found["missing"],
        torch=found["torch"],
        seconds=found["seconds"],
    )


def _operator(found: Mapping[str, Any]) -> Operator:
    return Operator(found["name"], found.get("path") or "", found.get("file") or "", found.get("figures") or {})


def replay(children: Children, target: Target, device: Device, file: Path) -> Replayed:
    """Make a kept call of an operator again, on the device and on the cpu.

    Raises:
        WrongUsage: the file holds none.
        CheckFailed: the call fails.
    """
    cwd = children.folder("replay")
    plugin = target.plugin.module if device.kind != "cpu" else ""
    words = (DRIVERS / "replay.py", file.absolute(), device.name, plugin)
    run = children.run(*words, cwd=cwd, env=_environment(device))
    if run.status != 0:
        raise _failure(run, device)
    found = json.loads(run.out.splitlines()[-1])
    name = device.says if device.kind != "cpu" else ""
    return Replayed(found["operator"], tuple(found["arguments"]), name, found["kept"], found.get("device"))
