"""Commits made in memory, one after the other, on any base: what becomes patches when it is rendered."""

from __future__ import annotations

from collections.abc import Mapping

from porter import objects
from porter.commits import Commit
from porter.errors import CheckFailed
from porter.merge import CONFLICT, TAKEN, Conflict, Original, Placer, step
from porter.objects import Entry, Files, Object

_WORDS = {
    "content": "both change the same lines",
    "add/add": "both add it",
    "modify/delete": "it is not there",
    "delete/modify": "it would delete what is changed",
}


class Chain:
    """A line of commits.

    Attributes:
        tip: the last commit's id.
        files: the files at the tip: path -> entry.
        made: id -> object: the commits and trees so far.
        ids: the commits' ids, in order.
        stacks: the stack that each belongs to.
    """

    def __init__(self, base: str, files: Mapping[str, Entry]) -> None:
        self.tip = base
        self.files = dict(files)
        self.made: dict[str, Object] = {}
        self.ids: list[str] = []
        self.stacks: list[str] = []
        self._tree = Files(files)
        self._tree.write()

    def branch(self) -> Chain:
        """Another line that begins with the same commits."""
        new = Chain(self.tip, {})
        new.files, new.made, new._tree = dict(self.files), dict(self.made), self._tree.copy()
        new.ids, new.stacks = list(self.ids), list(self.stacks)
        return new

    def add(self, stack: str, author: str, date: str, message: str, changes: Mapping[str, Entry | None]) -> str:
        """One more commit, as :class:`porter.stack.Builder` would make it of its patch; its id and tree.

        Raises:
            NotADirectoryError, IsADirectoryError: a file of the changes stands where another's folder is.
        """
        self.step(changes)
        root, folders = self._tree.write()
        who = f"{author} {date}"
        commit = objects.commit(root, (self.tip,), who, who, message)
        self.made.update((item.id, item) for item in (*folders, commit))
        self.tip = commit.id
        self.ids.append(commit.id)
        self.stacks.append(stack)
        return root

    def step(self, changes: Mapping[str, Entry | None]) -> None:
        """Change files without a commit."""
        for path, entry in changes.items():
            if entry is None and path in self.files:
                del self._tree[path]
        for path, entry in changes.items():
            if entry is not None:
                self._tree[path] = entry
        step(self.files, changes)


def canonical_message(commit: Commit) -> str:
    """A commit's message as its patch keeps it."""
    return f"{commit.subject}\n\n{commit.body}\n" if commit.body else f"{commit.subject}\n"


def placed(
    placer: Placer, original: Original, files: Mapping[str, Entry], name: str, hint: str
) -> dict[str, Entry | None]:
    """What a change is on other files than those that it was made for.

    Args:
        name: what to call it in a message.
        hint: what to do if it does not fit.

    Raises:
        CheckFailed: it does not fit, or would fit at several places.
    """
    placing = placer.place(original, files)
    if placing.outcome == TAKEN:
        return {}
    if placing.outcome == CONFLICT:
        why = "\n".join(_clash(conflict, placer) for conflict in placing.conflicts)
        raise CheckFailed(f"{name} does not fit there", why, hint)
    for path, moved in placing.moved:
        if moved.places > 1:
            raise CheckFailed(f"{name} would fit at {moved.places} places in {path}", f"hunk {moved.hunk.header}", hint)
    return dict(placing.files)


def _clash(conflict: Conflict, placer: Placer) -> str:
    """A conflict in words, with both sides of its first place where there are lines to show."""
    head = f"{conflict.path}: {_WORDS.get(conflict.kind, conflict.kind)}"
    if not conflict.marked:
        return head
    rows = placer.contents[conflict.marked].decode(errors="replace").split("\n")
    first = next((n for n, row in enumerate(rows) if row.startswith("<<<<<<< ")), None)
    if first is None:
        return head
    last = next(n for n, row in enumerate(rows) if n > first and row.startswith(">>>>>>> "))
    return "\n".join([head, *(f"  {row}" for row in rows[first : min(last + 1, first + 30)])])
