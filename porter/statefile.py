"""A JSON file that porter wrote for itself, read strictly: what it holds decides what happens to a person's files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from porter.errors import SurroundingsFailed, WrongUsage


def load(path: Path, hint: str = "") -> dict[str, Any] | None:
    """The object in a file; None if there is no file.

    Args:
        hint: what to do about one that is not as porter writes it.

    Raises:
        WrongUsage: it is none.
        SurroundingsFailed: it cannot be read.
    """
    try:
        read = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise SurroundingsFailed(f"cannot read {path}", error.strerror or str(error)) from error
    except ValueError as error:
        raise foreign(path, hint) from error
    if not isinstance(read, dict):
        raise foreign(path, hint)
    return read


def foreign(path: Path, hint: str = "") -> WrongUsage:
    """What to say of a file that is not as porter writes it."""
    return WrongUsage(f"{path} is not as porter writes it", "Another version wrote it, or it was edited.", hint)
