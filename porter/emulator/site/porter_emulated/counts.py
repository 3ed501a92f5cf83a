"""What ran on the device in each training step, and which lines of Python made it run.

A program, or ``PORTER_EMULATED_STEP=optimizer`` for it, ends a step with :func:`step`.  When the process ends, the
steps go to the file that ``PORTER_EMULATED_COUNTS`` names, as JSON::

    {"profile": "mlu370", "device": "EMULATED MLU370", "mode": "strict", "pid": 1,
     "steps": [STEP, ...], "rest": STEP}

    STEP: {"operators": {"aten::add.out": {"count": 3, "line": "train.py:7"}, ...},
           "uploads": [{"operator": ..., "line": ..., "count": ..., "bytes": ...}, ...], "downloads": likewise,
           "synchronisations": the same without bytes, "refused", "fallen_back": likewise,
           "inside": [{"operator": ..., "line": ..., "direction": "down" or "up", "count": ..., "bytes": ...}, ...]}

``inside`` are copies that the vendor's kernels make on their way, to the host and back: where the program asked for an
operator only.

``rest`` is what ran after the last step (all of it, where nothing marks steps).  A line is ``backward`` where the
autograd engine ran the operator, and an operator's line is that of its first use, unless each is traced.
"""

from __future__ import annotations

import atexit
import json
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from porter_emulated import Device

_KINDS = {
    "upload": "uploads",
    "download": "downloads",
    "synchronisation": "synchronisations",
    "refusal": "refused",
    "fallback": "fallen_back",
    "inside_down": "inside",
    "inside_up": "inside",
}
MOST_STEPS = 2000  # what is kept one by one; later steps are added to the last


class _Record:
    def __init__(self, device: Device) -> None:
        self.device = device
        self.steps: list[dict[str, Any]] = []
        self.pid = os.getpid()


_record: _Record | None = None


def begin(device: Device) -> None:
    """Count from here on, and write it down when the process ends."""
    global _record
    _record = _Record(device)
    if device.settings.counts:
        atexit.register(_write, device.settings.counts)
    if device.settings.step == "optimizer":
        _mark_optimizer_steps()


def step() -> dict[str, Any]:
    """End a training step: what ran since the last one ended."""
    record = _recording()
    made = _drained(record)
    if len(record.steps) < MOST_STEPS:
        record.steps.append(made)
    else:
        record.steps[-1] = _sum(record.steps[-1], made)
    return made


def snapshot() -> dict[str, Any]:
    """The steps that ended so far, and what ran since the last of them or the last snapshot."""
    record = _recording()
    profile = record.device.profile
    return {
        "profile": profile.name,
        "device": profile.device,
        "mode": "strict" if record.device.settings.strict else "lenient",
        "pid": record.pid,
        "steps": list(record.steps),
        "rest": _drained(record),
    }


def _recording() -> _Record:
    if _record is None:
        raise RuntimeError("no device is emulated in this process: there is nothing to count")
    return _record


def _drained(record: _Record) -> dict[str, Any]:
    ran, events = record.device.native.drain()
    made: dict[str, Any] = {"operators": {name: {"count": count, "line": line} for name, count, line in ran}}
    made.update({name: [] for name in dict.fromkeys(_KINDS.values())})
    for kind, name, line, count, size in events:
        if kind == "operator":  # traced: each line of each operator
            made["operators"][name].setdefault("lines", {})[line] = count
            continue
        entry = {"operator": name, "line": line, "count": count}
        if kind in ("upload", "download", "inside_down", "inside_up"):
            entry["bytes"] = size
        if kind.startswith("inside_"):
            entry["direction"] = kind.rpartition("_")[2]
        made[_KINDS[kind]].append(entry)
    return made


def _sum(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    operators = {name: dict(entry) for name, entry in one["operators"].items()}
    for name, entry in other["operators"].items():
        known = operators.setdefault(name, {**entry, "count": 0})
        known["count"] += entry["count"]
    result: dict[str, Any] = {"operators": operators}
    for kind in dict.fromkeys(_KINDS.values()):
        merged: dict[Any, dict[str, Any]] = {}
        for entry in (*one[kind], *other[kind]):
            known = merged.setdefault(
                (entry["operator"], entry["line"], entry.get("direction")), {**entry, **dict.fromkeys(_sums(entry), 0)}
            )
            for name in _sums(entry):
                known[name] += entry[name]
        result[kind] = list(merged.values())
    return result


def _sums(entry: dict[str, Any]) -> list[str]:
    return [name for name in ("count", "bytes") if name in entry]


def _mark_optimizer_steps() -> None:
    # The base class sees to hooks after each step from torch 2.0 on.
    from torch.optim.optimizer import register_optimizer_step_post_hook

    def end_step(optimizer: Any, args: Any, kwargs: Any) -> None:
        step()

    register_optimizer_step_post_hook(end_step)


def _write(path: str) -> None:
    record = _recording()
    if os.getpid() != record.pid:
        return  # a worker that was forked off
    path = path.replace("%p", str(record.pid))
    temporary = f"{path}.{record.pid}"
    with open(temporary, "w", encoding="utf-8") as file:
        json.dump(snapshot(), file)
    os.replace(temporary, path)
