"""What is known of upstream and what of it is at hand: the lock's pin and sources, the cache's content; get more."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from porter.lockfile import Lock, Pin
from porter.output import Progress
from porter.project import Project
from porter.sources.cache import Cache, Damaged
from porter.sources.obtain import Finding, cached
from porter.sources.obtain import fetch as obtain
from porter.sources.obtain import verify as hash_again


@dataclass(frozen=True)
class Holding:
    """What the cache has of the pin.

    Attributes:
        path: the cache's folder.
        state: ``whole``, ``partial``, ``nothing`` or ``damaged``.
        files: how many of the pin's files are there.
        missing: the others' paths, sorted; empty unless ``partial``.
        size: bytes on disk.
        why: what is damaged.
    """

    path: Path
    state: str
    files: int
    missing: tuple[str, ...]
    size: int
    why: str = ""


@dataclass(frozen=True)
class Upstream:
    """The pin, where it is had, and what is at hand."""

    pin: Pin
    sources: tuple[str, ...]
    cache: Holding

    def record(self) -> dict[str, Any]:
        """The same for ``--json``."""
        return {
            **self.pin.record(),
            "files": len(self.pin.files),
            "sources": list(self.sources),
            "cache": {
                "path": str(self.cache.path),
                "state": self.cache.state,
                "files": self.cache.files,
                "missing": list(self.cache.missing),
                "bytes": self.cache.size,
            },
        }


def describe(lock: Lock, cache: Path | None = None) -> Upstream:
    """Look at the lock and the cache; asks no source and changes nothing.

    Raises:
        SurroundingsFailed: the cache cannot be read.
    """
    store = Cache(cache)
    why = ""
    try:
        found = cached(lock, store)
        state = "nothing" if found is None else "partial" if found.partial else "whole"
    except Damaged as error:
        found, state, why = None, "damaged", error.what
    held = Holding(
        path=store.folder,
        state=state,
        files=len(found.files) if found else 0,
        missing=found.missing if found else (),
        size=sum(path.stat().st_size for path in store.repository.path.rglob("*") if path.is_file()),
        why=why,
    )
    return Upstream(lock.pin, tuple(str(source) for source in lock.sources), held)


def fetch(project: Project, upstream: str | None = None, progress: Progress | None = None) -> Upstream:
    """Get the pin into the cache, see :func:`porter.sources.obtain.fetch`; then look at what there is."""
    lock = Lock.load(project.lock_path)
    obtain(lock, upstream, progress=progress)
    return describe(lock)


@dataclass(frozen=True)
class Checked:
    """What hashing the cache again gave: how many objects are right, and those that are not."""

    pin: Pin
    right: int
    wrong: tuple[Finding, ...]

    def record(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        pin = {"name": self.pin.name, "tag": self.pin.tag, "commit": self.pin.commit}
        return {"pin": pin, "right": self.right, "wrong": [asdict(finding) for finding in self.wrong]}


def verify(project: Project) -> Checked:
    """Hash what the cache holds, see :func:`porter.sources.obtain.verify`."""
    lock = Lock.load(project.lock_path)
    right, wrong = hash_again(lock)
    return Checked(lock.pin, right, tuple(wrong))
