"""Commits as they are stored: what a range of history consists of, and what each commit says.

``git log`` re-encodes, trims and joins; here the objects themselves are read, so that a message or an author
that nobody touched stays the same bytes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cached_property

from porter.errors import WrongUsage
from porter.git import Repository, objects
from porter.git.objects import Object
from porter.output import command_line
from porter.patch import tidy, trailers


@dataclass(frozen=True)
class Commit:
    """One commit.

    Attributes:
        id, tree: its id, its tree's.
        parents: the ids of the commits it grew from.
        author: name and mail, as ``Name <mail>``.
        date: author date: seconds since 1970 and the zone, ``1634021238 -0700``.
        message: the whole message.
    """

    id: str
    tree: str
    parents: tuple[str, ...]
    author: str
    date: str
    message: str

    @cached_property
    def subject(self) -> str:
        """The message's first paragraph on one line, as git's ``%s``."""
        return " ".join(line.strip() for line in self.message.strip("\n").split("\n\n", 1)[0].split("\n")).strip()

    @cached_property
    def body(self) -> str:
        """The message after its first paragraph, as a patch keeps it."""
        return tidy(self.message.strip("\n").partition("\n\n")[2])

    @cached_property
    def trailers(self) -> dict[str, str]:
        """Its trailers, the last where a key stands there twice."""
        return dict(trailers(self.body))

    @property
    def stack(self) -> str:
        """The value of its trailer ``Stack``, or empty."""
        return self.trailers.get("Stack", "")

    def __str__(self) -> str:
        return f"{self.id[:12]} ({self.subject})"


def parse(commit: Object) -> Commit:
    """A commit object, read."""
    head, _, message = commit.data.partition(b"\n\n")
    fields: dict[str, list[str]] = {}
    encoding = "utf-8"
    for line in head.split(b"\n"):
        name, _, value = line.partition(b" ")
        if name == b"encoding":
            encoding = value.decode("ascii", "replace")
        elif name in (b"tree", b"parent", b"author"):
            fields.setdefault(name.decode(), []).append(value.decode("utf-8", "surrogateescape"))
    who = re.fullmatch(r"(.*>) (\d+ [+-]\d{4})", fields["author"][0], re.DOTALL)
    try:
        text = message.decode(encoding, "surrogateescape")
    except LookupError:  # an encoding that nobody knows; git shows the bytes as they are, too
        text = message.decode("utf-8", "surrogateescape")
    author, date = who.groups() if who else (fields["author"][0], "0 +0000")
    return Commit(commit.id, fields["tree"][0], tuple(fields.get("parent", ())), author, date, text)


def between(repository: Repository, base: str, tip: str) -> list[Commit]:
    """The commits after ``base`` up to ``tip``, the oldest first.

    Raises:
        WrongUsage: one of them is a merge, or ``tip`` has not grown from ``base``.
    """
    listed = repository.text("rev-list", "--reverse", "--topo-order", f"{base}..{tip}").split()
    found = [parse(commit) for commit in repository.read(listed)]
    parent = base if re.fullmatch("[0-9a-f]{40}", base) else repository.text("rev-parse", f"{base}^{{commit}}")
    for commit in found:
        if len(commit.parents) > 1:
            raise WrongUsage(
                f"commit {commit} is a merge",
                "a patch is one change on the one before it; of a merge nobody could say which",
                f"Make the history linear: {command_line('git', 'rebase', base[:12])}",
            )
    for commit in found:
        if commit.parents != (parent,):
            raise WrongUsage(
                f"commit {tip[:12]} has not grown from {base[:12]}",
                f"the parent of {commit} is {' '.join(commit.parents) or 'nothing'}",
            )
        parent = commit.id
    return found


def made(commit: Commit, tree: str, parent: str, message: str) -> Object:
    """A commit with another's author and date, as a stack's patch makes it: whoever commits it has one id of it.

    Raises:
        WrongUsage: the message or the author is not UTF-8, so that no patch can hold it.
    """
    tidied = replace(commit, message=message)
    text = f"{tidied.subject}\n\n{tidied.body}\n" if tidied.body else f"{tidied.subject}\n"
    who = f"{commit.author} {commit.date}"
    try:
        return objects.commit(tree, (parent,), who, who, text)
    except UnicodeEncodeError as error:
        raise WrongUsage(
            f"commit {commit}: its message or author is not UTF-8", hint="Write it anew: git rebase -i, reword."
        ) from error
