"""What the reader of a kernel knows of a value: an argument, a tensor made of arguments, a number, a condition."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from porter.scan.conditions import DTYPES, Atom, Expression, Unknown, both, either, negated

NUMBERS = count()
OPTIONS = 12  # a value that may be one of more than these is no longer followed


@dataclass(frozen=True)
class Const:
    """A number, a bool, a dtype's name, a device's name; None is nullopt, nullptr or an undefined tensor."""

    value: Any


@dataclass(frozen=True)
class Name:
    """A constant of the vendor's headers, of which only the name is known."""

    text: str


@dataclass(frozen=True)
class Number:
    """what of an argument, plus offset; each where the argument is a list and one of its members is meant."""

    argument: int
    what: str
    offset: int = 0
    each: bool = False


@dataclass(frozen=True)
class Logic:
    expression: Expression


@dataclass(frozen=True)
class Choice:
    """One of several values, each under its condition; no two conditions hold at once."""

    options: tuple[tuple[Expression, Any], ...]


@dataclass(frozen=True)
class Items:
    """A tuple or a braced list whose members are known."""

    values: tuple[Any, ...]


@dataclass(frozen=True)
class Lambda:
    node: Any
    path: str


@dataclass(frozen=True)
class Options:
    """torch::TensorOptions: where a tensor is to be, and of which dtype."""

    place: Any
    dtype: Any


@dataclass(frozen=True)
class Tensor:
    """A tensor, or anything of which only is known from which arguments it came.

    argument is set where it is the argument itself; element where it is a member of that list.  place is a Const
    device name, a Number (the argument's own device) or None where it may be no tensor at all.  dtype, dim, numel and
    contiguous are a Const, a Number or None (not known).
    """

    of: frozenset[int] = frozenset()
    argument: int | None = None
    element: bool = False
    optional: bool = False
    place: Any = None
    dtype: Any = None
    dim: Any = None
    numel: Any = None
    contiguous: Any = None
    items: Any = None  # what a local container was last given
    base: int | None = None  # the argument of which it is a copy, a cast or a view
    called: bool = False  # what a function that is not in the source returned
    uid: int = field(default_factory=lambda: next(NUMBERS))


@dataclass(frozen=True)
class Argument:
    """An argument that is no tensor: kind is list (of numbers), tensors, scalar, dtype, device or other."""

    argument: int
    kind: str
    optional: bool = False

    @property
    def of(self) -> frozenset[int]:
        return frozenset({self.argument})


def argument_value(position: int, kind: str) -> Any:
    """The value of parameter number position of a kernel, by its C++ type."""
    optional = "optional" in kind or "Optional" in kind
    many = any(part in kind for part in ("List", "ArrayRef", "vector", "array"))
    if "Tensor" in kind and "Options" not in kind:
        if many:
            return Argument(position, "tensors")
        facts: dict[str, Any] = {what: Number(position, what) for what in ("dtype", "dim", "numel", "contiguous")}
        place = Number(position, "device")
        return Tensor(frozenset({position}), position, optional=optional, place=place, **facts)
    if many:
        return Argument(position, "list", optional)
    if "ScalarType" in kind:
        return Argument(position, "dtype", optional)
    if "Device" in kind:
        return Argument(position, "device", optional)
    if any(part in kind for part in ("Scalar", "int", "long", "double", "float", "bool", "SymInt", "string")):
        return Argument(position, "scalar", optional)
    return Argument(position, "other", optional)


def member(one: Argument) -> Any:
    """A member of a list argument."""
    if one.kind != "tensors":
        return Tensor(one.of)
    position = one.argument
    facts: dict[str, Any] = {
        what: Number(position, what, each=True) for what in ("dtype", "dim", "numel", "contiguous")
    }
    place = Number(position, "device", each=True)
    return Tensor(one.of, position, element=True, optional=True, place=place, **facts)


def origins(value: Any) -> frozenset[int]:
    """The arguments from which a value comes."""
    if isinstance(value, (Tensor, Argument)):
        return value.of
    if isinstance(value, Number):
        return frozenset({value.argument})
    if isinstance(value, Items):
        return frozenset().union(*map(origins, value.values)) if value.values else frozenset()
    if isinstance(value, Choice):
        return frozenset().union(*(origins(each) for _, each in value.options))
    if isinstance(value, Logic):
        return mentioned(value.expression)
    return frozenset()


def mentioned(one: Expression) -> frozenset[int]:
    if isinstance(one, Atom):
        return frozenset({one.argument})
    if isinstance(one, tuple):
        return mentioned(one[1]) | mentioned(one[2])
    return frozenset()


def choice(options: list[tuple[Expression, Any]]) -> Any:
    """The options as one value; flattened, without those that cannot be, and no Choice where one is left."""
    flat: list[tuple[Expression, Any]] = []
    for condition, value in options:
        inner = value.options if isinstance(value, Choice) else ((True, value),)
        for under, each in inner:
            joint = both(condition, under)
            if joint is not False:
                flat.append((joint, each))
    if not flat:
        return Tensor()
    values = [each for _, each in flat]
    if all(each == values[0] for each in values):
        return values[0]
    if all(isinstance(each, (Logic, Const)) and not isinstance(each, Name) for each in values):
        logic = [truth(each) for each in values]
        if all(isinstance(each, Logic) or isinstance(each.value, bool) for each in values):
            whole: Expression = False
            for (condition, _), each in zip(flat, logic):
                whole = either(whole, both(condition, each))
            return Logic(whole)
    if len(flat) > OPTIONS:
        return Tensor(frozenset().union(*map(origins, values)))
    return Choice(tuple(flat))


def among(one: Choice, asked: Callable[[Any], Expression]) -> Expression:
    """What is asked of a value, of each that it may be under its condition."""
    out: Expression = False
    for condition, each in one.options:
        out = either(out, both(condition, asked(each)))
    return out


def truth(value: Any, text: str = "") -> Expression:
    """The value as a condition; text is what an unknown one is called."""
    if isinstance(value, Const):
        return bool(value.value)
    if isinstance(value, Logic):
        return value.expression
    if isinstance(value, Choice):
        return among(value, lambda each: truth(each, text))
    if isinstance(value, Number):
        if value.what == "contiguous":
            return atom(value, "==", True)
        return atom(value, "!=", False if value.what == "value" else 0)
    if isinstance(value, Argument) and value.optional:
        return Atom(value.argument, "value", "!=", None)
    if isinstance(value, Argument) and value.kind == "scalar":
        return Atom(value.argument, "value", "==", True)
    return Unknown(text, of=origins(value))


def is_one_of(value: Any, kinds: Iterable[str], text: str) -> Expression:
    out: Expression = False
    for kind in kinds:
        out = either(out, compared(value, "==", Const(kind), text, ()))
    return out


def atom(number: Number, sign: str, value: Any) -> Expression:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and number.what != "contiguous":
        value = value - number.offset
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if number.what == "contiguous":
        value = bool(value)
    what = f"each {number.what}" if number.each else number.what
    return Atom(number.argument, what, sign, value)


def compared(left: Any, sign: str, right: Any, text: str, prefixes: tuple[str, ...]) -> Expression:
    """left sign right as an expression over the arguments; Unknown(text) where it is none."""
    if isinstance(left, Choice):
        return among(left, lambda each: compared(each, sign, right, text, prefixes))
    if isinstance(right, Choice):
        return among(right, lambda each: compared(left, sign, each, text, prefixes))
    if isinstance(left, Logic) and isinstance(right, Const) and isinstance(right.value, (bool, int)):
        return left.expression if bool(right.value) is (sign == "==") else negated(left.expression)
    if isinstance(left, Name) and isinstance(right, Name):
        names = [plain(each.text, prefixes) for each in (left, right)]
        if sign in ("==", "!="):
            return (names[0] == names[1]) is (sign == "==")
    if isinstance(left, Const) and isinstance(right, Const):
        return constant(left.value, sign, right.value, text)
    if isinstance(left, (Const, Name)) and not isinstance(right, (Const, Name)):
        mirrored = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}.get(sign, sign)
        return compared(right, mirrored, left, text, prefixes)
    left, right = scalar(left), scalar(right)
    if isinstance(left, Number) and isinstance(right, Const):
        if isinstance(right.value, str) and left.what not in ("dtype", "device", "value"):
            return Unknown(text, of=origins(left))
        return atom(left, sign, right.value)
    return paired(left, sign, right, text)


def paired(left: Any, sign: str, right: Any, text: str) -> Expression:
    if isinstance(right, Const) and isinstance(right.value, bool) and sign in ("==", "!="):
        plain_text = re.sub(r"\s*[=!]=\s*(true|false)$", "", text)
        return Unknown(plain_text, right.value is (sign == "=="), origins(left))
    if isinstance(left, Number) and isinstance(right, Number) and not left.each and not right.each:
        if left == right:
            return sign in ("==", "<=", ">=")
        if left.what == right.what == "dtype" and sign in ("==", "!="):
            return Atom(left.argument, "dtype as", sign, right.argument)
    return Unknown(text, of=origins(left) | origins(right))


def scalar(value: Any) -> Any:
    if isinstance(value, Argument) and value.kind in ("scalar", "dtype"):
        return Number(value.argument, "value")
    if isinstance(value, Argument) and value.kind == "device":
        return Number(value.argument, "device")
    return value


def plain(text: str, prefixes: tuple[str, ...]) -> str:
    """A vendor's constant without its library's prefix: the same dtype has one name in each of its libraries."""
    text = text.rsplit("::", 1)[-1]
    for prefix in prefixes:
        if text.startswith(prefix):
            return text[len(prefix) :]
    return text


def constant(left: Any, sign: str, right: Any, text: str) -> Expression:
    if sign in ("==", "!="):
        return (left == right) is (sign == "==")
    try:
        return bool({"<": left < right, ">": left > right, "<=": left <= right, ">=": left >= right}[sign])
    except (TypeError, KeyError):
        return Unknown(text)


def is_dtype(value: Any) -> bool:
    return is_kind(value, "dtype", DTYPES)


def is_place(value: Any, devices: tuple[str, ...]) -> bool:
    return is_kind(value, "device", devices)


def is_kind(value: Any, what: str, among: tuple[str, ...]) -> bool:
    """Whether the value is a dtype, or a device, in whichever way it is known."""
    if isinstance(value, Choice):
        return all(is_kind(each, what, among) for _, each in value.options)
    if isinstance(value, Const):
        return value.value in among
    if isinstance(value, Number):
        return value.what == what
    return isinstance(value, Argument) and value.kind == what


KINDS = {
    "Float": "float32", "Double": "float64", "Half": "float16", "BFloat16": "bfloat16", "Char": "int8", "Byte": "uint8",
    "Short": "int16", "Int": "int32", "Long": "int64", "Bool": "bool", "ComplexFloat": "complex64",
    "ComplexDouble": "complex128", "ComplexHalf": "complex32", "Float32": "float32", "Float64": "float64",
    "Float16": "float16", "Int8": "int8", "UInt8": "uint8", "Int16": "int16", "Int32": "int32", "Int64": "int64",
    "U8": "uint8", "F32": "float32", "F16": "float16", "QInt8": "quantized", "QUInt8": "quantized",
    "Float8_e4m3fn": "float8_e4m3fn", "Float8_e5m2": "float8_e5m2",
}  # fmt: skip
TYPES = {
    "float": "float32", "double": "float64", "at::Half": "float16", "c10::Half": "float16", "Half": "float16",
    "at::BFloat16": "bfloat16", "c10::BFloat16": "bfloat16", "BFloat16": "bfloat16", "bool": "bool",
    "int8_t": "int8", "uint8_t": "uint8", "unsigned char": "uint8", "char": "int8", "signed char": "int8",
    "short": "int16", "int16_t": "int16", "int": "int32", "int32_t": "int32", "long": "int64", "int64_t": "int64",
    "long long": "int64", "c10::complex<float>": "complex64", "c10::complex<double>": "complex128",
    "at::Float8_e4m3fn": "float8_e4m3fn", "at::Float8_e5m2": "float8_e5m2",
}  # fmt: skip
FLOATING = ("float32", "float64", "float16", "bfloat16")
INTEGRAL = ("int8", "uint8", "int16", "int32", "int64")
COMPLEX = ("complex64", "complex128", "complex32")
assert set(KINDS.values()) <= set(DTYPES)
