"""The machine: system, processor, memory, disk, the programs that porter and a tree need, and its cards."""

from __future__ import annotations

import logging
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from porter import process
from porter.diagnosis.hints import Hint
from porter.output import Timed
from porter.temporary import temporary_folder

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


# The cards of a machine, as each vendor's own tool tells: works where no PyTorch plugin is installed yet.
#
# The tables are read as they are documented.  cnmon: the installation guides of PaddlePaddle's MLU backend show those
# of CNMON 4.20.11 and 5.10.13 (PaddleCustomDevice, backends/mlu/README_cn.md).  bm-smi: sophgo/libsophon,
# bm-smi/src/bm_smi_display.cpp prints it.  npu-smi: Huawei's CANN guides.  nvidia-smi has a CSV output of its own.

_SECONDS = 2.5  # a driver that hangs must not keep the rest waiting


@dataclass(frozen=True)
class Card:
    """A device on a card.

    Attributes:
        index: as the tool counts.
        name: its model; empty if the tool does not repeat it for each device.
        memory: MiB in all; 0 if it is not told.
        used: MiB in use.
        state: ``ok``, or what the tool says is wrong.
    """

    index: int
    name: str
    memory: int
    used: int
    state: str


@dataclass(frozen=True)
class Cards:
    """What a vendor's tool said.

    Attributes:
        target: the device family.
        tool: its name.
        found: whether it is installed.
        driver: the driver's version; empty if it is not told.
        cards: those it lists.
        why: why it lists none, in words.
    """

    target: str
    tool: str
    found: bool
    driver: str = ""
    cards: tuple[Card, ...] = ()
    why: str = ""


def cards_of(target: str) -> Cards | None:
    """What the tool of a device family says; None for a family whose tool is not known."""
    known = TOOLS.get(target)
    if known is None:
        return None
    tool, run, read = known
    path = shutil.which(tool)
    if path is None:
        return Cards(target, tool, False, why=Hint("{tool} is not installed", tool=tool))
    answer = run(path)
    driver, cards = read(answer.out)
    if cards:
        return Cards(target, tool, True, driver, tuple(cards))
    if not answer.why:
        return Cards(target, tool, True, driver, (), Hint("{tool} lists no card", tool=tool))
    last = (answer.err.strip() or answer.out.strip()).splitlines()[-1:]
    return Cards(target, tool, True, driver, (), f"{tool} {answer.why}" + (f" ({last[0].strip()})" if last else ""))


Read = Callable[[str], "tuple[str, list[Card]]"]


def cnmon(text: str) -> tuple[str, list[Card]]:
    """The driver and the cards in what cnmon prints: two rows a card."""
    driver = re.search(r"^\| CNMON .*\bDriver v([\d.]+)", text, re.MULTILINE)
    version = driver[1] if driver else ""
    cards: list[Card] = []
    for line in text.splitlines():
        first = re.match(r"\|\s*(\d+)\s+\S+\s+(MLU\S+)\s+v[\d.]+\s*\|\s*(?:(\w+)\s+v([\d.]+))?", line)
        second = re.match(r"\|[^|]*\|\s*(\d+) MiB/\s*(\d+) MiB\s*\|", line)
        if first:
            version = version or first[4] or ""
            state = "ok" if first[3] in (None, "On") else f"initialised: {first[3]}"
            cards.append(Card(int(first[1]), first[2], 0, 0, state))
        elif second and cards and not cards[-1].memory:
            last = cards.pop()
            cards.append(Card(last.index, last.name, int(second[2]), int(second[1]), last.state))
    return version, cards


def bm_smi(text: str) -> tuple[str, list[Card]]:
    """The driver and the devices in what bm-smi writes: three rows a device, a card's name with its first."""
    driver = re.search(r"Driver Version:\s*(\d+)\.\s*(\d+)\.\s*(\d+)", text)
    cards: list[Card] = []
    name = ""
    for line in text.splitlines():
        cells = line.strip().strip("|").split("|")
        if len(cells) != 2:
            continue
        first = re.match(r"\s*(\d+)\s+\S+\s+\S+\s+\S+\s+\S+\s", cells[1])
        second = re.search(r"\s(Active|Fault)\s.*?(\d+)MB/\s*(\d+)MB", cells[1])
        if second and cards:
            last = cards.pop()
            state = "ok" if second[1] == "Active" else "fault"
            cards.append(Card(last.index, last.name, int(second[3]), int(second[2]), state))
        elif first:
            name = (cells[0].split() or ["", name])[1]
            cards.append(Card(int(first[1]), name, 0, 0, "unknown"))
    return ".".join(driver.groups()) if driver else "", cards


def npu_smi(text: str) -> tuple[str, list[Card]]:
    """The driver and the devices in what `npu-smi info` prints: two rows a device."""
    driver = re.search(r"^\|\s*npu-smi .*\bVersion:\s*(\S+)", text, re.MULTILINE)
    cards: list[Card] = []
    for line in text.splitlines():
        first = re.match(r"\|\s*(\d+)\s+(\S+)\s*\|\s*(\S+)\s*\|\s*\S+\s+\d+\s", line)
        second = re.match(r"\|\s*\d+[^|]*\|\s*[0-9A-Fa-f:.]+\s*\|.*?(\d+)\s*/\s*(\d+)\s*\|\s*$", line)
        if first and re.search("[A-Za-z]", first[2]):
            cards.append(Card(int(first[1]), first[2], 0, 0, "ok" if first[3] == "OK" else first[3].lower()))
        elif second and cards:
            last = cards.pop()
            cards.append(Card(last.index, last.name, int(second[2]), int(second[1]), last.state))
    return driver[1] if driver else "", cards


def nvidia_smi(text: str) -> tuple[str, list[Card]]:
    """The driver and the cards in nvidia-smi's CSV."""
    rows = [[cell.strip() for cell in line.split(",")] for line in text.splitlines()]
    rows = [row for row in rows if len(row) == 5 and row[0].isdecimal()]
    number = [[int(cell) if cell.isdecimal() else 0 for cell in row] for row in rows]
    cards = [Card(n[0], row[1], n[3], n[4], "ok") for row, n in zip(rows, number)]
    return (rows[0][2] if rows else ""), cards


def _print(*words: str) -> Callable[[str], Answer]:
    return lambda path: ask([path, *words], seconds=_SECONDS)


def _bm_smi(path: str) -> Answer:
    """bm-smi draws with curses; what it draws goes to a file as well, once."""
    with temporary_folder("porter-doctor-") as folder:
        file = folder / "bm-smi"
        answer = ask([path, "--noloop", f"--file={file}"], seconds=_SECONDS, environment={"TERM": "xterm"})
        text = file.read_text(errors="replace", encoding="utf-8") if file.exists() else ""
    return Answer(text, answer.err, answer.why)


_NVIDIA = "--query-gpu=index,name,driver_version,memory.total,memory.used"
# device family -> its tool, how it is run, how its answer is read
TOOLS: dict[str, tuple[str, Callable[[str], Answer], Read]] = {
    "mlu": ("cnmon", _print(), cnmon),
    "tpu": ("bm-smi", _bm_smi, bm_smi),
    "npu": ("npu-smi", _print("info"), npu_smi),
    "cuda": ("nvidia-smi", _print(_NVIDIA, "--format=csv,noheader,nounits"), nvidia_smi),
}
