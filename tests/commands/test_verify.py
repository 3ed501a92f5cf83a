"""porter verify on a small upstream: what it is given, what it says, and that nothing is left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from processes import living
from stacks import CHECKOUT, porter

pytestmark = pytest.mark.usefixtures("warm")


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where porter's own folder goes."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    return tmp_path / "temporary"


def test_a_whole_tree(tree: Path, temporary: Path) -> None:
    done = verify("--target", "mlu", "--level", "static", tree)
    assert done.returncode == 0, done.stderr
    first, *checks, last = done.stdout.splitlines()
    assert first == f"mlu: {tree}, on no device: nothing is run", "nothing is looked for where nothing is run"
    assert sorted(line.split()[:2] for line in checks) == [["passed", "audit"], ["passed", "tree"]]
    assert last.startswith("mlu: 2 passed in ")
    assert list(temporary.iterdir()) == []


def test_without_a_tree_one_is_made_aside(temporary: Path) -> None:
    done = verify("--target", "tpu", "--level", "static")
    assert done.returncode == 0 and "a temporary tree" in done.stdout, done.stderr
    assert list(temporary.iterdir()) == []


def test_keep(temporary: Path) -> None:
    done = verify("--target", "tpu", "--level", "static", "--keep")
    (kept,) = temporary.iterdir()
    assert f"kept: {kept}" in done.stderr and (kept / "tree" / "train.py").is_file()


def test_keep_is_answered_when_all_else_is_quiet(temporary: Path) -> None:
    done = verify("--target", "tpu", "--level", "static", "--keep", "-q", "--json", "-")
    (kept,) = temporary.iterdir()
    assert done.stderr == f"kept: {kept}\n" and json.loads(done.stdout)["target"] == "tpu"


def test_a_changed_tree_fails(tree: Path, tmp_path: Path) -> None:
    (tree / "train.py").write_text("def broken(:\n")
    reports = tmp_path / "report.json", tmp_path / "report.html"
    done = verify("--target", "mlu", "--level", "static", "--json", reports[0], "--html", reports[1], tree)
    assert done.returncode == 1
    assert "failed    tree " in done.stdout and "train.py is changed; train.py:1:" in done.stdout
    assert f"repeat: porter verify --target mlu --check tree --keep {tree}" in done.stdout
    found = json.loads(reports[0].read_text())
    assert [(check["check"], check["state"]) for check in found["checks"]] == [("tree", "failed"), ("audit", "failed")]
    assert "train.py:1: not Python" in done.stdout
    assert "train.py is changed" in reports[1].read_text()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--target", "npu"), "there is no target 'npu'"),
        (("--target", "mlu", "--check", "speed"), "there is no check 'speed' for mlu"),
        (("--target", "mlu", "--check", "fp16"), "there is no check 'fp16' for mlu"),
        (("--target", "mlu", "--level", "static", "nowhere"), "nowhere"),
        (("--target", "mlu", "--level", "static", "."), "no git repository"),
        (("--target", "mlu", "--level", "static", "--weights", "nowhere.pt"), "there is no nowhere.pt"),
        (("--target", "mlu", "--level", "static", "--weights", "{plain}"), "plain.pt is no YOLOv5 checkpoint"),
        (("--target", "mlu", "--python", "no-python"), "cannot run no-python"),
        (("--target", "mlu", "--python", "/bin/true"), "/bin/true is not a Python that answers"),
        ((), "Missing option '--target'"),
    ],
)
def test_wrong_usage(words: tuple[str, ...], says: str, temporary: Path, tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(2)}, tmp_path / "plain.pt")
    done = verify(*(word.format(plain=tmp_path / "plain.pt") for word in words))
    assert done.returncode == 2 and says in done.stderr, done.stderr
    assert "Traceback" not in done.stderr and list(temporary.iterdir()) == []


def test_another_targets_tree(tree: Path) -> None:
    done = verify("--target", "tpu", tree)
    assert done.returncode == 2 and f"{tree} holds mlu, not tpu" in done.stderr
    assert "porter apply --target tpu" in done.stderr


def test_an_interpreter_without_torch(tree: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    python = tmp_path / "bare" / "bin" / "python"
    done = verify("--target", "mlu", "--python", python, tree)
    assert done.returncode == 2 and f"{python} has no torch" in done.stderr


def test_no_card(tree: Path) -> None:
    done = verify("--target", "mlu", "--device", "hardware", tree)
    assert done.returncode == 3 and "no mlu device is to be had" in done.stderr
    assert "torch_mlu is not installed" in done.stderr


def verify(*words: object) -> subprocess.CompletedProcess[str]:
    """``porter verify WORDS`` in the project."""
    return porter("verify", *words, cwd=Path.cwd())


HANGS = """\
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
time.sleep(600)
"""


def hanging(folder: Path) -> list[str]:
    """The children of such programs in a folder, by what they run: a PID namespace numbers them anew."""
    return [command for command in living(folder) if "time.sleep(600)" in command]


def test_a_program_that_hangs(tree: Path, temporary: Path) -> None:
    (tree / "train.py").write_text(HANGS)
    words = ("--device", "cpu", "--check", "train", "--timeout", "3")
    done = verify("--target", "mlu", *words, tree)
    assert done.returncode == 1 and "it was killed after 3 s without an end" in done.stdout, done.stdout
    assert "repeat: porter verify --target mlu --check train --device cpu" in done.stdout
    assert hanging(temporary) == [] and list(temporary.iterdir()) == []


def test_a_program_that_dies(tree: Path) -> None:
    (tree / "train.py").write_text("import os, signal, sys\nprint('last words', file=sys.stderr, flush=True)\n"
                                   "os.kill(os.getpid(), signal.SIGSEGV)\n")  # fmt: skip
    done = verify("--target", "mlu", "--device", "cpu", "--check", "train", tree)
    assert done.returncode == 1 and "it died of SIGSEGV" in done.stdout
    assert "    | last words" in done.stdout


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted(tree: Path, temporary: Path, number: signal.Signals, code: int) -> None:
    (tree / "train.py").write_text(HANGS)
    command = [sys.executable, "-m", "porter", "verify", "--target", "mlu", "--device", "cpu", "--check", "train"]
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    with subprocess.Popen(
        [*command, str(tree)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as process:
        until = time.monotonic() + 60
        while not hanging(temporary):
            assert time.monotonic() < until and process.poll() is None
            time.sleep(0.05)
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
    assert process.returncode == code, err
    assert b"Traceback" not in err
    assert hanging(temporary) == []
    assert list(temporary.iterdir()) == []


@pytest.mark.root
def test_a_full_disk(tree: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (small_disk / "filler").write_bytes(bytes((2 << 20) - (200 << 10)))
    monkeypatch.setenv("TMPDIR", str(small_disk))
    done = verify("--target", "mlu", "--device", "cpu", "--check", "train", tree)
    assert done.returncode == 3 and "No space left on device" in done.stderr, done.stderr
    assert os.listdir(small_disk) == ["filler"]


@pytest.mark.parametrize("option", ["--json", "--html"])
def test_a_report_that_cannot_be_written_is_refused_before_anything_is_checked(
    tree: Path, tmp_path: Path, option: str
) -> None:
    for place, why in (tmp_path / "none" / "x", "No such file or directory"), (tmp_path, "Is a directory"):
        done = verify("--target", "mlu", "--level", "static", option, place, tree)
        assert (done.returncode, done.stdout) == (3, "")
        assert done.stderr.startswith(f"porter: error: cannot write {place}\n  {why}\n")
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("tmp")]
