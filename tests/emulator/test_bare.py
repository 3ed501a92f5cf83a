"""A plugin that brings a device and nothing else: a target made for it trains, verifies, and is not taken for none."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from stacks import CHECKOUT

from porter.emulator import bare_profile, environment
from porter.target import Target
from porter.verification.device import choose

from .conftest import Run
from .test_new_target import porter

pytestmark = pytest.mark.device
BAR = bare_profile("bar", "torch_bar", ["BAR_VISIBLE_DEVICES"])


@pytest.fixture(scope="module")
def project(built: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A project with a target for such a plugin, and the environment to run porter in."""
    root = tmp_path_factory.mktemp("bare")
    shutil.copytree(CHECKOUT / "patches", root / "project" / "patches")
    shutil.copy(CHECKOUT / "upstream.lock", root / "project")
    (root / "cache").mkdir()
    (root / "cache" / "emulator").symlink_to(built.parent)
    author = {"GIT_AUTHOR_NAME": "Zoë", "GIT_AUTHOR_EMAIL": "zoe@example.org"}
    env = {**os.environ, **author, "PORTER_CACHE": str(root / "cache"), "PYTHONPATH": str(CHECKOUT)}
    porter("new-target", "bar", "--profile", "bare", "--no-fp16", cwd=root / "project", env=env)
    return root / "project", env


CHECKS = ("audit", "probe", "parity", "metrics", "checkpoint", "detect")


def test_it_trains_and_verifies(project: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    """No FP16 on the device, no is_available, no device_count, no events, no figures of memory: and all of it works."""
    root, env = project
    report = tmp_path / "report.json"
    checks = [word for name in (*CHECKS, "ddp") for word in ("--check", name)]
    words = ("verify", "--target", "bar", "--device", "emulated", "--data", "scenes", *checks, "--json", report)
    porter(*words, cwd=root, env=env)
    found: dict[str, Any] = json.loads(report.read_text())
    assert found["device"].startswith("EMULATED bare BAR (")
    states = {check["check"]: (check["state"], check["said"]) for check in found["checks"]}
    assert {name: states[name][0] for name in CHECKS} == dict.fromkeys(CHECKS, "passed"), states
    assert "bit for bit" in states["parity"][1]
    assert states["ddp"][0] == "not shown" and "in one line" in states["ddp"][1], states["ddp"]


def test_it_is_told_from_a_machine_without_the_plugin(
    project: tuple[Path, dict[str, str]], built: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, env = project
    target = Target.load(root / "patches" / "bar")
    assert choose("cpu", target, sys.executable).facts["why"] == ""
    names = environment(BAR, cache=cache, built=built, base={})
    for name, value in names.items():
        monkeypatch.setenv(name, value)
    there = choose("hardware", target, sys.executable)  # the stand-in takes the plugin's place
    assert there.says.endswith(" (it works; torch_bar has no torch.bar.is_available)")
    done = porter(
        "doctor", "--target", "bar", cwd=root, env={**env, **names, "PYTHONPATH": f"{names['PYTHONPATH']}:{CHECKOUT}"}
    )
    assert "it works; it has no torch.bar.is_available to ask" in done.stdout
    assert "a linear layer computes as on the host" in done.stdout
    assert "training on the EMULATED bar can work here" in done.stdout


SELECT = """
from utils import accelerator
from utils.torch_utils import select_device

device = select_device({!r})
print(device, *accelerator.get(device).describe([device.index]))
"""


def test_a_tree_says_why_a_device_of_it_is_not_there(
    project: tuple[Path, dict[str, str]], run: Run, tmp_path: Path
) -> None:
    root, env = project
    porter("apply", "--target", "bar", tmp_path / "tree", cwd=root, env=env)
    where = {"PYTHONPATH": str(tmp_path / "tree")}
    there = run(BAR, "-c", SELECT.format("bar:1"), env=where, devices=2)
    assert there.out.splitlines()[-1] == "bar:1 BAR:1 (bar)", there.error  # no memory is told, so none is shown
    none = run(BAR, "-c", SELECT.format("bar:2"), env=where, devices=2)
    said = none.error.strip().splitlines()[-1]
    assert none.status == 1 and said.startswith("--device bar: torch_bar finds 2 bar devices, index 2 was asked for"), (
        none.error
    )
    assert "(torch.bar has no is_available and no device_count, and a tensor on bar:2 raises " in said


def test_ascends_list_of_devices_has_to_ascend(run: Run, tmp_path: Path) -> None:
    """The plugin counts none with such a list, and would be said to find none."""
    porter("apply", "--target", "npu", tmp_path / "tree", cwd=CHECKOUT, env=dict(os.environ, PYTHONPATH=str(CHECKOUT)))
    for listed, right in (("1,0", "0,1"), ("0,0", "0"), ("0,1", "")):
        env = {"PYTHONPATH": str(tmp_path / "tree"), "ASCEND_RT_VISIBLE_DEVICES": listed}
        done = run("ascend910b", "-c", SELECT.format("npu"), env=env)
        if right:
            said = f"--device npu: ASCEND_RT_VISIBLE_DEVICES={listed} has to ascend, else no device is seen: {right}"
            assert done.status == 1 and done.error.strip().splitlines()[-1] == said, done.error
        else:
            assert done.status == 0, done.error
