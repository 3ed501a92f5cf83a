"""Results kept in the cache by what they were computed from, so that the same bytes are not looked at twice.

A result has to follow from its key and from what the memo is said to depend on: the key names every byte that was
looked at (by a digest), the rest is the code that looks and whatever else could change the result.  Then it does not
matter who found it and when.  A memo that is damaged, or cannot be kept, costs only time: what it held is computed
again.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from porter.errors import EnvironmentFailed
from porter.files import write_file
from porter.sources.cache import Cache
from porter.version import __version__

_KEPT = 8  # memos of one kind that stay in the cache
_open: dict[Path, Memo] = {}
_opening = threading.Lock()


class Memo:
    """Results by key: plain data, as JSON has it.

    Args:
        kind: the name of its folder in the cache.
        depends: all that a result depends on besides its key; porter's version is always part of it.
        most: how many results are kept: those that were of use last.
    """

    def __init__(self, kind: str, depends: Iterable[bytes], most: int = 1000) -> None:
        whole = hashlib.sha256(__version__.encode())
        for part in depends:
            whole.update(b"\0%d\0" % len(part) + part)
        try:
            folder = Cache().folder
        except EnvironmentFailed:  # nobody can tell where it is
            folder = Path(os.devnull)  # in there nothing can be kept
        self.path = folder / kind / f"{whole.hexdigest()}.json"
        self._most = most
        self._lock = threading.Lock()
        self._results: dict[str, Any] | None = None
        self._changed = False

    @classmethod
    def shared(cls, kind: str, depends: Iterable[bytes], most: int = 1000) -> Memo:
        """The one that everybody in this process uses."""
        memo = cls(kind, depends, most)
        with _opening:
            return _open.setdefault(memo.path, memo)

    def get(self, key: str) -> Any:
        """The result with a key; None if there is none."""
        with self._lock:
            results = self._read()
            found = results.pop(key, None)
            if found is not None:
                results[key] = found  # the last ones are those that were of use
            return found

    def put(self, key: str, result: Any) -> None:
        """Remember a result."""
        with self._lock:
            self._read()[key] = result
            self._changed = True

    def save(self) -> None:
        """Keep what is new.  A cache that cannot be written costs time later, and nothing else."""
        with self._lock:
            if not self._changed or self._results is None:
                return
            kept = dict(list(self._results.items())[-self._most :])
            body = json.dumps(kept, separators=(",", ":")).encode()
            with suppress(OSError, EnvironmentFailed):
                self.path.parent.mkdir(parents=True, exist_ok=True)
                write_file(self.path, hashlib.sha256(body).hexdigest().encode() + b"\n" + body, durable=False)
                # what a porter that was killed here left is among them
                files = sorted(self.path.parent.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
                for old in files[_KEPT:]:
                    old.unlink(missing_ok=True)
            self._changed = False

    def _read(self) -> dict[str, Any]:
        if self._results is None:
            self._results = {}
            with suppress(OSError, ValueError):
                digest, _, body = self.path.read_bytes().partition(b"\n")
                if hashlib.sha256(body).hexdigest().encode() == digest:
                    self._results = json.loads(body)
        return self._results
