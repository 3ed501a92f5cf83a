from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

import porter
from porter.output import Progress, Terminal

CODE = """
import sys
from porter.output import Terminal
with Terminal() as progress:
    for done in range(3):
        progress.step("fetching x", done, 3)
    progress.note("a note [bold]as it is[/bold]")
    progress.step("checking")
    if sys.argv[1:]:
        raise KeyboardInterrupt
print("rich" in sys.modules)
"""


def child_on_a_terminal(*args: str) -> tuple[int, str]:
    """Exit status, and what a child whose standard error is a terminal wrote there."""
    ours, theirs = pty.openpty()
    env = {**os.environ, "PYTHONPATH": str(Path(porter.__file__).parents[1]), "TERM": "xterm", "COLUMNS": "100"}
    process = subprocess.Popen([sys.executable, "-c", CODE, *args], env=env, stdout=subprocess.DEVNULL, stderr=theirs)
    os.close(theirs)
    written = b""
    try:
        while data := os.read(ours, 65536):
            written += data
    except OSError:  # Linux says so that the other end is closed
        pass
    os.close(ours)
    return process.wait(), written.decode()


def test_without_a_terminal_notes_are_lines_and_steps_nothing() -> None:
    env = {**os.environ, "PYTHONPATH": str(Path(porter.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", CODE], env=env, capture_output=True, text=True, check=True)
    assert done.stderr == "a note [bold]as it is[/bold]\n"
    assert done.stdout == "False\n"


@pytest.mark.parametrize("args", [(), ("interrupted",)])
def test_on_a_terminal_a_bar_comes_and_goes(args: tuple[str, ...]) -> None:
    status, written = child_on_a_terminal(*args)
    assert (status == 0) is not bool(args)
    assert "fetching x" in written
    assert "checking" in written
    assert "a note [bold]as it is[/bold]" in written
    hidden, shown = written.rfind("\x1b[?25l"), written.rfind("\x1b[?25h")
    assert 0 <= hidden < shown  # the cursor is back


def test_the_silent_one_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    Progress().note("x")
    Progress().step("x", 1, 2)
    assert capfd.readouterr() == ("", "")
    assert issubclass(Terminal, Progress)
