"""Record a card: every job of ``drivers/record.py``, in children that a crash or a hang of the driver may end."""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import platform
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from porter import process
from porter.comparison import DRIVERS as COMPARISON
from porter.errors import EnvironmentFailed, os_errors
from porter.files import read_file
from porter.output import Progress, heading
from porter.target import Target
from porter.temporary import temporary_folder
from porter.verification.device import Device

CALLS = Path(__file__).with_name("calls.json.gz")
DRIVERS = Path(__file__).resolve().parent / "drivers"
KIND = "card record"
LIMIT = 60  # seconds for a job; the first on a card may compile kernels
_LOST = 3  # the driver's exit status when the device computes nothing any more
_POLL = 0.2  # seconds
_SAID = ("message", "unread", "value")  # of an outcome: what the plugin says, which may hold anything


@dataclass(frozen=True)
class Recorder:
    """What is recorded, and how.

    Attributes:
        target: the device family; ``device``: what of it is there.
        python: the interpreter that has its plugin.
        journal: where the outcomes go as they come; a run that was cut short goes on there.
        limit: seconds that a job may take.
        threads: that the cpu's side may use; 0: torch's own choice.
        calls: the file of the calls to make.
    """

    target: Target
    device: Device
    python: str
    journal: Path
    limit: int = LIMIT
    threads: int = 0
    calls: Path = CALLS

    def run(self, progress: Progress, begun: Callable[[str], None] = lambda line: None) -> list[dict[str, Any]]:
        """The outcome of every job, in order.

        Raises:
            EnvironmentFailed: the plugin does not load, or no tensor comes back from the device at all.
        """
        start = self._start()
        known = _lines(self.journal)
        if known[:1] != [start]:
            self._write(start)
        elif len(known) > 1:
            begun(f"going on with {self.journal}")
        with temporary_folder("porter-record-") as folder:
            config = folder / "config.json"
            config.write_text(json.dumps(self._config()), encoding="utf-8")
            while (first := self._next()) is not None:
                status, error = self._child(config, first, progress)
                ended = _last(self.journal)
                if status in (0, _LOST):
                    continue
                if "begun" in ended:
                    hung = "Timeout (" in error or status == -signal.SIGKILL
                    self._append({**ended, **_ended(status, hung), "number": ended["begun"]})
                elif self._next() == first:  # it did not even come to a job
                    raise EnvironmentFailed(f"{self.device.says} cannot be recorded", error[-2000:])
        return _outcomes(_lines(self.journal))

    def _start(self) -> dict[str, Any]:
        """What a journal has to begin with, to be gone on with."""
        return {
            "kind": "card record, unfinished",
            "calls": digest(self.calls),
            "target": self.target.name,
            "device": self.device.says,
            "torch": self.device.facts.get("torch"),
            "version": self.device.facts.get("version", ""),
        }

    def _config(self) -> dict[str, Any]:
        return {
            "device": self.device.name,
            "plugin": self.target.plugin.module if self.device.kind != "cpu" else "",
            "distributed": [*dict.fromkeys((*self.target.distributed, "gloo"))],
            "comparison": str(COMPARISON),
            "calls": str(self.calls),
            "journal": str(self.journal.absolute()),
            "limit": self.limit,
            "threads": self.threads,
        }

    def _next(self) -> int | None:
        """The number of the job to go on with; None when all are done."""
        done = [line for line in _lines(self.journal)[1:] if "number" in line or "all" in line]
        if done and "all" in done[-1]:
            return None
        return int(done[-1]["number"]) + 1 if done else 0

    def _child(self, config: Path, first: int, progress: Progress) -> tuple[int, str]:
        """Run the driver from a job on; its status, and what it said on standard error."""
        words = [self.python, str(DRIVERS / "record.py"), str(config), str(first)]
        environment = {**os.environ, **self.device.environment}
        with tempfile.TemporaryFile() as said:
            how: dict[str, Any] = {
                "stdin": subprocess.DEVNULL,
                "stdout": subprocess.DEVNULL,
                "stderr": said,
                "cwd": config.parent,
            }
            starting = process.started(words, env=environment, start_new_session=True, **how)
            with os_errors(f"cannot run {words[0]}"), starting as child:
                while child.poll() is None:
                    last = _last(self.journal)
                    progress.step("recording", int(last.get("number", last.get("begun", 0))), None)
                    time.sleep(_POLL)
            said.seek(0)
            return child.returncode, said.read().decode(errors="replace")

    def _write(self, start: Mapping[str, Any]) -> None:
        with os_errors(f"cannot write {self.journal}"):
            self.journal.write_text(json.dumps(start) + "\n", encoding="utf-8")

    def _append(self, line: Mapping[str, Any]) -> None:
        with open(self.journal, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def digest(calls: Path) -> str:
    return hashlib.sha256(read_file(calls)).hexdigest()


def _lines(journal: Path) -> list[dict[str, Any]]:
    """What is whole of a journal."""
    if not journal.is_file():
        return []
    found = []
    for line in journal.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            read = json.loads(line)
        except ValueError:  # the machine went down in the middle of it
            continue
        if isinstance(read, dict):
            found.append(read)
    return found


def _last(journal: Path) -> dict[str, Any]:
    """The last whole line, of a file that may be long and grow."""
    with open(journal, "rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - (1 << 16)))
        for line in reversed(file.read().splitlines()):
            try:
                found = json.loads(line)
            except ValueError:
                continue
            if isinstance(found, dict):
                return found
    return {}


def _ended(status: int, hung: bool) -> dict[str, Any]:
    if hung:
        return {"state": "hangs"}
    return {"state": "crashes", "message": f"the process {process.ending(status)}"}


def _outcomes(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found = {line["number"]: line for line in lines if "number" in line}
    return [found[number] for number in sorted(found)]


def assembled(recorder: Recorder, outcomes: list[dict[str, Any]], visible: Mapping[str, Any]) -> dict[str, Any]:
    """The record, of all outcomes: what docs/formats.md says, and nothing of the machine or its user."""
    facts, target = recorder.device.facts, recorder.target
    surface: dict[str, Any] = {}
    operators: dict[str, list[dict[str, Any]]] = {}
    for outcome in outcomes:
        kept = {
            key: scrubbed(value) if key in _SAID else value
            for key, value in outcome.items()
            if key not in ("number", "name", "begun", "seconds")
        }
        if outcome["name"].startswith("aten::"):
            operators.setdefault(outcome["name"], []).append(kept)
        else:
            surface[outcome["name"]] = kept
    name = surface.get("function get_device_name", {}).get("value") or target.called
    return {
        **heading(KIND),
        "target": target.name,
        "plugin": {
            "module": target.plugin.module,
            "version": surface.get("names", {}).get("value", {}).get("version", ""),
        },
        "device": recorder.device.kind,
        "card": name if recorder.device.kind != "cpu" else "CPU",
        "python": facts.get("python", ""),
        "torch": facts.get("torch", ""),
        "system": f"{platform.system()} {platform.machine()}",
        "calls": digest(recorder.calls),
        "environment": sorted(each for each in target.inherited if os.environ.get(each)),
        "visible": dict(visible),
        "surface": dict(sorted(surface.items())),
        "operators": dict(sorted(operators.items())),
    }


_COUNT = """
import importlib, sys, torch
importlib.import_module(sys.argv[1])
print(getattr(torch, sys.argv[2]).device_count())
"""


def visible(recorder: Recorder) -> dict[str, dict[str, Any]]:
    """How many devices are left where each of the target's variables is ``0``, or names a device that is not there."""
    found: dict[str, dict[str, Any]] = {}
    target = recorder.target
    for name in target.visible_devices if recorder.device.kind != "cpu" else ():
        for value in ("0", "99"):
            environment = {
                **os.environ,
                "TORCH_DEVICE_BACKEND_AUTOLOAD": "0",
                **recorder.device.environment,
                name: value,
            }
            words = [recorder.python, "-c", _COUNT, target.plugin.module, target.name]
            try:
                done = process.run(words, env=environment, timeout=recorder.limit * 2)
                last = done.stdout.decode(errors="replace").split()[-1:]
            except subprocess.TimeoutExpired:
                last = []
            found.setdefault(name, {})[value] = int(last[0]) if last and last[0].isdigit() else None
    return found


# Messages without what they say of the machine and its user: a record is meant to be sent to others.

MOST = 400  # characters of a message
_PATH = re.compile(
    r"(?<![\w.~/-])(?:~[\w-]*|[A-Za-z]:)?[/\\](?:[^\s:;,'\"()\[\]<>|/\\]+[/\\])*([^\s:;,'\"()\[\]<>|/\\]+)"
)
_ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{4,}\b")
_HOST = re.compile(r"\b(?:\d{1,3}\.){3}\d{1,3}\b|\b(?:[0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}\b|\b[\w.+-]+@[\w.-]+\b")
_PROCESS = re.compile(r"(?i)\b(pid|process|tid|thread)([ =:#]*)\d+")
_SERIAL = re.compile(r"\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b")


def own_words() -> tuple[str, ...]:
    """What this machine and its user are called, the longest first."""
    found = {platform.node(), platform.node().partition(".")[0], os.path.basename(os.path.expanduser("~"))}
    with suppress(KeyError, OSError):  # an id without a name
        found.add(getpass.getuser())
    return tuple(sorted((word for word in found if len(word) > 1), key=len, reverse=True))


def scrubbed(value: Any, words: Iterable[str] | None = None) -> Any:
    """The same with every text in it made to say nothing of the machine; keys, too.

    A path keeps its last part alone.  Addresses in memory, process ids and serial numbers, which differ from run to
    run, are gone as well.

    Args:
        words: names to take out where they stand alone; by default this machine's and its user's.
    """
    known = own_words() if words is None else tuple(words)
    if isinstance(value, str):
        return _text(value, known)
    if isinstance(value, list):
        return [scrubbed(each, known) for each in value]
    if isinstance(value, dict):
        return {_text(key, known): scrubbed(each, known) for key, each in value.items()}
    return value


def _text(text: str, words: Iterable[str]) -> str:
    text = next((line for line in text.splitlines() if line.strip()), "").strip()
    text = _PATH.sub(r"\1", text)
    text = _SERIAL.sub("SERIAL", _HOST.sub("HOST", _ADDRESS.sub("0x", text)))
    text = _PROCESS.sub(r"\1\2N", text)
    for word in words:
        text = re.sub(rf"(?<![\w.]){re.escape(word)}(?![\w.])", "USER", text)
    return text[:MOST]
