"""Child processes that are gone when the block that started them is left, whenever a signal comes."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from porter import signals

_PATIENCE = 5.0  # seconds for git to remove its lock files; an idle one needs milliseconds


@contextmanager
def started(command: Sequence[str | Path], **how: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A child for a block, which waits for it.

    If the block raises, the child is asked to end, and killed if it does not.  With it ends what it started: all of
    it if the child leads a session, else at least what writes to the same pipes.  A signal that comes while the child
    is being started waits until it is known: :class:`subprocess.Popen` itself would lose it and leave it running.

    Args:
        how: as :class:`subprocess.Popen` takes it.

    Raises:
        OSError: it cannot be started.
    """
    child: subprocess.Popen[bytes] | None = None
    try:
        with signals.held():
            child = subprocess.Popen(command, **how)
        yield child
    except BaseException:
        if child is not None:
            with signals.held():
                _end(child, all_of_it=bool(how.get("start_new_session")))
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
    given = stdin if isinstance(stdin, bytes) else None
    source = subprocess.PIPE if isinstance(stdin, bytes) else stdin or subprocess.DEVNULL
    with started(command, stdin=source, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **how) as child:
        out, err = child.communicate(given, timeout)
    return subprocess.CompletedProcess(command, child.returncode, out, err)


def _end(child: subprocess.Popen[bytes], *, all_of_it: bool) -> None:
    for number in signal.SIGTERM, signal.SIGKILL:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, number) if all_of_it else child.send_signal(number)
        with suppress(subprocess.TimeoutExpired, ValueError):  # ValueError: the block has closed a pipe
            child.communicate(timeout=_PATIENCE)
            return
