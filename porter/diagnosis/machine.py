"""The machine: system, processor, memory, disk, and the programs that porter and a tree need."""

from __future__ import annotations

import logging
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from porter import process
from porter.output import Timed

GIB = 2**30
_SHARED = Path("/dev/shm")
_CGROUP = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


@dataclass(frozen=True)
class Machine:
    """What was found of the machine.

    Attributes:
        system: kernel and distribution.
        processor: its model.
        cores: those that this process may use.
        memory, free_memory: bytes, a container's limit respected; 0 where it cannot be told.
        folder: whose disk was looked at.
        disk: bytes that are free there.
        shared: bytes of shared memory (data loading workers hand batches over in it); None where there is none.
        git, compiler: their versions; empty if missing.
        container: whether it looks like one.
    """

    system: str
    processor: str
    cores: int
    memory: int
    free_memory: int
    folder: str
    disk: int
    shared: int | None
    git: str
    compiler: str
    container: bool


def look(folder: Path) -> Machine:
    """The machine, and the disk that ``folder`` is on."""
    memory, free = _memory()
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.is_dir())
    return Machine(
        system=_system(),
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory=memory,
        free_memory=free,
        folder=str(there),
        disk=shutil.disk_usage(there).free,
        shared=shutil.disk_usage(_SHARED).total if _SHARED.is_dir() else None,
        git=_version("git", "--version"),
        compiler=_version("c++", "--version"),
        container=Path("/.dockerenv").exists() or Path("/run/.containerenv").exists(),
    )


def _system() -> str:
    found = re.search(r'^PRETTY_NAME="?([^"\n]*)', _read(Path("/etc/os-release")), re.MULTILINE)
    name = f"{found[1]}, " if found else ""
    return f"{name}{platform.system()} {platform.release()}, {platform.machine()}"


def _processor() -> str:
    found = re.search(r"^(?:model name|Model|Hardware)\s*:\s*(.+)", _read(Path("/proc/cpuinfo")), re.MULTILINE)
    return found[1].strip() if found else platform.processor() or platform.machine()


def _memory() -> tuple[int, int]:
    text = _read(Path("/proc/meminfo"))
    rows = {name: int(size) * 1024 for name, size in re.findall(r"^(\w+):\s+(\d+) kB", text, re.MULTILINE)}
    total, free = rows.get("MemTotal", 0), rows.get("MemAvailable", 0)
    for path in _CGROUP:
        limit = _read(path).strip()
        if limit.isdecimal() and int(limit) < total:
            used = _read(path.with_name("memory.current")).strip()
            left = int(limit) - int(used) if used.isdecimal() else int(limit)
            return int(limit), min(free, left)
    return total, free


def _version(*words: str) -> str:
    answer = ask(words, seconds=2)
    return "" if answer.why else answer.out.partition("\n")[0].strip()


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""  # not Linux, or hidden: it is said as unknown


# Run a program for what it prints: a vendor's tool, a compiler, another Python.  One that takes too long is ended.

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
    return Answer(said, complained, why or (process.ending(child.returncode) if child.returncode else ""))


def stop() -> None:
    """End every program that was asked and has not answered, from another thread: Ctrl-C."""
    _group.kill()
