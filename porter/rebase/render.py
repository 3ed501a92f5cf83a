"""Commits written as patches, in the one form that a stack's files have.

git writes them, one process for a whole range (for a long one a process a core), in a repository without any
configuration or attributes of the user's: the same commits give the same bytes everywhere.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Optional

from porter import git, objects
from porter.errors import CheckFailed, WrongUsage
from porter.git import Repository, scratch
from porter.objects import Entry
from porter.patch import FORMAT, Patch, file_name
from porter.rebase import commits
from porter.sources.memo import Memory
from porter.sources.snapshot import Snapshot
from porter.stack import Build

# without it each mail begins with its commit's id, which no message can hold: that is where one ends
_FORM = tuple(option for option in FORMAT if option != "--zero-commit")
_ZERO = b"0" * 40
_MANY = 100  # so many commits are worth a git process of their own
_REMEMBERED = 8000  # mails: those of several long stacks

Sides = tuple[Optional[Entry], Optional[Entry]]  # a file before and after a commit


class Mails:
    """What git wrote of a commit before, where a file at hand still holds it.

    A mail follows from the commit's author, date and message, from the files that it changes, and from git and the
    settings that it is run with; nothing else of the commit is in it, nor anything of those before it.  So a commit is
    known by its :func:`key_of`, or where nobody looked at that by its id, from which all of it follows.

    Args:
        files: what may be one of them.
    """

    def __init__(self, files: Iterable[bytes]) -> None:
        depends = [git.run("version"), repr((_FORM, git.SETTINGS)).encode()]
        self._memory = Memory.shared("mails", depends, most=_REMEMBERED)
        self._files = {hashlib.sha256(data).hexdigest(): data for data in files}

    def find(self, key: str) -> bytes | None:
        """The mail of a commit, by its :func:`key_of` or its id; None if it is not known."""
        return self._files.get(self._memory.get(key) or "")

    def differs(self, key: str) -> bool:
        """Whether it is known what git writes of a commit, and no file at hand is that."""
        return self._memory.get(key) is not None and self.find(key) is None

    def keep(self, key: str, mail: bytes) -> None:
        """Remember a mail that git just wrote."""
        digest = hashlib.sha256(mail).hexdigest()
        self._files[digest] = mail
        self._memory.put(key, digest)

    def was_in_step(self, seen: str) -> str:
        """The target whose patches were found to be a tree's commits, by all that this follows from; else empty."""
        return str(self._memory.get(f"in step {seen}") or "")

    def is_in_step(self, seen: str, target: str) -> None:
        """Remember that, for :meth:`was_in_step`."""
        self._memory.put(f"in step {seen}", target)
        self._memory.save()

    def save(self) -> None:
        """Keep what is new for those who come after."""
        self._memory.save()


def sides(files: Mapping[str, Entry], changes: Mapping[str, Entry | None]) -> dict[str, Sides]:
    """Path -> the file before and after a commit, of those that it changes.

    Args:
        files: what is there before it.
        changes: what it does: path -> entry, None where the file goes.
    """
    both = {path: (files.get(path), entry) for path, entry in changes.items()}
    return {path: (old, new) for path, (old, new) in both.items() if old != new}


def key_of(author: str, date: str, message: str, changes: Mapping[str, Sides]) -> str:
    """All of a commit that its mail follows from, as a digest.

    Args:
        changes: path -> the file's entry before and after it.
    """
    record = [author, date, message, sorted(changes.items())]
    return hashlib.sha256(json.dumps(record).encode()).hexdigest()


def render(repository: Repository, base: str, tip: str, stacks: Sequence[str] = ()) -> list[Patch]:
    """The commits after ``base`` up to ``tip`` as canonical patches, oldest first.

    Each is numbered in its own stack and named after its number and subject.

    Args:
        stacks: the stack that each commit belongs to; by default what its trailer ``Stack`` says.

    Raises:
        WrongUsage: a commit is a merge, is empty, or says no stack.
        CheckFailed: a message or a change is nothing that a patch of porter's can hold.
    """
    listed = commits.between(repository, base, tip)
    names = list(stacks) or [commit.stack for commit in listed]
    for commit, name in zip(listed, names):
        if not name:
            raise WrongUsage(
                f"commit {commit} does not say which stack it belongs to",
                hint="Its message needs a last line such as `Stack: common` (git rebase -i, reword).",
            )
    titles = [commit.subject for commit in listed]
    with scratch(borrow=repository) as clean:
        base = listed[0].parents[0] if listed else base
        form = written(clean, base, [commit.id for commit in listed], names, titles, {}, [str(c) for c in listed])
    return [form[commit.id] for commit in listed]


def written(
    repository: Repository,
    base: str,
    ids: Sequence[str],
    stacks: Sequence[str],
    subjects: Sequence[str],
    known: Mapping[str, Patch],
    labels: Sequence[str] = (),
) -> dict[str, Patch]:
    """Commit -> its patch, of those commits on ``base`` that are not known yet.

    Args:
        repository: one without anybody's settings, see :func:`porter.git.scratch`.
        ids: the commits in order, each the next one's parent.
        stacks, subjects: the stack and the subject of each.
        labels: what to call each in a message.

    Raises:
        WrongUsage: a commit changes nothing.
        CheckFailed: a message or a change is nothing that a patch of porter's can hold.
    """
    places = [n for n, i in enumerate(ids) if i not in known]
    if not places:
        return {}
    first, last = places[0], places[-1]
    mails = raw(repository, ids[first - 1] if first else base, ids[first : last + 1])
    names = places_named(stacks, subjects)
    found = {}
    for n in range(first, last + 1):
        label = labels[n] if labels else f"{ids[n][:12]} ({subjects[n]})"
        if ids[n] not in mails:
            raise _empty(label)
        try:
            found[ids[n]] = Patch.parse(mails[ids[n]], stacks[n], names[n])
        except CheckFailed as error:
            what = error.what.partition(": ")[2] or error.what
            raise CheckFailed(
                f"{label} is nothing for a patch: {what}", error.why, "Change it: git rebase -i."
            ) from error
    return found


def canonical(
    snapshot: Snapshot,
    builds: Iterable[Build],
    known: Mapping[str, Patch] | None = None,
    borrow: Repository | None = None,
) -> list[list[Patch]]:
    """The patches of built stacks in canonical form; what the stacks share is rendered once.

    Args:
        snapshot: what they were built on.
        known: commit -> its patch in that form, where somebody rendered it already.
        borrow: a repository that holds the snapshot's base, where the snapshot itself does not.

    Raises:
        WrongUsage: a patch changes nothing where it is.
    """
    builds = list(builds)
    form: dict[str, Patch] = dict(known or {})
    unknown = {built.commit: built.patch for build in builds for built in build.commits if built.commit not in form}
    if unknown:
        mails = Mails(patch.data for patch in unknown.values())
        form.update((commit, patch) for commit, patch in unknown.items() if mails.find(commit) == patch.data)
        if not form.keys() >= unknown.keys():
            form.update(_written_anew(snapshot, builds, form, borrow))
            for commit in unknown:
                mails.keep(commit, form[commit].data)
            mails.save()
    return [numbered(form[built.commit] for built in build.commits) for build in builds]


def _written_anew(
    snapshot: Snapshot, builds: Sequence[Build], known: Mapping[str, Patch], borrow: Repository | None
) -> dict[str, Patch]:
    """Commit -> patch for what of the builds has no known form."""
    found: dict[str, Patch] = {}
    made = {i: item for build in builds for i, item in build.objects.items()}
    with scratch(borrow, [snapshot.base] if snapshot.shallow and not borrow else []) as repository:
        theirs = () if borrow else snapshot.objects.values()
        repository.write(objects.pack([*theirs, *made.values()], level=0))
        for build in builds:
            found.update(_unknown(repository, build, {**known, **found}))
    return found


def _unknown(repository: Repository, build: Build, form: Mapping[str, Patch]) -> dict[str, Patch]:
    """Commit -> patch for what of a build has no known form."""
    places = [n for n, built in enumerate(build.commits) if built.commit not in form]
    if not places:
        return {}
    first, last = places[0], places[-1]
    chosen = build.commits[first : last + 1]
    base = build.commits[first - 1].commit if first else build.base
    mails = raw(repository, base, [built.commit for built in chosen])
    found = {}
    for built in chosen:
        if built.commit not in mails:
            raise _empty(built.patch.id)
        data = mails[built.commit]
        same = data == built.patch.data
        found[built.commit] = built.patch if same else Patch.parse(data, built.patch.stack, built.patch.name)
    return found


def numbered(patches: Iterable[Patch]) -> list[Patch]:
    """The patches, each with the name that its place in its stack and its subject give it."""
    patches = list(patches)
    names = places_named([patch.stack for patch in patches], [patch.subject for patch in patches])
    return [patch if patch.name == name else replace(patch, name=name) for patch, name in zip(patches, names)]


def places_named(stacks: Sequence[str], subjects: Sequence[str]) -> list[str]:
    """The file names of patches in order: numbered in each stack, then the subject."""
    counts: dict[str, int] = {}
    found = []
    for stack, subject in zip(stacks, subjects):
        counts[stack] = counts.get(stack, 0) + 1
        found.append(file_name(counts[stack], subject))
    return found


def raw(repository: Repository, base: str, ids: Sequence[str]) -> dict[str, bytes]:
    """Commit -> its patch's bytes, for commits in order on ``base``; an empty commit has none.

    Args:
        repository: one without anybody's settings.
    """
    size = -(-len(ids) // min(os.cpu_count() or 1, max(1, len(ids) // _MANY)))
    shares = [ids[start : start + size] for start in range(0, len(ids), size or 1)]
    bases = [base, *(share[-1] for share in shares)]
    if len(shares) < 2:
        return _mails(repository, base, ids)
    from concurrent.futures import ThreadPoolExecutor  # short ranges do without

    with ThreadPoolExecutor(len(shares)) as pool:
        parts = pool.map(lambda start, share: _mails(repository, start, share), bases, shares)
        return {commit: data for part in parts for commit, data in part.items()}


def _mails(repository: Repository, base: str, ids: Sequence[str]) -> dict[str, bytes]:
    out = repository.run("format-patch", "--stdout", *_FORM, f"{base}..{ids[-1]}")
    starts = []
    at = 0
    for i in ids:
        head = b"From %s Mon Sep 17 00:00:00 2001\n" % i.encode()
        found = 0 if out.startswith(head) else out.find(b"\n" + head, at) + 1
        if found or out.startswith(head):
            starts.append((i, found))
            at = found
    ends = [start - 1 for _, start in starts[1:]] + [len(out)]  # git puts an empty line between two mails
    return {i: b"From " + _ZERO + out[start + 45 : end] for (i, start), end in zip(starts, ends)}


def _empty(name: str) -> WrongUsage:
    return WrongUsage(f"{name} changes nothing", hint="Drop it: git rebase -i, and delete its line.")
