"""What an audit found, for people and for programs: lines, JSON, SARIF 2.1.0."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from porter.auditing.allowed import FILE, Stale
from porter.auditing.rules import ALLOWED, ROUTED, RULES, UNPORTED, Place
from porter.output import counted, labelled, to_json
from porter.project import PATCHES_NAME
from porter.version import __version__

GONE = "gone"
STALE = "stale-allowance"
_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


@dataclass(frozen=True)
class Compared:
    """A tree beside upstream as it came.

    Attributes:
        was: each place of upstream's that wants porting, with what the tree has there: ``routed``, ``allowed``,
            ``gone`` (the function has no such place now) or ``not ported``.
        new: the tree's places that upstream has not, less those that are routed or only hand a device on.
    """

    was: tuple[tuple[Place, str], ...]
    new: tuple[Place, ...]

    @property
    def summary(self) -> str:
        counts = Counter(state for _, state in self.was)
        parts = [f"{counts[state]} {state}" for state in (ROUTED, ALLOWED, GONE, UNPORTED)]
        return f"upstream's {counted(len(self.was), 'place')} to port: {', '.join(parts)}; {len(self.new)} new"


def compare(tree: Iterable[Place], upstream: Iterable[Place]) -> Compared:
    """What became of upstream's places in a tree.

    A place whose line is still there is what the tree says of it.  One whose line changed is, in this order, a place of
    its rule in the same function that upstream has not; routed, where that function asks the accelerator; or gone.
    """
    tree, upstream = list(tree), list(upstream)
    there = {place.key: place for place in tree}
    keys = {place.key for place in upstream}
    fresh = [place for place in tree if place.state != ROUTED and place.key not in keys]
    asking = {(place.path, place.function) for place in tree if place.state == ROUTED}
    was = []
    for place in upstream:
        if place.state != UNPORTED:
            continue
        changed = next((other for other in fresh if other.key[:3] == place.key[:3]), None)
        if place.key in there:
            state = there[place.key].state
        elif changed is not None:
            fresh.remove(changed)
            state = changed.state
        else:
            routed = (place.path, place.function) in asking and not RULES[place.rule].any_device
            state = ROUTED if routed else GONE
        was.append((place, state))
    return Compared(tuple(was), tuple(place for place in fresh if not RULES[place.rule].follows))


@dataclass(frozen=True)
class Audit:
    """Every place of a tree.

    Attributes:
        name: what was looked at, in words.
        root: its folder, None if it was never written to a disk.
        targets: whose accelerators it holds.
        places: by path and line.
        stale: entries of the list of allowed places that match nothing.
        compared: beside upstream, if that was asked for.
        upstream: whether this is upstream as it came, listed for its own sake.
    """

    name: str
    root: Path | None
    targets: tuple[str, ...]
    places: tuple[Place, ...]
    stale: tuple[Stale, ...] = ()
    compared: Compared | None = None
    upstream: bool = False

    @property
    def unported(self) -> tuple[Place, ...]:
        """The places that are neither routed nor allowed."""
        return tuple(place for place in self.places if place.state == UNPORTED)

    @property
    def failed(self) -> bool:
        """Whether anything is left to do."""
        return not self.upstream and bool(self.unported or self.stale)

    @property
    def summary(self) -> str:
        """One line; another for the comparison."""
        counts = Counter(place.state for place in self.places)
        parts = [f"{counts[state]} {state}" for state in (ROUTED, ALLOWED, UNPORTED)]
        stale = f", {len(self.stale)} stale in {PATCHES_NAME}/{FILE}" if self.stale else ""
        said = f"{self.name}: {counted(len(self.places), 'place')}: {', '.join(parts)}{stale}"
        return f"{said}\n{self.compared.summary}" if self.compared else said

    def lines(self, every: bool = False) -> list[str]:
        """One line for each place that is not ported, or for every one, and for each stale entry.

        Beside upstream: for each place of upstream's with what became of it, and for each new one.
        """
        lines = [f"{PATCHES_NAME}/{stale}" for stale in self.stale]
        if self.compared is not None and not every:
            was = [f"{p.path}:{p.line}: {p.rule}: {p.what}: {state}" for p, state in self.compared.was]
            return [*was, *(f"new: {place}" for place in self.compared.new), *lines]
        every = every or self.upstream
        return [*(str(place) for place in self.places if every or place.state == UNPORTED), *lines]

    def json(self) -> str:
        record: dict[str, Any] = {
            "tree": self.name,
            "targets": list(self.targets),
            "counts": dict(Counter(place.state for place in self.places)),
            "places": [asdict(place) for place in self.places],
            "stale": [{**asdict(stale.entry), "found": stale.found} for stale in self.stale],
        }
        if self.compared is not None:
            record["baseline"] = {
                "was": [{**asdict(place), "state": state, "reason": ""} for place, state in self.compared.was],
                "new": [asdict(place) for place in self.compared.new],
            }
        return to_json(labelled("audit", record))

    def sarif(self) -> str:
        """For code review tools: a SARIF 2.1.0 log.  A routed place passes, an allowed one is suppressed."""
        number = {name: at for at, name in enumerate([*RULES, STALE])}
        new = {place.key for place in self.compared.new} if self.compared else set()
        counted: Counter[str] = Counter()
        results = []
        for place in self.places:
            found = _result(place, number[place.rule], counted)
            if self.compared is not None:
                found["baselineState"] = "new" if place.key in new or place.state == ROUTED else "unchanged"
            results.append(found)
        results += [_stale(stale, number[STALE]) for stale in self.stale]
        run: dict[str, Any] = {
            "tool": {"driver": {"name": "porter audit", "version": __version__, "rules": _rules()}},
            "columnKind": "unicodeCodePoints",
            "originalUriBaseIds": {"TREE": {"description": {"text": "The tree that was looked at."}}},
            "results": results,
        }
        if self.root is not None:
            run["originalUriBaseIds"]["TREE"]["uri"] = self.root.absolute().as_uri() + "/"
        return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2, ensure_ascii=False) + "\n"


def _rules() -> list[dict[str, Any]]:
    rules = [_rule(each.id, each.title, each.why, each.instead, bool(each.follows)) for each in RULES.values()]
    stale = "an entry of the list of allowed places that matches nothing in the tree"
    why = "What it allowed has changed, and nobody has said that the new text is right."
    instead = "Delete the entry, or look at the place again and give it the new text."
    return [*rules, _rule(STALE, stale, why, instead)]


def _rule(name: str, title: str, why: str, instead: str, follows: bool = False) -> dict[str, Any]:
    return {
        "id": name,
        "shortDescription": {"text": title},
        "fullDescription": {"text": why},
        "help": {"text": instead},
        "defaultConfiguration": {"level": "note" if follows else "error"},
    }


def _result(place: Place, rule: int, counted: Counter[str]) -> dict[str, Any]:
    from urllib.parse import quote

    digest = hashlib.sha256("\0".join(place.key).encode()).hexdigest()[:32]
    counted[digest] += 1
    text = f"{place.what}: {place.state}" + (f": {place.reason}" if place.reason else "")
    region = {"startLine": place.line, "startColumn": place.column}
    region.update(endLine=place.end_line, endColumn=place.end_column)
    found = _found(place.rule, rule, place.state, text, {"uri": quote(place.path), "uriBaseId": "TREE"}, region)
    found["locations"][0]["logicalLocations"] = [{"fullyQualifiedName": place.function, "kind": "function"}]
    found["partialFingerprints"] = {"porterAudit/v1": f"{digest}:{counted[digest]}"}
    if place.state == ALLOWED:
        found["suppressions"] = [{"kind": "external", "status": "accepted", "justification": place.reason}]
    return found


def _stale(stale: Stale, rule: int) -> dict[str, Any]:
    where = {"uri": f"{PATCHES_NAME}/{FILE}"}
    return _found(STALE, rule, UNPORTED, str(stale), where, {"startLine": stale.entry.line})


def _found(name: str, rule: int, state: str, text: str, file: dict[str, str], region: dict[str, int]) -> dict[str, Any]:
    return {
        "ruleId": name,
        "ruleIndex": rule,
        "kind": "pass" if state == ROUTED else "fail",
        "level": {ROUTED: "none", ALLOWED: "note", UNPORTED: "error"}[state],
        "message": {"text": text},
        "locations": [{"physicalLocation": {"artifactLocation": file, "region": region}}],
    }
