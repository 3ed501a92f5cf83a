"""A foreign patch on the stack's files, hunk by hunk: what fits is taken, the rest is told with both sides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from porter.diff import Hunk, lines
from porter.foreign.reader import FileChange, Incoming, Piece
from porter.objects import Entry
from porter.rebase import threeway
from porter.stack import Contents

APPLIED = "applied"  # where its old lines are
MERGED = "merged"  # three-way, by what it was made for
THERE = "there"  # its new lines are in the file already
REJECTED = "rejected"


@dataclass(frozen=True)
class Reject:
    """What could not be taken: the file, why, and both sides as text."""

    path: str
    why: str
    text: str


@dataclass(frozen=True)
class Outcome:
    """What became of one patch.

    Attributes:
        patch: the patch.
        changes: path -> the file's entry afterwards, None where it goes.
        hunks: how many became what, by the words above.
        rejects: what is left.
    """

    patch: Incoming
    changes: Mapping[str, Entry | None]
    hunks: Mapping[str, int]
    rejects: tuple[Reject, ...]


class Merger:
    """Takes patches one after the other.

    Args:
        base: the files that the patches were made for, as far as they are known.
        ours: the files to put them on.
        contents: the blobs of both; those that are made are added.
        moved: path -> where the stack moved that file.
    """

    def __init__(
        self, base: Mapping[str, Entry], ours: Mapping[str, Entry], contents: Contents, moved: Mapping[str, str]
    ) -> None:
        self.ours = dict(ours)
        self._moved = dict(moved)
        self._base = dict(base)
        self._contents = contents

    def take(self, patch: Incoming) -> Outcome:
        """One patch; :attr:`ours` is what has become of the files.

        Raises:
            SurroundingsFailed: git, or the disk for temporary files, failed.
        """
        before = dict(self.ours)
        counts: dict[str, int] = {}
        rejects: list[Reject] = []
        for change in patch.changes:
            if change.unusable:
                rejects.append(Reject(change.new, change.unusable, ""))
                continue
            for word, number in self._file(change, rejects).items():
                counts[word] = counts.get(word, 0) + number
        changed = {path: entry for path, entry in self.ours.items() if before.get(path) != entry}
        gone = dict.fromkeys(path for path in before if path not in self.ours)
        return Outcome(patch, {**gone, **changed}, counts, tuple(rejects))

    def _file(self, change: FileChange, rejects: list[Reject]) -> dict[str, int]:
        if change.kind == "add":
            return self._add(change, rejects)
        base = self._base.get(change.old)
        if change.old not in self.ours and self._moved.get(change.old) in self.ours:
            where = self._moved[change.old]
            new = where if change.new == change.old else change.new
            if base:
                self._base[where] = self._base.pop(change.old)
            change = replace(change, old=where, new=new)
        ours = self.ours.get(change.old)
        if ours is None or change.kind == "delete":
            return self._gone(change, base, ours, rejects)
        data = self._contents[ours.id]
        origin = self._contents[base.id] if base else None
        target = None if origin is None else _all(change, origin)
        if origin is not None and target is not None:
            (whole,) = threeway.merge([threeway.Sides(origin, data, target)], "the stack", "the patch")
            if whole.clean:
                plain = _all(change, data)
                word = THERE if whole.data == data and target != origin else APPLIED if plain == whole.data else MERGED
                data, counts = whole.data, {word: max(1, len(change.pieces))}
            else:
                data, counts = self._pieces(change, origin, data, rejects)
        else:
            data, counts = self._pieces(change, origin, data, rejects)
        mode = change.mode or ours.mode
        if change.new != change.old:
            if change.new in self.ours:
                rejects.append(Reject(change.new, "a file is renamed to this, and it is there already", ""))
                return {REJECTED: max(1, len(change.pieces))}
            del self.ours[change.old]
            self._base.pop(change.old, None)
        self.ours[change.new] = Entry(mode, self._contents.add(data))
        if target is not None:
            self._base[change.new] = Entry(mode, self._contents.add(target))
        else:  # later patches find there what this one could be given
            self._base.pop(change.new, None)
        return counts

    def _gone(
        self, change: FileChange, base: Entry | None, ours: Entry | None, rejects: list[Reject]
    ) -> dict[str, int]:
        """A file that is not there, or is to go."""
        if ours is None and change.kind == "delete" and base:
            return {THERE: 1}
        if ours is None:
            why = "the stack has no such file" if base else "neither upstream nor the stack has such a file"
            rejects.append(Reject(change.old, why, _shown(change)))
            return {REJECTED: max(1, len(change.pieces))}
        if base and ours.id != base.id:
            rejects.append(Reject(change.old, "it is to be deleted, and the stack changes it", _shown(change)))
            return {REJECTED: 1}
        del self.ours[change.old]
        self._base.pop(change.old, None)
        return {APPLIED: 1}

    def _pieces(
        self, change: FileChange, origin: bytes | None, data: bytes, rejects: list[Reject]
    ) -> tuple[bytes, dict[str, int]]:
        """The hunks one by one."""
        counts: dict[str, int] = {}
        for piece in change.pieces:
            data, word, why, text = _place(piece, origin, data)
            counts[word] = counts.get(word, 0) + 1
            if why:
                rejects.append(Reject(change.new, why, text))
        return data, counts

    def _add(self, change: FileChange, rejects: list[Reject]) -> dict[str, int]:
        data = b"".join(line for piece in change.pieces for line in piece.hunk.new)
        entry = Entry(change.mode or "100644", self._contents.add(data))
        there = self.ours.get(change.new)
        if there is not None and there.id != entry.id:
            rejects.append(
                Reject(change.new, "it is to be added, and the stack has another of that name", _shown(change))
            )
            return {REJECTED: 1}
        inside = [path for path in self.ours if path.startswith(f"{change.new}/") or change.new.startswith(f"{path}/")]
        if inside:
            rejects.append(Reject(change.new, f"it is to be added, and {inside[0]} is there", _shown(change)))
            return {REJECTED: 1}
        if any(not piece.whole for piece in change.pieces):
            rejects.append(Reject(change.new, "its end is left out in the patch", ""))
        self._base[change.new] = self.ours[change.new] = entry
        return {THERE if there else APPLIED: 1}


def _place(piece: Piece, base: bytes | None, data: bytes) -> tuple[bytes, str, str, str]:
    """A hunk on a file: the content afterwards, what became of it, and where it was rejected why and both sides."""
    hunk = piece.hunk
    in_base = None if base is None else _find(hunk, base)
    if base is not None and in_base is not None:
        theirs = _put(hunk, base)
        assert theirs is not None
        (merged,) = threeway.merge([threeway.Sides(base, data, theirs)], "the stack", "the patch")
        if merged.clean:
            plain = _put(hunk, data) if data != merged.data else None
            word = THERE if merged.data == data else APPLIED if plain == merged.data else MERGED
            return merged.data, word, "", ""
        return data, REJECTED, "the stack changes the same lines", f"{_hunk(hunk)}\n{_conflicts(merged.data)}"
    places = _places(hunk, data)
    if len(places) == 1:  # not made for this base, but there is one place that it fits
        image = lines(data)
        image[places[0] : places[0] + len(hunk.old)] = hunk.new
        return b"".join(image), APPLIED, "", ""
    if hunk.new and len(_places(hunk, data, new=True)) == 1:
        return data, THERE, "", ""
    why = f"its old lines are at {len(places)} places" if places else "its old lines are not there"
    at = max(hunk.new_start - 1, 0)
    found = b"".join(lines(data)[at : at + max(len(hunk.old), 3)]).decode(errors="replace")
    return data, REJECTED, why, f"{_hunk(hunk)}\nat line {at + 1} there is:\n{found}"


def _all(change: FileChange, data: bytes) -> bytes | None:
    """The content with all hunks in it; None if one fits nowhere."""
    result: bytes | None = data
    # from the end, so that each is where its header says
    for piece in sorted(change.pieces, key=lambda piece: -piece.hunk.new_start):
        result = None if result is None else _put(piece.hunk, result)
    return result


def _find(hunk: Hunk, data: bytes) -> int | None:
    image = lines(data)
    return hunk.find(image, bytearray(len(image)))


def _put(hunk: Hunk, data: bytes) -> bytes | None:
    """The content with one hunk in it, at the place nearest to where it should be; None if it fits nowhere."""
    image = lines(data)
    place = hunk.find(image, bytearray(len(image)))
    if place is None:
        return None
    image[place : place + len(hunk.old)] = hunk.new
    return b"".join(image)


def _places(hunk: Hunk, data: bytes, new: bool = False) -> list[int]:
    """Every place where a hunk's old lines, or its new ones, are."""
    image, wanted = lines(data), list(hunk.new if new else hunk.old)
    if not wanted:
        return []
    return [n for n in range(len(image) - len(wanted) + 1) if image[n : n + len(wanted)] == wanted]


def _hunk(hunk: Hunk) -> str:
    return f"{hunk.header}\n{b''.join(hunk.body).decode(errors='replace')}".rstrip("\n") + "\n"


def _shown(change: FileChange) -> str:
    return "".join(_hunk(piece.hunk) for piece in change.pieces)


def _conflicts(marked: bytes) -> str:
    """The parts of a merge between conflict marks, the marks with them."""
    kept, inside = [], False
    for row in marked.decode(errors="replace").split("\n"):
        inside = inside or row.startswith("<<<<<<< ")
        if inside:
            kept.append(row)
        inside = inside and not row.startswith(">>>>>>> ")
    return "\n".join(kept) + "\n"
