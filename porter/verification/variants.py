"""Trees of one target, each with something changed, checked on one device: what they can share is made once."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from porter import process
from porter.git import Repository
from porter.output import Progress
from porter.patch import Patch
from porter.project import Project
from porter.sources.snapshot import Snapshot
from porter.stack import Stack
from porter.stack.build import Build
from porter.target import Target
from porter.verification import omission
from porter.verification.child import Children, workplace
from porter.verification.device import Device, choose
from porter.verification.session import Session


class Variants:
    """The tree of a target's stack, and variants of it.

    Data (generated scenes), and the checkpoints that checks begin with, come from the whole tree; everything that a
    check compares is computed in the tree that is checked.

    Args:
        repository: has the commits of ``build``, see :func:`porter.verification.omission.repository`.

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
        omission.make_tree(repository, build, (), tree)
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
        dependants = omission.make_tree(self._repository, self._build, left_out, folder)
        session = Session(
            whole.project,
            folder,
            whole.target,
            whole.device,
            whole.children.part(name.replace("/", "-")),
            whole.root,
            whole=whole,
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
    with omission.repository(snapshot, build) as repository, workplace(keep, progress) as root:
        children = Children(root, python, jobs, timeout, kept=target.inherited, hardware=found.kind == "hardware")
        try:
            yield Variants(project, target, found, children, repository, build)
        finally:
            with process.held():
                children.stop()
