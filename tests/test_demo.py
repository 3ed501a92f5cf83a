"""What `make demo` runs: a tree, a training, a verdict."""

from __future__ import annotations

import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from sources import closed_port

import porter

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / "tools" / "demo.py"


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a tree in it, and from which no data can be had."""
    porter.apply("mlu", tmp_path / "yolov5", project=ROOT)
    for name in "PORTER_DATA", "DEVICE", "NO_PROXY", "no_proxy":
        monkeypatch.delenv(name, raising=False)
    for name in "HTTPS_PROXY", "https_proxy":
        monkeypatch.setenv(name, f"http://127.0.0.1:{closed_port()}")
    monkeypatch.setenv("PORTER_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.mark.parametrize(
    ("first", "reached", "learned"),
    [(None, [0.001, 0.67], True), (None, [0.001, 0.1], False), (0.68, [0.66], True), (0.68, [0.1], False)],
)
def test_the_verdict(first: float | None, reached: Sequence[float], learned: bool) -> None:
    lines, found = runpy.run_path(str(DEMO))["verdict"]("the CPU", 61.7, 83.25, first, reached, "")
    assert found == learned and (lines[0] == "it trains and finds things") == learned
    assert f"{reached[-1]:.3f} after epoch {len(reached)}" in lines[1] and f" {first or reached[0]:.3f} " in lines[1]
    assert ("warms up" in lines[1]) == (first is not None)
    assert lines[2:] == ["time      62 s, 83.2 images/s while it trained", "device    the CPU"]


@pytest.mark.long
def test_each_step_is_a_line(nowhere: Path) -> None:
    """One epoch teaches nothing: the verdict says so, and so does the exit status.  It is not the first demo here."""
    (nowhere / "demo.json").write_text("{}\n")
    done = subprocess.run([sys.executable, DEMO, "--epochs", "1"], cwd=nowhere, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "")
    lines = done.stdout.splitlines()
    assert len(lines) <= 60 and max(map(len, lines[:3])) <= 120
    assert [line.split()[0] for line in lines[:3]] == ["tree", "data", "training"]
    assert "256 drawn pictures in demo-data, 4 kinds of shapes (cannot download coco128.zip)" in lines[1]
    assert "it trained, but finds little" in lines
    assert any(line.startswith("device    the CPU: torch_mlu is not installed") for line in lines)
    pictures = [Path(line.split("  ")[1]) for line in lines if line.startswith(f"  {nowhere}")]
    assert len(pictures) == 3 and all(picture.is_file() for picture in pictures)
    assert any(
        line.endswith("verify --target mlu --html report.html yolov5  # prove it, on an emulated card")
        for line in lines
    )
    assert "Epoch" in (nowhere / "demo.log").read_text()


@pytest.mark.long
def test_ctrl_c_ends_the_training_too(nowhere: Path) -> None:
    with subprocess.Popen(
        [sys.executable, DEMO], cwd=nowhere, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as demo:
        log = nowhere / "demo.log"
        while not log.exists() or "Starting training" not in log.read_text(errors="replace"):
            assert demo.poll() is None, demo.stderr and demo.stderr.read()
            time.sleep(0.1)
        children = Path(f"/proc/{demo.pid}/task/{demo.pid}/children").read_text().split()
        demo.send_signal(signal.SIGINT)  # to the demo alone: a terminal would send it to both
        assert demo.stderr and "stopped; what was printed is in demo.log" in demo.stderr.read()
        assert demo.wait() == 130
    assert children and not any(Path(f"/proc/{child}").exists() for child in children)


@pytest.mark.long
def test_a_program_that_fails_is_shown(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEVICE", "mlu")
    done = subprocess.run([sys.executable, DEMO], cwd=nowhere, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("error: train.py ended with status ")
    assert "torch_mlu" in done.stderr and "All that it said is in demo.log." in done.stderr
