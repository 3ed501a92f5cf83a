"""Folders of the user and of the system: porter's own below those that the XDG variables name, and temporary ones."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from porter.errors import SurroundingsFailed


def folder(kind: Literal["cache", "state"], hint: str) -> Path:
    """porter's folder for a kind of things; it need not be there.

    Args:
        hint: what the person can do where there is no telling.

    Raises:
        SurroundingsFailed: there is no home folder, or what names it is no absolute path, which would be another
            place in each current folder.
    """
    import platformdirs

    named = platformdirs.user_cache_dir if kind == "cache" else platformdirs.user_state_dir
    what = f"cannot tell where porter's {kind} goes"
    try:
        path = Path(named("porter", appauthor=False))
    except RuntimeError as error:  # there is no home folder
        raise SurroundingsFailed(what, str(error), hint) from error
    if not path.is_absolute():
        raise SurroundingsFailed(what, f"HOME or XDG_{kind.upper()}_HOME gives {path}, which is no absolute path", hint)
    return path


def room() -> str:
    """The system's folder for temporary files.

    Raises:
        SurroundingsFailed: there is none that can be written to.
    """
    import tempfile

    try:
        return tempfile.gettempdir()
    except FileNotFoundError as error:
        what = "there is no folder for temporary files that can be written to"
        raise SurroundingsFailed(what, error.strerror or str(error), "Name one in TMPDIR.") from error
