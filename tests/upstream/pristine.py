"""v6.0's own files, as porter's snapshot has them."""

from __future__ import annotations

from pathlib import Path

from porter.lockfile import Lock
from porter.sources.obtain import obtain

from .harness import CHECKOUT


def write(root: Path, cache: Path) -> Path:
    """Write the pin's files into the new folder ``root``, through porter's sources and the given cache."""
    snapshot = obtain(Lock.load(CHECKOUT / "upstream.lock"), cache=cache)
    for path, entry in snapshot.files.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(snapshot.objects[entry.id].data)
    return root
