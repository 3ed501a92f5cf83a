"""A card out of its record (``porter profile record``): what raised there raises here.

A record holds calls; a program makes others, of other shapes.  So of each operator the difference between the calls
that raised and those that ran is looked for, and stated as a scan of a plugin's source states it (docs/formats.md,
facts of a plugin): a demand, or a condition under which it raises.  The simplest is taken that no call contradicts
which ran.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

from porter.errors import WrongUsage
from porter.files import read_given
from porter.output import printable

KIND = "card record"
MOST = 64 << 20  # bytes of a record
_DTYPES = (
    *("float32", "float64", "float16", "bfloat16", "complex64", "complex128"),
    *("int8", "uint8", "int16", "int32", "int64", "bool"),
)
_REFUSING = ("raises", "crashes", "hangs", "unmade")
# from what says most of a kernel to what says least; a number of elements is the last resort
_WHATS = ("contiguous", "dtype", "device", "dim", "value", "length", "numel")


class Atom(NamedTuple):
    """A property of an argument, by its position in torch's schema."""

    argument: int
    what: str
    value: Any

    def record(self) -> dict[str, Any]:
        """As a facts file has it."""
        return {"argument": self.argument, "what": self.what, "is": "==", "value": self.value}

    @property
    def says(self) -> str:
        return f"argument {self.argument} {self.what} == {self.value}"


def read_record(file: Path) -> dict[str, Any]:
    """A record, from a file that may be a stranger's.

    Raises:
        WrongUsage: there is none, or it is none.
    """
    return read_with_digest(file)[0]


def read_with_digest(file: Path) -> tuple[dict[str, Any], str]:
    """The same, and the SHA-256 of its bytes, which its name here is made of.

    Raises:
        WrongUsage: as :func:`read_record`.
    """
    data = read_given(file, MOST)
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise WrongUsage(f"{file} is no record of a card", str(error)) from error
    if not isinstance(found, dict) or found.get("kind") != KIND or found.get("schema") != 1:
        raise WrongUsage(f"{file} is no record of a card", hint="porter profile record makes one.")
    shape = {"target": str, "card": str, "plugin": dict, "surface": dict, "operators": dict, "torch": str}
    for name, kind in shape.items():
        if not isinstance(found.get(name), kind):
            raise WrongUsage(f"{file} is no record of a card", f"{name} is no {kind.__name__}")
    for name, calls in found["operators"].items():
        if not isinstance(calls, list) or not all(isinstance(call, dict) and "state" in call for call in calls):
            raise WrongUsage(f"{file} is no record of a card", f"{name} holds no calls")
    return found, hashlib.sha256(data).hexdigest()


@contextmanager
def reading(*files: Path) -> Iterator[None]:
    """Around what looks into records: a field that is not what it has to be is the record's fault, and said so.

    Raises:
        WrongUsage: there is such a field.
    """
    try:
        yield
    except (AttributeError, IndexError, KeyError, OverflowError, RecursionError, TypeError, ValueError) as error:
        named = " or ".join(map(str, files))
        why = f"what is in it makes no sense: {printable(f'{type(error).__name__}: {error}')[:200]}"
        raise WrongUsage(f"{named} is no record of a card", why, "porter profile record makes one.") from error


# -- operators ------------------------------------------------------------------------------------------


def facts(record: Mapping[str, Any], digest: str) -> dict[str, Any]:
    """What a scan's facts file would say, as far as the record says it."""
    return {
        "kind": "profile scan",
        "schema": 1,
        "target": record["target"],
        "plugin": record["plugin"].get("module", ""),
        "card": record["card"],
        "version": re.sub(r"[.+]emulated$", "", str(record["plugin"].get("version") or "0")),
        "commit": digest[:12],
        "recorded": True,
        "operators": {name: _operator(name, calls) for name, calls in sorted(record["operators"].items())},
        "python": {},
        "autocast": {"casts": _casts(record["surface"])},
    }


def _operator(name: str, calls: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    made = [call for call in calls if "arguments" in call]
    ran = [call for call in made if call["state"] == "runs"]
    bad = [call for call in made if call["state"] in _REFUSING]
    entry: dict[str, Any] = {"kernel": "recorded", "demands": [], "host": [], "raises": []}
    unread = []
    while bad:
        found = _rule(bad, ran)
        if found is None:
            unread.append(bad.pop(0))
            continue
        rule, covered = found
        said = {"at": "recorded", **_message(name, covered[0])}
        if "rule" in rule:
            entry["demands"].append({**rule, "name": f"argument {rule['argument']}", "when": None, **said})
        else:
            entry["raises"].append({**rule, **said})
        bad = [call for call in bad if not any(call is one for one in covered)]
    if unread:
        entry["unread"] = [_message(name, call)["message"] for call in unread]
    return entry


def _message(name: str, call: Mapping[str, Any]) -> dict[str, Any]:
    if call["state"] == "raises":
        return {"message": str(call.get("message", "")), "error": str(call.get("error", ""))}
    what = {"crashes": "the process died", "hangs": "it does not return", "unmade": "its arguments cannot be held"}
    return {"message": f"{name}: {what[call['state']]} on the card", "error": "RuntimeError"}


Call = Mapping[str, Any]


def _rule(bad: Sequence[Call], ran: Sequence[Call]) -> tuple[dict[str, Any], list[Call]] | None:
    """A rule that the first of the bad calls breaks and no call that ran, and which of the bad ones it is for."""
    first = bad[0]
    alike = [call for call in bad if _kind(call) == _kind(first)]
    if not ran:  # whatever it gets
        return {"when": None}, alike
    for demand in _demands(first, ran):
        if all(_meets(demand, call) for call in ran):
            return demand, [call for call in alike if not _meets(demand, call)]
    atoms = list(_atoms(first))
    seen = [set(_atoms(call)) for call in ran]
    for size in (1, 2):
        fits = [some for some in combinations(atoms, size) if not any(held.issuperset(some) for held in seen)]
        if fits:
            best = max(fits, key=lambda some: (sum(_holds(some, call) for call in alike), -_rank(some)))
            return _raises(best), [call for call in alike if _holds(best, call)]
    if any(held.issuperset(atoms) for held in seen):
        return None  # what differs is nothing that a condition can ask of
    return _raises(atoms), [call for call in alike if _holds(atoms, call)]


def _kind(call: Call) -> tuple[Any, ...]:
    """Calls with the same are refused for the same reason: the message without its numbers."""
    message = "".join(letter for letter in str(call.get("message", "")) if not letter.isdigit())
    return call["state"], call.get("error"), message


def _raises(atoms: Sequence[Atom]) -> dict[str, Any]:
    said = " and ".join(atom.says for atom in atoms)
    return {"when": {"text": said, "test": [atom.record() for atom in atoms]}}


def _rank(atoms: Sequence[Atom]) -> int:
    return sum(_WHATS.index(atom.what) for atom in atoms)


def _holds(atoms: Sequence[Atom], call: Call) -> bool:
    return set(_atoms(call)).issuperset(atoms)


def _demands(call: Call, ran: Sequence[Call]) -> Iterator[dict[str, Any]]:
    """The demands that a call does not meet, of those that ask of lists: what a condition cannot."""
    for place, given in enumerate(call["arguments"]):
        if isinstance(given, list):
            strange = _dtypes(call, place).difference(*(_dtypes(each, place) for each in ran))
            if strange:
                yield {"argument": place, "rule": "dtype", "dtypes": [each for each in _DTYPES if each not in strange]}
        for rule in ("contiguous", "neighbours"):
            demand = {"argument": place, "rule": rule}
            if not _meets(demand, call):
                yield demand


def _meets(demand: Mapping[str, Any], call: Call) -> bool:
    place, arguments = demand["argument"], call["arguments"]
    given: Any = arguments[place] if place < len(arguments) else None
    if demand["rule"] == "dtype":
        return _dtypes(call, place) <= set(demand["dtypes"])
    if demand["rule"] == "contiguous":
        tensors = given if isinstance(given, list) else [given]
        return not any(_on_device(each) and "stride" in each for each in tensors)
    if not arguments or not _is_tensor(arguments[0]) or not _is_numbers(given) or len(given) < 2:
        return True
    number = len(arguments[0]["shape"])
    places = sorted(each + number if each < 0 else each for each in given)
    return all(one + 1 == other for one, other in zip(places, places[1:]))


def _dtypes(call: Call, place: int) -> set[str]:
    """Of the tensors in a list."""
    given = call["arguments"][place] if place < len(call["arguments"]) else None
    return {each["tensor"] for each in given if _is_tensor(each)} if isinstance(given, list) else set()


def _is_numbers(given: Any) -> bool:
    return isinstance(given, list) and all(isinstance(each, int) and not isinstance(each, bool) for each in given)


def _is_tensor(given: Any) -> bool:
    return isinstance(given, dict) and "tensor" in given


def _on_device(given: Any) -> bool:
    return _is_tensor(given) and not given.get("host")


def _atoms(call: Call) -> Iterator[Atom]:
    """All that can be asked of a call's arguments, as native/demands.h asks it."""
    for place, given in enumerate(call["arguments"]):
        if _is_tensor(given):
            yield Atom(place, "contiguous", "stride" not in given)
            yield Atom(place, "dtype", given["tensor"])
            yield Atom(place, "device", "cpu" if given.get("host") else "device")
            yield Atom(place, "dim", len(given["shape"]))
            numel = 1
            for size in given["shape"]:
                numel *= size
            yield Atom(place, "numel", numel)
        elif isinstance(given, list):
            yield Atom(place, "length", len(given))
        elif isinstance(given, dict) and "dtype" in given:
            yield Atom(place, "dtype", given["dtype"])
        elif given is None or isinstance(given, (bool, int)):
            yield Atom(place, "value", given if given is None else int(given))


# -- everything else ------------------------------------------------------------------------------------


def profile_data(record: Mapping[str, Any], generic: Mapping[str, Any], file: Path, digest: str) -> dict[str, Any]:
    """What the card's profile would hold.

    Args:
        generic: of a card of this target of which nothing is known: what stands where the record says nothing.
    """
    surface = record["surface"]
    source = f"recorded: {file.name}"
    names = surface.get("names", {}).get("value") or {}
    card = str(record["card"])
    total = (surface.get("function get_device_properties", {}).get("value") or {}).get("total_memory")
    data = {
        **generic,
        "device": card[len("EMULATED ") :] if card.startswith("EMULATED ") else card,
        "source": f"{digest[:16]}.json",
        "surface": _surface(surface, names, total, source),
        "process_group": _group(surface, names, generic, source),
        "autocast": {"casts": _casts_all(surface), "source": source},
    }
    if total:
        data["memory"] = {"bytes": total, "source": source}
    if surface.get("scaler fp16", {}).get("state") == "runs":
        data["autocast"]["fp16_gradients"] = source
    return data


def _surface(surface: Mapping[str, Any], names: Mapping[str, Any], total: int | None, source: str) -> dict[str, Any]:
    raising = {
        name.partition(" ")[2]: {"error": outcome["error"], "message": outcome.get("message", "")}
        for name, outcome in surface.items()
        if name.startswith("function ") and outcome["state"] == "raises"
    }
    event = surface.get("event", {})
    made: dict[str, Any] = {
        "events": "Event" in names.get("module", ["Event"]),
        "hardware_time": bool((event.get("value") or {}).get("hardware_time")),
        "op_timer": "OpTimer_reset" in names.get("module", []),
        "raises": raising,
        "source": source,
    }
    if names.get("module"):
        made["names"] = names["module"]
    if total is not None:
        made["total_memory"] = total
    stats = surface.get("function memory_stats", {})
    if stats.get("state") == "runs" and stats.get("value"):
        made["memory_stats"] = stats["value"]
    return made


def _group(
    surface: Mapping[str, Any], names: Mapping[str, Any], generic: Mapping[str, Any], source: str
) -> dict[str, Any]:
    """The vendor's backend where there is one: it runs, or it wants options that a record does not give."""
    for name, outcome in surface.items():
        backend = name.partition(" ")[2]
        if name.startswith("group ") and backend != "gloo":
            wants = outcome.get("error") == "TypeError" and names.get("options")
            if outcome["state"] == "runs" or wants:
                return {"backend": backend, "source": source, **({"options": names["options"][0]} if wants else {})}
    return {"backend": "gloo", "source": source}


def _casts_all(surface: Mapping[str, Any]) -> bool | str:
    """Whether autocast casts convolutions: then all that torch's own lists have, else what ``facts`` lists."""
    conv = surface.get("autocast conv2d", {})
    return True if conv.get("state") == "runs" and conv.get("value") != "float32" else "scanned"


def _casts(surface: Mapping[str, Any]) -> dict[str, list[str]]:
    lower = [
        name.partition(" ")[2]
        for name, outcome in surface.items()
        if name.startswith("autocast ") and outcome["state"] == "runs" and outcome.get("value") != "float32"
    ]
    return {"lower_precision_fp": sorted(lower)}


def printed(record: Mapping[str, Any]) -> str:
    """What a record is of, for people: card, plugin and torch."""
    plugin = record["plugin"]
    return printable(f"{record['card']} with {plugin.get('module')} {plugin.get('version')}, torch {record['torch']}")
