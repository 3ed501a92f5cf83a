"""What a verification runs on: told by what the plugin really does, a vendor's simulator apart from a card.

Two devices of torch's own stand in for a plugin's: ``meta``, on which a tensor can be made and which has no module
torch.meta, and PrivateUse1 under a name of its own, on which none can be made.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from stacks import CHECKOUT

from porter.diagnosis.interpreter import examine
from porter.errors import EnvironmentFailed
from porter.target import Plugin, Target
from porter.verification.device import choose

# torch renames PrivateUse1 from 2.0 on: the marker is `device`, which asks for 2.1
RENAMES = "import torch\ntorch.utils.rename_privateuse1_backend('bar')\n"


def target(name: str, folder: Path, text: str, monkeypatch: pytest.MonkeyPatch, *probe: str) -> Target:
    """A target whose plugin is torch_NAME, a module of this text."""
    (folder / f"torch_{name}.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.delenv("FOO_EMULATOR_PATH", raising=False)
    shipped = Target.load(CHECKOUT / "patches" / "tpu")
    plugin = Plugin(f"torch_{name}", "its vendor", "https://example.invalid", "")
    probes = probe or (f"torch.{name}.is_available()",)
    return replace(shipped, name=name, plugin=plugin, probe=probes, emulated=(), simulator=("FOO_EMULATOR_PATH",))


def test_a_plugin_without_the_probe_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = choose("auto", target("meta", tmp_path, "", monkeypatch), sys.executable)
    assert (found.kind, found.name, found.mark, found.vendors) == ("hardware", "meta", "", True)
    assert found.says.endswith(" (it works; torch_meta has no torch.meta.is_available)")


@pytest.mark.device
def test_a_plugin_without_the_probe_on_which_nothing_can_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(EnvironmentFailed) as raised:
        choose("hardware", target("bar", tmp_path, RENAMES, monkeypatch), sys.executable)
    assert "torch_bar loads, but has no torch.bar.is_available, and a tensor on bar raises " in raised.value.why
    assert "finds no device" not in raised.value.why and "does not load" not in raised.value.why


def test_a_probe_may_be_in_any_module_of_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As torch.backends.mps.is_available() is; what torch lacks on the way to the function is lacking like it."""
    text = "import torch, types\ntorch.backends.mine = types.SimpleNamespace(is_available=lambda: {})\n"
    probes = ("torch.backends.other.is_available()", "torch.backends.mine.is_available()")
    there = target("meta", tmp_path, text.format(True), monkeypatch, *probes)
    found = choose("hardware", there, sys.executable)
    assert found.kind == "hardware" and "it works" not in found.says
    none = target("meta", tmp_path, text.format(False), monkeypatch, *probes)
    with pytest.raises(EnvironmentFailed) as raised:
        choose("hardware", none, sys.executable)
    assert raised.value.why == "torch_meta finds no device"


def test_a_probe_that_raises_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "import torch\ntorch.is_bar_available = lambda: 1 // 0\n"
    wanted = target("bar", tmp_path, text, monkeypatch, "torch.is_bar_available()")
    with pytest.raises(EnvironmentFailed) as raised:
        choose("hardware", wanted, sys.executable)
    assert raised.value.why.startswith("torch.is_bar_available() raises ZeroDivisionError")


def test_a_vendors_simulator_is_never_hardware(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = target("meta", tmp_path, "", monkeypatch)
    with pytest.raises(EnvironmentFailed, match="no meta simulator is to be had"):
        choose("simulator", wanted, sys.executable)
    monkeypatch.setenv("FOO_EMULATOR_PATH", "/opt/cmodel.so")
    for kind in "auto", "simulator":
        found = choose(kind, wanted, sys.executable)
        assert (found.kind, found.mark, found.vendors) == ("simulator", "SIMULATOR", True)
        assert found.says.startswith("SIMULATOR ")
    with pytest.raises(EnvironmentFailed) as raised:
        choose("hardware", wanted, sys.executable)
    assert "FOO_EMULATOR_PATH is set" in raised.value.why and "unset FOO_EMULATOR_PATH" in raised.value.hint


@pytest.mark.device
def test_doctor_says_what_the_plugin_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    works, not_ = target("meta", tmp_path, "", monkeypatch), target("bar", tmp_path, RENAMES, monkeypatch)
    plugins = examine(sys.executable, [works, not_]).plugins
    assert plugins["meta"].available and plugins["meta"].lacks == "torch.meta.is_available"
    assert plugins["bar"].loads and not plugins["bar"].available
    assert plugins["bar"].why.startswith("it has no torch.bar.is_available, and a tensor on bar raises ")
