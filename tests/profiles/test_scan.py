"""porter profile scan over a small plugin of our own: exactly what it registers, demands, and lacks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sources import git
from stacks import CHECKOUT

import porter

from .plugin import line, make

pytest.importorskip("tree_sitter")
pytest.importorskip("tree_sitter_cpp")

CHECKED = "torch_tpu/csrc/ops/native_ops/Checked.cpp"
UTILS = "torch_tpu/csrc/core/TPUTorchUtils.h"
DEVICES = "torch_tpu/tpu/devices.py"


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    return make(tmp_path / "plugin")


def scan(plugin: Path, card: str, *defines: str) -> dict[str, Any]:
    return json.loads(porter.profile.scan("tpu", plugin, card=card, defines=defines).json())


def at(text: str) -> str:
    return line(CHECKED, text)


def when(text: str, *atoms: tuple[int, str, str, Any]) -> dict[str, Any]:
    keys = ("argument", "what", "is", "value")
    return {"text": text, "test": [dict(zip(keys, each)) for each in atoms]}


def test_the_whole_record(plugin: Path) -> None:
    git("init", "-q", cwd=plugin)
    git("add", "-A", cwd=plugin)
    git("commit", "-qm", "plugin", cwd=plugin)
    found = scan(plugin, "bm1684x")
    operators, python = found.pop("operators"), found.pop("python")
    assert found == {
        "kind": "profile scan",
        "schema": 1,
        "target": "tpu",
        "plugin": "torch_tpu",
        "card": "bm1684x",
        "commit": git("rev-parse", "HEAD", cwd=plugin),
        "version": "1.2.3",
        "defines": ["BACKEND_1684X"],
        "process_group": {},
        "environment": {
            "CHIP_ARCH": line("torch_tpu/tpu/__init__.py", "CHIP_ARCH"),
            "MY_LIMIT": line("torch_tpu/csrc/tpu/Module.cpp", "MY_LIMIT"),
            "MY_MEMORY": line("torch_tpu/tpu/memory.py", "MY_MEMORY"),
        },
        "autocast": {"at": at("AutocastPrivateUse1"), "casts": {}},
    }
    assert python == {
        "torch.tpu.allocated": {"at": line("torch_tpu/tpu/memory.py", "def allocated"), "needs": [], "missing": []},
        "torch.tpu.device_count": {"at": line(DEVICES, "def device_count"), "needs": ["_count"], "missing": []},
        "torch.tpu.of_stream": {
            "at": line("torch_tpu/tpu/memory.py", "def of_stream"),
            "needs": ["torch_tpu.tpu.Stream"],
            "missing": ["torch_tpu.tpu.Stream"],
        },
        "torch.tpu.synchronize": {
            "at": line(DEVICES, "def synchronize"),
            "needs": ["_never", "_wait"],
            "missing": ["_never", "_wait"],
        },
    }
    assert set(operators) == {
        "aten::twice.out",
        "aten::half.out",
        "aten::elsewhere",
        "aten::total_more.out",
        "mine::added",
    }


def test_demands(plugin: Path) -> None:
    operators = scan(plugin, "bm1684x")["operators"]
    assert operators["aten::elsewhere"] == {"at": at('"elsewhere"'), "kernel": None, "demands": [], "host": []}
    assert operators["aten::twice.out"] == {
        "at": at('"twice.out"'),
        "kernel": at("&twice_out("),
        "demands": [
            {
                "argument": 0,
                "name": "self",
                "rule": "dtype",
                "dtypes": ["float32", "float16"],
                "at": line(UTILS, "no such kind"),
                "when": None,
            },
            {"argument": 0, "name": "self", "rule": "contiguous", "at": at("CHECK_ON_CARD(self);"), "when": None},
        ],
        "host": [],
    }
    strides = {"argument": 1, "name": "dim", "rule": "neighbours", "at": at("neighbours only"), "when": None}
    assert operators["aten::total_more.out"]["demands"] == [strides]
    assert operators["aten::total_more.out"]["at"] == at("REGISTER(total)")
    assert operators["mine::added"] == {
        "at": at('"added"'),
        "kernel": at("Tensor added("),
        "demands": [
            {
                "argument": 1,
                "name": "other",
                "rule": "contiguous",
                "at": at("CHECK_ON_CARD(other.value())"),
                "when": when("other value != None", (1, "value", "!=", None)),
            }
        ],
        "host": [],
        "raises": [{"at": at("no such mode"), "when": when("mode value == True", (2, "value", "==", True))}],
        "casts": [
            {
                "from": "int64",
                "to": "int32",
                "at": at("self.to(at::kInt)"),
                "when": when("self dtype == int64", (0, "dtype", "==", "int64")),
            }
        ],
    }


def test_trips_through_the_host(plugin: Path) -> None:
    half = scan(plugin, "bm1684x")["operators"]["aten::half.out"]
    empty, single = (0, "dim", "==", 0), (0, "numel", "==", 1)
    guarded = when("self dim == 0 && self numel == 1", empty, single)
    assert half["host"][0] == {"at": at("auto out_cpu = half"), "down": [0], "up": [0], "when": guarded}
    unread = half["host"][1:]
    assert {each["at"] for each in unread} == {at("launch(self.cpu())")}
    assert all(each["when"]["test"] is None and "?" in each["when"]["text"] for each in unread)
    assert all(each["down"] == [0] and each["up"] == [] for each in unread)
    (demand,) = {json.dumps({**each, "when": None}, sort_keys=True): each for each in half["demands"]}.values()
    assert (demand["rule"], demand["least"], demand["most"], demand["argument"]) == ("dimensions", 0, 4, 0)


def test_another_card_is_another_build(plugin: Path) -> None:
    found = scan(plugin, "sg2260", "EXTRA=2")
    assert found["defines"] == ["BACKEND_SG2260", "WITH_KERNELS", "EXTRA=2"]
    assert found["commit"] is None
    assert found["process_group"] == {
        "sccl": {
            "at": line("torch_tpu/csrc/distributed/c10d/ProcessGroupSCCL.cpp", "register_backend"),
            "maker": line("torch_tpu/csrc/distributed/c10d/ProcessGroupSCCL.cpp", "::make(const"),
            "options": "required",
        }
    }
    assert found["operators"]["aten::twice.out"]["demands"][0]["rule"] == "dtype"
    assert len(found["operators"]["aten::twice.out"]["demands"]) == 1  # contiguity is not asked for in that build
    joined = found["operators"]["aten::joined.out"]
    assert joined["host"] == [
        {"at": at("look(tensor.cpu()"), "down": [0], "up": [], "when": None},
        {"at": at("look(tensor.cpu()"), "down": [2], "up": [], "when": None, "each": 0},
    ]
    assert joined["replaces"] == [{"argument": 2, "at": at("out = launch(tensors)"), "when": None}]
    assert "torch.tpu.Stream" in found["python"]
    assert found["python"]["torch.tpu.of_stream"]["missing"] == []
    assert found["python"]["torch.tpu.synchronize"]["missing"] == ["_never"]


def test_the_same_source_gives_the_same_bytes(plugin: Path) -> None:
    first, second = (porter.profile.scan("tpu", plugin, card="bm1684x").json() for _ in range(2))
    assert first == second
    assert max(map(len, first.splitlines())) < 250


# -- the command line ----------------------------------------------------------------------------------------------


def run(*words: object, path: str = str(CHECKOUT)) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "porter", "profile", *map(str, words)]
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def inherited() -> str:
    return os.pathsep.join([str(CHECKOUT), *filter(None, [os.environ.get("PYTHONPATH")])])


def test_what_is_printed(plugin: Path, tmp_path: Path) -> None:
    file = tmp_path / "facts.json"
    done = run("scan", "--target", "tpu", plugin, "--card", "bm1684x", "--json", file, path=inherited())
    assert done.returncode == 0, done.stderr
    assert "5  operators" in done.stdout and "torch.tpu.synchronize: _never, _wait" in done.stdout
    assert "aten::elsewhere" in done.stdout.split("could not be read")[1]
    assert json.loads(file.read_text())["operators"].keys() == scan(plugin, "bm1684x")["operators"].keys()
    only = run("scan", "--target", "tpu", plugin, "--card", "bm1684x", "--json", "-", path=inherited())
    assert only.stdout == file.read_text()


@pytest.mark.parametrize(
    ("words", "what", "hint"),
    [
        (["--target", "tpu", "FOLDER"], "is no checkout of torch_tpu", "git clone"),
        (["--target", "tpu", "FOLDER/nothing"], "there is no such folder", "git clone"),
        (["--target", "hpu", "FOLDER"], "porter cannot read the plugin of hpu", "--target tpu"),
    ],
)
def test_wrong_usage(words: list[str], what: str, hint: str, tmp_path: Path) -> None:
    done = run("scan", *(word.replace("FOLDER", str(tmp_path)) for word in words), path=inherited())
    assert done.returncode == 2
    assert what in done.stderr and hint in done.stderr


def test_a_card_that_the_plugin_is_not_built_for(plugin: Path) -> None:
    done = run("scan", "--target", "tpu", plugin, "--card", "bm1690", path=inherited())
    assert done.returncode == 2
    assert "not built for bm1690" in done.stderr and "bm1684x, sg2260" in done.stderr


def test_without_tree_sitter(plugin: Path, tmp_path: Path) -> None:
    """A module of that name that cannot be imported stands before the installed one."""
    (tmp_path / "shadow").mkdir()
    (tmp_path / "shadow" / "tree_sitter.py").write_text("raise ImportError('not installed')\n")
    path = os.pathsep.join([str(tmp_path / "shadow"), inherited()])
    done = run("scan", "--target", "tpu", plugin, path=path)
    assert done.returncode == 3
    assert 'pip install "tree-sitter' in done.stderr
