from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest
from stacks import CHECKOUT

from porter import process


def child(code: str, number: signal.Signals) -> subprocess.CompletedProcess[str]:
    """Run code, send a signal when it prints ``ready``; its output and exit status."""
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    out, errors = process.communicate(timeout=300)
    return subprocess.CompletedProcess([], process.returncode, out, errors)


ENDING = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.mark.parametrize("number", ENDING, ids=lambda n: n.name)
def test_a_held_signal_takes_effect_after_the_block(number: signal.Signals) -> None:
    done = child(
        """
        import time
        from porter import process
        process.handle_signals()
        try:
            with process.held():
                print("ready", flush=True)
                time.sleep(0.3)
                print("finished", flush=True)
            print("too far", flush=True)
        except (KeyboardInterrupt, process.Terminated) as error:
            print(type(error).__name__, flush=True)
        """,
        number,
    )
    kind = "KeyboardInterrupt" if number == signal.SIGINT else "Terminated"
    assert done.stdout == f"finished\n{kind}\n", done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda n: n.name)
def test_ending_signals_run_cleanup(number: signal.Signals) -> None:
    done = child(
        """
        import time
        from porter import process
        process.handle_signals()
        try:
            print("ready", flush=True)
            time.sleep(20)
        except Exception:
            print("swallowed", flush=True)
        finally:
            print("cleaned", flush=True)
        """,
        number,
    )
    assert done.stdout == "cleaned\n"
    assert "Terminated" in done.stderr


def test_what_the_caller_ignores_stays_ignored() -> None:
    done = child(
        """
        import signal, time
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        from porter import process
        process.handle_signals()
        with process.held():
            print("ready", flush=True)
            time.sleep(0.2)
        print("alive", flush=True)
        """,
        signal.SIGHUP,
    )
    assert (done.returncode, done.stdout) == (0, "alive\n")


def test_handlers_are_put_back() -> None:
    before = [signal.getsignal(number) for number in ENDING]
    with process.held():
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert [signal.getsignal(number) for number in ENDING] == before


START = {
    "python -m porter": ["-m", "porter"],
    # what pip writes into the command for pyproject.toml's line
    "porter": ["-c", "import sys\nfrom {} import {}\nsys.exit({}())"],
}


@pytest.mark.parametrize("way", START)
@pytest.mark.parametrize("imported", ["porter.cli", "click", "porter.process"])
@pytest.mark.parametrize("is_ignored", [False, True])
def test_ctrl_c_while_porter_starts_is_quiet(tmp_path: Path, way: str, imported: str, is_ignored: bool) -> None:
    hook = f"""
        import signal, sys
        class Finder:
            def find_spec(self, name, path=None, target=None):
                if name == {imported!r}:
                    signal.raise_signal(signal.SIGINT)
        sys.meta_path.insert(0, Finder())
        if {is_ignored}:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        """
    (tmp_path / "sitecustomize.py").write_text(textwrap.dedent(hook))
    module, _, function = re.findall('^porter = "(.*)(:)(.*)"$', (CHECKOUT / "pyproject.toml").read_text(), re.M)[0]
    words = [word.format(module, function, function) for word in START[way]]
    env = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{CHECKOUT}"}
    done = subprocess.run([sys.executable, *words, "--version"], env=env, capture_output=True, text=True, timeout=300)
    if is_ignored:
        assert (done.returncode, done.stderr) == (0, "") and done.stdout.startswith("porter ")
    else:
        assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")  # 130 in a shell


def test_in_another_thread_nothing_is_done() -> None:
    ran = []

    def run() -> None:
        with process.held():
            ran.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert ran == [signal.getsignal(signal.SIGINT)]
