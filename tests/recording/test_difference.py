"""porter profile diff: what changed between two versions of a plugin."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner

import porter
from porter.commands.profile import command
from porter.recording.difference import difference

from .test_facts import STRIDED, raised, ran, record, tensor

FIRST = {
    **record(ran(tensor(4, 3)), raised(STRIDED), {**ran(tensor(2)), "inside": 2, "figures": {"exact": True}}),
    "surface": {
        "names": {"state": "runs", "value": {"module": ["Event", "old"], "amp": []}},
        "function memory_allocated": {"state": "raises", "error": "KeyError", "message": "'x'"},
    },
}


def changed() -> dict[str, Any]:
    second = copy.deepcopy(FIRST)
    second["plugin"]["version"] = "2"
    first, strided, vector = second["operators"]["aten::x"]
    first.update(raised(tensor(4, 3)))
    strided.clear()
    strided.update(ran(STRIDED))
    vector.pop("inside")
    vector["figures"] = {"absolute": 0.5, "ulps": 9.0, "nan": 1, "inf": 0, "outside": True}
    second["surface"]["names"]["value"]["module"] = ["Event", "new"]
    second["surface"]["function memory_allocated"] = {"state": "runs"}
    return second


def test_nothing() -> None:
    found = difference(FIRST, copy.deepcopy(FIRST))
    assert (found.changes, found.compared, found.alone) == ((), 3, 0)


def test_everything() -> None:
    found = difference(FIRST, changed())
    said = [(each.what, each.name, each.before, each.after) for each in found.changes]
    assert said == [
        (
            "version",
            "plugin",
            '{"module": "torch_bar", "version": "1"}',
            '{"module": "torch_bar", "version": "2"}',
        ),
        ("surface", "memory_allocated", "KeyError: 'x'", "runs"),
        ("surface", "module old", "there", "not there"),
        ("surface", "module new", "not there", "there"),
        ("outcome", "aten::x", "runs", "RuntimeError: no"),
        ("outcome", "aten::x", "RuntimeError: no", "runs"),
        ("error", "aten::x", "as the CPU", "error 0.5, 9 ULPs, 1 NaN, 0 Inf"),
        ("copies", "aten::x", '{"inside": 2}', "{}"),
    ]
    assert [times for _, times in found.grouped()] == [1, 1, 1, 1, 2, 1, 1]


def test_what_an_emulated_device_adds_is_no_change() -> None:
    first = record(raised(tensor(2), message="no [EMULATED BAR: aten::x, f.cpp:1]"))
    assert not difference(first, record(raised(tensor(2)))).changes


def test_the_command(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a.json", "b.json")]
    for file, content in zip(files, (FIRST, changed())):
        file.write_text(json.dumps(content))
    words = ["diff", *map(str, files)]
    done = CliRunner().invoke(command, words)
    assert done.exit_code == 1 and "8 changes; 3 calls are in both records" in done.output
    assert "outcome  aten::x float32[4, 3]  and 1 call more of it" in done.output
    read = json.loads(CliRunner().invoke(command, [*words, "--json"]).output)
    assert read["kind"] == "profile-diff" and len(read["changes"]) == 8
    assert len(porter.profile.diff(*files).changes) == 8
    same = CliRunner().invoke(command, ["diff", words[1], words[1]])
    assert same.exit_code == 0 and "0 changes" in same.output
    assert CliRunner().invoke(command, ["diff", words[1], str(tmp_path)]).exit_code != 0
