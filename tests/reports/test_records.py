"""Which files are records, and what is said of those that are none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from porter.errors import WrongUsage
from porter.output import SCHEMA, heading
from porter.reports.records import KINDS, Field, load

from . import made


def test_what_the_commands_write_is_known(tmp_path: Path) -> None:
    found = [load(path).kind for path in made.write(tmp_path, made.everything())]
    assert found == ["verify", "verify", "necessity", "compare", "bench", "drift"]
    assert set(found) == set(KINDS)
    assert heading("bench")["schema"] == SCHEMA


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "is empty"),
        (b"  \n", "is empty"),
        (b"{", "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b'{"kind": "bench"', "is not JSON"),
        (b'{"commit": "a"}\n{"commit": "b"}\n', "is not JSON"),
        (b"[1]", "does not say what it is"),
        (b"7", "does not say what it is"),
        (b'{"target": "mlu"}', "does not say what it is"),
        (b'{"kind": ["verify"]}', "does not say what it is"),
        (b'{"kind": "doctor", "schema": 1}', "is of the kind 'doctor'"),
        (b'{"kind": "verify"}', "field 'schema'"),
        (b'{"kind": "verify", "schema": "1"}', "schema should be a count"),
        (b'{"kind": "verify", "schema": true}', "schema should be a count"),
        (b'{"kind": "verify", "schema": 99}', "has form 99"),
        (b'{"kind": "verify", "schema": 0}', "has form 0"),
        (b"[" * 100_000, "is not JSON"),
    ],
)
def test_no_record(data: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_bytes(data)
    with pytest.raises(WrongUsage) as caught:
        load(path)
    assert says in caught.value.what and str(path) in caught.value.what
    assert "porter verify --json" in caught.value.hint


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(WrongUsage, match="there is no"):
        load(tmp_path / "nothing.json")
    with pytest.raises(WrongUsage, match="is a folder"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("value", "ask", "says"),
    [
        ({"a": 1}, lambda f: f["b"], "the record should be an object with the field 'b', found"),
        ({"a": None}, lambda f: f["a"], "with the field 'a'"),
        ({"a": {"b": [1, "x"]}}, lambda f: f["a"]["b"].numbers(), 'a.b[1] should be a number, found "x"'),
        ({"a": [1, 2]}, lambda f: f["a"].numbers(3), "a should be a list of 3 numbers"),
        ({"a": True}, lambda f: f["a"].number(), "a should be a number, found true"),
        ({"a": -1}, lambda f: f["a"].count(), "a should be a count, found -1"),
        ({"a": 1.5}, lambda f: f["a"].count(), "a should be a count"),
        ({"a": 1}, lambda f: f["a"].text(), "a should be text"),
        ({"a": "b"}, lambda f: f["a"].text("c", "a c"), 'a should be a c, found "b"'),
        ({"a": "b"}, lambda f: f["a"].one_of(("c", "d")), "a should be one of c, d"),
        ({"a": ["c"]}, lambda f: f["a"].one_of(("c", "d")), "a should be one of c, d"),
        ({"a": 1}, lambda f: f["a"].flag(), "a should be true or false"),
        ({"a": 1}, lambda f: f["a"].entries(), "a should be a list"),
        ({"a": 1}, lambda f: f["a"].fields(), "a should be an object"),
        ({"a": "x" * 500}, lambda f: f["a"].count(), "…"),
        ([1], lambda f: f.get("a"), "the record should be an object"),
    ],
)
def test_a_field_is_named_with_its_file(value: Any, ask: Any, says: str) -> None:
    with pytest.raises(WrongUsage) as caught:
        ask(Field(value, Path("some.json")))
    assert says in f"{caught.value.what}, {caught.value.why}" and caught.value.what.startswith("some.json: ")
    assert len(caught.value.why) < 120


def test_values() -> None:
    field = Field(json.loads('{"n": NaN, "i": 3, "t": "x", "l": [1, 2.5], "o": {"p": false}, "z": null}'), Path("f"))
    assert field["n"].number() != field["n"].number()
    assert (field["i"].count(), field["t"].text("[xyz]"), field["l"].numbers(2)) == (3, "x", [1, 2.5])
    assert [(name, each.flag()) for name, each in field["o"].fields()] == [("p", False)]
    assert field.get("z") is None and field.get("nothing") is None
