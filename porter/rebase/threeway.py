"""Three-way merges of contents, as many at a time as there are, by git's own merge.

What git does with two changes to one text is not a thing to write again.  One git process a merge would cost more
than the merge, so the merges of a batch become the files of three trees in a repository aside: file 17 in the first
is the base of merge 17, in the second ours, in the third theirs.  One ``git merge-recursive``, which is what
``git am -3`` runs, then merges them all and leaves each result in a file.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from porter import objects
from porter.errors import SurroundingsFailed
from porter.files import quick_root, temporary_folder, temporary_root
from porter.git import GitFailed, Repository
from porter.git import run as run_git
from porter.objects import Entry, Object

_WHO = "porter <porter@example.invalid> 0 +0000"
_FEW = 24  # so few merges take less time than starting git a second time
# nothing of it outlives the batch: what is compressed is read once
_SETTINGS = {
    "core.compression": "0",
    "core.looseCompression": "0",
    "merge.renames": "false",
    "merge.conflictStyle": "merge",
    "merge.renormalize": "false",
}


class Sides(NamedTuple):
    """What is merged: the common ancestor, and the two contents that were made of it."""

    base: bytes
    ours: bytes
    theirs: bytes


class Merged(NamedTuple):
    """The result of a merge; with conflict markers in it where it is not clean."""

    data: bytes
    clean: bool


def merge(jobs: Sequence[Sides], ours: str = "ours", theirs: str = "theirs") -> list[Merged]:
    """Merge contents; the results in the jobs' order.

    Args:
        ours, theirs: what the sides are called in conflict markers.

    Raises:
        SurroundingsFailed: there is no room for temporary files, or git failed.
    """
    needed = [n for n, job in enumerate(jobs) if _trivial(job) is None]
    cores = os.cpu_count() or 1
    parts = min(cores, max(1, len(needed) // _FEW))
    shares = [needed[part::parts] for part in range(parts)]
    results: dict[int, Merged] = {}
    if parts == 1:  # most often there is nothing to merge: a thread would cost more
        results.update(zip(needed, _batch([jobs[n] for n in needed], ours, theirs)))
    else:
        with ThreadPoolExecutor(parts) as pool:
            batches = pool.map(lambda share: _batch([jobs[n] for n in share], ours, theirs), shares)
            for share, found in zip(shares, batches):
                results.update(zip(share, found))
    return [results[n] if n in results else _settled(job) for n, job in enumerate(jobs)]


def _no_room(error: OSError | GitFailed | None) -> SurroundingsFailed:
    return SurroundingsFailed(
        f"cannot merge in {temporary_root()}",
        error.stderr if isinstance(error, GitFailed) else str(error),
        "TMPDIR names another folder for temporary files.",
    )


def _trivial(job: Sides) -> bytes | None:
    """The result where one side, or both in the same way, changed the base; None where there is something to merge."""
    if job.ours in (job.base, job.theirs):
        return job.theirs
    return job.ours if job.theirs == job.base else None


def _settled(job: Sides) -> Merged:
    data = _trivial(job)
    assert data is not None
    return Merged(data, True)


def _batch(jobs: Sequence[Sides], ours: str, theirs: str) -> list[Merged]:
    if not jobs:
        return []
    failed: OSError | GitFailed | None = None
    for place in dict.fromkeys((quick_root(), temporary_root())):
        try:
            with temporary_folder("porter-merge-", place) as folder:
                return _merged(folder, jobs, ours, theirs)
        except (OSError, GitFailed) as error:  # full, most likely: the next one may do
            failed = error
    raise _no_room(failed) from failed


def _merged(folder: Path, jobs: Sequence[Sides], ours: str, theirs: str) -> list[Merged]:
    run_git("init", "--quiet", "--template=", str(folder))
    repository = Repository(folder, settings=_SETTINGS)
    sides = [_side([job[n] for job in jobs]) for n in range(3)]
    base = objects.commit(sides[0][-1].id, (), _WHO, _WHO, "base\n")
    heads = [objects.commit(side[-1].id, (base.id,), _WHO, _WHO, f"{n}\n") for n, side in enumerate(sides[1:])]
    everything = [*(item for side in sides for item in side), base, *heads]
    repository.run("index-pack", "--stdin", stdin=objects.pack(everything, level=0))
    env = {f"GITHEAD_{heads[0].id}": ours, f"GITHEAD_{heads[1].id}": theirs, "GIT_ATTR_NOSYSTEM": "1"}
    repository.run("read-tree", heads[0].id)
    repository.run("merge-recursive", base.id, "--", heads[0].id, heads[1].id, status=(0, 1), env=env)
    rows = repository.run("ls-files", "--unmerged", "-z").split(b"\0")[:-1]
    unmerged = {row.split(b"\t")[1].decode() for row in rows}
    return [Merged(_result(folder / _name(n), job), _name(n) not in unmerged) for n, job in enumerate(jobs)]


def _result(file: Path, job: Sides) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:  # git writes no file where the result is what it has on our side
        return job.ours


def _name(n: int) -> str:
    return f"{n:06d}"


def _side(contents: Sequence[bytes]) -> list[Object]:
    """One side of every merge: the blobs, and last the tree that holds them."""
    blobs = [objects.blob(data) for data in contents]
    return [*blobs, objects.trees({_name(n): Entry("100644", blob.id) for n, blob in enumerate(blobs)})[-1]]
