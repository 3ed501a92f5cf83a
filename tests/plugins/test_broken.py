"""Plugins that are installed and cannot be used: torch_npu with no CANN, and Google's torch_tpu, which is not Sophgo's.

The wheels are the vendors' own.  Either ends ``import torch`` from torch 2.5 on: the first with an exception, the
second with the whole process.  What is said is one line, with what to do; ``--device cpu`` works all the same.
"""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from stacks import CHECKOUT

from porter.datasets import generate
from porter.emulator import environment, load_profile

from . import wheels
from .conftest import Broken

pytestmark = pytest.mark.device
ENTRIES = ("train", "val", "detect", "export")
# target -> what is said of its plugin, and where it comes from or what to do
SAYS = {
    "npu": ("libhccl.so: cannot open shared object file", "source /usr/local/Ascend/ascend-toolkit/set_env.sh"),
    "tpu": ("the torch_tpu that is installed is not Sophgo's", "https://developer.sophgo.com"),
}
NANO = ("--img", 64, "--device", "cpu")


@pytest.fixture(params=wheels.TARGETS)
def target(request: pytest.FixtureRequest, broken: Broken) -> str:
    return str(request.param)


@pytest.mark.autoload
def test_why_all_this(broken: Broken, tmp_path: Path) -> None:
    done = broken.run("-c", "import torch", cwd=tmp_path)
    assert done.returncode != 0, "torch is imported in spite of what is installed: these tests show nothing"


def test_each_script_says_it_in_one_line(broken: Broken, target: str, tmp_path: Path) -> None:
    def run(entry: str) -> subprocess.CompletedProcess[str]:
        return broken.run(broken.tree / f"{entry}.py", "--device", target, cwd=tmp_path)

    with ThreadPoolExecutor(2) as pool:
        for entry, done in zip(ENTRIES, pool.map(run, ENTRIES)):
            assert done.returncode == 1 and "Traceback" not in done.stderr, f"{entry}: {done.stderr}"
            (said,) = [line for line in done.stderr.splitlines() if line.startswith(f"--device {target}: ")]
            assert all(part in said for part in SAYS[target]), f"{entry}: {said}"


def test_all_of_it_works_on_the_cpu(broken: Broken, tmp_path: Path) -> None:
    data = generate.make(tmp_path / "scenes", images=8, size=(64, 64)).yaml
    words = ["--data", data, "--cfg", "yolov5n.yaml", "--weights", "", "--epochs", 1, "--batch-size", 4, "--workers", 0]
    done = broken.run(broken.tree / "train.py", *NANO, *words, "--project", tmp_path / "runs", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    best = tmp_path / "runs" / "exp" / "weights" / "best.pt"
    more = {
        "val": ["--data", data, "--project", tmp_path / "val"],
        "detect": ["--source", broken.tree / "data" / "images", "--project", tmp_path / "detect"],
        "export": ["--include", "torchscript"],
    }
    for entry, words in more.items():
        done = broken.run(broken.tree / f"{entry}.py", "--weights", best, *NANO, *words, cwd=tmp_path)
        assert done.returncode == 0 and "Traceback" not in done.stderr, f"{entry}: {done.stderr}"
    assert best.with_suffix(".torchscript.pt").is_file() and any((tmp_path / "detect").rglob("*.jpg"))


@pytest.mark.parametrize("script", ["models/yolo.py", "hubconf.py"])
@pytest.mark.autoload
def test_other_scripts_import_torch(broken: Broken, tmp_path: Path, script: str) -> None:
    code = f"import runpy; runpy.run_path({str(broken.tree / script)!r}, run_name='looked at'); import torch"
    done = broken.run("-c", code, cwd=tmp_path, PYTHONPATH=str(broken.tree))
    assert done.returncode == 0, done.stderr


def porter(broken: Broken, porters: dict[str, str], *words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "porter", *map(str, words), "--python", str(broken.python)]
    return subprocess.run(command, cwd=CHECKOUT, env=porters, capture_output=True, text=True, check=False, timeout=600)


PLUGIN = {
    "npu": "torch_npu does not load: libhccl.so: cannot open shared object file: No such file or directory; "
    "in this shell first: source /usr/local/Ascend/ascend-toolkit/set_env.sh",
    "tpu": "the torch_tpu that is installed is not the vendor's, but the project torch-tpu on PyPI, which is Google's "
    "TorchTPU (",
}


def test_verify_and_bench(broken: Broken, porters: dict[str, str], target: str, tmp_path: Path) -> None:
    for words in ["verify"], ["bench", broken.tree]:
        done = porter(broken, porters, *words, "--target", target, "--device", "hardware")
        assert done.returncode == 3, done.stdout + done.stderr
        assert len([line for line in done.stderr.splitlines() if PLUGIN[target] in line]) == 1, done.stderr


def test_verify_passes_no_plugin_over_in_silence(broken: Broken, porters: dict[str, str]) -> None:
    done = porter(broken, porters, "verify", "--target", "npu", "--check", "import", broken.tree)
    assert done.returncode == 3 and PLUGIN["npu"] in done.stderr, done.stdout + done.stderr
    assert done.stdout == f"npu: looking for a device with {broken.python}\n"  # and nothing was tried


def test_verify_on_the_cpu(broken: Broken, porters: dict[str, str]) -> None:
    done = porter(broken, porters, "verify", "--target", "npu", "--device", "cpu", "--check", "probe", broken.tree)
    assert done.returncode == 0 and "passed    probe" in done.stdout, done.stdout + done.stderr


def test_verify_on_the_emulated_device(
    broken: Broken, porters: dict[str, str], built_emulator: Path, emulator_cache: Path
) -> None:
    """Which is emulated, although a plugin of the name is installed."""
    cache = Path(porters["PORTER_CACHE"]) / "emulator"
    if not cache.exists():
        cache.symlink_to(emulator_cache)
    words = ["--device", "emulated", "--check", "probe", "--data", "scenes", broken.tree]
    done = porter(broken, porters, "verify", "--target", "npu", *words)
    assert done.returncode == 0 and "EMULATED" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize(("card", "alone"), [("ascend910b", True), ("sg2260", False)])
def test_the_emulation_stands_in(
    broken: Broken, built_emulator: Path, emulator_cache: Path, tmp_path: Path, card: str, alone: bool
) -> None:
    """For Sophgo's plugin where Google's is installed, and for torch_npu where that is asked for."""
    profile = load_profile(card)
    names = environment(profile, cache=emulator_cache, built=built_emulator, alone=alone, base={})
    code = f"import torch, {profile.plugin} as plugin; print(plugin.__version__)"
    done = broken.run("-c", code, cwd=tmp_path, **{**names, "TORCH_DEVICE_BACKEND_AUTOLOAD": "0"})
    assert done.returncode == 0 and done.stdout.strip().endswith("+emulated"), done.stdout + done.stderr


def test_doctor(broken: Broken, porters: dict[str, str], target: str) -> None:
    done = porter(broken, porters, "doctor", "--target", target, "--json")
    assert done.returncode == 1, done.stderr  # training could not work here, says docs/exit-codes.md
    found = json.loads(done.stdout)
    said = [f"{each['what']} {each['do']}" for each in found["troubles"] if each["level"] == "problem"]
    if target == "npu":
        assert any(all(part in each for part in SAYS["npu"]) for each in said), said
    else:
        assert any("torch-tpu 0.2.0 is installed, PyPI's project of that name: Google's" in each for each in said), said
        assert found["python"]["plugins"]["tpu"]["foreign"] is True


def test_prepare(broken: Broken, porters: dict[str, str], target: str, tmp_path: Path) -> None:
    done = porter(broken, porters, "prepare", "--target", target, tmp_path / "tree")
    assert done.returncode == 3 and PLUGIN[target] in done.stderr, done.stdout + done.stderr
    assert "done          tree" in done.stdout and "train.py --data" in done.stdout


def test_what_a_variable_of_the_user_says_counts(broken: Broken, tmp_path: Path) -> None:
    """Who has set it to 1 wants the plugins with torch."""
    code = "import os, models; print(os.environ['TORCH_DEVICE_BACKEND_AUTOLOAD'])"
    env = {"PYTHONPATH": str(broken.tree), "PYTHONDONTWRITEBYTECODE": "1"}
    assert broken.run("-c", code, cwd=tmp_path, **env).stdout == "0\n"
    done = broken.run("-c", code, cwd=tmp_path, TORCH_DEVICE_BACKEND_AUTOLOAD="1", **env)
    assert done.stdout == "1\n", done.stderr
