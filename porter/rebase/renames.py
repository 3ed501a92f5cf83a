"""Where upstream moved a file: renames found by content, as git finds them before it merges.

A merge sees that a file of the common ancestor is gone on one side and asks which of the files that are new there it
became: one with the same bytes, else one of the same name in another folder that is similar enough, else the most
similar one (diffcore-rename.c, with its limits: at least half alike, three quarters for a guess by name alone).
Here the answers for two blobs are kept, so that a thousand commits cost little more than the files that differ.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from porter.diff import lines
from porter.objects import Entry

_MAX = 60000  # MAX_SCORE: all alike
_LEAST = 30000  # what counts as a rename
_LEAST_BY_NAME = 45000  # for the one file of that name, without looking at the others
_CHUNK = 64  # bytes at which git cuts a long line
_TEXT = 8000  # in so many first bytes a NUL makes a file binary


class Renames:
    """Finds renames, and remembers how alike two blobs are.

    Args:
        read: blob id -> content.
    """

    def __init__(self, read: Callable[[str], bytes]) -> None:
        self._read = read
        self._chunks: dict[str, Counter[bytes]] = {}
        self._sizes: dict[str, int] = {}
        self._scores: dict[str, dict[str, int]] = {}

    def find(self, gone: Mapping[str, Entry], new: Mapping[str, Entry]) -> dict[str, str]:
        """Old path -> new path for each of the files ``gone`` that one of the files ``new`` was made of.

        Args:
            gone: files of the ancestor that are not in the tree any more.
            new: files of the tree that are not in the ancestor.
        """
        sources = {path: entry.id for path, entry in sorted(gone.items()) if _regular(entry)}
        alike = [(score, old, path) for old, blob in sources.items() for path, score in self._alike(blob, new)]
        found: dict[str, str] = {}

        def take(pairs: Iterable[tuple[int, str, str]]) -> None:
            for _, old, path in pairs:
                if old not in found and path not in found.values():
                    found[old] = path

        take(
            sorted(
                (pair for pair in alike if pair[0] == _MAX), key=lambda pair: (pair[2], not _same_name(pair), pair[1])
            )
        )
        left = [pair for pair in alike if pair[1] not in found and pair[2] not in found.values()]
        names = Counter(_name(path) for path in new if path not in found.values()) if left else Counter()
        olds = Counter(_name(old) for old in sources if old not in found)
        once = {name for name, count in olds.items() if count == 1 and names[name] == 1}
        take(pair for pair in left if pair[0] >= _LEAST_BY_NAME and _same_name(pair) and _name(pair[1]) in once)
        take(sorted(left, key=lambda pair: (-pair[0], not _same_name(pair))))
        return found

    def score(self, old: str, new: str) -> int:
        """How much of the larger blob is in the other one, 0 to 60000; 0 below half, and for empty blobs."""
        row = self._scores.setdefault(old, {})
        if new not in row:
            row[new] = self._similarity(old, new)
        return row[new]

    def _alike(self, blob: str, files: Mapping[str, Entry]) -> list[tuple[str, int]]:
        """The files that are enough like a blob to have been made of it, with their scores."""
        row = self._scores.setdefault(blob, {})
        for entry in files.values():
            if entry.id not in row:
                row[entry.id] = self._similarity(blob, entry.id) if _regular(entry) else 0
        return [(path, row[entry.id]) for path, entry in sorted(files.items()) if row[entry.id]]

    def _similarity(self, old: str, new: str) -> int:
        sizes = self._size(old), self._size(new)
        larger, smaller = max(sizes), min(sizes)
        if not smaller or larger * (_MAX - _LEAST) < (larger - smaller) * _MAX:
            return 0
        if old == new:
            return _MAX
        before, after = self._counted(old), self._counted(new)
        kept = sum(min(count, after[chunk]) for chunk, count in before.items() if chunk in after)
        score = min(kept * _MAX // larger, _MAX - 1)
        return score if score >= _LEAST else 0

    def _size(self, blob: str) -> int:
        if blob not in self._sizes:
            self._sizes[blob] = len(self._read(blob))
        return self._sizes[blob]

    def _counted(self, blob: str) -> Counter[bytes]:
        """The bytes of a blob in each of its lines, long ones cut; a line that occurs twice counts twice."""
        if blob not in self._chunks:
            counted: Counter[bytes] = Counter()
            for chunk in _cut(self._read(blob)):
                counted[chunk] += len(chunk)
            self._chunks[blob] = counted
        return self._chunks[blob]


def _cut(data: bytes) -> Iterable[bytes]:
    if b"\0" not in data[:_TEXT]:
        data = data.replace(b"\r\n", b"\n")
    for line in lines(data):
        if len(line) <= _CHUNK:
            yield line
        else:
            yield from (line[at : at + _CHUNK] for at in range(0, len(line), _CHUNK))


def _regular(entry: Entry) -> bool:
    return entry.mode.startswith("100")


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _same_name(pair: tuple[int, str, str]) -> bool:
    return _name(pair[1]) == _name(pair[2])
