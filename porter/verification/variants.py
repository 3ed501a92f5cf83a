"""Trees of one target, each without some patches, checked on one device: what they can share is made once."""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from porter import git, process
from porter.errors import os_errors
from porter.git import GitFailed, Repository, objects
from porter.output import Progress
from porter.patch import Patch
from porter.project import Project
from porter.sources.snapshot import Snapshot
from porter.stack import Stack
from porter.stack.build import Build
from porter.target import Target
from porter.verification.child import Children, workplace
from porter.verification.device import Device, choose
from porter.verification.session import Session


class Variants:
    """The tree of a target's stack, and variants of it.

    Data (generated scenes), and the checkpoints that checks begin with, come from the whole tree; everything that a
    check compares is computed in the tree that is checked.

    Args:
        repository: has the commits of ``build``, see :func:`commits_of_build`.

    Attributes:
        whole: the session of the tree with every patch.
    """

    def __init__(
        self,
        project: Project,
        target: Target,
        device: Device,
        children: Children,
        repository: Repository,
        build: Build,
    ) -> None:
        self._repository, self._build = repository, build
        tree = children.root / "trees" / "whole"
        tree.parent.mkdir()
        make_tree(repository, build, (), tree)
        self.whole = Session(project, tree, target, device, children, children.root)
        self.whole.data  # noqa: B018  made once, before threads look at it

    def add(self, name: str, left_out: Collection[Patch] = ()) -> tuple[Session, list[Patch]]:
        """Make a tree without some patches: the session that checks it, and the patches that went with those.

        Raises:
            EnvironmentFailed: it cannot be written.
        """
        whole = self.whole
        folder = whole.root / "trees" / name
        folder.parent.mkdir(exist_ok=True)
        dependants = make_tree(self._repository, self._build, left_out, folder)
        session = Session(
            whole.project,
            folder,
            whole.target,
            whole.device,
            whole.children.part(name.replace("/", "-")),
            whole.root,
            variant_of=whole,
        )
        return session, dependants

    def remove(self, session: Session) -> None:
        """Remove a tree that is not looked at any more, and what was made while it was checked."""
        shutil.rmtree(session.tree, ignore_errors=True)
        shutil.rmtree(session.children.runs, ignore_errors=True)


@contextmanager
def variants(
    project: Project,
    stack: Stack,
    snapshot: Snapshot,
    *,
    device: str,
    profile: str,
    python: str,
    jobs: int,
    timeout: float,
    keep: bool,
    progress: Progress,
) -> Iterator[Variants]:
    """The tree of one target's stack and its variants; afterwards no child is left, and no file unless asked for.

    Args:
        device, profile, python, jobs, timeout, keep: as for ``porter verify``.

    Raises:
        WrongUsage: no such target or interpreter.
        CheckFailed: a patch does not apply.
        EnvironmentFailed: the device is not to be had, or the disk is full.
    """
    target = Target.load(project.patches / stack.key)
    found = choose(device, target, python, profile=profile, begun=progress.note)
    build = stack.build(snapshot)
    with commits_of_build(snapshot, build) as repository, workplace(keep, progress) as root:
        children = Children(root, python, jobs, timeout, kept=target.inherited, hardware=found.kind == "hardware")
        try:
            yield Variants(project, target, found, children, repository, build)
        finally:
            with process.held():
                children.stop()


# A stack with a patch left out: upstream as it would be if that patch had never been written.
#
# ``git cherry-pick`` takes the later patches over one by one, as ``git rebase`` does when a commit is dropped.  A patch
# that conflicts builds on the missing one and is left out with it, and so on; no more than that is left out.  Imports
# alone are no conflict, see :func:`merged_imports`.

_SETTINGS = {
    "user.name": "porter",
    "user.email": "porter@example.invalid",
    "core.editor": ":",  # a message stays as it is
    "merge.conflictStyle": "diff3",  # what `merged_imports` reads
}


_ADDING = threading.Lock()  # git worktree add reads of every other worktree, and fails at one that is half made


@contextmanager
def commits_of_build(snapshot: Snapshot, build: Build) -> Iterator[Repository]:
    """A bare repository that has a stack's commits, gone after the block.

    Raises:
        EnvironmentFailed: it cannot be made.
    """
    with git.scratch(shallow=[snapshot.base] if snapshot.shallow else []) as made:
        made.write(objects.pack({**snapshot.objects, **build.objects}.values()))
        yield made


def make_tree(made: Repository, build: Build, left_out: Collection[Patch], folder: Path) -> list[Patch]:
    """Put the tree of a stack without some of its patches into a new folder, which is no repository.

    Args:
        made: see :func:`commits_of_build`.

    Returns:
        the patches that had to be left out too, because they change lines that those wrote; in order.

    Raises:
        EnvironmentFailed: the folder cannot be written.
    """
    ids = {patch.id for patch in left_out}
    first = next((n for n, each in enumerate(build.commits) if each.patch.id in ids), len(build.commits))
    start = build.commits[first - 1].commit if first else build.base
    later = [each for each in build.commits[first:] if each.patch.id not in ids]
    with _ADDING:
        made.run("worktree", "add", "--quiet", "--detach", str(folder), start)
    skipped = _pick(Repository(folder, settings=_SETTINGS), [each.commit for each in later])
    with os_errors(f"cannot write {folder}"):
        (folder / ".git").unlink()
    return [each.patch for each in later if each.commit in skipped]


def _pick(worktree: Repository, commits: Sequence[str]) -> set[str]:
    """Cherry-pick commits in order, and skip each that conflicts; the ids of those."""
    skipped: set[str] = set()
    # one whose changes are all there already stays as an empty commit: git would stop there to ask
    words = ["cherry-pick", "--keep-redundant-commits", *commits]
    while commits:
        try:
            worktree.run(*words)
            break
        except GitFailed:
            sides = worktree.unmerged()
            if not sides:  # git failed for another reason
                raise
        if _resolve(worktree, sides):
            words = ["cherry-pick", "--continue"]
        else:
            skipped.add(worktree.text("rev-parse", "CHERRY_PICK_HEAD"))
            words = ["cherry-pick", "--skip"]
    return skipped


def _resolve(worktree: Repository, sides: Mapping[str, Collection[int]]) -> bool:
    """Whether all that conflicts are imports; then the files are merged by now."""
    if any(len(each) < 3 for each in sides.values()):
        return False
    merged = {path: merged_imports((worktree.path / path).read_bytes()) for path in sides}
    for path, data in merged.items():
        if data is None:
            return False
        (worktree.path / path).write_bytes(data)
    worktree.run("add", "--", *merged)
    return True


# Conflicts of imports, resolved by name: git merges lines, and reports neighbouring lines as a conflict.
#
# Half of what conflicts between two patches are neighbouring imports, or two names added to the same one, which no
# person would call a conflict.

_CONFLICT = re.compile(
    rb"^<{7} [^\n]*\n(?P<ours>.*?)^\|{7} [^\n]*\n(?P<base>.*?)^={7}\n(?P<theirs>.*?)^>{7} [^\n]*\n",
    re.DOTALL | re.MULTILINE,
)
_IMPORT = re.compile(
    rb"(?P<module>from \S+ import |import )(?P<names>[\w. ]+(?:, *[\w. ]+)*)(?P<rest>[ \t]*(?:#[^\n]*)?)\n?"
)

Imports = dict[bytes, dict[bytes, bytes]]  # "from x import ", or the whole line of "import x" -> name -> its comment


def merged_imports(marked: bytes) -> bytes | None:
    """A file with git's conflict markers (style ``diff3``), resolved; None where anything but imports conflicts."""
    whole, at = b"", 0
    for found in _CONFLICT.finditer(marked):
        resolved = _imports(*(found[side] for side in ("ours", "base", "theirs")))
        if resolved is None:
            return None
        whole += marked[at : found.start()] + resolved
        at = found.end()
    return whole + marked[at:]


def _imports(ours: bytes, base: bytes, theirs: bytes) -> bytes | None:
    """Import statements, merged by name; None if there is anything else among the lines."""
    sides = [_read(side) for side in (ours, base, theirs)]
    mine, was, new = sides
    if mine is None or was is None or new is None:
        return None
    for line in [*was, *new]:
        before, after = was.get(line, {}), new.get(line, {})
        names = mine.setdefault(line, {})
        for name in before:
            if name not in after:
                names.pop(name, None)
        for name in after:
            if name not in before:
                names.setdefault(name, after[name])
    return b"".join(_line(line, names) for line, names in mine.items() if names)


def _read(text: bytes) -> Imports | None:
    found: Imports = {}
    for line in text.splitlines(keepends=True):
        match = _IMPORT.fullmatch(line)
        if match is None and line.strip():
            return None
        if match:
            names = found.setdefault(match["module"] if match["module"] != b"import " else line, {})
            names.update((name.strip(), match["rest"]) for name in match["names"].split(b","))
    return found


def _line(start: bytes, names: dict[bytes, bytes]) -> bytes:
    return start if start.startswith(b"import ") else start + b", ".join(names) + b"".join(set(names.values())) + b"\n"
