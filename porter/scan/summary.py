"""What a facts file amounts to: counts of what is known, and lists of what is not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Summary:
    """A facts file in figures.

    Attributes:
        plugin: the vendor's module.
        version: of its sources; empty where they say none.
        commit: of the checkout; None where it was none.
        defines: of the build that was read.
        counts: what was found -> how many.
        missing: public names of the device's module that cannot work, as what they need is not there -> what that is.
        kernels: operators whose kernel was not found or could not be read.
        conditions: operators of which a condition could not be translated.
    """

    plugin: str
    version: str
    commit: str | None
    defines: tuple[str, ...]
    counts: Mapping[str, int]
    missing: Mapping[str, tuple[str, ...]]
    kernels: tuple[str, ...]
    conditions: tuple[str, ...]

    def record(self) -> dict[str, Any]:
        """The same for ``--json``."""
        return {
            "plugin": self.plugin,
            "version": self.version,
            "commit": self.commit,
            "defines": list(self.defines),
            "counts": dict(self.counts),
            "missing": {name: list(what) for name, what in self.missing.items()},
            "kernels": list(self.kernels),
            "conditions": list(self.conditions),
        }


def untranslated(facts: list[dict[str, Any]]) -> int:
    return sum(1 for each in facts if each["when"] is not None and each["when"]["test"] is None)


def summarise(record: Mapping[str, Any]) -> Summary:
    """A facts file's record in figures."""
    operators: Mapping[str, Any] = record["operators"]
    rules: Counter[str] = Counter(each["rule"] for one in operators.values() for each in one["demands"])
    counts = {
        "operators": len(operators),
        "kernels read": sum(1 for one in operators.values() if one["kernel"]),
        "demands": sum(rules.values()),
        **{f"demands: {rule}": number for rule, number in sorted(rules.items())},
        "operators that go through the host": sum(1 for one in operators.values() if one["host"]),
        "trips through the host": sum(len(one["host"]) for one in operators.values()),
        "conditions not translated": sum(
            untranslated(one["demands"]) + untranslated(one["host"]) for one in operators.values()
        ),
        "checks not translated": sum(len(one.get("unread", ())) for one in operators.values()),
        "names in Python": len(record["python"]),
        "names in Python that cannot work": sum(1 for one in record["python"].values() if one["missing"]),
        "process groups": len(record["process_group"]),
        "environment variables": len(record["environment"]),
    }
    return Summary(
        record["plugin"],
        record["version"],
        record["commit"],
        tuple(record["defines"]),
        counts,
        {name: tuple(one["missing"]) for name, one in sorted(record["python"].items()) if one["missing"]},
        tuple(sorted(name for name, one in operators.items() if not one["kernel"])),
        tuple(sorted(name for name, one in operators.items() if untranslated(one["demands"] + one["host"]))),
    )
