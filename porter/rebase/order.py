"""Which stack each commit of a tree belongs to, and the order in which they become patches.

People commit as they go: a fixup of an early patch at the end, something for ``common`` after the target's own.
Here each fixup goes to the commit that it mends, as ``git rebase --autosquash`` finds it, and common's commits go
before the targets'.  Only the order is decided; whether the changes can be moved so far is for whoever moves them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from porter.errors import WrongUsage
from porter.rebase.commits import Commit
from porter.stack import COMMON

_FIXUP = re.compile(r"(fixup|squash|amend)! ")


@dataclass(frozen=True)
class Item:
    """A patch to be.

    Attributes:
        commit: the commit that it begins with.
        stack: where it belongs.
        message: its message: the commit's, or that of a later ``amend!``.
        fixups: the commits that are folded into it, in order.
    """

    commit: Commit
    stack: str
    message: str
    fixups: tuple[Commit, ...] = ()


def arrange(
    commits: Sequence[Commit], targets: Iterable[str], default: str = "", into: Mapping[str, str] | None = None
) -> list[Item]:
    """The commits of a tree as patches, common's first, then each target's.

    Args:
        commits: in the tree's order.
        targets: whose tree it is.
        default: the stack of a commit that names none; empty to refuse it.
        into: commit -> the commit that it is a fixup of, where that is known already.

    Raises:
        WrongUsage: a commit names no stack, or one that the tree is not for; or a fixup mends nothing.
    """
    order = [COMMON, *sorted(targets)]
    items: list[Item] = []
    for commit in commits:
        known = (into or {}).get(commit.id, "")
        if known or _FIXUP.match(commit.subject):
            _fold(items, commit, known)
        else:
            items.append(_item(commit, order, default))
    return sorted(items, key=lambda item: order.index(item.stack))


def _item(commit: Commit, order: Sequence[str], default: str) -> Item:
    stack = commit.stack or default
    if not stack:
        raise WrongUsage(
            f"commit {commit} does not say which stack it belongs to",
            f"its message has no line such as `Stack: {order[-1]}` at its end",
            f"Add the line (git rebase -i, reword), or say it for all such commits: --stack {' or '.join(order)}.",
        )
    if stack not in order:
        raise WrongUsage(
            f"commit {commit} says Stack: {stack}, and the tree is for {', '.join(order[1:])}",
            hint=f"Correct its message, or name the tree's targets: --target {stack} …",
        )
    message = commit.message
    if not commit.stack:
        body = commit.body
        # one more trailer, if there are some already; else a paragraph of its own
        gap = "\n" if body and commit.trailers else "\n\n"
        message = f"{commit.subject}\n\n{body}{gap if body else ''}Stack: {stack}\n"
    return Item(commit, stack, message)


def _fold(items: list[Item], fixup: Commit, known: str) -> None:
    """Put a fixup to the commit that it mends."""
    kind = "fixup" if known else fixup.subject.split("!", 1)[0]
    place = _target(items, fixup, known)
    if place is None:
        raise WrongUsage(
            f"commit {fixup} mends no commit of the tree",
            hint="Name one that comes before it: git commit --fixup=COMMIT, or git rebase -i.",
        )
    item = items[place]
    message = item.message
    if kind == "squash" and fixup.body:
        raise WrongUsage(
            f"commit {fixup} wants its message joined with another",
            hint="Write the message yourself: git rebase -i --autosquash. A `fixup!` keeps the other one's.",
        )
    if kind == "amend":
        message = f"{fixup.body}\n"
        amended = replace(fixup, message=message)
        if amended.stack != item.stack:
            raise WrongUsage(
                f"commit {fixup} moves a patch from {item.stack} to {amended.stack or 'nowhere'}",
                hint="Change the line Stack: with git rebase -i, reword.",
            )
    items[place] = replace(item, message=message, fixups=(*item.fixups, fixup))


def _target(items: Sequence[Item], fixup: Commit, known: str) -> int | None:
    """The item that a fixup is for, found as git does: by subject, by commit, by how a subject begins."""
    subject = fixup.subject
    while _FIXUP.match(subject):
        subject = _FIXUP.sub("", subject, count=1)
    ids = [{item.commit.id, *(one.id for one in item.fixups)} for item in items]
    subjects = [replace(item.commit, message=item.message).subject for item in items]
    originals = [item.commit.subject for item in items]
    tests = (
        [known in found for found in ids] if known else [],
        [subject in pair for pair in zip(originals, subjects)],
        [len(subject) >= 7 and any(i.startswith(subject) for i in found) for found in ids],
        [one.startswith(subject) for one in originals],
    )
    return next((found.index(True) for found in tests if True in found), None)
