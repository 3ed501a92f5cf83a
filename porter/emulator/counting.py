"""What the processes of a program counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read_counts(path: Path) -> list[dict[str, Any]]:
    """What each process wrote to this file, in the order of their process ids; ``%p`` stands for any.

    A process that was killed wrote nothing.  ``site/porter_emulated/counts.py`` says what is in it.
    """
    if "%p" not in path.name:
        found = [path] if path.is_file() else []
    else:
        before, _, after = path.name.partition("%p")
        found = [
            each
            for each in path.parent.glob("*")
            if each.name.startswith(before)
            and each.name.endswith(after)
            and _middle(each.name, before, after).isdigit()
        ]
    read: list[dict[str, Any]] = [json.loads(each.read_text(encoding="utf-8")) for each in found]
    return sorted(read, key=lambda counts: int(counts["pid"]))


def _middle(name: str, before: str, after: str) -> str:
    return name[len(before) : len(name) - len(after)]
