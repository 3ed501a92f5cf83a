"""What is proved of a tree by looking at its files; they may lie in a folder, or in memory only."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Mapping

from porter.auditing.place import ALLOWED, ROUTED
from porter.auditing.report import Audit
from porter.errors import CheckFailed
from porter.output import counted
from porter.sources.memo import Memo
from porter.verification.finding import Failed, Finding

TREE = "the tree is what upstream.lock and the patches make of the pin, and every file of it is Python"
AUDIT = "every place in the tree's Python that names a device, or runs or fetches something, is ported or allowed"
_PYTHON = "Python"


def complaints(files: Mapping[str, bytes]) -> list[str]:
    """Path, line and reason of each file that is no Python; that a file is, is remembered.

    Args:
        files: path -> content.
    """
    # what decides besides the bytes: this Python, and what it was told to make of warnings
    memo = Memo.shared("python", [sys.version.encode(), repr(sys.warnoptions).encode()])
    found = [(path, _complaint(data, memo)) for path, data in sorted(files.items())]
    memo.save()
    return [f"{path}:{said}" for path, said in found if said]


def _complaint(source: bytes, memo: Memo) -> str:
    key = hashlib.sha256(source).hexdigest()
    if memo.get(key) == _PYTHON:
        return ""
    try:
        compile(source, "<file>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:  # ValueError: a NUL byte, before Python 3.12
        return f"{getattr(error, 'lineno', 1)}: {getattr(error, 'msg', error)}"
    memo.put(key, _PYTHON)
    return ""


def audited(look: Callable[[], Audit]) -> Finding:
    """What an audit comes to.

    Raises:
        Failed: a place is not ported, an entry of the list of allowed ones is stale, or a file is not Python.
    """
    try:
        found = look()
    except CheckFailed as error:
        raise Failed(error.what) from error
    if found.failed:
        lines = found.lines()
        more = f"; and {len(lines) - 5} more, see porter audit" if len(lines) > 5 else ""
        raise Failed("; ".join(lines[:5]) + more)
    counts = {state: sum(place.state == state for place in found.places) for state in (ROUTED, ALLOWED)}
    return Finding(
        f"{counted(counts[ROUTED], 'place')} through the accelerator, {counts[ALLOWED]} allowed", figures=counts
    )
