"""What changed between two records: two versions of a driver or a plugin, or two cards."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

_OURS = re.compile(r"\s*\[EMULATED [^\]]*\]")  # what an emulated device adds to a message
_COUNTS = ("uploads", "downloads", "synchronisations", "inside", "copies", "waits")
_APART = 2.0  # how many times as large an error has to be, to be another


@dataclass(frozen=True)
class Change:
    """One thing that is otherwise in the second record.

    Attributes:
        what: ``version``, ``surface``, ``outcome`` (runs, raises, crashes, ...), ``message``, ``error`` (of the values,
            against the CPU) or ``copies``.
        name: the operator, the function of the plugin's module, or which version.
        arguments: of a call, in short; empty elsewhere.
        before, after: what the first record says, and the second.
    """

    what: str
    name: str
    arguments: str
    before: str
    after: str


@dataclass(frozen=True)
class Difference:
    """What changed.

    Attributes:
        changes: one by one.
        compared: how many calls are in both records.
        alone: how many are in one alone: the two were made of other calls, or with another torch.
    """

    changes: tuple[Change, ...]
    compared: int
    alone: int

    def grouped(self) -> Iterator[tuple[Change, int]]:
        """The first of the changes of each kind of each operator, and how many there are."""
        kinds = Counter((change.what, change.name) for change in self.changes)
        for change in self.changes:
            if times := kinds.pop((change.what, change.name), 0):
                yield change, times

    def record(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        return asdict(self)


def difference(first: Mapping[str, Any], second: Mapping[str, Any]) -> Difference:
    """Compare two records."""
    one, other = _calls(first), _calls(second)
    both = [key for key in one if key in other]
    changes = [*_versions(first, second), *_surface(first["surface"], second["surface"])]
    for name, arguments in both:
        changes += _changes(name, arguments, one[name, arguments], other[name, arguments])
    return Difference(tuple(changes), len(both), len(one) + len(other) - 2 * len(both))


def tally(record: Mapping[str, Any]) -> dict[str, int]:
    """How many calls run, raise and so on, and how many results are outside what rounding explains."""
    calls = [call for each in record["operators"].values() for call in each]
    found = {"runs": 0, **Counter(str(call["state"]) for call in calls)}
    found["outside"] = sum(bool((call.get("figures") or {}).get("outside")) for call in calls)
    return found


def _calls(record: Mapping[str, Any]) -> dict[tuple[str, str], Mapping[str, Any]]:
    return {
        (name, json.dumps(call["arguments"])): call
        for name, calls in record["operators"].items()
        for call in calls
        if "arguments" in call
    }


def _versions(first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[Change]:
    for name in "card", "target", "plugin", "python", "torch", "system", "device", "environment", "visible":
        before, after = first.get(name), second.get(name)
        if before != after:
            yield Change("version", name, "", _text(before), _text(after))


def _surface(first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[Change]:
    for name in sorted({*first, *second} - {"names"}):
        before, after = _said(first.get(name)), _said(second.get(name))
        if before != after:
            yield Change("surface", name.replace("function ", "", 1), "", before, after)
    before_names, after_names = ((each.get("names") or {}).get("value") or {} for each in (first, second))
    for kind in "module", "amp", "options", "tensor":
        gone = sorted(set(before_names.get(kind, [])) - set(after_names.get(kind, [])))
        new = sorted(set(after_names.get(kind, [])) - set(before_names.get(kind, [])))
        yield from (Change("surface", f"{kind} {name}", "", "there", "not there") for name in gone)
        yield from (Change("surface", f"{kind} {name}", "", "not there", "there") for name in new)


def _changes(name: str, arguments: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    short = brief(json.loads(arguments))[1:-1]
    if before["state"] != after["state"] or before.get("error") != after.get("error"):
        yield Change("outcome", name, short, _said(before), _said(after))
        return
    if _said(before) != _said(after):
        yield Change("message", name, short, _said(before), _said(after))
    one, other = before.get("figures") or {}, after.get("figures") or {}
    if _apart(one, other):
        yield Change("error", name, short, _figures(one), _figures(other))
    counts = [{kind: call[kind] for kind in _COUNTS if kind in call} for call in (before, after)]
    if counts[0] != counts[1]:
        yield Change("copies", name, short, _text(counts[0]), _text(counts[1]))


def _apart(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    if any(one.get(key) != other.get(key) for key in ("nan", "inf", "outside") if one.get(key) or other.get(key)):
        return True
    small, large = sorted((one.get("absolute", 0.0), other.get("absolute", 0.0)))
    return bool(large > _APART * small)


def _said(outcome: Mapping[str, Any] | None) -> str:
    if outcome is None or outcome["state"] == "absent":
        return "not there"
    if outcome["state"] == "raises":
        return _OURS.sub("", f"{outcome.get('error')}: {outcome.get('message', '')}").strip()
    more = _text(outcome["value"]) if "value" in outcome else outcome.get("message", outcome.get("unread", ""))
    return _OURS.sub("", f"{outcome['state']}{': ' if more else ''}{more}")


def _figures(found: Mapping[str, Any]) -> str:
    if not found or found.get("exact"):
        return "as the CPU" if found else "not known"
    return f"error {found['absolute']:.3g}, {found['ulps']:.3g} ULPs, {found['nan']} NaN, {found['inf']} Inf"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def brief(given: Any) -> str:
    """Arguments in short: ``float32[2, 3, 4] strides [1, 2, 6], 0.5``."""
    if isinstance(given, list):
        text = ", ".join(map(brief, given[:6]))
        return f"[{text}{', ...' if len(given) > 6 else ''}]"
    if not isinstance(given, dict):
        return str(given)
    if "tensor" not in given:
        return str(next(iter(given.values())))
    strides = f" strides {given['stride']}" if "stride" in given else ""
    return f"{given['tensor']}{given['shape']}{strides}{' on the host' if given.get('host') else ''}"
