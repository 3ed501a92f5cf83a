"""Commits, to become patches: read, given a message and an order, picked onto another commit, written as mails.

``git log`` re-encodes, trims and joins; here the objects themselves are read, so that a message or an author
that nobody touched stays the same bytes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from porter import git
from porter.errors import CheckFailed, WrongUsage
from porter.git import GitFailed, Repository, objects, scratch, with_worktree
from porter.git.objects import Object
from porter.output import command_line
from porter.patch import FORMAT, TRAILER, Patch, file_names, quoted, tidy, trailers
from porter.sources.snapshot import Snapshot
from porter.stack import COMMON
from porter.stack.build import Build


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
                f"Make the history linear: {command_line('git', '-C', repository.path, 'rebase', base[:12])}",
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


def person(repository: Repository) -> str:
    """The user, as git would name the author of a commit now.

    Raises:
        WrongUsage: git does not know who that is.
    """
    try:
        return repository.text("-c", "user.useConfigOnly=true", "var", "GIT_AUTHOR_IDENT")
    except GitFailed as error:
        raise WrongUsage(
            "git does not know who writes the new patch",
            error.stderr.split("\n")[-1],
            "git config --global user.name NAME; git config --global user.email MAIL",
        ) from error


# The message that a new patch begins with: what is known, and a place for what only its author can say.

TODO = "TODO"  # porter lint refuses a line that begins with it, and each of these trailers with that value
KEYS = ("Reason", "Upstream", "Check", "Stack")


def proposed_message(subject: str, stack: str, why: str = "", given: Iterable[str] = ()) -> str:
    """A whole message.

    Args:
        why: the paragraph that says why the patch exists.
        given: trailers that are known, as ``Reason: device``.

    Raises:
        WrongUsage: one of them is no trailer, or the subject is none.
    """
    if not subject.strip() or "\n" in subject.strip():
        raise WrongUsage("a patch's subject is one line of text", f"found {subject!r}")
    known = {"Upstream": "no", "Stack": stack}
    for trailer in given:
        match = TRAILER.fullmatch(trailer.strip())
        if not match:
            raise WrongUsage(f"not a trailer: {trailer!r}", hint="As in --trailer 'Reason: device'.")
        known[match[1]] = match[2]
    rows = [f"{key}: {known.pop(key, TODO)}" for key in KEYS[:3]]
    rows += [f"{key}: {value}" for key, value in known.items() if key != "Stack"]
    rows.append(f"Stack: {stack}")
    why = why.strip() or f"{TODO}: what goes wrong without it?"
    return f"{subject.strip()}\n\n{why}\n\n" + "".join(f"{row}\n" for row in rows)


def completed_message(subject: str, body: str, stack: str) -> str:
    """The message of a patch that others wrote, with the trailers that it lacks."""
    body = quoted(tidy(body))
    found = trailers(body)
    if "\n\n" not in body and not any(key in KEYS or "-" in key for key, _ in found):
        found = ()  # "Why: it fails without." is all that they say
    if found:
        body = body.rpartition("\n\n")[0]
    keys = {key for key, _ in found}
    rows = [f"{key}: {value}" for key, value in found if key != "Stack"]
    rows += [f"{key}: {'no' if key == 'Upstream' else TODO}" for key in KEYS[:3] if key not in keys]
    body = body or f"{TODO}: what goes wrong without it?"
    subject = re.sub(r"(?i)^(\s*(\[[^]]*\]?|re:|:))+\s*", "", " ".join(subject.split())).rstrip(".")
    subject = subject or "Import what others changed"  # git am keeps no other beginning
    return f"{subject}\n\n{body}\n\n" + "".join(f"{row}\n" for row in (*rows, f"Stack: {stack}"))


# Which stack each commit of a tree belongs to, and the order in which they become patches.
#
# People commit as they go: a fixup of an early patch at the end, something for ``common`` after the target's own.
# Here each fixup goes to the commit that it mends, as ``git rebase --autosquash`` finds it, and common's commits go
# before the targets'.  Only the order is decided; whether the changes can be moved so far is for whoever moves them.

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
            hint="Correct its message (git rebase -i, reword). If the tree holds the stack of each: "
            + " ".join(f"--target {name}" for name in sorted([*order[1:], stack])),
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


# Commits put on another commit than the one that they were made on, by ``git cherry-pick`` in a scratch repository.

_COMMITTER = {
    "GIT_COMMITTER_NAME": "porter",
    "GIT_COMMITTER_EMAIL": "porter@example.invalid",
    "GIT_COMMITTER_DATE": "1000000000 +0000",
}
# which of base, ours and theirs git keeps of a file that does not merge -> why
_WORDS = {
    "123": "both change the same lines",
    "23": "both add it",
    "13": "it is not there",
    "12": "it would delete what is changed",
}
_SHOWN = 30  # lines of a conflict


def pick(
    scratch: Repository, onto: str, ids: Sequence[str], names: Sequence[str], ours: str, hint: str
) -> list[tuple[str, str]]:
    """Put commits on ``onto``, one after the other; what each becomes: the commit's id and its tree's.

    Args:
        scratch: see :func:`porter.git.scratch`; its working tree is where git merges.
        names: what to call each commit in a message.
        ours: what the side of ``onto`` is called in conflict markers.
        hint: what to do if one does not fit.

    Raises:
        CheckFailed: one does not fit.
        GitFailed: git could not work, for want of room for example.
    """
    if not ids:
        return []
    work = with_worktree(scratch)
    work.run("checkout", "--quiet", "--force", "--detach", onto)
    git.backdate(scratch.path.parent)
    try:
        # a commit that changes nothing here is refused later, by whoever wants a patch of it
        keep = ("--allow-empty", "--allow-empty-message", "--keep-redundant-commits")
        work.run("cherry-pick", *keep, *ids, env=_COMMITTER)
    except GitFailed as error:
        stopped = work.text("rev-parse", "--verify", "--quiet", "CHERRY_PICK_HEAD", status=(0, 1))
        why = _conflicts(work, scratch.path.parent, ours)
        if not stopped or not why:
            raise
        raise CheckFailed(f"{names[list(ids).index(stopped)]} does not fit there", why, hint) from error
    made = work.text("log", "--reverse", "--format=%H %T", f"{onto}..HEAD").split()
    return list(zip(made[::2], made[1::2]))


def _conflicts(work: Repository, folder: Path, ours: str) -> str:
    """The files that did not merge, in words, with both sides of each one's first conflict."""
    found = []
    for path, sides in work.unmerged().items():
        kept = "".join(map(str, sides))
        found.append(f"{path}: {_WORDS.get(kept, 'it was renamed, or is a folder')}")
        file = folder / path
        if kept == "123" and file.is_file() and not file.is_symlink():
            found += _marked(file.read_bytes().decode(errors="replace").split("\n"), ours)
    return "\n".join(found)


def _marked(rows: Sequence[str], ours: str) -> list[str]:
    """The first conflict in a file, its sides called by name."""
    first = next((n for n, row in enumerate(rows) if row.startswith("<<<<<<< ")), None)
    if first is None:
        return []
    last = next((n for n, row in enumerate(rows) if n > first and row.startswith(">>>>>>> ")), len(rows) - 1)
    # `ID (SUBJECT)`, or `ID... SUBJECT` in older versions of git
    theirs = re.sub(r"^>>>>>>> [0-9a-f]+(?: \((.*)\)|\.\.\. (.*))$", r">>>>>>> \1\2", rows[last])
    return [f"  {row}" for row in [f"<<<<<<< {ours}", *rows[first + 1 : last], theirs][:_SHOWN]]


# Commits written as patches, in the one form that a stack's files have.
#
# git writes them, one ``git format-patch`` for a whole range, in a repository without any configuration or attributes
# of the user's: the same commits give the same bytes everywhere.

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


def patch_in_mail(mail: bytes | None, stack: str, name: str, commit: object) -> Patch:
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
        form[commit] = patch if mail == patch.data else patch_in_mail(mail, patch.stack, patch.name, patch.id)
    return [numbered(form[built.commit] for built in build.commits) for build in builds]


def numbered(patches: Iterable[Patch]) -> list[Patch]:
    """The patches, each with its place in its stack and the name that its subject gives it."""
    patches = list(patches)
    names = patch_names([patch.stack for patch in patches], [patch.subject for patch in patches])
    counts: Counter[str] = Counter()
    found = []
    for patch, name in zip(patches, names):
        counts[patch.stack] += 1
        found.append(replace(patch, name=name, number=counts[patch.stack]))
    return found


def patch_names(stacks: Sequence[str], subjects: Sequence[str]) -> list[str]:
    """The file names of patches of several stacks, in order."""
    of_stack = {
        stack: iter(file_names(subject for other, subject in zip(stacks, subjects) if other == stack))
        for stack in set(stacks)
    }
    return [next(of_stack[stack]) for stack in stacks]
