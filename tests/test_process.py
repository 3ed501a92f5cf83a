from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from moment import HIT

from porter import process

# the moment a child runs, while subprocess.Popen has not told anybody of it
_WHILE_STARTING = """
from porter import git

hit_when_returning_from("_execute_child", int(sys.argv[1]))
words = ["-c", "alias.go=!" + sys.argv[2], "go"]
try:
    {call}
finally:
    print("left", flush=True)
"""
CALLS = {
    "run": "git.run(*words)",
    "held": "git.run(*words, hold=2)",
    "follow": "git.follow(*words, line=print, silence=60)",
}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda n: n.name)
@pytest.mark.parametrize("call", CALLS)
def test_a_child_hit_while_it_is_started_is_ended_too(tmp_path: Path, call: str, number: signal.Signals) -> None:
    """Otherwise it would go on writing into a folder that its porter has removed, or unlocked."""
    trace, program = tmp_path / "trace", HIT + _WHILE_STARTING.replace("{call}", CALLS[call])
    # the child of a child, as git's own helpers are
    shell = f"for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do sleep 0.1; echo here >>{trace}; done"
    done = subprocess.run(
        [sys.executable, "-c", program, str(int(number)), shell], stdout=subprocess.PIPE, check=False, timeout=60
    )
    assert (done.stdout, done.returncode != 0) == (b"left\n", True)
    lines = trace.read_text() if trace.exists() else ""
    time.sleep(0.5)
    assert (trace.read_text() if trace.exists() else "") == lines


@pytest.mark.parametrize("session", [False, True])
def test_a_child_that_does_not_listen_is_killed(tmp_path: Path, session: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_TIMEOUT", 0.5)
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
    )
    begun = time.monotonic()
    with (
        pytest.raises(ZeroDivisionError),
        process.started([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=session) as started,
    ):
        assert started.stdout is not None and started.stdout.readline() == b"deaf\n"
        _ = 1 / 0
    assert started.returncode == -signal.SIGKILL
    assert time.monotonic() - begun < 100


def test_a_child_is_waited_for_and_its_pipes_are_closed() -> None:
    with process.started(["sh", "-c", "exit 3"], stdout=subprocess.PIPE) as started:
        pass
    assert started.returncode == 3
    assert started.stdout is not None and started.stdout.closed
    with pytest.raises(FileNotFoundError), process.started(["/not/there"]):
        pass


def test_a_group_is_killed_from_another_thread_with_what_its_children_started() -> None:
    group = process.Group()
    shell = "sleep 600 & echo $! && wait"
    with group.started(["sh", "-c", shell], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        inner = int(child.stdout.readline())
        threading.Thread(target=group.kill).start()
        assert child.wait(30) == -signal.SIGKILL
        until = time.monotonic() + 30
        while Path(f"/proc/{inner}/stat").exists() and "Z" not in Path(f"/proc/{inner}/stat").read_text().split()[2]:
            assert time.monotonic() < until
            time.sleep(0.02)
    with group.started(["true"]) as child:  # it is not closed
        assert child.wait(30) == 0
    group.close()
    with pytest.raises(process.Stopped), group.started(["true"]):
        pass
