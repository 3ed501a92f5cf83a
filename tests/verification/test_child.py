"""Children: confined, limited, ended with all their own."""

from __future__ import annotations

import os
import py_compile
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from stacks import inventory

from porter.errors import SurroundingsFailed
from porter.process import Stopped
from porter.verification.child import GUARD, Children


@pytest.fixture
def children(tmp_path: Path) -> Children:
    return Children(tmp_path / "root", sys.executable, jobs=2, limit=60, kept=["MLU_VISIBLE_DEVICES", "PYTHONPATH"])


def test_outputs_and_status(children: Children, tmp_path: Path) -> None:
    run = children.run("-c", "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)", cwd=tmp_path)
    assert (run.out, run.err, run.status) == ("out\n", "err\n", 3)
    assert run.ending == "ended with status 3"


def test_a_child_that_hangs_is_killed_with_its_children(children: Children, tmp_path: Path) -> None:
    code = (
        "import os, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    began = time.monotonic()
    run = children.run("-c", code, cwd=tmp_path, limit=2)
    assert time.monotonic() - began < 300
    assert run.limit == 2 and run.status < 0
    assert run.ending == "was killed after 2 s without an end"
    assert gone(int(run.out))


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="this system does not count it")
def test_a_busy_machine_is_no_hang(children: Children, tmp_path: Path) -> None:
    """A second of work takes five where four others want the same processor: a limit of three does not end it."""
    one = f"import os, time; os.sched_setaffinity(0, [{min(os.sched_getaffinity(0))}])\n"
    others = [subprocess.Popen([sys.executable, "-c", one + "while True: pass"]) for _ in range(4)]
    try:
        run = children.run("-c", one + "while time.process_time() < 1.2: pass", cwd=tmp_path, limit=3)
    finally:
        for other in others:
            other.kill()
            other.wait()
    assert (run.status, run.limit) == (0, 0.0)


def gone(pid: int) -> bool:
    """Whether a process has ended, within seconds."""
    for _ in range(100):
        try:
            with open(f"/proc/{pid}/stat") as file:
                if file.read().rpartition(")")[2].split()[0] == "Z":
                    return True
        except FileNotFoundError:
            return True
        time.sleep(0.05)
    return False


def test_death_by_a_signal_is_said(children: Children, tmp_path: Path) -> None:
    run = children.run("-c", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", cwd=tmp_path)
    assert run.ending == "died of SIGSEGV"


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("import socket; socket.socket().connect(('192.0.2.1', 80))", "connection to"),
        ("import socket; socket.getaddrinfo('example.com', 80)", "look-up of example.com"),
        ("import subprocess; subprocess.run(['pip', 'install', 'x'])", "command pip install x"),
        ("import os; os.system('curl http://192.0.2.1')", "command curl"),
    ],
)
def test_neither_network_nor_installation(children: Children, tmp_path: Path, code: str, says: str) -> None:
    run = children.run("-c", code, cwd=tmp_path)
    assert run.status == 1
    assert len(run.forbidden) == 1 and run.forbidden[0].startswith(says)


def test_loopback_is_there(children: Children, tmp_path: Path) -> None:
    code = (
        "import socket\n"
        "with socket.create_server(('127.0.0.1', 0)) as server:\n"
        "    socket.create_connection(server.getsockname(), 5).close()\n"
    )
    run = children.run("-c", code, cwd=tmp_path)
    assert (run.status, run.forbidden) == (0, ()), run.err


def test_the_callers_settings_are_not_inherited(
    children: Children, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "secret")
    monkeypatch.setenv("MLU_VISIBLE_DEVICES", "1")
    monkeypatch.setenv("TPU_VISIBLE_DEVICES", "1")  # not this target's
    names = ["WANDB_API_KEY", "TPU_VISIBLE_DEVICES", "MLU_VISIBLE_DEVICES", "HOME"]
    code = f"import json, os; print(json.dumps([os.environ.get(name) for name in {names}]))"
    run = children.run("-c", code, cwd=tmp_path)
    assert run.out.strip() == f'[null, null, "1", "{children.root / "home"}"]'


def test_a_vendors_pythonpath_comes_after_the_guard(
    children: Children, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/vendor")
    code = "import os; print(os.environ['PYTHONPATH'])"
    guard, *rest = children.run("-c", code, cwd=tmp_path, env={"PYTHONPATH": "/ours"}).out.strip().split(os.pathsep)
    assert guard == str(GUARD) and rest == ["/ours", "/vendor"]


def test_no_byte_code_is_left_beside_the_source(children: Children, tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text("x = 1\n")
    assert children.run("-c", "import sys; sys.path.insert(0, '.'); import module", cwd=tmp_path).status == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["module.py", "root"]


@pytest.mark.parametrize("compiled", [True, False])
def test_installed_packages_are_compiled_once_at_most(children: Children, tmp_path: Path, compiled: bool) -> None:
    """Their own bytecode is used; where an installation came without any, the run keeps its own."""
    packages = tmp_path / "packages"
    packages.mkdir()
    (packages / "torch.py").write_text("")
    if compiled:
        py_compile.compile(str(packages / "torch.py"))
    before = inventory(packages)
    env = {"PYTHONPATH": str(packages)}
    run = children.run("-c", "import torch; print(torch.__cached__)", cwd=tmp_path, env=env)
    assert inventory(packages) == before
    assert run.out.startswith(str(packages if compiled else children.root / "pyc"))
    assert Path(run.out.strip()).is_file()


def test_stop_ends_the_living_and_starts_no_more(children: Children, tmp_path: Path) -> None:
    ended: list[object] = []

    def run() -> None:
        try:
            children.run("-c", "import time; open('began', 'w'); time.sleep(600)", cwd=tmp_path)
        except Stopped as error:
            ended.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    while not (tmp_path / "began").exists():
        time.sleep(0.02)
    children.stop()
    thread.join(20)
    assert not thread.is_alive() and len(ended) == 1
    with pytest.raises(Stopped):
        children.run("-c", "", cwd=tmp_path)


def test_no_more_than_jobs_at_once(tmp_path: Path) -> None:
    children = Children(tmp_path / "root", sys.executable, jobs=1, limit=60)
    code = "import os, sys, time; os.mkdir('busy'); time.sleep(0.3); os.rmdir('busy')"  # fails if it is there
    runs = []
    threads = [threading.Thread(target=lambda: runs.append(children.run("-c", code, cwd=tmp_path))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [run.status for run in runs] == [0, 0, 0]


def test_an_interpreter_that_is_none(tmp_path: Path) -> None:
    children = Children(tmp_path / "root", str(tmp_path / "python"), jobs=1, limit=60, confine=False)
    with pytest.raises(SurroundingsFailed, match="cannot run"):
        children.run("-c", "", cwd=tmp_path)


def test_the_end_of_a_log_is_what_matters(children: Children, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "for n in range(100): sys.stderr.write('\\r %d%%|###| step' % n)\n"
        "sys.stderr.write('\\nRuntimeError: it broke\\n')\n"
    )
    lines = children.run("-c", code, cwd=tmp_path).tail().splitlines()
    assert lines == [" 99%|###| step", "RuntimeError: it broke"]
    assert os.linesep == "\n"
