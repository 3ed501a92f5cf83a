"""Run a program for what it prints: a vendor's tool, a compiler, another Python.  One that takes too long is ended."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from porter import process
from porter.output import Timed

_log = logging.getLogger(__name__)
_group = process.Group()


@dataclass(frozen=True)
class Answer:
    """What a program said.

    Attributes:
        out, err: its outputs.
        why: how it failed, in words; empty if it ended with status 0.
    """

    out: str
    err: str
    why: str


def ask(words: Sequence[str | Path], *, seconds: float, environment: Mapping[str, str] | None = None) -> Answer:
    """Run a program to its end, or for so many seconds; a program that is not there has nothing to say.

    Args:
        environment: added to this process's.
    """
    told = Timed(_log, words)
    why = ""
    env = {**os.environ, **(environment or {})}
    try:
        with _group.started(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env
        ) as child:
            try:
                out, err = child.communicate(timeout=seconds)
            except subprocess.TimeoutExpired:
                process.kill(child)
                out, err = child.communicate()
                why = f"did not answer within {seconds:g} s"
    except OSError as error:
        return Answer("", "", f"cannot be run: {error.strerror or error}")
    told.ended("killed" if why else child.returncode)
    said, complained = (text.decode(errors="replace") for text in (out, err))
    return Answer(said, complained, why or _ending(child.returncode))


def stop() -> None:
    """End every program that was asked and has not answered, from another thread: Ctrl-C."""
    _group.kill()


def _ending(status: int) -> str:
    if status < 0:
        with suppress(ValueError):
            return f"died of {signal.Signals(-status).name}"
    return f"ended with status {status}" if status else ""
