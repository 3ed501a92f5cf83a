"""Folders of the user and of the system: porter's own below those that the XDG variables name, and temporary ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from porter import signals
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
        with signals.held():  # it writes a file there to see whether it can
            return tempfile.gettempdir()
    except FileNotFoundError as error:
        what = "there is no folder for temporary files that can be written to"
        raise SurroundingsFailed(what, error.strerror or str(error), "Name one in TMPDIR.") from error


@contextmanager
def transient(prefix: str, where: str = "", keep: bool = False) -> Iterator[Path]:
    """A folder to work in, gone after the block, whenever a signal comes.

    Args:
        where: the folder that it is made in; by default :func:`room`.
        keep: leave it.

    Raises:
        SurroundingsFailed: there is no folder for temporary files.
        OSError: it cannot be made.
    """
    import shutil
    import tempfile

    folder: Path | None = None
    try:
        with signals.held():  # a signal that came while it was made is raised where it is known
            folder = Path(tempfile.mkdtemp(prefix=prefix, dir=where or room()))
        yield folder
    finally:
        with signals.held():
            if folder is not None and not keep:
                shutil.rmtree(folder, ignore_errors=True)
