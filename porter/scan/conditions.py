"""Conditions of a kernel as expressions over its arguments, and what they come to: lists of atoms that all hold.

An expression is a bool, a literal (Atom or Unknown), or ("and" | "or", left, right); `negated` gives its opposite.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Union

DTYPES = (
    "float32", "float64", "float16", "bfloat16", "int8", "uint8", "int16", "int32", "int64", "bool",
    "complex64", "complex128", "complex32", "float8_e4m3fn", "float8_e5m2", "quantized", "other",
)  # fmt: skip
OPPOSITE = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">", "in": "not in", "not in": "in"}
FAR = 10**9
ALTERNATIVES = 24  # more ways than these to fulfil a condition are not listed: the condition then counts as unread


@dataclass(frozen=True)
class Atom:
    """One fact about an argument: argument's position, what of it, how it is compared, with which value."""

    argument: int
    what: str
    sign: str
    value: Any
    logical: bool = field(init=False, default=False)  # True and 1 are one value to Python, not here

    def __post_init__(self) -> None:
        object.__setattr__(self, "logical", isinstance(self.value, bool))

    def negated(self) -> Atom:
        return replace(self, sign=OPPOSITE[self.sign])

    @property
    def key(self) -> tuple[Any, ...]:
        """Atoms with one key are of one value, so that they can imply or contradict each other."""
        return (self.argument, self.what, self.value) if self.what == "dtype as" else (self.argument, self.what)


@dataclass(frozen=True)
class Unknown:
    """A condition that could not be translated, by its C++ text; positive is False for its opposite.

    of are the arguments on which it depends, as far as that is known.
    """

    text: str
    positive: bool = True
    of: frozenset[int] = field(default=frozenset(), compare=False)

    def negated(self) -> Unknown:
        return replace(self, positive=not self.positive)


Literal = Union[Atom, Unknown]
Expression = Any  # bool, Literal or a tuple; recursive types need no more here
Conjunction = tuple[Literal, ...]


def negated(one: Expression) -> Expression:
    if isinstance(one, bool):
        return not one
    if isinstance(one, tuple):
        sign, left, right = one
        return ("or" if sign == "and" else "and", negated(left), negated(right))
    return one.negated()


def both(left: Expression, right: Expression) -> Expression:
    if left is True or right is False:
        return right
    if right is True or left is False:
        return left
    return ("and", left, right)


def either(left: Expression, right: Expression) -> Expression:
    if left is False or right is True:
        return right
    if right is False or left is True:
        return left
    return ("or", left, right)


def universe(what: str, atoms: list[Atom]) -> frozenset[Any]:
    """The values between which the atoms can tell; all of one group."""
    what = what.replace("each ", "")
    if what == "dtype":
        return frozenset(DTYPES)
    if what == "contiguous":
        return frozenset({True, False})
    named = {each for atom in atoms for each in (atom.value if isinstance(atom.value, tuple) else (atom.value,))}
    if what == "device" or any(isinstance(each, str) for each in named):
        return frozenset({*named, "cpu", "another"})
    if all(isinstance(each, bool) or each is None for each in named):
        return frozenset({True, False, None})
    numbers = [each for each in named if isinstance(each, (int, float)) and not isinstance(each, bool)]
    spread = {step for each in numbers for step in (each - 1, each, each + 1)}
    found = {*spread, *named, 0, 1, FAR}
    if what in ("dim", "numel", "length"):
        return frozenset(each for each in found if each is not None and each >= 0)
    return frozenset({*found, -FAR, None})


def allowed(atom: Atom, among: frozenset[Any]) -> frozenset[Any]:
    value = atom.value

    def fits(each: Any) -> bool:
        if atom.sign in ("in", "not in"):
            return (each in value) is (atom.sign == "in")
        if atom.sign in ("==", "!="):
            same = each == value and isinstance(each, bool) == isinstance(value, bool)
            return bool(same) is (atom.sign == "==")
        if each is None or isinstance(each, str):
            return False
        return bool({"<": each < value, ">": each > value, "<=": each <= value, ">=": each >= value}[atom.sign])

    return frozenset(each for each in among if fits(each))


@lru_cache(maxsize=200_000)
def simplified(conjunction: Conjunction, facts: Conjunction = ()) -> Conjunction | None:
    """Without what the facts or its other literals say already; None where it cannot hold."""
    out: list[Literal] = []
    known: dict[str, bool] = {}
    for literal in facts:
        if isinstance(literal, Unknown):
            known[literal.text] = literal.positive
    for literal in conjunction:
        if isinstance(literal, Unknown):
            if known.setdefault(literal.text, literal.positive) is not literal.positive:
                return None
            if literal not in out and literal not in facts:
                out.append(literal)
    keys = []
    for literal in conjunction:
        if isinstance(literal, Atom) and literal.key not in keys:
            keys.append(literal.key)
    atoms: list[Literal] = []
    for key in keys:
        group = [each for each in conjunction if isinstance(each, Atom) and each.key == key]
        said = [each for each in facts if isinstance(each, Atom) and each.key == key]
        kept = reduced(group, said)
        if kept is None:
            return None
        atoms += kept
    return (*sorted(atoms, key=repr), *sorted(out, key=repr))


def reduced(group: list[Atom], said: list[Atom]) -> list[Atom] | None:
    among = universe(group[0].what, group + said)
    for atom in said:
        among = allowed(atom, among)
    left = among
    for atom in group:
        left = allowed(atom, left)
    if not left:
        return None
    kept = list(dict.fromkeys(group))
    for atom in list(kept):
        rest = among
        for other in kept:
            if other is not atom:
                rest = allowed(other, rest)
        if rest == left:
            kept.remove(atom)
    if group[0].what.replace("each ", "") == "dtype" and len(kept) > 1:
        names = tuple(sorted(left))
        others = tuple(sorted(set(DTYPES) - left))
        short = len(others) < len(names)
        kept = [Atom(group[0].argument, group[0].what, "not in" if short else "in", others if short else names)]
    return kept


def ways(one: Expression, facts: Conjunction = ()) -> list[Conjunction]:
    """The ways in which the expression holds, no two at once; [] where it cannot, [()] where it always does."""
    return [each for each in (simplified(way, facts) for way in disjoint(one)) if each is not None]


@lru_cache(maxsize=50_000)
def disjoint(one: Expression) -> tuple[Conjunction, ...]:
    if isinstance(one, bool):
        return ((),) if one else ()
    if not isinstance(one, tuple):
        return ((one,),)
    sign, left, right = one
    if sign == "and":
        return crossed(disjoint(left), disjoint(right))
    return disjoint(left) + crossed(disjoint(negated(left)), disjoint(right))


def crossed(first: tuple[Conjunction, ...], second: tuple[Conjunction, ...]) -> tuple[Conjunction, ...]:
    if second == ((),):
        return first
    out: dict[Conjunction, None] = {}
    for left in first:
        for right in second:
            way = simplified((*left, *right))
            if way is not None:
                out[way] = None
    if len(out) > ALTERNATIVES:
        return ((Unknown(f"one of {len(out)} combinations of conditions"),),)
    return tuple(out)


def unknowns(one: Expression) -> list[Unknown]:
    """The untranslated conditions in an expression."""
    if isinstance(one, tuple):
        return [*unknowns(one[1]), *unknowns(one[2])]
    return [one] if isinstance(one, Unknown) else []


class Path(list[Expression]):
    """The conditions under which a statement is reached, one inside the other, with what they come to together."""

    def __init__(self) -> None:
        super().__init__()
        self.reached: list[tuple[Conjunction, ...]] = [((),)]

    def append(self, one: Expression) -> None:
        super().append(one)
        self.reached.append(crossed(self.reached[-1], disjoint(one)))

    def cut(self, length: int) -> None:
        """Back to where the path was length conditions long."""
        del self[length:]
        del self.reached[length + 1 :]

    def ways(self, facts: Conjunction = (), extra: Expression = True) -> tuple[Conjunction, ...]:
        found = crossed(self.reached[-1], disjoint(extra))
        return tuple(each for each in (simplified(way, facts) for way in found) if each is not None)


def merged(found: list[Conjunction]) -> list[Conjunction]:
    """The same set of cases in fewer ways: two that differ in one literal and its opposite become one."""
    out = list(dict.fromkeys(found))
    changed = True
    while changed:
        changed = False
        for left in out:
            for right in out:
                if left is not right and (way := united(left, right)) is not None:
                    out = list(dict.fromkeys([each for each in out if each not in (left, right)] + [way]))
                    changed = True
                    break
            if changed:
                break
    return out


def united(left: Conjunction, right: Conjunction) -> Conjunction | None:
    if set(left) <= set(right):
        return left
    only_left, only_right = set(left) - set(right), set(right) - set(left)
    if len(only_left) == 1 and len(only_right) == 1:
        one, other = only_left.pop(), only_right.pop()
        if one.negated() == other or opposite(one, other):
            return tuple(each for each in left if each in right)
        if isinstance(one, Atom) and isinstance(other, Atom) and one.key == other.key and one.what == "dtype":
            among = universe(one.what, [one, other])
            names = allowed(one, among) | allowed(other, among)
            short = len(names) > len(among) / 2
            said = Atom(
                one.argument, one.what, "not in" if short else "in", tuple(sorted(among - names if short else names))
            )
            return tuple(said if each == one else each for each in left)
    return None


def opposite(one: Literal, other: Literal) -> bool:
    """True where one or the other always holds."""
    if not isinstance(one, Atom) or not isinstance(other, Atom) or one.key != other.key:
        return False
    among = universe(one.what, [one, other])
    return allowed(one, among) | allowed(other, among) == among
