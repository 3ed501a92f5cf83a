"""A file of measurements over commits, one JSON object a line."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from porter.errors import SurroundingsFailed


def append(path: Path, value: Mapping[str, Any]) -> None:
    """Add a line, in one write: two porters may add to one file.

    Raises:
        SurroundingsFailed: it cannot be written.
    """
    line = (json.dumps(value, ensure_ascii=False) + "\n").encode()
    try:
        with open(path, "ab+") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                line = line if file.read(1) == b"\n" else b"\n" + line  # a line was cut off: leave it to itself
            file.write(line)
    except OSError as error:
        raise SurroundingsFailed(f"cannot write {path}", error.strerror or str(error)) from error
