"""What porter prints: text of elsewhere reaches a terminal as text, never as a command to it.

Names of files and classes, messages of servers and lines of patches may hold escape sequences, which rename a window,
rewrite the lines above or have the terminal type into the shell.  The ported trees print by the same rule.
"""

from __future__ import annotations

import io
import re
import sys

# C0 and C1 control characters, and those that turn the direction of the text around
_CONTROL = r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]"
_FOREIGN = re.compile(rf"(?!\x1b\[(?:[012]|3[1-7])m|[\t\n]){_CONTROL}")  # all but porter's colours and lines


def printable(text: object) -> str:
    """A text of elsewhere as one line: ``\\x1b]0;name\\x07`` with the backslashes spelled out."""
    return re.sub(_CONTROL, _spelled, str(text))


def shown(text: str) -> str:
    """The same of a text that porter made: its lines and colours stay."""
    return _FOREIGN.sub(_spelled, text)


class _Text(io.TextIOWrapper):
    """A stream that shows control characters instead of sending them."""

    def write(self, text: str, /) -> int:
        super().write(shown(text))
        return len(text)


def clean() -> None:
    """From now on print by the rule, and a character that the encoding has not with its backslash.

    The streams that Python made stay in ``sys.__stdout__`` and ``sys.__stderr__``, for progress bars.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if type(stream) is io.TextIOWrapper:
            lines = stream.line_buffering
            setattr(sys, name, _Text(stream.buffer, stream.encoding, "backslashreplace", line_buffering=lines))


def _spelled(match: re.Match[str]) -> str:
    return ascii(match[0])[1:-1]
