"""``--device`` where the device is missing, and what names are understood."""

from __future__ import annotations

import json
from itertools import cycle
from pathlib import Path

import pytest

from .harness import Tree
from .jobs import Shop

QUIET = {"PYTHONWARNINGS": "ignore"}
PROGRAMS = {
    "train.py": ("--weights", "", "--cfg", "yolov5n.yaml", "--project", "runs"),
    "val.py": ("--weights", "none.pt", "--project", "runs"),
    "detect.py": ("--weights", "none.pt", "--project", "runs"),
}
PLACES = {
    "mlu": ["torch_mlu", "developer.cambricon.com"],
    "tpu": ["torch_tpu", "Sophgo", "sophgo.com", "PyPI", "torch-tpu"],
}


def in_a_line(shop: Shop, tree: Tree, program: str, device: str, env: dict[str, str]) -> str:
    """Run a program that cannot have its device; returns the one line that it leaves on stderr."""
    cwd = shop.lab.folder("no-device")
    words = [*PROGRAMS[program], "--device", device]
    if program != "detect.py":
        words += ["--data", shop.data / "data.yaml"]
    run = shop.lab.script(tree, program, *words, cwd=cwd, env={**QUIET, **env}, charts=False).offline()
    assert run.status not in (0, -9), run.story()
    assert "Traceback" not in run.text, run.story()
    # Matplotlib says so once, in whichever child is the first to use it
    lines = [line for line in run.err.strip().splitlines() if not line.startswith("Matplotlib is building the font")]
    assert len(lines) == 1, run.story()
    return lines[0]


@pytest.mark.parametrize("program", ["val.py", "detect.py"])  # train.py: verify's check `probe`
def test_without_the_plugin(shop: Shop, tree: Tree, program: str) -> None:
    for target in tree.targets:
        line = in_a_line(shop, tree, program, target, {})
        assert [word for word in PLACES[target] if word not in line] == [], line


@pytest.mark.trees("tpu")
def test_the_other_torch_tpu_is_told_apart(shop: Shop, tree: Tree, tmp_path: Path) -> None:
    """The unrelated PyPI project imports under the same name: it must be neither used nor blamed on the user."""
    package = tmp_path / "torch_tpu"
    package.mkdir()
    (package / "__init__.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'w')\n")
    line = in_a_line(shop, tree, "train.py", "tpu", {"PYTHONPATH": str(tmp_path)})
    assert "Sophgo" in line and "PyPI" in line
    assert not (tmp_path / "imported").exists(), "the other project's code was run"


def test_a_broken_plugin_is_named(shop: Shop, tree: Tree, tmp_path: Path) -> None:
    """A plugin whose libraries are missing raises OSError or ImportError when it is imported; both end in a line."""
    for target, error in zip(cycle(tree.targets), ("ImportError", "OSError")):
        package = tmp_path / f"torch_{target}"
        (package / target).mkdir(parents=True, exist_ok=True)  # the folder tells Sophgo's from Google's
        (package / "__init__.py").write_text(f"raise {error}('libsomething.so: cannot open shared object file')\n")
        line = in_a_line(shop, tree, "train.py", target, {"PYTHONPATH": str(tmp_path)})
        assert "libsomething.so" in line, line


def test_another_stacks_device_is_unknown(shop: Shop, tree: Tree) -> None:
    line = in_a_line(shop, tree, "train.py", "npu", {})
    assert all(name in line for name in ("npu", "cpu", *tree.targets)), line


@pytest.mark.parametrize("device", ["0", "cuda:0"])
def test_cuda_without_cuda_says_what_there_is(shop: Shop, tree: Tree, device: str) -> None:
    words = [*PROGRAMS["train.py"], "--data", shop.data / "data.yaml", "--device", device]
    run = shop.lab.script(tree, "train.py", *words, cwd=shop.lab.folder("cuda"), charts=False).offline()
    assert run.status == 1 and "Traceback" not in run.text, run.story()
    assert run.err.splitlines()[-1] == "--device 0: no such CUDA device. There is --device cpu", run.story()


def test_names(shop: Shop, tree: Tree) -> None:
    run = shop.lab.driver(tree, "devices.py", cwd=shop.lab.folder("devices")).ok()
    found = json.loads(run.out.splitlines()[-1])
    assert found["available"] == {"cuda": False, **dict.fromkeys(tree.targets, False)}
    assert found["default"] == "cpu"
    expected = {
        "": ["cpu", []],
        "cpu": ["cpu", []],
        "0": ["cuda", [0]],
        "0,1": ["cuda", [0, 1]],
        "cuda:1": ["cuda", [1]],
    }
    for target in tree.targets:
        expected |= {target: [target, []], f"{target}:1": [target, [1]], f"{target}:0,1": [target, [0, 1]]}
        expected |= {target.upper(): [target, []]}
    assert {name: found["parsed"].get(name) for name in expected} == expected
    refused = ["cpu:0", "gpu", "0;1", "mlu:x", "tpu:-1", "0,", "1.5"]
    assert {name: found["parsed"].get(name) for name in refused} == dict.fromkeys(refused)
