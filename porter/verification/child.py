"""The programs that a check runs in a tree: started, confined, limited in time, and ended with all their children."""

from __future__ import annotations

import contextlib
import copy
import logging
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from porter import process
from porter.errors import os_errors
from porter.output import Progress, Timed, command_line
from porter.process import Stopped
from porter.temporary import temporary_folder, work_folder

ENDLESS = "was killed after"  # begins the ending of a program that ran out of time
A_DAY = 24 * 3600.0  # seconds, for what nobody knows the speed of, and a person watches who can press Ctrl-C
_log = logging.getLogger(__name__)
GUARD = Path(__file__).resolve().parent / "guard"
# what keeps a tree from other files and processes: --way of porter/supervisor.py, or nothing does
CONFINEMENTS = {
    "namespaces": "other files are read-only, other processes out of sight",
    "landlock": "other files are read-only, other processes closed",
    "none": "this system keeps a tree neither from other files nor from other processes",
}
# where programs are: all that a child gets of the caller's environment beside what its target names
_KEPT = ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT", "LANG", "CUDA_VISIBLE_DEVICES")


@dataclass(frozen=True)
class Run:
    """A child process that has ended.

    Attributes:
        command: its words.
        status: its exit code; negative: the signal that ended it.
        folder: its working directory.
        forbidden: what it tried that the guard refused, one line each.
        limit: the seconds after which it was killed; 0 if it was not.
    """

    command: tuple[str, ...]
    status: int
    out: str
    err: str
    folder: Path
    forbidden: tuple[str, ...] = ()
    limit: float = 0.0

    @property
    def text(self) -> str:
        """Both outputs."""
        return self.out + "\n" + self.err

    @property
    def ending(self) -> str:
        if self.limit:
            return f"{ENDLESS} {self.limit:g} s without an end"
        return process.ending(self.status)

    @property
    def reason(self) -> str:
        """The exception that ended it, to be put behind :attr:`ending`; empty if none did."""
        last = self.tail(1)
        return f": {last}" if self.status > 0 and re.match(r"[\w.]*(?:Error|Exception|Warning|Exit)\b", last) else ""

    def tail(self, lines: int = 25) -> str:
        """The end of what it printed, without what packages say about each other and progress bars' older states."""
        rows = [row.rstrip() for row in _quiet(self.err or self.out).splitlines() if row.strip()]
        if any("torch.distributed.elastic" in row for row in rows):
            # of the rank that failed first, which a signal may have ended; what else torchrun says tells nothing
            ends = [row.strip() for row in rows if re.match(r"\s*exitcode\s*:", row)]
            rows = [*ends, *_first_traceback(rows)]
        kept = [row for row, after in zip(rows, [*rows[1:], ""]) if not ("%|" in row and "%|" in after)]
        return "\n".join(kept[-lines:])

    def shown(self) -> str:
        """Its command as one line of a shell."""
        return command_line(*self.command)


@contextmanager
def workplace(keep: bool, progress: Progress) -> Iterator[Path]:
    """An empty folder, removed in the end unless it is to be kept.

    Raises:
        EnvironmentFailed: the block raised OSError: the disk is full, for example.
    """
    with work_folder("porter-verify-", keep) as root:
        try:
            yield root
        finally:
            if keep:
                progress.answer(f"kept: {root}")


class Children:
    """Starts children and ends them.

    Args:
        root: an empty folder of this run's own; homes, caches and logs of the children go there.
        python: the interpreter they run under.
        jobs: how many may run at once; 0: one a core, at most 4.
        limit: seconds that one may take, those left out that it waits for a processor.
        confine: no network but loopback, nothing installed (``guard/``), nothing written outside ``root``, nothing
            seen of other processes, as far as the system allows it.
        hardware: they use a vendor's card, whose driver may take each namespace for another container.
        threads: what each may use of the processor; one makes sums have one order.
        kept: variables that they get of the caller's environment, by which the vendor's software finds the device;
            a PYTHONPATH among them comes last in theirs.
    """

    def __init__(
        self,
        root: Path,
        python: str,
        jobs: int,
        limit: float,
        confine: bool = True,
        threads: int = 1,
        kept: Iterable[str] = (),
        hardware: bool = False,
    ) -> None:
        self.root, self.python, self.limit, self.confine, self.threads = root, python, limit, confine, threads
        self._kept = frozenset((*_KEPT, *kept))
        for name in "home", "tmp", "mpl", "pyc", "run":
            (root / name).mkdir(parents=True, exist_ok=True)
        self.jobs = jobs or min(4, os.cpu_count() or 1)
        self.confinement = confinement(hardware) if confine else "none"
        self._slots = threading.BoundedSemaphore(self.jobs)
        self._lock = threading.Lock()
        self._group = process.Group()
        self._count = 0
        self._of_thread = threading.local()
        self.runs = self.root / "run"

    def part(self, name: str) -> Children:
        """The same, with folders to work in of its own: ``runs`` may be removed when nobody looks at them any more."""
        part = copy.copy(self)
        part.runs = self.runs / name
        part.runs.mkdir()
        return part

    def folder(self, name: str) -> Path:
        """A new empty folder to work in."""
        with self._lock:
            self._count += 1
            path = self.runs / f"{self._count:03}-{name}"
        path.mkdir()
        return path

    def environment(self, marks: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """A child's whole environment: a home and caches of its own, the guard before everything else."""
        path = [str(GUARD)] if self.confine else []
        given = dict(extra or {})
        kept = {name: value for name, value in os.environ.items() if name in self._kept}
        path += [each.pop("PYTHONPATH") for each in (given, kept) if each.get("PYTHONPATH")]
        return {
            **kept,
            "HOME": str(self.root / "home"),
            "TMPDIR": str(self.root / "tmp"),
            "MPLCONFIGDIR": str(self.root / "mpl"),
            "YOLOV5_CONFIG_DIR": str(self.root / "home" / "Ultralytics"),
            "PYTHONPATH": os.pathsep.join(path),
            "PYTHONUNBUFFERED": "1",
            "PORTER_GUARD_MARKS": str(marks),
            "OMP_NUM_THREADS": str(self.threads),
            "GLOO_SOCKET_IFNAME": "lo",
            "TP_SOCKET_IFNAME": "lo",
            "WANDB_MODE": "disabled",
            # the tree stays as it is; a folder for bytecode, without the guard, has torch compiled anew in every run
            **({"PYTHONPYCACHEPREFIX": str(self.root / "pyc")} if self.confine else {"PYTHONDONTWRITEBYTECODE": "1"}),
            **given,
        }

    def run(self, *words: object, cwd: Path, env: Mapping[str, str] | None = None, limit: float | None = None) -> Run:
        """Run ``python WORDS...`` to its end; output goes to files, so that no orphan can keep it from ending.

        Raises:
            Stopped: :meth:`stop` was called, before or meanwhile.
            EnvironmentFailed: the interpreter cannot be started, or the disk is full.
        """
        command = (self.python, *map(str, words))
        with self._slots:
            log = self.folder("log")
            marks = log / "forbidden"
            options = _options(self.confinement, self.root) if self.confine else []
            how = {"cwd": cwd, "env": self.environment(marks, env), "stdin": subprocess.DEVNULL}
            with os_errors(f"cannot run {command[0]}"):
                told = Timed(_log, command)
                with ExitStack() as stack:
                    out, err = (stack.enter_context(open(log / name, "wb")) for name in ("out", "err"))
                    starting = self._group.started(command, supervisor=options, stdout=out, stderr=err, **how)
                    killed = _wait(child := stack.enter_context(starting), self.limit if limit is None else limit)
                told.ended(child.returncode)
        if self._group.closed:
            raise Stopped
        self._of_thread.last = made = Run(
            command,
            child.returncode,
            (log / "out").read_text(errors="replace", encoding="utf-8"),
            (log / "err").read_text(errors="replace", encoding="utf-8").replace("\r", "\n"),
            cwd,
            tuple(marks.read_text(encoding="utf-8", errors="replace").splitlines()) if marks.exists() else (),
            killed,
        )
        return made

    @property
    def last(self) -> Run | None:
        """The last that this thread has run to its end."""
        return getattr(self._of_thread, "last", None)

    def stop(self) -> None:
        """End every child and start no more."""
        self._group.close()


def _wait(child: subprocess.Popen[bytes], limit: float) -> float:
    """Wait for a child; the limit if that was passed, else 0.

    What it waits for a processor does not count: a busy machine is no failure of the tree's.  In the end its supervisor
    kills what is left: data loaders outlive a killed train.py for seconds.
    """
    began = time.monotonic()
    try:
        while True:
            left = began + limit + _kept_waiting(child.pid) - time.monotonic()
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(max(left, 0.0))
                return 0.0
            if left <= 0:
                return limit
    finally:
        process.kill(child)


def _kept_waiting(session: int) -> float:
    """Seconds that a session's processes were ready to run and had no processor, of the one that waited longest.

    Linux counts them (Documentation/scheduler/sched-stats.rst, /proc/PID/schedstat: the second number, in ns, of the
    main thread); 0 where it does not.
    """
    longest = 0
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError, IndexError):  # it ended meanwhile
            if int((folder / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[3]) == session:
                longest = max(longest, int((folder / "schedstat").read_text(encoding="utf-8").split()[1]))
    return longest / 1e9


@lru_cache(maxsize=2)
def confinement(hardware: bool = False) -> str:
    """What keeps a tree from other files and processes here, one of :data:`CONFINEMENTS`.

    Args:
        hardware: it uses a vendor's card: no namespaces.
    """
    for way in ("landlock",) if hardware else ("namespaces", "landlock"):
        with contextlib.suppress(OSError), temporary_folder("porter-probe-") as folder:
            process.run([sys.executable, "-I", "-S", "-c", ""], supervisor=_options(way, folder))
            return way
    return "none"


def _options(way: str, writable: Path) -> list[str]:
    return ["--no-network", *(["--way", way, "--write", str(writable)] if way != "none" else [])]


def _first_traceback(rows: list[str]) -> list[str]:
    rows = [re.sub(r"^\[rank\d+\]: ?", "", row) for row in rows]
    begins = [number for number, row in enumerate(rows) if "Traceback (most recent call last)" in row]
    if not begins:
        return rows
    ends = (n for n, row in enumerate(rows) if n > begins[0] and not row.startswith((" ", "Traceback")))
    return rows[begins[0] : next(ends, len(rows)) + 1]


def _quiet(text: str) -> str:
    """Less the warnings that packages give about each other (a line that says where, a line of source)."""
    return re.sub(r"(?m)^\S+/(?:site|dist)-packages/\S+: \w*Warning: .*\n(?: .*\n)?", "", text)
