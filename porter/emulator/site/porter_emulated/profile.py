"""A profile: what one card can do and how its plugin says that it cannot, as data with a source for each line.

The sources are facts: what a scan of the vendor's source found, made ready for the compiled half.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).with_name("profiles")
RULES = ("refused", "no_dtype", "computed_as_32")


class Profile:
    """The profile called ``name``, or in the file of that path.

    Raises:
        ValueError: there is none, or it is not one.
    """

    def __init__(self, name: str) -> None:
        path = Path(name) if os.sep in name or name.endswith(".json") else FOLDER / f"{name}.json"
        try:
            self.data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            self.name = path.stem
            self.type: str = self.data["type"]
            self.plugin: str = self.data["plugin"]
            self.label: str = self.data["label"]
            self.device = f"EMULATED {self.data['device']}"
            self.memory: int = self.data["memory"]["bytes"]
            self.visible: dict[str, Any] = self.data["visible"]
            self.limits: list[dict[str, Any]] = self.data["limits"]
            source = self.data.get("source")
            self.facts = Facts(find(source, path)) if source else None
            version = self.facts.version if self.facts else self.data["version"]
            self.version = f"{version}{'.' if '+' in version else '+'}emulated"
            self.operators = list(self.facts.operators) if self.facts and not self.facts.recorded else None
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{name}: not a profile of an emulated device ({type(error).__name__}: {error})"
            ) from error
        unknown = {limit.get("rule") for limit in self.limits} - set(RULES)
        if unknown:
            raise ValueError(f"{path}: no such rule: {', '.join(map(str, unknown))}")

    @property
    def everything(self) -> bool:
        """Whether there is no list of operators, so that nothing counts as missing."""
        return self.operators is None

    def values(self, rule: str, key: str) -> list[str]:
        """What the limits with this rule name under ``key``."""
        found = [limit[key] for limit in self.limits if limit["rule"] == rule and key in limit]
        return [value for each in found for value in ([each] if isinstance(each, str) else each)]

    def refused(self) -> dict[str, str]:
        """Operators that the list has and the card cannot do, with the source of that."""
        return {
            name: limit["source"] for limit in self.limits if limit["rule"] == "refused" for name in limit["operators"]
        }


def names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.json") if path.stem != "torch")


def common() -> dict[str, Any]:
    """What is true of torch, whatever the card."""
    read: dict[str, Any] = json.loads((FOLDER / "torch.json").read_text(encoding="utf-8"))
    return read


# What a scan of the vendor's source found, made ready for the compiled half.
#
# A facts file (``sources/``) is what ``porter profile scan`` printed for one state of a plugin and one card.  Of each
# operator that is registered it has what the kernel demands of its arguments, and where it goes through the host.  A
# condition that the scan could not translate is not enforced: what is not known is allowed.  Where a kernel raises
# whatever its arguments are (``raises``), the call is refused under that condition.

SOURCES = Path(__file__).with_name("sources")
_WHAT = ("dim", "numel", "length", "dtype", "contiguous", "device", "value")
_IS = ("==", "!=", "<", ">", "<=", ">=", "in", "not in")
_RULES = ("contiguous", "dtype", "dimensions", "neighbours", "same_dtype", "never")
_MANY = 1 << 30  # no bound of the number of dimensions


class Facts:
    """The facts file of that path.

    Raises:
        OSError, ValueError, KeyError: it cannot be read, or is not one.
    """

    def __init__(self, path: Path) -> None:
        self.data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        self.operators: dict[str, Any] = self.data["operators"]
        self.python: dict[str, Any] = self.data["python"]
        self.version: str = self.data["version"]
        self.commit: str = self.data["commit"]
        self.recorded = bool(self.data.get("recorded"))  # of calls on a card, not read in its plugin's source


def find(file: str, profile: Path) -> Path:
    """A facts file of ours, or one beside a profile from elsewhere."""
    return SOURCES / file if (SOURCES / file).is_file() else profile.parent / file


class Prepared:
    """Demands and trips of each operator as torch calls it here, as the compiled half takes them.

    Args:
        facts: of the plugin.
        common: what is true of torch (``profiles/torch.json``).
        messages: the vendor's words, by rule.
        device: what the emulation calls itself.
        dtype: gives the number of a dtype by its name in torch, -1 for a name that is none.
        arguments: gives the names of an operator's arguments in torch; nothing for one that this torch has not.
    """

    def __init__(
        self, facts: Facts, common: dict[str, Any], messages: dict[str, str], device: str, dtype: Any, arguments: Any
    ) -> None:
        self.facts = facts
        self.messages = messages
        self.device = device
        self.dtype = dtype
        self.arguments = arguments
        self.reached: dict[str, list[str]] = common["reached_as"]["operators"]
        self.composites: dict[str, list[str]] = common["composites"]["operators"]
        self.straight: dict[str, list[dict[str, str]]] = common["composites"]["straight"]

    def __iter__(self) -> Iterator[tuple[str, list[Any], list[Any]]]:
        for name in {*self.facts.operators, *self.reached, *self.composites}:
            demands: list[Any] = []
            trips: list[Any] = []
            for whose, places in self._kernels(name):
                entry = self.facts.operators[whose]
                demands += self._demands(whose, entry, places)
                trips += self._trips(whose, entry, places)
            if demands or trips:
                yield name, demands, trips

    def _kernels(self, name: str) -> list[tuple[str, dict[int, int]]]:
        """The vendor's kernels that a call comes to, and for each which of its arguments are which of the call's."""
        if name in self.facts.operators:
            return [(name, {place: place for place in range(len(self.arguments(name)))})]
        if self.facts.recorded and "convolution" not in name:  # a record has what programs call, under its own name
            return []
        for other in self.reached.get(name, []):
            if other in self.facts.operators:
                mine, its = self.arguments(name), self.arguments(other)
                return [(other, {place: mine.index(word) for place, word in enumerate(its) if word in mine})]
        found = []
        for passed in self.straight.get(name, []):
            if passed["part"] in self.facts.operators and self.arguments(name):
                its, mine = self.arguments(passed["part"]), self.arguments(name)
                found.append((passed["part"], {its.index(passed["to"]): mine.index(passed["from"])}))
        return found

    def _demands(self, name: str, entry: dict[str, Any], places: dict[int, int]) -> list[Any]:
        made = []
        never = [{"argument": 0, "name": "", "rule": "never", **each} for each in entry.get("raises", [])]
        for demand in (*entry["demands"], *never):
            when = self._condition(demand["when"], places)
            if when is None or demand["argument"] not in places or demand["rule"] not in _RULES:
                continue
            values = self._values(demand, places)
            place = places[demand["argument"]]
            rule = _RULES.index(demand["rule"])
            unimplemented = demand.get("error") == "NotImplementedError"
            made.append((name, place, rule, values, when, self._message(name, demand), unimplemented))
        return made

    def _trips(self, name: str, entry: dict[str, Any], places: dict[int, int]) -> list[Any]:
        made = []
        for trip in entry["host"]:
            when = self._condition(trip["when"], places)
            if when is not None:
                down = [places[place] for place in trip["down"] if place in places]
                up = [place or 0 for place in trip["up"]]  # null: a result whose place was not read
                made.append((name, when, down, up))
        return made

    def _values(self, demand: dict[str, Any], places: dict[int, int]) -> list[int]:
        if demand["rule"] == "dtype":
            return [sum(1 << number for number in {self.dtype(name) for name in demand["dtypes"]} if number >= 0)]
        if demand["rule"] == "dimensions":
            least, most = demand.get("least"), demand.get("most")
            return [0 if least is None else least, _MANY if most is None else most]
        if demand["rule"] == "same_dtype":
            return [places.get(demand["as"], _MANY)]
        return []

    def _condition(self, when: dict[str, Any] | None, places: dict[int, int]) -> list[Any] | None:
        """The atoms, nothing where it always holds; None where it is not known whether it does."""
        if when is None:
            return []
        if when["test"] is None:
            return None
        made = []
        for atom in when["test"]:
            if atom["argument"] not in places:
                return None
            wanted = atom["value"] if atom["is"] in ("in", "not in") else [atom["value"]]
            values = [self._number(atom["what"], value) for value in wanted]
            if not values:
                return None
            made.append((places[atom["argument"]], _WHAT.index(atom["what"]), _IS.index(atom["is"]), values))
        return made

    def _number(self, what: str, value: Any) -> float:
        if value is None:
            return float("nan")
        if what == "dtype" or (what == "value" and isinstance(value, str)):
            return float(self.dtype(value))
        if what == "device":
            return float(value != "cpu")
        return float(value)

    def _message(self, name: str, demand: dict[str, Any]) -> str:
        if "message" in demand:
            return f"{demand['message']} [{self.device}: {name}, {demand['at']}]"
        if demand["rule"] == "never":
            why = demand["when"]["text"] if demand["when"] else "whatever it gets"
            return f"{name}: not with {why} [{self.device}: {name}, {demand['at']}]"
        text = self.messages.get(demand["rule"]) or _plainly(demand)
        file, argument, operator = demand["at"].rpartition(":")[0], demand["name"], name
        return f"{text.format(file=file, name=argument, operator=operator)} [{self.device}: {name}, {demand['at']}]"


def _plainly(demand: dict[str, Any]) -> str:
    """For a rule that the profile has no words of the vendor's for."""
    if demand["rule"] == "dtype":
        return "{operator}: {name} has to be " + " or ".join(demand["dtypes"])
    if demand["rule"] == "dimensions":
        return f"{{operator}}: {{name}} has to have {demand.get('least', 0)} to {demand.get('most', 'any')} dimensions"
    return {
        "contiguous": "{operator}: {name} is not contiguous",
        "neighbours": "{operator}: the dimensions of {name} are no neighbours",
        "same_dtype": "{operator}: {name} has another dtype than the argument that it goes with",
    }[demand["rule"]]
