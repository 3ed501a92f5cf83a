"""What a scan found, as one record, and its JSON: sorted, so that the same sources give the same bytes."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from porter.output import record_of
from porter.scan.conditions import (
    DTYPES,
    FAR,
    Atom,
    Conjunction,
    Literal,
    Unknown,
    allowed,
    merged,
    simplified,
    universe,
)
from porter.scan.cpp import Code, Function, Registration
from porter.scan.expressions import Expressions
from porter.scan.kernels import Copy, Findings, Rules, TooLong
from porter.scan.values import Items, Tensor

SCHEMA = 1
WHATS = ("dim", "numel", "length", "dtype", "contiguous", "device", "value")
PREFERENCE = ("contiguous", "dtype", "dim")
NARROWER = (("int64", "int32"), ("float64", "float32"), ("complex128", "complex64"))
NAMED = tuple(each for each in DTYPES if each not in ("other", "quantized"))


WIDTH = 110  # what fits in so many characters stands on one line: a fact a line, for whoever reads a difference


def dumps(record: dict[str, Any]) -> str:
    """The record as JSON: the head in its own order, all else sorted, so that the same sources give the same bytes."""
    return written({key: ordered(value) for key, value in record.items()}, 0) + "\n"


def ordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: ordered(value[key]) for key in sorted(value)}
    return [ordered(each) for each in value] if isinstance(value, list) else value


def written(value: Any, depth: int) -> str:
    short = json.dumps(value, ensure_ascii=False)
    if not value or not isinstance(value, (dict, list)) or (depth > 0 and len(short) + depth <= WIDTH):
        return short
    pad = " " * (depth + 1)
    if isinstance(value, list):
        inner = [f"{pad}{written(each, depth + 1)}" for each in value]
    else:
        inner = [f"{pad}{json.dumps(key)}: {written(each, depth + 1)}" for key, each in value.items()]
    ends = "[]" if isinstance(value, list) else "{}"
    return ends[0] + "\n" + ",\n".join(inner) + "\n" + " " * depth + ends[1]


def name_of(function: Function, argument: int) -> str:
    return function.parameters[argument].name if argument < len(function.parameters) else f"argument {argument}"


def digest(text: str) -> str:
    """What stands for C++ that was not translated: two of one text have one digest; the text stays in the source."""
    return f"?{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def said(literal: Literal, function: Function) -> str:
    if isinstance(literal, Unknown):
        return digest(literal.text) if literal.positive else f"!{digest(literal.text)}"
    value = ", ".join(map(str, literal.value)) if isinstance(literal.value, tuple) else str(literal.value)
    return f"{name_of(function, literal.argument)} {literal.what} {literal.sign} {value}"


def atom(literal: Literal) -> dict[str, Any] | None:
    if isinstance(literal, Unknown) or literal.what not in WHATS:
        return None
    value = [each for each in literal.value if each in NAMED] if isinstance(literal.value, tuple) else literal.value
    return {"argument": literal.argument, "what": literal.what, "is": literal.sign, "value": value}


def when(case: Conjunction, function: Function) -> dict[str, Any] | None:
    """The WHEN of the facts file: null for always, test null where a condition is not translated."""
    if not case:
        return None
    atoms = [atom(literal) for literal in case]
    out: dict[str, Any] = {"text": " && ".join(said(literal, function) for literal in case)}
    if None not in atoms:
        return {**out, "test": atoms}
    return {**out, "test": None, "part": [each for each in atoms if each is not None]}


# -- demands -----------------------------------------------------------------------------------------------------------
def demands(found: Findings, function: Function) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What the kernel demands, and in which other cases it raises."""
    groups: dict[str, tuple[dict[str, Any], list[Conjunction]]] = {}
    raises: dict[str, tuple[dict[str, Any], list[Conjunction]]] = {}

    def add(into: dict[str, tuple[dict[str, Any], list[Conjunction]]], one: dict[str, Any], case: Conjunction) -> None:
        same = one if into is raises else {name: value for name, value in one.items() if name != "at"}
        key = json.dumps(same, sort_keys=True)
        into.setdefault(key, (one, []))[1].append(case)

    for check in found.checks:
        for path, wrong in check.cases:
            rule, case = demand(path, wrong)
            if rule is None:
                whole = simplified((*path, *wrong))
                if whole is not None:
                    add(raises, {"at": check.place}, whole)
                continue
            one = {"argument": rule.pop("argument"), **rule, "at": check.place}
            one["name"] = name_of(function, one["argument"])
            add(groups, one, case)
    implied(groups)
    for place, argument, cases in found.neighbours:
        for case in cases:
            one = {"argument": argument, "rule": "neighbours", "at": place, "name": name_of(function, argument)}
            add(groups, one, case)
    return listed(groups, function), listed(raises, function)


def implied(groups: dict[str, tuple[dict[str, Any], list[Conjunction]]]) -> None:
    """Drops a dtype's demand where it is made only of a tensor of the same dtype as one of which it is made anyway."""
    for one, cases in groups.values():
        for case in list(cases):
            for each in case:
                if isinstance(each, Atom) and each.what == "dtype as" and each.sign == "==" and one["rule"] == "dtype":
                    other = each.value if each.argument == one["argument"] else each.argument
                    if any(
                        of["argument"] == other and of["rule"] == "dtype" and of["dtypes"] == one["dtypes"]
                        and any(set(less) <= set(case) for less in others)
                        for of, others in groups.values()
                    ) and case in cases:  # fmt: skip
                        cases.remove(case)


def listed(groups: dict[str, tuple[dict[str, Any], list[Conjunction]]], function: Function) -> list[dict[str, Any]]:
    out = []
    for one, cases in groups.values():
        for case in merged(cases):
            out.append({**one, "when": when(case, function)})
    return sorted(out, key=lambda each: json.dumps(each, sort_keys=True))


def demand(path: Conjunction, wrong: Conjunction) -> tuple[dict[str, Any] | None, Conjunction]:
    """The rule that is broken where all of path and wrong hold, and the rest of it as the rule's condition."""
    pool = [each for each in wrong if isinstance(each, Atom)] or [each for each in path if isinstance(each, Atom)]
    whole = simplified((*path, *wrong))
    if whole is None:
        return None, ()
    for what in PREFERENCE:
        for chosen in pool:
            if chosen.what.replace("each ", "") != what:
                continue
            group = [each for each in whole if isinstance(each, Atom) and each.key == chosen.key]
            rule = broken(chosen, group)
            if rule is not None:
                return rule, tuple(each for each in whole if each not in group)
    for chosen in pool:
        if chosen.what == "dtype as" and chosen.sign == "!=":
            rule = {"argument": chosen.argument, "rule": "same_dtype", "as": chosen.value}
            return rule, tuple(each for each in whole if each != chosen)
    return None, ()


def broken(chosen: Atom, group: list[Atom]) -> dict[str, Any] | None:
    what = chosen.what.replace("each ", "")
    among = universe(what, group)
    wrong = among
    for each in group:
        wrong = allowed(each, wrong)
    right = among - wrong
    if what == "contiguous":
        return {"argument": chosen.argument, "rule": "contiguous"} if right == frozenset({True}) else None
    if what == "dtype":
        return {"argument": chosen.argument, "rule": "dtype", "dtypes": [each for each in NAMED if each in right]}
    between = sorted(right)
    if not between or [each for each in sorted(among) if between[0] <= each <= between[-1]] != between:
        return None
    most = None if between[-1] == FAR else between[-1]
    return {"argument": chosen.argument, "rule": "dimensions", "least": between[0], "most": most}


# -- trips through the host --------------------------------------------------------------------------------------------
def trips(found: Findings, function: Function) -> list[dict[str, Any]]:
    outputs = [
        at
        for at, each in enumerate(function.parameters)
        if "Tensor" in each.type and "&" in each.type and "const" not in each.type
    ]
    groups: dict[tuple[Any, ...], list[Copy]] = {}
    for one in found.copies:
        groups.setdefault((one.cases, one.each, one.repeated), []).append(one)
    out = []
    for (cases, each, repeated), copies in groups.items():
        downs = [one for one in copies if one.direction == "down"]
        ups = [one for one in copies if one.direction == "up"]
        for case in merged(list(cases)):
            if any(on_host(each) for each in case):
                continue  # the copy that was asked for, or no copy at all: not a trip inside
            trip: dict[str, Any] = {
                "at": copies[0].place,
                "down": [source(one.tensor) for one in downs],
                "up": [result(one.tensor, outputs, found) for one in ups],
                "when": when(case, function),
            }
            if each is not None:
                trip["each"] = each
            elif repeated and not all(one.tensor.element for one in copies):
                trip["repeated"] = True
            out.append(trip)
    return sorted(out, key=lambda trip: json.dumps(trip, sort_keys=True))


def on_host(one: Literal) -> bool:
    return isinstance(one, Atom) and one.what == "device" and (one.sign == "==") is (one.value == "cpu")


def source(tensor: Tensor) -> int | None:
    return tensor.base if tensor.argument is None else tensor.argument


def result(tensor: Tensor, outputs: list[int], found: Findings) -> int | None:
    """Which of the operator's results the tensor is; None where it is none of them."""
    if source(tensor) in outputs:
        return outputs.index(source(tensor))  # type: ignore[arg-type]
    for _, value in found.results:
        for at, each in enumerate(flat(value)):
            if tensor.uid in {one.uid for one in tensors(each)}:
                return at
    return None


def flat(value: Any) -> list[Any]:
    if isinstance(value, Items):
        return list(value.values)
    return [value]


def tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    options = getattr(value, "options", None)
    if isinstance(options, tuple):
        return [one for _, each in options for one in tensors(each)]
    return []


def casts(found: Findings, function: Function) -> list[dict[str, Any]]:
    """Where the kernel computes in a narrower dtype than the one it was given or asked for: from, to, where, when."""
    out: list[dict[str, Any]] = []
    for place, to, cases in found.casts:
        for case in cases:
            named = [each for each in case if isinstance(each, Atom) and isinstance(each.value, str)]
            source = [each for each in named if each.sign == "==" and each.value in DTYPES]
            if source and (source[0].value, to) in NARROWER:
                out.append({"from": source[0].value, "to": to, "at": place, "when": when(case, function)})
    return unique(out)


def unique(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Sorted, each once."""
    by_text = {json.dumps(each, sort_keys=True): each for each in found}
    return [by_text[key] for key in sorted(by_text)]


# -- one operator ------------------------------------------------------------------------------------------------------
def operator(code: Code, rules: Rules, one: Registration) -> dict[str, Any]:
    """The record of one registration: where it and its kernel stand, demands, trips through the host, what else.

    raises are cases in which the kernel raises that no rule of demands says; replaces are arguments that it sets to
    another tensor (an out variant whose result the caller does not see); casts are dtypes taken instead of the one that
    was asked for; unread are checks that were not translated.
    """
    name = (one.function or "").rsplit("::", 1)[-1]
    found = code.functions.get(name, [])
    same = [each for each in found if each.path == one.place.rpartition(":")[0]]
    function = (same or found or [None])[0]  # type: ignore[list-item]
    return described(code, rules, one.place, function)


def described(code: Code, rules: Rules, place: str, function: Function | None) -> dict[str, Any]:
    """The record of an operator registered at place whose kernel is function; None where that could not be found."""
    out: dict[str, Any] = {"at": place, "kernel": None, "demands": [], "host": []}
    if function is None:
        return out
    try:
        findings = Expressions(code, rules).kernel(function)
    except TooLong:
        return out
    wanted, raising = demands(findings, function)
    out.update(kernel=function.place, demands=wanted, host=trips(findings, function))
    if raising:
        out["raises"] = raising
    if findings.unread:
        unread = sorted({(place, said) for place, said in findings.unread})
        out["unread"] = [{"at": place, "text": digest(said)} for place, said in unread]
    changed = casts(findings, function)
    if changed:
        out["casts"] = changed
    replaced = [
        {"argument": argument, "at": place, "when": when(case, function)}
        for place, argument, cases in findings.replaced
        for case in merged(list(cases))
    ]
    if replaced:
        out["replaces"] = sorted(replaced, key=lambda each: json.dumps(each, sort_keys=True))
    return out


# What a facts file amounts to: counts of what is known, and lists of what is not.


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
        return record_of(self)


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
