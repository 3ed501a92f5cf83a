"""Of the device's work in a training: which operators ran, and what went between host and device."""

from __future__ import annotations

from collections import Counter
from typing import Any

from porter.verify.plan import Failed, Finding, NotShown, check
from porter.verify.session import PER_EPOCH, Session


@check("smoke", "every operator that training and validation use is one that the vendor's plugin has")
def ops(session: Session) -> Finding:
    counts = _counts(session)
    used = Counter[str]()
    for step in counts["steps"]:
        used.update(step["operators"])
    used.update(counts["rest"]["operators"])
    refused = counts["refused"]
    lines = counts["lines"]
    table = [("operator", "calls", "first used at"), *((op, n, lines.get(op, "")) for op, n in sorted(used.items()))]
    if refused:
        op, where = next(iter(refused.items()))
        raise Failed(f"{len(refused)} operators have no kernel in {session.device.profile}: {op} ({where}), …")
    if not used:
        raise Failed("nothing ran on the device")
    figures = {"operators": dict(used), "lines": lines}
    return Finding(f"{len(used)} operators, none missing in {session.device.profile}'s list", table, figures)


@check("smoke", "a training step copies and synchronises no more than the target's budget")
def transfers(session: Session) -> Finding:
    steps = _counts(session)["steps"]
    budget = session.target.budget
    steady = steps[PER_EPOCH + 2 : 2 * PER_EPOCH - 1]  # of the second epoch; its last draws pictures, saves, validates
    if len(steady) < 3:
        raise Failed(f"{len(steps)} steps were counted, {2 * PER_EPOCH} expected")
    worst: dict[str, Any] = {
        "host_to_device": max(sum(c["calls"] for c in step["host_to_device"].values()) for step in steady),
        "device_to_host": max(sum(c["calls"] for c in step["device_to_host"].values()) for step in steady),
        "synchronisations": max(sum(step["synchronisations"].values()) for step in steady),
    }
    rows: list[tuple[object, ...]] = [("what", "line", "calls in a step", "bytes")]
    step = steady[-1]
    for what in "host_to_device", "device_to_host":
        rows += [(what, line, found["calls"], found["bytes"]) for line, found in sorted(step[what].items())]
    rows += [("synchronisation", line, calls, "") for line, calls in sorted(step["synchronisations"].items())]
    for what, allowed in budget.items():
        if worst[what] > allowed:
            lines = ", ".join(str(row[1]) for row in rows if str(row[0]).startswith(what[:10]))
            raise Failed(f"{worst[what]} x {what} in a step, the budget is {allowed} ({lines})")
    said = ", ".join(f"{value} {what.replace('_', ' ')}" for what, value in worst.items())
    return Finding(f"in a step at most {said}", rows, worst)


def _counts(session: Session) -> dict[str, Any]:
    """What the emulated device counted while the recorded training ran."""
    if session.device.kind != "emulated":
        raise NotShown("only the emulated device counts")
    counts = session.trained().found["steps"]
    if not counts:
        raise Failed("the emulated device counted nothing")
    found: dict[str, Any] = counts
    return found
