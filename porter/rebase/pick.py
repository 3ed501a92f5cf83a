"""Commits put on another commit than the one that they were made on, by ``git cherry-pick`` in a scratch repository."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from porter import git
from porter.errors import CheckFailed
from porter.git import GitFailed, Repository, with_worktree

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
