"""docs/tutorial.ipynb, executed on the emulated device, shows what it says; so does the example in docs/emulated.md.

The notebook is kept without outputs: they hold times and paths of one machine, and would say nothing that this test
does not see anew.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from porter.lockfile import Lock

from .pages import ROOT, blocks
from .shell import environment, type_in

NOTEBOOK = ROOT / "docs" / "tutorial.ipynb"
# utils_mlu/metric.py of Cambricon's exercise
BENCHMARK = {"net", "batch_size", "cards", "precision", "DPF_mode", "batch_time_avg", "batch_time_var",
             "hardware_time_avg", "hardware_time_var", "throughput", "date", "device", "dataset"}  # fmt: skip
ACCURACY = {"net", "accuracy", "date", "device", "dataset"}


@pytest.fixture
def user(
    lock: Lock, upstream: Path, built_emulator: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    """A new user's environment, in which the device need not be compiled again."""
    env = environment(tmp_path / "home", lock, upstream)
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "emulator").symlink_to(built_emulator.parent)
    return {**env, "PORTER_CACHE": str(cache)}


@pytest.mark.device
def test_the_notebook(user: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    for name, value in user.items():
        monkeypatch.setenv(name, value)  # the kernel's
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    said = ["".join(out.get("text", "") for out in cell.outputs) for cell in cells]
    assert "training" in said[1]
    runs = [text for cell, text in zip(cells, said) if "porter run" in cell.source]
    assert len(runs) == 4 and all("EMULATED MLU370" in text for text in runs)
    assert "Resuming training from" in runs[2]
    counts = json.loads((tmp_path / "home" / "porter-tutorial" / "counts.json").read_text())
    assert any("convolution" in name for name in counts["rest"]["operators"])
    results = json.loads(next(text for cell, text in zip(cells, said) if "json.dumps" in cell.source))
    _check(results)
    assert any("image/jpeg" in out.get("data", {}) for out in cells[-1].outputs)
    run = tmp_path / "home" / "porter-tutorial" / "yolov5" / "runs" / "train"
    assert (run / "first" / "weights" / "best.pt").is_file() and (run / "second" / "results.csv").is_file()


def _check(results: dict[str, Any]) -> None:
    benchmark, accuracy = results["benchmark"], results["accuracy"]
    assert set(benchmark) == BENCHMARK and set(accuracy) == ACCURACY
    assert "EMULATED" in benchmark["device"] and "EMULATED" in accuracy["device"]
    assert (benchmark["net"], benchmark["batch_size"], benchmark["cards"]) == ("yolov5n", 16, 1)
    assert benchmark["precision"] == "fp32" and benchmark["throughput"] > 0
    assert benchmark["hardware_time_avg"] > 0 and benchmark["batch_time_avg"] > 0
    losses = results["losses"]
    assert len(losses) == 4 and losses[2] < losses[1] < losses[0]
    assert losses[3] == losses[2]  # the third epoch once more, in the resumed run


def test_the_notebook_is_kept_without_outputs() -> None:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    for cell in cells:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None
        else:
            assert re.search(r"[\u4e00-\u9fff]", cell["source"]) and re.search(r"[A-Za-z]{3}", cell["source"])


@pytest.mark.device
def test_the_example_of_the_emulated_device(user: dict[str, str], tmp_path: Path) -> None:
    (example,) = blocks(ROOT / "docs" / "emulated.md", "python")
    (tmp_path / "example.py").write_text(example.text, encoding="utf-8")
    done = type_in([f"{sys.executable} example.py"], tmp_path, user)
    assert not done.failed, done.text
    assert "\nEMULATED MLU370 torch.Size([4, 3])\n" in done.text
    assert "'aten::addmm.out'" in done.text.splitlines()[-1], done.text
