"""porter compare on an emulated device with one wrong kernel: the module and the operator are named, and nothing else.

Each fault is a kernel that drivers/faults.py puts in the place of a right one; one tree and one process serve
all of them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
from stacks import CHECKOUT

from porter.comparison import DRIVERS
from porter.datasets import generate
from porter.emulator import environment, load_profile

FAULTS = Path(__file__).with_name("drivers") / "faults.py"
# fault -> phase, module and operator that compare has to name: no other shows before it
NAMED = {
    "silu in half precision": ("forward", "model.0.act", "aten::silu"),
    "silu's gradient without its second term": ("backward", "model.23.cv3.act", "aten::silu_backward"),
    "batch norm's momentum the other way round": ("forward", "model.0.bn", "aten::native_batch_norm"),
    "batch norm's gradient off by a hundredth": ("backward", "model.23.cv3.bn", "aten::native_batch_norm_backward"),
    "a transposed weight in one convolution's gradient": (
        "backward",
        "model.2.m.0.cv1.conv",
        "aten::convolution_backward",
    ),
    "half a gradient of strided convolutions' weights": ("backward", "model.21.conv", "aten::convolution_backward"),
    "sums in float16": ("forward", "model.0.conv", "aten::convolution"),
    "a convolution that forgets its bias": ("forward", "model.24.m.0", "aten::convolution"),
    "a NaN from one shape": ("forward", "model.8.m.0.cv2.conv", "aten::convolution"),
    "an index off by one": ("forward", "loss", "aten::index"),
    "upsampling off by a pixel": ("forward", "model.11", "aten::upsample_nearest2d"),
    "concatenated in the other order": ("forward", "model.2", "aten::cat"),
    "pooling padded with zeros": ("forward", "model.9.m", "aten::max_pool2d_with_indices"),
    "concatenated in the other order, after statistics of its own": ("forward", "model.2", "aten::cat"),
    "batch norm's gradient off by a hundredth, from statistics of its own": (
        "backward",
        "model.23.cv3.bn",
        "aten::native_batch_norm_backward",
    ),
    "a straight line for a sigmoid": ("forward", "loss", "aten::sigmoid"),
    "a step a thousandth too long": ("step", "optimizer", "aten::_foreach_add_"),
    "amp: batch norm's gradient off by a hundredth": (
        "backward",
        "model.23.cv3.bn",
        "aten::native_batch_norm_backward",
    ),
    "amp: a transposed weight in one convolution's gradient": (
        "backward",
        "model.2.m.0.cv1.conv",
        "aten::convolution_backward",
    ),
    "amp: an index off by one": ("backward", "loss", "aten::index"),
    "amp: a convolution that forgets its bias": ("forward", "model.24.m.0", "aten::convolution"),
    "amp: a step a thousandth too long": ("step", "optimizer", "aten::_foreach_add_"),
}
pytestmark = pytest.mark.device


@pytest.fixture(scope="session")
def config(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the driver is told: yolov5n, two pictures of 64 pixels."""
    out = tmp_path_factory.mktemp("compared")
    data = generate.make(out / "scenes", images=8, size=(64, 64)).yaml
    names = {"device": "mlu", "says": "EMULATED MLU370", "plugin": "torch_mlu", "cfg": "yolov5n.yaml", "weights": ""}
    plain = {"img": 64, "batch": 2, "steps": 1, "seed": 0, "precision": "fp32", "threads": 1, "time": "", "record": ""}
    return {**names, **plain, "data": str(data), "out": str(out), "keep": str(out / "kept.npz")}


@pytest.fixture(scope="session")
def device(built_emulator: Path, emulator_cache: Path) -> dict[str, str]:
    """An environment in which the device is to be found."""
    base = {**os.environ, "OMP_NUM_THREADS": "1", "PORTER_TEST_DRIVERS": str(DRIVERS)}
    card = load_profile("mlu370")
    return {**base, **environment(card, cache=emulator_cache, built=built_emulator, steps=False, alone=True, base={})}


@pytest.fixture(scope="session")
def compared(tree: Path, config: dict[str, Any], device: dict[str, str]) -> Callable[..., dict[str, Any]]:
    def run(*names: str) -> dict[str, Any]:
        out = Path(config["out"])
        (out / "config.json").write_text(json.dumps(config))
        words = [sys.executable, FAULTS, tree, out / "config.json", out / "found.json", *names]
        done = subprocess.run(list(map(str, words)), env=device, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-4000:]
        found: dict[str, Any] = json.loads((out / "found.json").read_text())
        return found

    return run


def test_each_fault_is_named(compared: Callable[..., dict[str, Any]]) -> None:
    found = compared(*NAMED)
    named = {name: (row["phase"], row["path"], row["operator"]) for name, row in found.items()}
    assert named == NAMED
    assert all(row["at"] in (row["path"], "loss", "optimizer") for row in found.values())
    # the cpu computes with statistics of its own, whatever form the device's have
    assert found["batch norm's gradient off by a hundredth, from statistics of its own"]["relative"] < 10


def test_another_order_of_summation_is_no_fault(compared: Callable[..., dict[str, Any]]) -> None:
    """Models and batches on a device whose convolutions sum their channels backwards; PORTER_TEST_SEEDS: how many.

    Each second one in mixed precision, too.
    """
    found, seeds = compared("seeds"), int(os.environ.get("PORTER_TEST_SEEDS", "4"))
    assert len(found) == seeds + seeds // 2
    assert {seed: row["path"] for seed, row in found.items() if row["path"] is not None} == {}
    assert all(row["differs"] for row in found.values())  # the kernel is another, else nothing was tried


def test_the_band_of_a_parameter_grows_with_the_batch(compared: Callable[..., dict[str, Any]]) -> None:
    """The loss, and so each gradient, is a batch's sum: what a gradient may be off by, the parameter may, too."""
    assert compared("rougher")["rougher"]["path"] is None


def test_the_command(tree: Path, device: dict[str, str], tmp_path: Path, built_emulator: Path) -> None:
    """From a wrong kernel to the script for the vendor, and a record that another machine compares with."""
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "emulator").symlink_to(built_emulator.parent)
    wrong = tmp_path / "wrong.py"
    wrong.write_text(
        "def silu(host, x):\n    return host('aten::silu', x.half()).float()\n\n\nKERNELS = {'aten::silu': silu}\n"
    )
    own = {"PYTHONPATH": str(CHECKOUT), "PORTER_CACHE": str(tmp_path / "cache")}

    def call(*words: object, **more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "porter", "compare", "--target", "mlu", *map(str, words)]
        env = {**os.environ, **own, **more}
        return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)

    small = ("--cfg", "yolov5n.yaml", "--img", 64, "--batch", 2, "--threads", 1)
    done = call("--device", "cpu", *small, "--record", "cpu.npz", tree)
    assert done.returncode == 0, done.stderr
    done = call("--device", "emulated", "--against", "cpu.npz", tree, PORTER_EMULATED_KERNELS=str(wrong))
    assert done.returncode == 1, done.stderr
    assert "EMULATED MLU370" in done.stdout.splitlines()[0]
    assert "the first to leave its band: model.0.act, forward: output" in done.stdout
    assert "models/yolov5n.yaml:15  [[-1, 1, Conv, [64, 6, 2, 2]]" in done.stdout
    assert "operator: aten::silu, in model.0.act" in done.stdout
    done = call("--device", "emulated", "--replay", "porter-operator.npz", "--json")
    again = json.loads(done.stdout)
    assert (done.returncode, again["operator"]) == (0, "aten::silu")  # the right kernel is there now
    assert again["kept"]["outside"] and not again["again"]["outside"]
    assert call("--replay", "porter-operator.npz", "--write-test", "vendor.py").returncode == 0
    assert len((tmp_path / "vendor.py").read_text().splitlines()) < 20
    said = subprocess.run([sys.executable, "vendor.py"], cwd=tmp_path, env=device, capture_output=True, text=True)
    assert said.returncode == 0 and "largest error 0.0 of values up to" in said.stdout, said.stderr


@pytest.mark.parametrize("what", ["pickled", "cut", "lying", "another operator", "no archive"])
def test_a_strangers_file_is_data(what: str, tree: Path, tmp_path: Path) -> None:
    """What a record or a kept operator holds is numbers and names; anything else is refused in one line."""
    file = tmp_path / "file.npz"
    meta = {"kind": "kept operator", "schema": 1, "operator": "aten::sum", "overload": "", "results": 0, "kwargs": {}}
    meta["args"] = [{"tensor": 0, "dtype": "float32", "stride": [1]}]
    if what == "another operator":
        meta.update(operator="aten::from_file", args=["/etc/passwd"])
    with zipfile.ZipFile(file, "w") as archive:
        with archive.open("argument0.npy", "w") as member:
            if what == "pickled":
                numpy.save(member, numpy.array([print], dtype=object), allow_pickle=True)
            else:
                numpy.lib.format.write_array(member, numpy.zeros(4, dtype=numpy.float32))
        archive.writestr("meta.json", json.dumps(meta))
    if what == "cut":
        file.write_bytes(file.read_bytes()[:-60])
    if what == "lying":
        file.write_bytes(file.read_bytes().replace(b"(4,), }", b"(9**9,)"))
    if what == "no archive":
        file.write_text("hello")
    if what != "lying":  # the command says what its driver does
        command = [sys.executable, str(DRIVERS / "replay.py"), str(file), "cpu", ""]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 1, done.stdout + done.stderr
        assert done.stderr.startswith("porter compare: ") and "Traceback" not in done.stderr
        return
    for words in ["--replay", file], ["--against", file, tree]:
        command = [sys.executable, "-m", "porter", "compare", "--target", "mlu", "--device", "cpu", *map(str, words)]
        env = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 2, done.stdout + done.stderr
        assert done.stderr.startswith("porter: error: ") and "Traceback" not in done.stderr
