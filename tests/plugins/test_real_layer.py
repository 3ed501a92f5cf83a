"""torch_npu's own Python, over libraries that stand in for CANN's: what we use of it is there, as we use it.

The emulated Ascend910B is compared with it name by name.  Nothing of the card is shown: the libraries are empty.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from porter.emulator import environment, load_profile

from . import wheels

pytestmark = pytest.mark.device
NAMES = Path(__file__).with_name("drivers") / "names.py"
# what the tree and porter's drivers do with objects that functions of the module gave them: name -> positional
# arguments (the object itself is the first of a method), names of the others
_BESIDE = {
    "Event": (0, ["enable_timing"]),
    "Event.record": (1, []),
    "Event.synchronize": (1, []),
    "Event.elapsed_time": (2, []),
    "amp.autocast": (0, []),
    "amp.GradScaler": (0, ["enabled"]),
    "amp.GradScaler.scale": (2, []),
    "amp.GradScaler.unscale_": (2, []),
    "amp.GradScaler.step": (2, []),
    "amp.GradScaler.update": (1, []),
    "amp.GradScaler.state_dict": (1, []),
    "amp.GradScaler.load_state_dict": (2, []),
    "initial_seed": (0, []),  # drivers/probe.py
    "is_available": (0, []),  # drivers/interpreter.py
    "device_count": (0, []),
    "get_device_name": (1, []),
}


def ask(python: Path | str, **variables: str) -> Any:
    env = {**os.environ, "TORCH_DEVICE_BACKEND_AUTOLOAD": "0", **variables}
    done = subprocess.run([str(python), NAMES], env=env, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def real(torch_npu: Path, cann: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    python = wheels.interpreter(tmp_path_factory.mktemp("real") / "env", torch_npu)
    return ask(python, LD_LIBRARY_PATH=str(cann))


@pytest.fixture(scope="module")
def emulated(built_emulator: Path, emulator_cache: Path) -> Any:
    card = load_profile("ascend910b")
    return ask(sys.executable, **environment(card, cache=emulator_cache, built=built_emulator, base={}))


def test_it_is_the_real_one(real: Any) -> None:
    assert "emulated" not in real["version"] and len(real["names"]) > 1000
    assert real["available"] is False  # the count of devices that our libraries tell


def test_what_the_emulation_offers_the_plugin_has(real: Any, emulated: Any) -> None:
    """Public names; those that begin with an underscore are between torch and its plugins."""
    assert emulated["version"].endswith("+emulated")
    more = {name for name in emulated["names"] if name not in real["names"]}
    facts = {name.rpartition(".")[2] for name in load_profile("ascend910b").facts["python"]}
    if wheels.RELEASE != (2, 1):  # the emulated device is the plugin for torch 2.1, which had what newer ones dropped
        more -= facts
    assert not more, "the emulation offers what torch_npu has not"
    alike = ("same", "methods", "backend", "type", "scaler")
    assert {name: emulated[name] for name in alike} == {
        **{name: real[name] for name in alike},
        "scaler": emulated["scaler"],
    }
    assert (real["type"], real["backend"], real["methods"]) == ("npu", "hccl", [True, True, True])
    assert real["scaler"] == "torch_npu", "which npu/2 is for"


def test_whatever_call_the_emulation_takes_the_plugin_takes(real: Any, emulated: Any) -> None:
    wrong = [
        f"{name}: {why}"
        for name, ours in emulated["names"].items()
        for why in [misfit(ours, real["names"].get(name))]
        if why
    ]
    assert not wrong, "\n".join(wrong)


def test_each_call_of_the_tree_fits_the_plugin(real: Any, emulated: Any, tree: Path) -> None:
    calls = {**_BESIDE, **module_calls(tree)}
    assert {"synchronize", "empty_cache", "manual_seed_all", "set_device", "get_device_properties"} <= set(calls)
    for name, (count, words) in calls.items():
        for where, found in ("torch_npu", real), ("the emulation", emulated):
            assert name in found["names"], f"torch.npu.{name} is not in {where}"
            assert takes(found["names"][name], count, words), f"{where}: {name} takes no {count} arguments, {words}"


def module_calls(tree: Path) -> dict[str, tuple[int, list[str]]]:
    """The device's functions that the accelerators call, by ``self.call('name', ...)`` and its like."""
    found = {}
    for path in [tree / "utils" / "accelerator" / "base.py", tree / "utils" / "accelerator" / "npu.py"]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "call":
                name, *arguments = node.args
                if isinstance(name, ast.Constant):
                    found[str(name.value)] = (len(arguments), [])
    return found


POSITIONAL = ("POSITIONAL_ONLY", "POSITIONAL_OR_KEYWORD")


def span(parameters: list[list[Any]]) -> tuple[int, int]:
    """How many arguments by position it takes, at least and at most."""
    ours = [optional for _, kind, optional in parameters if kind in POSITIONAL]
    most = 99 if any(kind == "VAR_POSITIONAL" for _, kind, _ in parameters) else len(ours)
    return ours.count(False), most


def named(parameters: list[list[Any]]) -> set[str]:
    """What a call may give by name; a method's object is never given so."""
    return {
        name for name, kind, _ in parameters if kind in ("KEYWORD_ONLY", "POSITIONAL_OR_KEYWORD") and name != "self"
    }


def misfit(ours: list[list[Any]] | None, theirs: list[list[Any]] | None) -> str:
    """What a call of the emulation's may be that the plugin does not take; empty if there is nothing to say."""
    if ours is None or theirs is None:
        return ""
    (least, most), (least_there, most_there) = span(ours), span(theirs)
    known = {name for name, kind, _ in theirs if kind != "POSITIONAL_ONLY"}
    if named(ours) - known and not any(kind == "VAR_KEYWORD" for _, kind, _ in theirs):
        return f"{', '.join(sorted(named(ours) - known))} is no argument there"
    if most == 99:  # it hands them on
        return ""
    return (
        "" if least_there <= least and most <= most_there else f"{least} to {most}, there {least_there}, {most_there}"
    )


def takes(parameters: list[list[Any]] | None, count: int, words: list[str]) -> bool:
    if parameters is None:  # a function of C
        return True
    least, most = span(parameters)
    names = {name for name, kind, _ in parameters if kind in ("POSITIONAL_OR_KEYWORD", "KEYWORD_ONLY")}
    anything = any(kind == "VAR_KEYWORD" for _, kind, _ in parameters)
    return least <= count + len(words) and count <= most and (anything or set(words) <= names)


def test_a_tree_says_that_it_finds_no_device(torch_npu: Path, cann: Path, tree: Path, tmp_path: Path) -> None:
    """The whole way through the real layer that there is without a card."""
    python = wheels.interpreter(tmp_path / "env", torch_npu)
    env = {**os.environ, "LD_LIBRARY_PATH": str(cann)}
    command = [python, tree / "train.py", "--device", "npu", "--weights", "", "--cfg", "yolov5n.yaml"]
    done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    assert "--device npu: torch_npu finds 0 npu devices, index 0 was asked for" in done.stderr.splitlines()
