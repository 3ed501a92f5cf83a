"""Commits made in memory, one after the other, on any base: what import puts into a tree."""

from __future__ import annotations

from collections.abc import Mapping

from porter import objects
from porter.objects import Entry, Files, Object


class Chain:
    """A line of commits.

    Attributes:
        tip: the last commit's id.
        made: id -> object: the commits and trees so far.
    """

    def __init__(self, base: str, files: Mapping[str, Entry]) -> None:
        self.tip = base
        self.made: dict[str, Object] = {}
        self._tree = Files(files)
        self._tree.write()

    def add(self, stack: str, author: str, date: str, message: str, changes: Mapping[str, Entry | None]) -> None:
        """One more commit.

        Raises:
            NotADirectoryError, IsADirectoryError: a file of the changes stands where another's folder is.
        """
        for path, entry in changes.items():
            if entry is None and self._tree.get(path):
                del self._tree[path]
        for path, entry in changes.items():
            if entry is not None:
                self._tree[path] = entry
        root, folders = self._tree.write()
        who = f"{author} {date}"
        commit = objects.commit(root, (self.tip,), who, who, message)
        self.made.update((item.id, item) for item in (*folders, commit))
        self.tip = commit.id
