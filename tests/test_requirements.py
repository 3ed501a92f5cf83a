"""requirements/: what a vendor's machine needs beside torch, with digests, in step with what the targets pin."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
from packaging.utils import canonicalize_name

from porter.stack import available

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted((ROOT / "requirements").glob("*.txt"))
TARGETS = [path.stem for path in FILES]


def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hashes_tool", ROOT / "tools" / "hashes.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def locked(target: str) -> dict[str, list[str]]:
    """``NAME==VERSION`` -> digests."""
    text = (ROOT / "requirements" / f"{target}.txt").read_text(encoding="utf-8").replace(" \\\n", "")
    rows = [line.split() for line in text.splitlines() if not line.startswith("#")]
    return {pin: digests for pin, *digests in rows}


def test_the_tool_knows_every_target_and_each_file_is_of_one() -> None:
    assert {"mlu", "tpu", "npu"} <= set(TARGETS) <= set(tool().PYTHONS) == set(available(ROOT / "patches"))


@pytest.mark.parametrize("target", TARGETS)
def test_what_a_target_pins_is_there_in_that_version(target: str) -> None:
    wanted = {f"{canonicalize_name(pin.partition('==')[0])}=={pin.partition('==')[2]}" for pin in tool().wanted(target)}
    assert len(wanted) >= 12 and wanted <= set(locked(target))


@pytest.mark.parametrize("target", TARGETS)
def test_each_has_digests_and_a_version_once(target: str) -> None:
    pins = locked(target)
    for pin, digests in pins.items():
        assert re.fullmatch(r"[a-z0-9-]+==\d[\w.!+]*", pin)
        assert digests and all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", digest) for digest in digests), pin
    names = [pin.partition("==")[0] for pin in pins]
    assert len(set(names)) == len(names)
    # a vendor's torch is no index's, and what comes with PyPI's own, CUDA's libraries, belongs to no vendor's machine
    assert not [name for name in names if name in ("torch", "torchvision", "triton") or name.startswith("nvidia")]


@pytest.mark.parametrize("target", ["mlu", "npu", "tpu"])
def test_arm_has_wheels_of_what_is_compiled(target: str) -> None:
    for pin, digests in locked(target).items():
        if pin.startswith(("numpy==", "opencv-python-headless==", "pandas==", "scipy==")):
            assert len(digests) >= 2, f"{pin}: one wheel for two processors"
