"""Children: confined, limited, ended with all their own."""

from __future__ import annotations

import json
import os
import py_compile
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from processes import living
from stacks import CHECKOUT, inventory

from porter.errors import EnvironmentFailed
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
        "time.sleep(600)\n"
    )
    began = time.monotonic()
    run = children.run("-c", code, cwd=tmp_path, limit=2)
    assert time.monotonic() - began < 300
    assert run.limit == 2 and run.status < 0
    assert run.ending == "was killed after 2 s without an end"
    assert living(tmp_path) == []


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


def test_without_the_guard_too_packages_bytecode_is_used(tmp_path: Path) -> None:
    packages = tmp_path / "packages"
    packages.mkdir()
    (packages / "compiled.py").write_text("FROM = 'source__'\n")
    (packages / "plain.py").write_text("")
    bytecode = Path(py_compile.compile(str(packages / "compiled.py")) or "")
    bytecode.write_bytes(bytecode.read_bytes().replace(b"source__", b"bytecode"))
    before = inventory(packages)
    free = Children(tmp_path / "root", sys.executable, jobs=1, limit=60, confine=False)
    code = "import compiled, plain; print(compiled.FROM)"
    run = free.run("-c", code, cwd=tmp_path, env={"PYTHONPATH": str(packages)})
    assert run.out.strip() == "bytecode", run.err
    assert inventory(packages) == before


def test_stop_ends_the_living_and_starts_no_more(children: Children, tmp_path: Path) -> None:
    ended: list[object] = []
    cwd = children.folder("run")

    def run() -> None:
        try:
            children.run("-c", "import time; open('began', 'w'); time.sleep(600)", cwd=cwd)
        except Stopped as error:
            ended.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    while not (cwd / "began").exists():
        time.sleep(0.02)
    children.stop()
    thread.join(20)
    assert not thread.is_alive() and len(ended) == 1
    with pytest.raises(Stopped):
        children.run("-c", "", cwd=tmp_path)


def test_no_more_than_jobs_at_once(tmp_path: Path) -> None:
    children = Children(tmp_path / "root", sys.executable, jobs=1, limit=60)
    code = "import os, sys, time; os.mkdir('busy'); time.sleep(0.3); os.rmdir('busy')"  # fails if it is there
    runs, cwd = [], children.folder("run")
    threads = [threading.Thread(target=lambda: runs.append(children.run("-c", code, cwd=cwd))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [run.status for run in runs] == [0, 0, 0]


def test_an_interpreter_that_is_none(tmp_path: Path) -> None:
    children = Children(tmp_path / "root", str(tmp_path / "python"), jobs=1, limit=60, confine=False)
    with pytest.raises(EnvironmentFailed, match="cannot run"):
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


OUTSIDE = """
import json, os, sys
done = {}
def attempt(name, act):
    try:
        act()
        done[name] = "done"
    except OSError:
        done[name] = "refused"
def write(path):
    with open(path, "w") as file:
        file.write("x")
outside, parent, root = sys.argv[1], int(sys.argv[2]), sys.argv[3]
attempt("write here", lambda: write("here"))
attempt("write to its temporary folder", lambda: write(os.path.join(os.environ["TMPDIR"], "x")))
attempt("write to its home", lambda: write(os.path.expanduser("~/x")))
attempt("write to a device", lambda: write("/dev/null"))
attempt("share memory", lambda: write("/dev/shm/porter-test"))
attempt("write outside", lambda: write(os.path.join(outside, "new")))
attempt("change a file outside", lambda: write(os.path.join(outside, "file")))
attempt("make a folder outside", lambda: os.mkdir(os.path.join(outside, "folder")))
attempt("remove outside", lambda: os.remove(os.path.join(outside, "file")))
attempt("rename outside", lambda: os.rename(os.path.join(outside, "file"), "here"))
attempt("read the caller's environment", lambda: open("/proc/%d/environ" % parent).read())
attempt("look into the caller", lambda: os.readlink("/proc/%d/fd/0" % parent))
os.path.exists("/dev/shm/porter-test") and os.remove("/dev/shm/porter-test")
print(json.dumps(done))
"""


@pytest.mark.parametrize(
    "hardware", [pytest.param(False, marks=pytest.mark.namespaces), pytest.param(True, marks=pytest.mark.landlock)]
)
def test_nothing_outside_is_written_and_the_caller_is_not_seen(tmp_path: Path, hardware: bool) -> None:
    """On a card by Landlock, for want of which nothing would keep the tree from it."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("mine")
    children = Children(tmp_path / "root", sys.executable, jobs=1, limit=60, hardware=hardware)
    assert children.confinement == ("landlock" if hardware else "namespaces")
    cwd = children.folder("run")
    words = (outside, os.getpid(), children.root)
    run = children.run("-c", OUTSIDE, *words, cwd=cwd)
    found = json.loads(run.out)
    allowed = {name for name, state in found.items() if state == "done"}
    assert allowed == {
        *("write here", "write to its temporary folder", "write to its home", "write to a device", "share memory")
    }, run.err
    assert (outside / "file").read_text() == "mine" and os.listdir(outside) == ["file"]


# as a container's seccomp profile may, calls fail that leave namespaces or restrict a process (linux/seccomp.h)
REFUSED = """
import ctypes, platform, struct, sys
def refuse(*numbers):
    rows = [(0x20, 0, 0, 0)]  # load the call's number
    for at, number in enumerate(numbers):
        rows.append((0x15, len(numbers) - at, 0, number))  # if it is this one: to the last row
    rows += [(0x06, 0, 0, 0x7fff0000), (0x06, 0, 0, 0x50001)]  # allow; fail with EPERM
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *row) for row in rows))
    libc = ctypes.CDLL(None, use_errno=True)
    filters = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(rows), ctypes.addressof(program)))
    assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, filters, 0, 0) == 0
unshare = {"x86_64": 272, "aarch64": 97}[platform.machine()]
refuse(*[{"unshare": unshare, "landlock": 444}[name] for name in sys.argv[2:]])
from pathlib import Path
from porter.verification.child import Children
children = Children(Path(sys.argv[1]), sys.executable, 1, 60)
run = children.run("-c", "print('runs')", cwd=children.folder("run"))
print(children.confinement, run.status, run.out.strip())
"""


@pytest.mark.parametrize(
    ("refused", "way"),
    [
        pytest.param(["unshare"], "landlock", marks=pytest.mark.landlock),
        (["unshare", "landlock"], "none"),
    ],
)
def test_where_the_system_allows_less_a_tree_runs_all_the_same(tmp_path: Path, refused: list[str], way: str) -> None:
    command = [sys.executable, "-c", REFUSED, tmp_path / "root", *refused]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(CHECKOUT)}, capture_output=True, text=True)
    assert done.stdout == f"{way} 0 runs\n", done.stderr
