"""What porter tells a person when it cannot go on.

Every error carries three things: what happened, why (optional), and what to do next.  The command
line prints them and leaves with the error's exit code; nothing else in porter calls ``sys.exit``.

Exit codes: 0 done, 1 a check or a patch failed, 2 wrong usage, 3 the environment failed (network,
disk, permissions, a missing plugin or compiler).
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager

# what stands before a URL's host, and what behind its path: either may be a password
_BEFORE_HOST = re.compile(r"(?<=://)[^/\s]*@")
_QUERY = re.compile(r"(?<=://)([^\s?'\"]*)\?[^\s'\"]*")


def redacted(text: object) -> str:
    """A text without what a URL in it holds before its host and in its query: that may be a password."""
    return _QUERY.sub(r"\1?...", _BEFORE_HOST.sub("", str(text)))


class PorterError(Exception):
    """Base of every error that porter raises on purpose.  None of its texts holds a password of a URL.

    Args:
        what: one sentence, what went wrong, naming the file or argument.
        why: details, any number of lines; empty where ``what`` says it all.
        hint: what to do next, as a command where there is one.
    """

    exit_code = 1

    def __init__(self, what: str, why: str = "", hint: str = "") -> None:
        self.what, self.why, self.hint = map(redacted, (what, why, hint))
        super().__init__(self.what)

    def __str__(self) -> str:
        return "\n".join(part for part in (self.what, self.why, self.hint) if part)

    @property
    def line(self) -> str:
        """What went wrong and why, on one line, to be put behind the name of the source that was asked."""
        return ": ".join(part.replace("\n", "; ") for part in (self.what, self.why) if part)


class CheckFailed(PorterError):
    """A check, a patch, a digest or an object id is not what it should be (exit code 1)."""


class WrongUsage(PorterError):
    """The arguments, or the state of a folder that they name, cannot be worked with (exit code 2)."""

    exit_code = 2


class EnvironmentFailed(PorterError):
    """Network, disk, permission or a missing program stood in the way (exit code 3)."""

    exit_code = 3


class Unreachable(EnvironmentFailed):
    """A remote could not be asked; ``why`` says it all to whoever knows which remote it was."""

    @property
    def line(self) -> str:
        """Why, on one line: the remote is not named again."""
        return self.why.replace("\n", "; ")


@contextmanager
def os_errors(what: str, hint: str = "") -> Iterator[None]:
    """Say what the block could not do where the system refuses it: an OSError of it is an EnvironmentFailed."""
    try:
        yield
    except OSError as error:
        raise refused(what, error, hint) from error


def refused(what: str, error: OSError, hint: str = "") -> EnvironmentFailed:
    """What could not be done, the system's reason for it and, where none is given, a hint of :func:`_way_out`."""
    return EnvironmentFailed(what, error.strerror or str(error), hint or _way_out(error))


def _way_out(error: OSError) -> str:
    """What a person can do where the system refuses something, if it is one of the common reasons; else empty."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "Make room (`df -h` shows the disks), or name a place on another disk."
    if error.errno == errno.EROFS:
        return "Nobody can write there: name a place on another disk."
    if error.errno in (errno.EACCES, errno.EPERM):
        return "`ls -ld` says whose it is: let them give you the right, or name another place."
    return ""
