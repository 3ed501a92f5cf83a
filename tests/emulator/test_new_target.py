"""A target made from nothing but its name trains on an emulated device of that name: v6.0, its stack, its plugin."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from stacks import CHECKOUT

pytestmark = pytest.mark.device


def porter(*words: object, cwd: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "porter", *map(str, words)]
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_foo_trains_as_the_cpu_does(built: Path, tmp_path: Path) -> None:
    root = tmp_path / "project"
    shutil.copytree(CHECKOUT / "patches", root / "patches")
    shutil.copy(CHECKOUT / "upstream.lock", root)
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "emulator").symlink_to(built.parent)
    author = {"GIT_AUTHOR_NAME": "Zoë", "GIT_AUTHOR_EMAIL": "zoe@example.org"}
    env = {**os.environ, **author, "PORTER_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(CHECKOUT)}
    porter("new-target", "foo", "--backend", "foocl", cwd=root, env=env)
    checks = [word for name in ("probe", "parity", "transfers", "ops") for word in ("--check", name)]
    report = tmp_path / "report.json"
    porter(
        "verify",
        "--target",
        "foo",
        "--device",
        "emulated",
        "--data",
        "scenes",
        *checks,
        "--json",
        report,
        cwd=root,
        env=env,
    )
    found: dict[str, Any] = json.loads(report.read_text())
    assert found["device"].startswith("EMULATED generic FOO (")
    states = {check["check"]: (check["state"], check["said"]) for check in found["checks"]}
    assert states["probe"][0] == states["parity"][0] == states["transfers"][0] == "passed"
    assert "bit for bit" in states["parity"][1] and "without the plugin it says so" in states["probe"][1]
    assert states["ops"][0] == "not shown"  # nothing is claimed that nobody knows
    assert states["ops"][1].endswith("no operator list: everything torch has is allowed")
