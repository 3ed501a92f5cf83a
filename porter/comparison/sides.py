"""The two sides of a comparison: the drivers that make them in the tree's interpreter."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from porter.comparison.result import Comparison, Operator, Replayed, TensorRow
from porter.errors import CheckFailed, EnvironmentFailed, WrongUsage
from porter.target import Target
from porter.verification.child import Children, Run
from porter.verification.device import Device

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


def comparison(
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
