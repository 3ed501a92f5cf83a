"""The records that a page is made of: read from files, known by what they say they are, and looked at field by field.

Every record begins with ``kind``, one of :data:`KINDS`, and ``schema``, the number of its form.  A field that is not
what it has to be is named with its file, so that a page is right or is not written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NoReturn, Protocol, TypeVar

from porter.errors import WrongUsage, refused
from porter.output import SCHEMA

KINDS = ("verify", "necessity", "compare", "bench", "drift")
_WRITES = "porter verify --json FILE, drift --json FILE, compare --json > FILE and bench --json > FILE write records."
_MOST = 64 << 20  # bytes of a file: a record has a few hundred thousand


@dataclass(frozen=True)
class Field:
    """A value in a record, with the file and the names that lead to it.

    Every method raises WrongUsage where the value is not what is asked for.
    """

    value: Any
    file: Path
    path: str = ""

    def fail(self, expected: str) -> NoReturn:
        """Complain about this value."""
        shown = json.dumps(self.value, ensure_ascii=False)
        found = shown if len(shown) <= 80 else f"{shown[:79]}…"
        raise WrongUsage(
            f"{self.file}: {self.path or 'the record'} should be {expected}",
            f"found {found}",
            f"The record is damaged, or something else wrote it. {_WRITES}",
        )

    def __getitem__(self, name: str) -> Field:
        """A field that has to be there."""
        found = self.get(name)
        if found is None:
            self.fail(f"an object with the field {name!r}")
        return found

    def get(self, name: str) -> Field | None:
        """A field that may be missing; null counts as missing."""
        if not isinstance(self.value, dict):
            self.fail("an object")
        found = self.value.get(name)
        return None if found is None else Field(found, self.file, f"{self.path}.{name}".lstrip("."))

    def fields(self) -> list[tuple[str, Field]]:
        """An object's fields."""
        if not isinstance(self.value, dict):
            self.fail("an object")
        return [
            (name, Field(value, self.file, f"{self.path}.{name}".lstrip("."))) for name, value in self.value.items()
        ]

    def entries(self) -> list[Field]:
        """A list's items."""
        if not isinstance(self.value, list):
            self.fail("a list")
        return [Field(value, self.file, f"{self.path}[{n}]") for n, value in enumerate(self.value)]

    def text(self, pattern: str = "", expected: str = "text") -> str:
        """A text, the whole of which matches a pattern if one is given."""
        if not isinstance(self.value, str) or (pattern and not re.fullmatch(pattern, self.value)):
            self.fail(expected)
        return self.value

    def one_of(self, names: Iterable[str]) -> str:
        """One of several texts."""
        names = tuple(names)
        if self.value not in names:
            self.fail(f"one of {', '.join(names)}")
        return str(self.value)

    def number(self) -> float:
        """A number; NaN and infinity are some."""
        if isinstance(self.value, bool) or not isinstance(self.value, (int, float)):
            self.fail("a number")
        return self.value

    def count(self) -> int:
        """A whole number that is not negative."""
        if isinstance(self.value, bool) or not isinstance(self.value, int) or self.value < 0:
            self.fail("a count")
        return self.value

    def flag(self) -> bool:
        """True or false."""
        if not isinstance(self.value, bool):
            self.fail("true or false")
        return self.value

    def numbers(self, size: int = 0) -> list[float]:
        """A list of numbers, so many if that is asked for."""
        found = [field.number() for field in self.entries()]
        if size and len(found) != size:
            self.fail(f"a list of {size} numbers")
        return found


T = TypeVar("T")
# by the annotation
_READ: dict[str, Callable[[Field], object]] = {"str": Field.text, "float": Field.number}


def filled(kind: type[T], field: Field, **given: object) -> T:
    """A dataclass of a record's values: of what is not given, those of its names, texts and numbers."""
    names = [(each.name, str(each.type)) for each in fields(kind) if each.name not in given]  # type: ignore[arg-type]
    return kind(**{name: _READ[what](field[name]) for name, what in names}, **given)


@dataclass(frozen=True)
class Record:
    """One record: what it is and its fields."""

    kind: str
    field: Field

    @property
    def order(self) -> tuple[object, ...]:
        """Where it stands on a page, whatever the order in which records were given."""
        value = self.field.value
        about = (str(value.get("target") or value.get("stack") or ""), str(value.get("device", "")))
        return KINDS.index(self.kind), *about, str(value.get("date", "")), json.dumps(value, sort_keys=True)


def load(path: Path) -> Record:
    """The record in a file.

    Raises:
        WrongUsage: there is no such file, or it is none of porter's records.
        EnvironmentFailed: it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(_MOST + 1)
    except (FileNotFoundError, IsADirectoryError) as error:
        what = f"there is no {path}" if isinstance(error, FileNotFoundError) else f"{path} is a folder"
        raise WrongUsage(what, hint=_WRITES) from error
    except OSError as error:
        raise refused(f"cannot read {path}", error) from error
    if len(data) > _MOST:
        raise WrongUsage(f"{path} is no record: it has more than {_MOST >> 20} MB", hint=_WRITES)
    if not data.strip():
        raise WrongUsage(f"{path} is empty", "What was to write it may have failed.", _WRITES)
    try:
        value = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise WrongUsage(f"{path} is not JSON", str(error), _WRITES) from error
    return of(value, path)


class Recorded(Protocol):
    """What verify, necessity, compare, bench and drift return."""

    def record(self) -> dict[str, Any]:
        """Itself as plain data."""


def of_result(result: Recorded) -> Record:
    """The record of what one of porter's functions returned, as its file would hold it."""
    return of(json.loads(json.dumps(result.record())), Path("this run"))


def of(value: Any, path: Path) -> Record:
    """The record in plain data, which ``path`` held.

    Raises:
        WrongUsage: it is none of porter's records.
    """
    if not isinstance(value, Mapping) or not isinstance(value.get("kind"), str):
        raise WrongUsage(
            f"{path} does not say what it is: a record of porter's has a field 'kind'",
            hint=f"If an older porter wrote it, write it again. {_WRITES}",
        )
    field, kind = Field(value, path), str(value["kind"])
    if kind not in KINDS:
        raise WrongUsage(f"{path} is of the kind {kind!r}, which no page shows", hint=_WRITES)
    schema = field["schema"].count()
    if schema != SCHEMA:
        newer = "a newer porter wrote it: update porter" if schema > SCHEMA else "an older porter wrote it"
        raise WrongUsage(f"{path} has form {schema} of a record of {kind}, not {SCHEMA}", newer, _WRITES)
    return Record(kind, field)
