"""What calls that raised have in common: the rule that a recorded card is emulated by."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import porter
from porter.emulator.profiles import recorded_profile
from porter.emulator.recorded import facts, read_record
from porter.errors import WrongUsage


def tensor(*shape: int, dtype: str = "float32", **more: Any) -> dict[str, Any]:
    return {"tensor": dtype, "shape": list(shape), **more}


def ran(*arguments: Any) -> dict[str, Any]:
    return {"state": "runs", "arguments": list(arguments)}


def raised(*arguments: Any, error: str = "RuntimeError", message: str = "no") -> dict[str, Any]:
    return {"state": "raises", "error": error, "message": message, "arguments": list(arguments)}


def record(*calls: dict[str, Any], name: str = "aten::x") -> dict[str, Any]:
    plugin = {"module": "torch_bar", "version": "1"}
    return {
        "kind": "card record",
        "schema": 1,
        "target": "bar",
        "card": "BAR 1",
        "plugin": plugin,
        "torch": "2.4",
        "surface": {},
        "operators": {name: list(calls)},
    }


def rules(*calls: dict[str, Any]) -> list[tuple[Any, ...]]:
    entry = facts(record(*calls), "0" * 64)["operators"]["aten::x"]
    demands = [(each["rule"], each["argument"]) for each in entry["demands"]]
    return demands + [each["when"] and each["when"]["text"] for each in entry["raises"]] + entry.get("unread", [])


STRIDED = tensor(4, 3, stride=[1, 4])
HALF = tensor(4, 3, dtype="float16")


@pytest.mark.parametrize(
    ("calls", "found"),
    [
        ([ran(tensor(4, 3)), ran(STRIDED)], []),
        ([raised(tensor(4, 3)), raised(HALF)], [None]),
        ([ran(tensor(4, 3)), raised(STRIDED), raised(tensor(5, 2, stride=[1, 5]))], [("contiguous", 0)]),
        ([ran([tensor(4, 3)]), raised([tensor(4, 3), STRIDED])], [("contiguous", 0)]),
        ([ran([tensor(4, 3)]), raised([tensor(4, 3), HALF])], [("dtype", 0)]),
        ([ran(tensor(4, 3)), raised(HALF)], ["argument 0 dtype == float16"]),
        ([ran(tensor(4, 3)), ran(tensor(2)), raised(tensor(1, 2, 3, 4, 5))], ["argument 0 dim == 5"]),
        ([ran(tensor(2, 3, 4, 5), [2, 3]), raised(tensor(2, 3, 4, 5), [0, 2, 3])], [("neighbours", 1)]),
        ([ran(tensor(4, 3), 1), raised(tensor(4, 3), 0)], ["argument 1 value == 0"]),
        (
            [ran(HALF, 1), ran(tensor(4, 3), 0), raised(HALF, 0)],
            ["argument 0 dtype == float16 and argument 1 value == 0"],
        ),
        ([ran(tensor(4, 3)), raised(tensor(4, 4))], ["argument 0 numel == 16"]),
        ([ran(tensor(4, 3)), raised(tensor(3, 4), message="shape")], ["shape"]),  # no condition asks of a shape
        ([ran(tensor(4, 3)), raised(HALF), raised(tensor(2, 2, 2), message="dims")], 2),
    ],
)
def test_the_simplest_rule_that_nothing_contradicts(calls: list[dict[str, Any]], found: Any) -> None:
    made = rules(*calls)
    assert len(made) == found if isinstance(found, int) else made == found


@pytest.mark.parametrize("state", ["crashes", "hangs", "unmade"])
def test_what_ends_the_process_is_refused(state: str) -> None:
    entry = facts(record({"state": state, "arguments": [tensor(2)]}), "0")["operators"]["aten::x"]
    assert entry["raises"][0]["error"] == "RuntimeError" and "aten::x" in entry["raises"][0]["message"]


def written(path: Path, content: Any) -> Path:
    file = path / "card.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"kind": "profile"}', {**record(), "operators": []}, {**record(), "operators": {"x": [1]}}],
)
def test_what_is_no_record(tmp_path: Path, content: Any) -> None:
    with pytest.raises(WrongUsage, match="no record of a card"):
        read_record(written(tmp_path, content))


RICH = {
    **record(ran(tensor(4, 3, stride=[1, 4]), [2, 3], None, 1), raised(tensor(2), [0, 2], {"dtype": "int8"}, 0)),
    "surface": {
        "names": {"state": "runs", "value": {"module": ["Event"], "options": [1]}},
        "function get_device_properties": {"state": "runs", "value": {"total_memory": 5}},
        "function memory_stats": {"state": "runs", "value": {"a": 1}},
        "function current_device": {"state": "raises", "error": "RuntimeError", "message": "no"},
        "event": {"state": "runs", "value": {"hardware_time": True}},
        "autocast conv2d": {"state": "runs", "value": "float16"},
        "group bar": {"state": "raises", "error": "TypeError", "message": "no"},
    },
}


def damaged(value: Any) -> Iterator[Any]:
    """A record with one of its parts, down to the last, something else."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for place, part in parts:
        for other in (None, "x", [5], {"x": {}}, 2**70):
            made = copy.copy(value)
            made[place] = other
            yield made
        for inner in damaged(part):
            made = copy.copy(value)
            made[place] = inner
            yield made


def test_a_strangers_record_is_read_or_refused(tmp_path: Path) -> None:
    deep = tmp_path / "deep.json"
    deep.write_text("[" * 200_000)
    good = tmp_path / "good.json"
    good.write_text(json.dumps(RICH))
    refused, records = 0, list(damaged(RICH))
    for content in records:
        file = written(tmp_path, content)
        try:
            recorded_profile(file, "bar", "torch_bar", ["gloo"], [])
            porter.profile.diff(good, file)
        except WrongUsage as error:
            assert str(file) in error.what
            refused += 1
    assert 100 < refused < len(records)
    with pytest.raises(WrongUsage, match="no record of a card"):
        read_record(deep)


def test_a_card_of_another_target(tmp_path: Path) -> None:
    file = written(tmp_path, record(ran(tensor(2))))
    with pytest.raises(WrongUsage, match="BAR 1"):
        recorded_profile(file, "foo", "torch_foo", ["gloo"], [])
    card = recorded_profile(file, "bar", "torch_bar", ["gloo"], [], "inside")
    assert (card.device, card.operators, card.recorded) == ("EMULATED BAR 1", None, True)
    assert card.data["real"]["folder"] == "inside"
    assert (card.standing("aten::x"), card.standing("aten::y")) == ("known", "assumed")
