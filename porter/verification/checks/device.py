"""Checks of the device's work in a training: which operators ran, and what was copied between host and device."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from porter.emulator import Profile
from porter.emulator.building import read_counts
from porter.verification.device import card_of
from porter.verification.plan import check
from porter.verification.report import Failed, Finding, NotShown, showing
from porter.verification.session import COUNTS, PER_EPOCH, Session


@check("smoke", "every operator that training, validation and detection use is one that the vendor's plugin has")
def ops(session: Session) -> Finding:
    counts, detection = _counts(session), read_counts(session.detected(session.device.name) / COUNTS)
    if not any(found["rest"]["operators"] for found in detection):
        raise Failed("the emulated device counted no operator of detect.py")
    calls, lines = Counter[str](), dict[str, str]()
    missing: dict[str, str] = {}
    for step in [*counts["steps"], counts["rest"], *(found["rest"] for found in detection)]:
        for name, found in step["operators"].items():
            calls[name] += found["count"]
            lines.setdefault(name, found["line"])
        for found in (*step["refused"], *step["fallen_back"]):
            missing.setdefault(found["operator"], found["line"])
    card = card_of(session.target, session.device.profile)
    listed = card.operators if card else None
    standings = _standings(card, calls, missing)
    figures = {
        "operators": {name: {"calls": count, "line": lines[name]} for name, count in sorted(calls.items())},
        "missing": missing,
        "outside": sorted(set(calls) - listed) if listed is not None else [],
        "facts": standings,
        "listed": None if listed is None else len(listed),
        "list": card.listed_in if card else "",
        "profile": session.device.profile,
    }
    with showing(figures):
        if missing:
            said = ", ".join(f"{name} ({line})" for name, line in list(missing.items())[:3])
            raise Failed(f"{len(missing)} operators that {session.device.profile}'s plugin refuses: {said}")
        if not calls:
            raise Failed("nothing ran on the device")
        if listed is None and not (card and card.recorded):
            raise NotShown(f"{len(calls)} operators ran; no operator list: everything torch has is allowed")
    said = ", ".join(f"{len(names)} {name}" for name, names in standings.items())
    if listed is None:
        return Finding(f"{len(calls)} operators, none that raised when the card was recorded: {said}", figures)
    return Finding(f"{len(calls)} operators, each in {session.device.profile}'s list: {said}", figures)


def _standings(card: Profile | None, ran: Iterable[str], missing: Iterable[str]) -> dict[str, list[str]]:
    """The operators that ran, by what is known of them; one that was refused counts as that, whatever is known."""
    refused = set(missing)
    found: dict[str, list[str]] = {"known": [], "assumed": [], "refused": []}
    for name in sorted({*ran, *refused}) if card else ():
        found["refused" if name in refused or card is None else card.standing(name)].append(name)
    return found


# what the emulated device counts, and the names of the budget in target.yaml
_COUNTED = {
    "host_to_device": "uploads",
    "device_to_host": "downloads",
    "synchronisations": "synchronisations",
    "inside_kernels": "inside",
}


@check("smoke", "a training step copies and synchronises no more than the target's budget")
def transfers(session: Session) -> Finding:
    _counts(session)
    steady, worst = _steady(session.trained().found), per_step(session.trained().found)
    rows = [
        {
            "kind": name,
            **{key: found[key] for key in ("operator", "line", "direction", "count", "bytes") if key in found},
        }
        for name, kind in _COUNTED.items()
        for found in sorted(steady[-1][kind], key=lambda found: -int(found["count"]))
    ]
    steps = {name: [_calls(step[kind]) for step in _steps(session)] for name, kind in _COUNTED.items()}
    figures = {"most": worst, "budget": dict(session.target.budget), "steps": steps, "lines": rows}
    with showing(figures):
        for name, allowed in session.target.budget.items():
            if worst[name] > allowed:
                lines = ", ".join(f"{row['line']} ({row['count']})" for row in rows if row["kind"] == name)
                raise Failed(f"{worst[name]} x {name} in a step, the budget is {allowed}: {lines}")
        _validation(session)
    said = ", ".join(f"{value} {name.replace('_', ' ')}" for name, value in worst.items())
    return Finding(f"in a step at most {said}", figures)


def _steps(session: Session) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = session.trained().found["steps"]["steps"]
    return steps


def _calls(entries: Sequence[Mapping[str, Any]]) -> int:
    return sum(int(found["count"]) for found in entries)


# where val.py chooses boxes and compares them with labels
_BOXES = ("val.py", "utils/general.py", "utils/metrics.py", "utils/nms.py")


def _validation(session: Session) -> None:
    """Boxes are chosen and compared picture by picture: none of that may wait for the device."""
    pictures = len(list((session.data / "images" / "val").iterdir()))
    after = session.trained().found["steps"]["steps"][PER_EPOCH]  # the first of the second epoch, counted from the
    for found in after["synchronisations"]:  # last of the first on: the validation between them is in it
        if found["line"].startswith(_BOXES) and found["count"] >= pictures:
            raise Failed(f"validation waits for the device once a picture: {found['line']} ({found['count']})")


def per_step(record: Mapping[str, Any]) -> dict[str, int]:
    """Calls in a steady step at most, by the names of the budget, of a recorded training of two epochs."""
    steady = _steady(record)
    return {name: max(_calls(step[kind]) for step in steady) for name, kind in _COUNTED.items()}


def _steady(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The steps of the second epoch that are like each other; its last is followed by validation."""
    steps: list[dict[str, Any]] = record["steps"]["steps"]
    steady = steps[PER_EPOCH + 2 : 2 * PER_EPOCH - 1]
    if len(steady) < 3:
        raise Failed(f"{len(steps)} steps were counted, {2 * PER_EPOCH} expected")
    return steady


def _counts(session: Session) -> dict[str, Any]:
    """What the emulated device counted while the recorded training ran."""
    if session.device.kind != "emulated":
        raise NotShown("only the emulated device counts")
    counts: dict[str, Any] = session.trained().found["steps"]
    if not counts:
        raise Failed("the emulated device counted nothing")
    return counts
