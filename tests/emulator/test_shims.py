"""The vendors' names: whose place the emulation takes, and when it gives it back."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from .conftest import Run

pytestmark = pytest.mark.device


@pytest.fixture
def run(fresh: Run) -> Run:
    """How a process begins and ends is what is looked at here."""
    return fresh


SAY = "print('WHO', plugin.__version__, any(hasattr(torch, name) for name in ('mlu', 'tpu', 'npu')))"


def plugin(root: Path, name: str, folder: str = "") -> Path:
    """An installed distribution with a module of a plugin's name, which torch would load by itself."""
    (root / name / folder).mkdir(parents=True)
    text = "import os\n__version__ = 'real'\nprint('LOADED', flush=True)\ndef autoload(): pass\n"
    (root / name / "__init__.py").write_text(text)
    info = root / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[torch.backends]\n{name} = {name}:autoload\n")
    return root


def test_it_says_so_in_one_line(run: Run) -> None:
    done = run("mlu370", "-c", "import torch_mlu, torch_mlu.mlu.amp, torch; torch.mlu.amp.GradScaler")
    assert done.status == 0, done.error
    assert done.error.splitlines() == ["torch_mlu: EMULATED MLU370, 2 devices, strict: no card is used"]


@pytest.mark.parametrize(
    ("profile", "name", "folder"),
    [("mlu370", "torch_mlu", ""), ("sg2260", "torch_tpu", "tpu"), ("ascend910b", "torch_npu", "")],
)
def test_an_installed_plugin_wins_and_is_loaded_once(
    run: Run, tmp_path: Path, profile: str, name: str, folder: str
) -> None:
    real = plugin(tmp_path / "elsewhere", name, folder)
    done = run(profile, "-c", f"import torch, {name} as plugin; {SAY}", env={"PYTHONPATH": str(real)})
    assert done.status == 0, done.error
    assert done.out.splitlines() == ["LOADED", "WHO real False"]
    assert "EMULATED" not in done.error


def test_another_project_of_the_name_does_not_count_as_the_plugin(run: Run, tmp_path: Path) -> None:
    other = plugin(tmp_path / "elsewhere", "torch_tpu")
    env = {"PYTHONPATH": str(other), "TORCH_DEVICE_BACKEND_AUTOLOAD": "0"}
    done = run("sg2260", "-c", f"import torch, torch_tpu as plugin; {SAY}", env=env)
    assert done.status == 0, done.error
    assert done.out.splitlines() == ["WHO 2.8.0.post1+emulated True"]


def test_the_stand_in_has_what_sophgos_is_told_by(run: Run) -> None:
    code = (
        "import importlib.util, os\n"
        "(folder,) = importlib.util.find_spec('torch_tpu').submodule_search_locations\n"
        "print(os.path.isdir(os.path.join(folder, 'tpu')))\n"
        "import torch_tpu.tpu.amp, torch\n"
        "print(torch_tpu.tpu is torch.tpu)\n"
    )
    assert run("sg2260", "-c", code).out.split() == ["True", "True"]


def test_the_other_vendors_plugin_is_not_there(run: Run) -> None:
    done = run("mlu370", "-c", "import torch_tpu")
    assert done.status == 1
    assert done.error.splitlines()[-1] == "ModuleNotFoundError: No module named 'torch_tpu'"


@pytest.mark.parametrize(
    ("env", "count"),
    [({}, 3), ({"MLU_VISIBLE_DEVICES": "1"}, 1), ({"MLU_VISIBLE_DEVICES": "0,1", "CN_VISIBLE_DEVICES": ""}, 0)],
)
def test_the_vendors_variable_hides_devices(run: Run, env: dict[str, str], count: int) -> None:
    code = "import torch, torch_mlu; print(torch.mlu.device_count(), torch.mlu.is_available())"
    done = run("mlu370", "-c", code, env=env, devices=3)
    assert done.out.split() == [str(count), str(count > 0)], done.error


def test_ascends_variable_is_read_up_to_the_first_other_character(run: Run) -> None:
    code = "import torch, torch_npu; print(torch.npu.device_count())"
    done = run("ascend910b", "-c", code, env={"ASCEND_RT_VISIBLE_DEVICES": "1, 0"})
    assert done.out.split() == ["1"], done.error


def test_a_forked_child_cannot_use_a_device_in_use(run: Run) -> None:
    code = (
        "import os, torch, torch_mlu\n"
        "torch.ones(1, device='mlu')\n"
        "if os.fork() == 0:\n"
        "    try: torch.ones(1, device='mlu')\n"
        "    except RuntimeError as error: print(error, flush=True)\n"
        "    os._exit(0)\n"
        "os.wait()"
    )
    assert "Cannot re-initialize MLU in forked subprocess" in run("mlu370", "-c", code).out


def test_a_program_may_end_with_a_backward_pass(run: Run) -> None:
    """Its thread has not let go of everything when the pass is over, and gets no turn before the interpreter's end."""
    code = (
        "import sys, torch, torch_mlu\n"
        "sys.setswitchinterval(10)\n"
        "x = torch.ones(64, 64, device='mlu', requires_grad=True)\n"
        "(x @ x).sum().backward()\n"
    )
    ended = [run("mlu370", "-c", code) for _ in range(5)]
    assert [done.status for done in ended] == [0] * 5, "".join(done.error for done in ended)


def test_a_wrong_setting_is_one_line(run: Run) -> None:
    done = run("mlu370", "-c", "import torch_mlu", devices=-1)
    assert done.error.splitlines()[-1] == "ImportError: no emulated device: PORTER_EMULATED_DEVICES=-1: it is a number"


if hasattr(torch, "accelerator"):  # it came with torch 2.6

    def test_torch_knows_it_as_the_accelerator(run: Run) -> None:
        code = (
            "import torch, torch_mlu; a = torch.accelerator; torch.mlu.set_device(1)\n"
            "print(a.current_accelerator(), a.is_available(), a.device_count(), a.current_device_index())"
        )
        assert run("mlu370", "-c", code).out.split() == ["mlu", "True", "2", "1"]
