"""``patches/audit.yaml``: the places of a ported tree that name a device and are right to, each with its reason.

An entry is tied to what a person reads (file, function, rule, the line's code), not to a line number, so that it
outlives lines that move and not a line that changes.  Format, a list of::

    - path: train.py
      function: train                            # Class.method, or <module>
      rule: device-type
      code: use_device = device.type != 'cpu'    # the line without its comment, blanks made single
      reason: Why it is right as it stands.
      times: 2                                   # how many such lines there are; 1 unless given
      with: tpu                                  # only in trees that hold this target's stack
      without: tpu                               # only in trees that do not
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from porter import yamlfile
from porter.auditing.rules import ALLOWED, RULES, UNPORTED, Place
from porter.yamlfile import Value

FILE = "audit.yaml"


@dataclass(frozen=True)
class Allowance:
    """One allowed place: what it is tied to, why it is right, how often it is there, in which trees.

    Attributes:
        having, lacking: the target whose stack a tree must hold, must not hold; empty for any tree.
        line: where the entry begins in the file.
    """

    path: str
    function: str
    rule: str
    code: str
    reason: str
    times: int
    having: str
    lacking: str
    line: int

    @property
    def key(self) -> tuple[str, str, str, str]:
        """As a place's."""
        return (self.path, self.function, self.rule, self.code)

    def counts(self, targets: Sequence[str]) -> bool:
        """Whether the entry is about trees for these targets."""
        return (not self.having or self.having in targets) and self.lacking not in targets


@dataclass(frozen=True)
class Stale:
    """An entry that matches fewer places than it says."""

    entry: Allowance
    found: int

    def __str__(self) -> str:
        entry = self.entry
        there = f"is there {self.found} times, not {entry.times}" if self.found else "is not there any more"
        return f"{FILE}:{entry.line}: stale: {entry.path}, {entry.function}: {entry.rule}: {entry.code!r} {there}"


def read(folder: Path) -> list[Allowance]:
    """The entries of the list in a folder of stacks; none if there is no list.

    Raises:
        WrongUsage: it is malformed, or names a place twice (file, line, field).
        EnvironmentFailed: it cannot be read.
    """
    path = folder / FILE
    if not path.exists():
        return []
    entries: dict[tuple[object, ...], Allowance] = {}
    for value in yamlfile.read(path).sequence("a list of allowed places"):
        entry = _entry(value)
        if entries.setdefault((entry.key, entry.having, entry.lacking), entry) is not entry:
            value.fail("a place that is listed once", "Delete one of the two, or say how many there are: times.")
    return list(entries.values())


def _entry(value: Value) -> Allowance:
    fields = value.fields(("path", "function", "rule", "code", "reason"), ("times", "with", "without"))
    name = (r"[a-z][a-z0-9]*", "a target's name")
    times = fields["times"].text(r"[1-9]\d*", "a number of places") if "times" in fields else "1"
    return Allowance(
        path=fields["path"].text(r"[^/].*\.py", "a Python file's path in the tree"),
        function=fields["function"].text(r"<module>|[\w.]+", "a function's name, Class.method, or <module>"),
        rule=fields["rule"].text("|".join(RULES), "a rule that `porter audit --rules` lists"),
        code=" ".join(fields["code"].text().split()),
        reason=" ".join(fields["reason"].text(r".*\w.*", "a reason").split()),
        times=int(times),
        having=fields["with"].text(*name) if "with" in fields else "",
        lacking=fields["without"].text(*name) if "without" in fields else "",
        line=value.line,
    )


def allow(
    places: Iterable[Place], entries: Iterable[Allowance], targets: Sequence[str]
) -> tuple[list[Place], list[Stale]]:
    """The places, those that an entry names allowed; and the entries that a tree for ``targets`` has no use for."""
    held = [entry for entry in entries if entry.counts(targets)]
    left: Counter[int] = Counter({number: entry.times for number, entry in enumerate(held)})
    result = []
    for place in places:
        if place.state == UNPORTED:
            fitting = (number for number, entry in enumerate(held) if left[number] and entry.key == place.key)
            number = next(fitting, None)
            if number is not None:
                left[number] -= 1
                place = replace(place, state=ALLOWED, reason=held[number].reason)
        result.append(place)
    stale = [Stale(entry, entry.times - left[number]) for number, entry in enumerate(held) if left[number]]
    return result, stale
