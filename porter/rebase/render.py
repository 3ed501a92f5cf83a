"""Commits written as patches, in the one form that a stack's files have.

git writes them, one ``git format-patch`` for a whole range, in a repository without any configuration or attributes of
the user's: the same commits give the same bytes everywhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from porter.errors import CheckFailed, WrongUsage
from porter.git import Repository, objects, scratch
from porter.patch import FORMAT, Patch, file_names
from porter.sources.snapshot import Snapshot
from porter.stack.build import Build

# without it each mail begins with its commit's id, which tells where one ends; a file has zeros there
_FORM = tuple(option for option in FORMAT if option != "--zero-commit")
_ZERO = b"0" * 40


def mails(repository: Repository, base: str, *branches: Sequence[str]) -> dict[str, bytes]:
    """Commit -> what ``git format-patch`` writes of it; an empty commit has none.

    Args:
        repository: one without anybody's settings, see :func:`porter.git.scratch`.
        branches: the commits after ``base`` up to a tip, in order; no message on one branch begins a mail of another.
    """
    tips = sorted({branch[-1] for branch in branches if branch})
    if not tips:
        return {}
    out = repository.run("format-patch", "--stdout", *_FORM, f"^{base}", *tips)
    ids = {commit for branch in branches for commit in branch}
    # nothing before it in the output can hold a commit's id, on which all of that would depend
    found = {commit: out.find(b"From %s Mon Sep 17 00:00:00 2001\n" % commit.encode()) for commit in ids}
    starts = sorted((at, commit) for commit, at in found.items() if at >= 0)
    stops = [at - 1 for at, _ in starts[1:]] + [len(out)]  # git puts an empty line between two mails
    return {commit: b"From " + _ZERO + out[at + 45 : stop] for (at, commit), stop in zip(starts, stops)}


def parsed(mail: bytes | None, stack: str, name: str, commit: object) -> Patch:
    """The patch in a mail of :func:`mails`.

    Args:
        commit: what to call the commit in a message.

    Raises:
        WrongUsage: there is no mail, as the commit changes nothing.
        CheckFailed: a message or a change is nothing that a patch of porter's can hold.
    """
    if mail is None:
        raise WrongUsage(f"{commit} changes nothing", hint="Drop it: git rebase -i, and delete its line.")
    try:
        return Patch.parse(mail, stack, name)
    except CheckFailed as error:
        what = error.what.partition(": ")[2] or error.what
        raise CheckFailed(f"{commit} is nothing for a patch: {what}", error.why, "Change it: git rebase -i.") from error


def canonical(snapshot: Snapshot, builds: Iterable[Build], borrow: Repository | None = None) -> list[list[Patch]]:
    """The patches of built stacks in canonical form; what the stacks share is rendered once.

    Args:
        snapshot: what they were built on.
        borrow: a repository that holds the snapshot's base, where the snapshot itself does not.

    Raises:
        WrongUsage: a patch changes nothing where it is.
    """
    builds = list(builds)
    commits = {built.commit: built.patch for build in builds for built in build.commits}
    with scratch(borrow, [snapshot.base] if snapshot.shallow and not borrow else []) as repository:
        made = {i: item for build in builds for i, item in build.objects.items()}
        theirs = () if borrow else snapshot.objects.values()
        repository.write(objects.pack([*theirs, *made.values()], level=0))
        found = mails(repository, snapshot.base, *([built.commit for built in build.commits] for build in builds))
    form: dict[str, Patch] = {}
    for commit, patch in commits.items():
        mail = found.get(commit)
        form[commit] = patch if mail == patch.data else parsed(mail, patch.stack, patch.name, patch.id)
    return [numbered(form[built.commit] for built in build.commits) for build in builds]


def numbered(patches: Iterable[Patch]) -> list[Patch]:
    """The patches, each with its place in its stack and the name that its subject gives it."""
    patches = list(patches)
    names = named([patch.stack for patch in patches], [patch.subject for patch in patches])
    counts: Counter[str] = Counter()
    found = []
    for patch, name in zip(patches, names):
        counts[patch.stack] += 1
        found.append(replace(patch, name=name, number=counts[patch.stack]))
    return found


def named(stacks: Sequence[str], subjects: Sequence[str]) -> list[str]:
    """The file names of patches of several stacks, in order."""
    of_stack = {
        stack: iter(file_names(subject for other, subject in zip(stacks, subjects) if other == stack))
        for stack in set(stacks)
    }
    return [next(of_stack[stack]) for stack in stacks]
