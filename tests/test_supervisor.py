"""Nothing that a supervised command starts outlives it, however it, porter or the supervisor is ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import living, none_left
from stacks import CHECKOUT

from porter import process

# a daemon as they are made: forked twice, in a session of its own, with the standard streams closed
DAEMON = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.closerange(0, 3)
        open("began", "w").close()
        time.sleep(600)
    os._exit(0)
os.wait()
while not os.path.exists("began"):
    time.sleep(0.01)
"""
PYTHON = [sys.executable, "-I", "-S"]
WAYS = {
    "plain": [],
    "landlock": ["--no-network", "--way", "landlock"],
    "namespaces": ["--no-network", "--way", "namespaces"],
}
MARKED = ["plain", *(pytest.param(way, marks=getattr(pytest.mark, way)) for way in ("landlock", "namespaces"))]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    for pid in Path("/proc").glob("[0-9]*"):  # of a test that failed
        try:
            if os.readlink(pid / "cwd").startswith(str(tmp_path)):
                os.kill(int(pid.name), signal.SIGKILL)
        except OSError:
            continue


def options(way: str, place: Path) -> list[str]:
    return [*WAYS[way], *(["--write", str(place)] if way != "plain" else [])]


@pytest.mark.parametrize("way", MARKED)
def test_a_daemon_ends_with_the_command_that_started_it(place: Path, way: str) -> None:
    done = process.run([*PYTHON, "-c", DAEMON + "print('done')"], cwd=place, supervisor=options(way, place))
    assert (done.returncode, done.stdout) == (0, b"done\n"), done.stderr
    assert (place / "began").exists() and living(place) == []


@pytest.mark.parametrize("way", MARKED)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda n: n.name)
def test_all_ends_with_porter(place: Path, way: str, number: signal.Signals) -> None:
    """SIGKILL too, which lets porter do nothing."""
    command = [*PYTHON, "-c", DAEMON + "time.sleep(600)"]
    code = f"""
        from porter import process
        process.handle_signals()
        process.run({command}, cwd={str(place)!r}, supervisor={options(way, place)})
        """
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    porter = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], env=env, stderr=subprocess.DEVNULL)
    while not (place / "began").exists():
        assert porter.poll() is None
        time.sleep(0.02)
    porter.send_signal(number)
    porter.wait(60)
    assert none_left(place) if number == signal.SIGKILL else living(place) == []


@pytest.mark.parametrize("way", MARKED)
def test_it_ends_as_its_command_does(place: Path, way: str) -> None:
    for number in signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM:
        code = f"import os; os.kill(os.getpid(), {int(number)})"
        assert process.run([*PYTHON, "-c", code], cwd=place, supervisor=options(way, place)).returncode == -number
    done = process.run([*PYTHON, "-c", "raise SystemExit(7)"], cwd=place, supervisor=options(way, place))
    assert done.returncode == 7
    with pytest.raises(FileNotFoundError):
        process.run(["/not/there"], supervisor=options(way, place))


def test_a_command_has_time_to_end_by_itself(place: Path) -> None:
    code = (
        "import signal, sys, time\n"
        "def end(number, frame):\n    open('cleaned', 'w').close()\n    sys.exit(3)\n"
        "signal.signal(signal.SIGTERM, end)\nprint('ready', flush=True)\ntime.sleep(600)\n"
    )
    how = {"stdout": subprocess.PIPE, "cwd": place, "supervisor": ["--grace", "60"]}
    with process.started([*PYTHON, "-c", code], **how) as child:
        assert child.stdout is not None and child.stdout.readline() == b"ready\n"
        process.kill(child)
    assert child.returncode == 3 and (place / "cleaned").exists()


def test_a_command_that_takes_longer_is_killed(place: Path) -> None:
    code = "import signal, time\nsignal.signal(15, signal.SIG_IGN)\nprint('ready', flush=True)\ntime.sleep(600)\n"
    how = {"stdout": subprocess.PIPE, "cwd": place, "supervisor": ["--grace", "0.2"]}
    with process.started([*PYTHON, "-c", code], **how) as child:
        assert child.stdout is not None and child.stdout.readline() == b"ready\n"
        process.kill(child)
    assert child.returncode == -signal.SIGKILL


def test_a_signal_to_the_commands_own_group_does_not_reach_the_supervisor(place: Path) -> None:
    code = "import os, signal; signal.signal(15, signal.SIG_IGN); os.kill(0, 15); raise SystemExit(5)"
    assert process.run([*PYTHON, "-c", code], supervisor=[]).returncode == 5
