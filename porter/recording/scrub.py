"""Messages without what they say of the machine and its user: a record is meant to be sent to others."""

from __future__ import annotations

import getpass
import os
import platform
import re
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

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
