"""Cambricon's own builds of PyTorch 1.6 and 1.9: their plugin has other names than the one for PyTorch 2.

A package stands in for the plugin, of names and units that Cambricon/catch (2625da3, torch 1.6) and its model zoo
(0eb64c9, tools/utils/metric.py) have; torch is the real one.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from .harness import Tree
from .jobs import Shop

OLD = """
import sys
import types

import torch


class Notifier:
    placed = []

    def place(self, queue=None):
        Notifier.placed.append(self)

    def synchronize(self):
        pass

    def hardware_time(self, end):
        return 2500.0 if Notifier.placed[-2:] == [self, end] else -1.0


class Event:  # of torch 1.9: it tells the time between two, not the hardware's
    def __init__(self, enable_timing=False):
        raise AssertionError("an Event was used")


def module(name, **values):
    made = types.ModuleType(name)
    vars(made).update(values)
    sys.modules[name] = made
    return made


torch.is_mlu_available = lambda: True
torch.mlu = types.SimpleNamespace(Event=Event)
properties = types.SimpleNamespace(name="MLU370", total_memory=24 << 30)
module("torch_mlu.core")
module("torch_mlu.core.mlu_model", device_count=lambda: 1, get_device_properties=lambda index: properties)
module("torch_mlu.core.device")
module("torch_mlu.core.device.notifier", Notifier=Notifier)
"""
LATER = """
torch.mlu = types.SimpleNamespace(
    amp=types.ModuleType("amp"), get_device_properties=lambda index: properties, is_available=lambda: True)
del torch.is_mlu_available, sys.modules["torch_mlu.core.device.notifier"], sys.modules["torch_mlu.core.mlu_model"]
class Event:
    def __init__(self, enable_timing=False):
        assert enable_timing
    def record(self): pass
    def synchronize(self): pass
    def hardware_time(self, end): return 1500.0
torch.mlu.Event = Event
"""


def found(shop: Shop, tree: Tree, folder: Path, plugin: str, cards: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the tree makes of a plugin, and the benchmark file that it writes; ``cards``: what the driver calls them."""
    (folder / "torch_mlu").mkdir()
    (folder / "torch_mlu" / "__init__.py").write_text(plugin)
    for number, card in enumerate(cards):
        place = folder / "driver" / str(number)
        place.mkdir(parents=True)
        (place / "information").write_text(f"Device name: {card}\nDevice inode path: /dev/cambricon_dev{number}\n")
    cwd = shop.lab.folder("mlu-builds")
    env = {"PYTHONPATH": str(folder), "BENCHMARK_LOG": str(cwd / "log")}
    run = shop.lab.driver(tree, "mlu_builds.py", folder / "driver" / "*" / "information", cwd=cwd, env=env).ok()
    return json.loads(run.out.splitlines()[-1]), json.loads((cwd / "log").read_text())


@pytest.mark.trees("mlu")
def test_the_builds_of_torch_1_6_and_1_9(shop: Shop, tree: Tree, tmp_path: Path) -> None:
    """No torch.mlu.amp: Cambricon's model zoo takes torch.cuda.amp.  Notifier, for that Event has no hardware_time."""
    made, log = found(shop, tree, tmp_path, OLD, ["MLU370-X8", "MLU370-X8"])
    assert made["available"] and made["amp"] == "torch.cuda.amp"
    assert (made["timer"], made["seconds"]) == ("NotifierTimer", pytest.approx(0.0025))
    assert made["shown"] == ["MLU:0 (MLU370-X8, 24576.0MB)"]
    assert log["device"] == "MLU370-X8", "the vendor's metric.py writes the driver's Device name"


@pytest.mark.trees("mlu")
def test_the_plugin_for_torch_2(shop: Shop, tree: Tree, tmp_path: Path) -> None:
    made, log = found(shop, tree, tmp_path, OLD + LATER, [])
    assert made["available"] and made["amp"] == "own"
    assert (made["timer"], made["seconds"]) == ("HardwareTimer", pytest.approx(0.0015))
    assert log["device"] == "MLU370", "no driver says more"


@pytest.mark.trees("mlu")
def test_another_vendors_driver_names_no_mlu(shop: Shop, tree: Tree, tmp_path: Path) -> None:
    _, log = found(shop, tree, tmp_path, OLD, ["GeForce", "MLU370-S4"])
    assert log["device"] == "MLU370-S4"


def interpreters() -> list[Path]:
    """The Pythons that Cambricon's byte code is of, among pyenv's versions."""
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    return [path for path in sorted(root.glob("3.[67].*/bin/python")) if os.access(path, os.X_OK)]


COMPILE = """
import pathlib, sys
for file in sys.stdin.read().split(chr(0)):
    compile(pathlib.Path(file).read_bytes(), file, 'exec', dont_inherit=True)
"""


@pytest.mark.trees("mlu")
def test_every_file_compiles_with_the_vendors_pythons(tree: Tree) -> None:
    """The parser of a newer Python asked for 3.6 lets things pass: walrus, positional-only arguments, f'{x=}'."""
    pythons = interpreters()
    if not pythons:
        pytest.skip("pyenv has no Python 3.6 or 3.7 here")
    files = [str(file) for file in sorted(tree.path.rglob("*.py"))]
    assert len(files) > 35
    for python in pythons:
        done = subprocess.run([python, "-I", "-c", COMPILE], input="\0".join(files), capture_output=True, text=True)
        assert done.returncode == 0, f"{python}: {done.stderr}"
