"""A ``series`` file with other patches in it: what people wrote around the names stays."""

from __future__ import annotations

import difflib
from collections.abc import Sequence


def updated(text: str, names: Sequence[str]) -> str:
    """The file's text with ``names`` as its patches, in order.

    Comments and empty lines stay where they are, and a comment behind a name moves with it.
    """
    lines = text.split("\n")
    if lines and not lines[-1]:
        lines.pop()
    rows = [n for n, line in enumerate(lines) if _name(line)]
    old = [_name(lines[n]) for n in rows]
    if old == list(names):
        return text
    behind = {name: lines[n].partition("#")[1] + lines[n].partition("#")[2] for name, n in zip(old, rows)}
    fresh = [_line(name, behind.get(name, "")) for name in names]
    matcher = difflib.SequenceMatcher(None, old, names, False)
    for _, start, end, first, last in reversed(matcher.get_opcodes()):
        kept = min(end - start, last - first)
        for n in range(kept):
            lines[rows[start + n]] = fresh[first + n]
        for n in reversed(range(start + kept, end)):
            del lines[rows[n]]
        after = rows[start + kept - 1] + 1 if start + kept else _head(lines)
        lines[after:after] = fresh[first + kept : last]
    return "".join(f"{line}\n" for line in lines)


def _name(line: str) -> str:
    return line.partition("#")[0].strip()


def _line(name: str, comment: str) -> str:
    return f"{name}  {comment}" if comment else name


def _head(lines: Sequence[str]) -> int:
    """Where the first name goes: behind the comments that the file begins with, up to an empty line."""
    return next((n for n, line in enumerate(lines) if not line.startswith("#")), len(lines))
