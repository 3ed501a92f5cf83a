"""Upstream at the pin: fetched from the first source that has it, checked object by object, kept in the cache.

A source is never trusted.  Everything that it gives is hashed, and taken only under the ids of
``upstream.lock``.  A source that cannot be reached costs a line and the next one is asked; a source that
gives wrong bytes stops the run, because somebody should look at it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from porter.errors import CheckFailed, EnvironmentFailed, WrongUsage
from porter.git.objects import Object
from porter.lockfile import GitSource, IndexSource, Lock
from porter.output import Progress, counted
from porter.sources.cache import Cache, Damaged
from porter.sources.snapshot import Extent, Snapshot, extents, of_index

VARIABLE = "PORTER_UPSTREAM"
_log = logging.getLogger(__name__)


def obtain(
    lock: Lock, upstream: str | None = None, cache: Path | None = None, progress: Progress | None = None
) -> Snapshot:
    """Upstream at the pin, from the cache if it is there, else from a source.

    A part of the files that an earlier run had from a package index is good enough, unless a source is
    named; :func:`fetch` asks for more.

    Args:
        upstream: the only source to ask, a path or URL; by default ``PORTER_UPSTREAM``, else the lock's sources.
        cache: the cache's folder; by default ``PORTER_CACHE``, else porter's in the user's cache folder.
        progress: hears of steps, of sources that failed and of files that are missing.

    Raises:
        CheckFailed: a source gave something else than the pin.
        EnvironmentFailed: no source could be reached, or the cache cannot be used.
        WrongUsage: ``upstream`` is not a source.
    """
    return _Search(lock, upstream, cache, progress).run()


def fetch(
    lock: Lock, upstream: str | None = None, cache: Path | None = None, progress: Progress | None = None
) -> Snapshot:
    """Like :func:`obtain`, but a named source is asked in any case, and a part in the cache made whole if it can be."""
    search = _Search(lock, upstream, cache, progress)
    search.wants_whole = True
    search.wants_answer = bool(search.upstream)
    return search.run()


def cached(lock: Lock, cache: Cache) -> Snapshot | None:
    """The most that the cache holds of the pin; ``None`` if nothing.

    Raises:
        Damaged: something that it should hold is missing or altered.
        EnvironmentFailed: it cannot be read.
    """
    for extent in extents(lock):
        if not cache.has(extent.ref):
            continue
        # One git process is most of what a warm cache costs.
        found = cache.find([extent.ref, *extent.blobs], extent.labels)
        if not found and not cache.has(extent.ref):
            return None  # thrown away just now by another porter
        for i, held in ((extent.base, found.get(extent.ref)), *((i, found.get(i)) for i in extent.blobs)):
            if held is None or held.id != i:
                raise Damaged(
                    f"{extent.labels[i]} in the cache is not what it should be",
                    f"expected {i}\nfound    {held.id if held else 'nothing'}",
                )
        return extent.snapshot({**found, extent.base: found[extent.ref]})
    return None


class _Search:
    """The cache and the sources asked for the pin, one after the other, until one of them has it."""

    def __init__(self, lock: Lock, upstream: str | None, folder: Path | None, progress: Progress | None) -> None:
        self.lock = lock
        self.upstream = upstream or os.environ.get(VARIABLE) or None
        self.cache = Cache(folder)
        self.progress = progress or Progress()
        self.whole = Extent(lock.pin, lock.pin.files)
        self.wants_whole = bool(self.upstream)
        self.wants_answer = False

    def run(self) -> Snapshot:
        if self.upstream:
            from porter.sources import remote

            remote.must_be_a_source(self.upstream)
        try:
            had = cached(self.lock, self.cache)
            if had is not None and self._is_enough(had):
                _log.info("%d files of the pin are in the cache %s", len(had.files), self.cache.folder)
                return had
        except Damaged:
            pass  # looked at again, and said, where the cache may be changed
        with self.cache.locked(self.progress):
            had = self._cached()  # another porter may have filled it meanwhile
            if had is not None and self._is_enough(had):
                return had
            extent, objects = self._ask_named() if self.upstream else self._ask_in_turn(had)
            if objects is None:
                assert had is not None
                return had
            snapshot = extent.snapshot(objects)
            self.cache.keep(extent.ref, extent.base, snapshot.objects.values(), shallow=snapshot.shallow)
            return snapshot

    def _is_enough(self, had: Snapshot) -> bool:
        return not self.wants_answer and not (had.partial and self.wants_whole)

    def _cached(self) -> Snapshot | None:
        try:
            return cached(self.lock, self.cache)
        except Damaged as error:
            self.progress.note(f"the cache is damaged and is made anew: {error.what}")
            return None

    def _ask_named(self) -> tuple[Extent, dict[str, Object]]:
        from porter.sources import remote

        assert self.upstream is not None
        _log.info("asking %s, which was named", self.upstream)
        return self.whole, remote.read(self.upstream, self.whole, self.cache, self.progress)

    def _ask_in_turn(self, had: Snapshot | None) -> tuple[Extent, dict[str, Object] | None]:
        """The first source that answers.  An index is not asked for the part of the pin that is there already."""
        from porter.sources import remote  # not above: with a warm cache it is never needed

        failed = []
        for source in self.lock.sources:
            _log.info("asking %s", source)
            try:
                if isinstance(source, GitSource):
                    answer = self.whole, remote.read(source.url, self.whole, self.cache, self.progress)
                elif had is None:
                    answer = self._ask_index(source)
                else:
                    continue
            except (EnvironmentFailed, WrongUsage) as error:
                failed.append(f"{source}: {error.line}")
                _log.info("it does not answer with the pin: %s", error.line)
                continue
            self._say(failed, answer[0])
            return answer
        if not any(isinstance(source, IndexSource) for source in self.lock.sources):
            failed.append(f"package index: no wheel there holds the files of {self.lock.pin.tag}")
        if had is None:
            raise EnvironmentFailed(
                f"no source has {self.lock.pin.name} {self.lock.pin.tag}",
                "\n".join(failed),
                f"Name a clone or a mirror that you can reach: --upstream PATH|URL, or {VARIABLE}.",
            )
        self._say(failed, self.whole)
        return self.whole, None

    def _ask_index(self, source: IndexSource) -> tuple[Extent, dict[str, Object]]:
        from porter.sources import index

        extent = of_index(self.lock.pin, source)
        with self.cache.staging() as folder:
            blobs = index.fetch(source, self.lock.pin, folder, self.progress)
        objects = {blob.id: blob for blob in blobs.values()}
        if extent.made_base is not None:
            objects[extent.base] = extent.made_base
        return extent, objects

    def _say(self, failed: list[str], extent: Extent) -> None:
        for line in failed:
            self.progress.note(line)
        if extent.missing:
            files = counted(len(self.lock.pin.files), "file")
            self.progress.note(f"{len(extent.missing)} of {files} are not in the package index: {some(extent.missing)}")


def some(paths: Sequence[str]) -> str:
    """A few of them by name, in a line that a person reads; ``porter status`` has all."""
    return ", ".join(paths if len(paths) <= 3 else [*paths[:2], f"{len(paths) - 2} more"])


@dataclass(frozen=True)
class WrongObject:
    """An object in the cache that is not what the lock says."""

    name: str
    expected: str
    found: str


def verify(lock: Lock, cache: Path | None = None) -> tuple[int, list[WrongObject]]:
    """Hash everything that the cache holds of the pin: how many objects are right, and what is wrong.

    Raises:
        CheckFailed: the cache holds nothing of the pin, or git cannot read it at all.
        EnvironmentFailed: the cache cannot be read.
    """
    store = Cache(cache)
    held = next((extent for extent in extents(lock) if store.has(extent.ref)), None)
    if held is None:
        raise CheckFailed(
            f"the cache {store.folder} holds nothing of {lock.pin.name} {lock.pin.tag}", hint="porter upstream fetch"
        )
    try:
        wrong = _absent(held, store.find(held.ids, held.labels))
    except Damaged:
        wrong = []
        for i in held.ids:  # one by one: git gives up a batch at the first damaged object
            try:
                wrong += _absent(held, store.find([i], held.labels), i)
            except Damaged as error:
                wrong.append(WrongObject(held.labels[i], i, error.why.partition("found    ")[2] or error.what))
    return len(held.ids) - len(wrong), wrong


def _absent(extent: Extent, found: Mapping[str, Object], *ids: str) -> list[WrongObject]:
    return [WrongObject(extent.labels[i], i, "nothing") for i in ids or extent.ids if i not in found]
