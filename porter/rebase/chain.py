"""Commits made in memory, one after the other, on any base: what becomes patches when it is rendered."""

from __future__ import annotations

from collections.abc import Mapping

from porter import objects
from porter.objects import Entry, Files, Object
from porter.rebase.commits import Commit
from porter.rebase.render import key_of, sides


class Chain:
    """A line of commits.

    Attributes:
        tip: the last commit's id.
        files: the files at the tip: path -> entry.
        made: id -> object: the commits and trees so far.
        ids: the commits' ids, in order.
        stacks, subjects: the stack that each belongs to, and its subject.
        keys: what each one's patch follows from, see :func:`porter.rebase.render.key_of`.
    """

    def __init__(self, base: str, files: Mapping[str, Entry]) -> None:
        self.tip = base
        self.files = dict(files)
        self.made: dict[str, Object] = {}
        self.ids: list[str] = []
        self.stacks: list[str] = []
        self.subjects: list[str] = []
        self.keys: list[str] = []
        self._tree = Files(files)
        self._tree.write()

    def branch(self) -> Chain:
        """Another line that begins with the same commits."""
        new = Chain(self.tip, {})
        new.files, new.made, new._tree = dict(self.files), dict(self.made), self._tree.copy()
        new.ids, new.stacks, new.subjects = list(self.ids), list(self.stacks), list(self.subjects)
        new.keys = list(self.keys)
        return new

    def add(self, stack: str, author: str, date: str, message: str, changes: Mapping[str, Entry | None]) -> str:
        """One more commit, as :class:`porter.stack.Builder` would make it of its patch; its id and tree.

        Raises:
            NotADirectoryError, IsADirectoryError: a file of the changes stands where another's folder is.
        """
        self.keys.append(key_of(author, date, message, sides(self.files, changes)))
        self.step(changes)
        root, folders = self._tree.write()
        who = f"{author} {date}"
        commit = objects.commit(root, (self.tip,), who, who, message)
        self.made.update((item.id, item) for item in (*folders, commit))
        self.tip = commit.id
        self.ids.append(commit.id)
        self.stacks.append(stack)
        self.subjects.append(message.split("\n", 1)[0])
        return root

    def step(self, changes: Mapping[str, Entry | None]) -> None:
        """Change files without a commit."""
        for path, entry in changes.items():
            if entry is None and path in self.files:
                del self._tree[path]
        for path, entry in changes.items():
            if entry is not None:
                self._tree[path] = self.files[path] = entry
            else:
                self.files.pop(path, None)


def canonical_message(commit: Commit) -> str:
    """A commit's message as its patch keeps it."""
    return f"{commit.subject}\n\n{commit.body}\n" if commit.body else f"{commit.subject}\n"
