"""Child processes, threads and signals: nothing is left running or half done when porter is asked to end.

The signals are what every start of porter needs: what children and threads need is imported with the first of them.
"""

from __future__ import annotations

import os
import signal
import struct
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import IO, TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import subprocess
    from concurrent.futures import Future, ThreadPoolExecutor

ENDING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class Terminated(BaseException):
    """SIGTERM or SIGHUP came.  Like KeyboardInterrupt it is no Exception: clean up, then go."""

    def __init__(self, number: int) -> None:
        super().__init__(f"ended by {signal.Signals(number).name}")
        self.number = number


def _raise(number: int, frame: FrameType | None) -> None:
    raise Terminated(number)


def handle_signals() -> None:
    """Let SIGTERM and SIGHUP raise :class:`Terminated` and SIGINT KeyboardInterrupt: what they interrupt is cleaned up.

    A signal that the caller ignores (``nohup``) stays ignored.
    """
    for number in ENDING:
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else _raise)


@contextmanager
def held() -> Iterator[None]:
    """Let the block run to its end; a signal that came meanwhile takes effect after it.

    Outside the main thread nothing is done: Python handles signals in the main thread only.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = {number: signal.getsignal(number) for number in ENDING}
    # None is a handler that was not set from Python, which could not be put back
    caught = [number for number in ENDING if before[number] not in (signal.SIG_IGN, None)]
    for number in caught:
        signal.signal(number, lambda number, frame: came.append(number))
    try:
        yield
    finally:
        for number in caught:
            signal.signal(number, before[number])
        for number in came[:1]:
            signal.raise_signal(number)


_TIMEOUT = 5.0  # seconds for git to remove its lock files; an idle one needs milliseconds
SUPERVISOR = Path(__file__).with_name("supervisor.py")


@contextmanager
def started(
    command: Sequence[str | Path], *, supervisor: Sequence[str] | None = None, **how: Any
) -> Iterator[subprocess.Popen[bytes]]:
    """A child for a block, which waits for it.

    If the block raises, the child is asked to end, and killed if it does not.  With it ends what it started: all of
    it if it has a supervisor or leads a session, else at least what writes to the same pipes.  A signal that comes
    while the child is being started waits until it is known: :class:`subprocess.Popen` itself would lose it and leave
    it running.

    Args:
        supervisor: options of ``supervisor.py``, below which the command runs: then its daemons end with it too, and
            all of it with porter, should porter be killed.  The child is the supervisor, and ends as the command does.
        how: as :class:`subprocess.Popen` takes it.

    Raises:
        OSError: it cannot be started.
    """

    child: subprocess.Popen[bytes] | None = None
    try:
        with held():
            start = _start if supervisor is None else _start_supervised
            child = start(command, supervisor or (), how)
        yield child
    except BaseException:
        if child is not None:
            with held():
                _end(child, all_of_it=supervisor is None and bool(how.get("start_new_session")))
        raise
    finally:
        if child is not None:
            with child:  # closes its pipes, waits
                pass


def run(
    command: Sequence[str | Path],
    *,
    stdin: bytes | IO[bytes] | None = None,
    timeout: float | None = None,
    **how: Any,
) -> subprocess.CompletedProcess[bytes]:
    """Run a child to its end and collect what it writes, as :func:`subprocess.run` with ``capture_output`` does.

    Args:
        stdin: what it reads; by default nothing.
        timeout: seconds.

    Raises:
        OSError: it cannot be started.
        subprocess.TimeoutExpired: it took longer; it is gone.
    """
    import subprocess

    given = stdin if isinstance(stdin, bytes) else None
    source = subprocess.PIPE if isinstance(stdin, bytes) else stdin or subprocess.DEVNULL
    with started(command, stdin=source, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **how) as child:
        out, err = child.communicate(given, timeout)
    return subprocess.CompletedProcess(command, child.returncode, out, err)


def _start(command: Sequence[str | Path], _: Sequence[str], how: dict[str, Any]) -> subprocess.Popen[bytes]:
    import subprocess

    return subprocess.Popen(command, **how)


def _start_supervised(
    command: Sequence[str | Path], options: Sequence[str], how: dict[str, Any]
) -> subprocess.Popen[bytes]:
    """Start a command below a supervisor, and wait until it runs.

    Raises:
        OSError: it cannot be run, or the supervisor cannot do what it was asked for.
    """

    reader, writer = os.pipe()
    given = ("--parent", str(os.getpid()), "--report", str(writer), *options)
    words: list[str | Path] = [sys.executable, "-I", "-S", SUPERVISOR, *given, *command]
    try:
        child = _start(words, (), {**how, "start_new_session": True, "pass_fds": (writer,)})
    except BaseException:
        os.close(reader)
        raise
    finally:
        os.close(writer)
    with open(reader, "rb") as report:
        failed = report.read()  # ends when the command runs
    if failed:
        with child:  # closes its pipes, waits
            pass
        number = struct.unpack("i", failed)[0]
        raise OSError(number, os.strerror(number), str(command[0]))
    return child


def _end(child: subprocess.Popen[bytes], *, all_of_it: bool) -> None:
    import subprocess

    for number in signal.SIGTERM, signal.SIGKILL:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, number) if all_of_it else child.send_signal(number)
        with suppress(subprocess.TimeoutExpired, ValueError):  # ValueError: the block has closed a pipe
            child.communicate(timeout=_TIMEOUT)
            return


def kill(child: subprocess.Popen[bytes]) -> None:
    """Have a child's supervisor kill all that it runs."""
    child.terminate()


def ending(status: int) -> str:
    """How a child ended, in words, by its exit status as :class:`subprocess.Popen` has it."""
    if status < 0:
        with suppress(ValueError):
            return f"died of {signal.Signals(-status).name}"
    return f"ended with status {status}"


class Stopped(Exception):
    """No child is started any more."""


class Group:
    """Children of several threads, each below a supervisor, which any thread can kill all at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._living: set[subprocess.Popen[bytes]] = set()
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether no child is started any more."""
        return self._closed

    @contextmanager
    def started(
        self, command: Sequence[str | Path], *, supervisor: Sequence[str] = (), **how: Any
    ) -> Iterator[subprocess.Popen[bytes]]:
        """A child for a block, see :func:`started`.

        Raises:
            Stopped: the group is closed.
            OSError: it cannot be started.
        """
        with ExitStack() as stack:
            with self._lock:
                if self._closed:
                    raise Stopped
                child = stack.enter_context(started(command, supervisor=supervisor, **how))
                self._living.add(child)
            try:
                yield child
            finally:
                with self._lock:
                    self._living.discard(child)

    def kill(self) -> None:
        """Kill every child that lives, with all that it started."""
        with self._lock:
            for child in self._living:
                kill(child)

    def close(self) -> None:
        """Kill every child and start no more."""
        self._closed = True  # first: who starts one now sees it, or is seen
        self.kill()


_Result = TypeVar("_Result")


@contextmanager
def threads(workers: int, name: str = "", stop: Callable[[], None] = lambda: None) -> Iterator[ThreadPoolExecutor]:
    """Threads for a block.  When it ends, however, none of them is left, and what did not begin never does.

    Args:
        workers: how many.
        name: what they are called.
        stop: has what still works come to an end soon.
    """
    from concurrent.futures import ThreadPoolExecutor

    class Pool(ThreadPoolExecutor):
        """A pool that knows each of its threads: a signal in the middle of starting one has to wait."""

        def submit(self, fn: Callable[..., _Result], /, *args: Any, **kwargs: Any) -> Future[_Result]:
            """What a pool did not see begin it does not wait for in the end."""
            with held():
                return super().submit(fn, *args, **kwargs)

    made = Pool(workers, thread_name_prefix=name)
    try:
        yield made
    finally:
        with held():
            stop()
            made.shutdown(cancel_futures=True)


def free_port() -> int:
    """A port on which nothing on this machine listened a moment ago."""
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port
