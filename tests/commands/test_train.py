"""porter train: the command it becomes, in a small tree whose train.py says how it was run."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from stacks import CHECKOUT, porter

from porter.commands.apply import apply
from porter.project import Project

pytestmark = pytest.mark.usefixtures("warm")
SAYS = """\
import json, os, sys
names = ["PYTHONPATH", "OMP_NUM_THREADS", "MLU_VISIBLE_DEVICES"]
print(json.dumps([sys.executable, sys.argv, os.getcwd(), [os.environ.get(name) for name in names]]), flush=True)
sys.exit(7)
"""
RANKS = """\
import os, sys
import torch
import torch.distributed as dist
dist.init_process_group("gloo")
sum_ = torch.tensor([float(dist.get_rank() + 1)])
dist.all_reduce(sum_)
with open("rank%d" % dist.get_rank(), "w") as file:
    print(int(sum_), os.environ["LOCAL_RANK"], os.environ["OMP_NUM_THREADS"], *sys.argv[1:], file=file)
dist.barrier()
dist.destroy_process_group()
os._exit(0)  # gloo's threads may outlive the interpreter by a moment, which torch answers with SIGABRT
"""


@pytest.fixture
def tree(project: Project, tmp_path: Path) -> Path:
    apply(["mlu"], tmp_path / "my tree", project=project)
    (tmp_path / "my tree" / "train.py").write_text(SAYS)
    return tmp_path / "my tree"


def test_it_becomes_train_py(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLU_VISIBLE_DEVICES", "3")
    done = porter("train", "--target", "mlu", tree, "--", "--weights", "", "--epochs", "1", cwd=Path.cwd())
    assert done.returncode == 7, done.stderr
    python, words, folder, environment = json.loads(done.stdout)
    assert (python, folder) == (sys.executable, str(tree))
    assert words == ["train.py", "--weights", "", "--epochs", "1", "--device", "mlu"]
    assert environment == [str(CHECKOUT), os.environ.get("OMP_NUM_THREADS"), "3"]
    line = f"cd '{tree}' && {sys.executable} train.py --weights '' --epochs 1 --device mlu"
    assert done.stderr == f"+ {line}\n"
    again = subprocess.run(
        ["sh", "-c", line], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(CHECKOUT)}
    )
    assert (again.returncode, again.stdout) == (7, done.stdout)


def test_dry_run_runs_nothing(tree: Path) -> None:
    done = porter("train", "--target", "mlu", "--dry-run", tree, "--", "--device", "cpu", cwd=Path.cwd())
    assert (done.returncode, done.stderr) == (0, "")
    assert shlex.split(done.stdout) == ["cd", str(tree), "&&", sys.executable, "train.py", "--device", "cpu"]


def test_files_that_are_here_and_not_in_the_tree(tree: Path, project: Project) -> None:
    here = project.root
    (here / "scenes").mkdir()
    for name in "scenes/data.yaml", "hyp.yaml", "train.py", "10":
        (here / name).write_text("")
    words = (
        "--data",
        "scenes/data.yaml",
        "--hyp=hyp.yaml",
        "--cfg",
        "train.py",
        "--weights",
        "none.pt",
        "--epochs",
        "10",
    )
    done = porter("train", "--target", "mlu", tree, "--", *words, cwd=here)
    given = json.loads(done.stdout)[1][1:-2]
    assert given == [
        *("--data", f"{here}/scenes/data.yaml", f"--hyp={here}/hyp.yaml"),
        *("--cfg", "train.py", "--weights", "none.pt", "--epochs", "10"),
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_are_the_programs(tree: Path, tmp_path: Path, number: signal.Signals) -> None:
    (tree / "train.py").write_text("import sys, time\nprint('began', flush=True)\ntime.sleep(600)\n")
    command = [sys.executable, "-m", "porter", "train", "--target", "mlu", str(tree)]
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=Path.cwd(), env=env, **pipes) as process:
        assert process.stdout and process.stdout.readline() == "began\n"
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == -number
    assert ("KeyboardInterrupt" in errors) == (number == signal.SIGINT)  # train.py's own, as it always was


def test_several_cards(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    (tree / "train.py").write_text(RANKS)
    done = porter("train", "--target", "mlu", "--cards", 2, tree, "--", "--batch", "4", cwd=Path.cwd())
    assert done.returncode == 0, done.stderr
    threads = max(1, (os.cpu_count() or 1) // 2)
    for rank in 0, 1:
        assert (tree / f"rank{rank}").read_text().split() == [*f"3 {rank} {threads} --batch 4 --device mlu:0,1".split()]
    variables = f"OMP_NUM_THREADS={threads} TORCH_DEVICE_BACKEND_AUTOLOAD=0"
    assert f"&& {variables} {sys.executable} -m torch.distributed.run --nproc_per_node 2 " in done.stderr


def test_several_machines(tree: Path, tmp_path: Path) -> None:
    """Two on this one: they find each other through --master."""
    from porter.process import free_port

    (tree / "train.py").write_text(RANKS)
    master = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "porter", "train", "--target", "mlu", "--nodes", "2", "--master", master]
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    machines = [
        subprocess.Popen(
            [*command, "--node-rank", str(rank), str(tree)], cwd=Path.cwd(), env=env, stderr=subprocess.PIPE
        )
        for rank in (1, 0)
    ]
    ends = [machine.communicate(timeout=120)[1].decode() for machine in machines]
    assert [machine.returncode for machine in machines] == [0, 0], ends
    assert [(tree / f"rank{rank}").read_text().split()[:2] for rank in (0, 1)] == [["3", "0"], ["3", "0"]]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--target", "npu", "{tree}"), "there is no target 'npu'"),
        (("--target", "tpu", "{tree}"), "holds mlu, not tpu"),
        (("--target", "mlu", "nowhere"), "there is no nowhere"),
        (("--target", "mlu", "--python", "no-python", "{tree}"), "cannot run no-python"),
        (("--target", "mlu", "--nodes", "2", "{tree}"), "2 machines and no --master"),
        (("--target", "mlu", "--nodes", "2", "--master", "host", "{tree}"), "cannot train with --master host"),
        (("--target", "mlu", "--nodes", "2", "--node-rank", "2", "{tree}"), "there is no machine 2 of 2"),
        (("--target", "mlu", "--cards", "3", "{tree}"), "MLU_VISIBLE_DEVICES=0,1 shows 2"),
        (("--target", "mlu", "{tree}", "--epochs", "3"), "DIR -- --epochs ..."),
        (("{tree}",), "Missing option '--target'"),
    ],
)
def test_wrong_usage(tree: Path, words: tuple[str, ...], says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLU_VISIBLE_DEVICES", "0,1")
    done = porter("train", *[word.format(tree=tree) for word in words], cwd=Path.cwd())
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert says in done.stderr and "Traceback" not in done.stderr


def test_cards_of_a_list_that_does_not_ascend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch_npu counts no device then, so that two cards would end in a message about none."""
    apply(["npu"], tmp_path / "npu", project=Project(CHECKOUT))
    monkeypatch.setenv("ASCEND_RT_VISIBLE_DEVICES", "1,0")
    words = ("train", "--target", "npu", "--cards", "2", "--dry-run", tmp_path / "npu")
    done = porter(*words, cwd=CHECKOUT)
    assert done.returncode == 2 and "ASCEND_RT_VISIBLE_DEVICES=0,1" in done.stderr, done.stderr
    monkeypatch.setenv("ASCEND_RT_VISIBLE_DEVICES", "4,7")
    done = porter(*words, cwd=CHECKOUT)
    assert done.returncode == 0 and "--device npu:0,1" in done.stdout, done.stderr


def test_the_vendors_simulator_is_no_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    apply(["tpu"], tmp_path / "tpu", project=Project(CHECKOUT))
    words = ("train", "--target", "tpu", "--dry-run", tmp_path / "tpu")
    line = "SIMULATOR Sophgo TPU (SC7 cards, BM1684X)\n"
    monkeypatch.delenv("TPU_EMULATOR_PATH", raising=False)
    assert "SIMULATOR" not in porter(*words, cwd=CHECKOUT).stderr
    monkeypatch.setenv("TPU_EMULATOR_PATH", "/opt/cmodel.so")
    assert porter(*words, cwd=CHECKOUT).stderr == line
    assert porter(*words, "--", "--device", "tpu:1", cwd=CHECKOUT).stderr == line
    assert porter(*words, "--", "--device=cpu", cwd=CHECKOUT).stderr == ""


def test_a_python_that_is_none(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "python").write_text("not a program")
    (tmp_path / "python").chmod(0o755)
    began = time.monotonic()
    done = porter("train", "--target", "mlu", "--python", tmp_path / "python", tree, cwd=Path.cwd())
    assert done.returncode == 2 and "Exec format error" in done.stderr, done.stderr
    assert time.monotonic() - began < 60
