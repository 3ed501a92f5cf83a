"""Many trees of one target, checked on one device: what they can share is made once."""

from __future__ import annotations

import shutil
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from porter import process
from porter.errors import PorterError
from porter.objects import Entry
from porter.output import Progress
from porter.project import Project
from porter.sources.snapshot import Snapshot
from porter.stack import Contents, Stack
from porter.target import Target
from porter.verification import report
from porter.verification.child import Children, Stopped, workplace
from porter.verification.device import Device, choose
from porter.verification.finding import Failed, NotShown
from porter.verification.plan import Check
from porter.verification.report import Outcome
from porter.verification.session import Session


class Bench:
    """Where trees are laid and checked.

    Data (generated scenes), and the checkpoints that checks begin with, come from the whole tree; everything that a
    check compares is computed in the tree that is checked.

    Attributes:
        whole: the session of the tree with every patch, which is made from ``files`` (path -> entry) and
            ``contents`` (blob id -> content).
    """

    def __init__(
        self,
        project: Project,
        target: Target,
        device: Device,
        children: Children,
        files: Mapping[str, Entry],
        contents: Contents,
    ) -> None:
        tree = children.root / "trees" / "whole"
        _write(tree, files, contents)
        self.whole = Session(project, tree, target, device, children, children.root)
        self.whole.data  # noqa: B018  made once, before threads look at it

    def lay(self, name: str, files: Mapping[str, Entry], contents: Contents) -> Session:
        """A folder with these files, no repository, and the session that checks it."""
        whole = self.whole
        root = whole.root / "trees" / name
        _write(root, files, contents)
        return Session(
            whole.project,
            root,
            whole.target,
            whole.device,
            whole.children.part(name.replace("/", "-")),
            whole.root,
            whole=whole,
        )

    def clear(self, session: Session) -> None:
        """Remove a tree that is not looked at any more, and what was made while it was checked."""
        shutil.rmtree(session.tree, ignore_errors=True)
        shutil.rmtree(session.children.runs, ignore_errors=True)


@contextmanager
def bench(
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
) -> Iterator[Bench]:
    """A bench with the tree of one target's stack on it, and its end: no child is left, and no file unless asked for.

    Args:
        device, profile, python, jobs, timeout, keep: as for ``porter verify``.

    Raises:
        WrongUsage: no such target or interpreter.
        CheckFailed: a patch does not apply.
        SurroundingsFailed: the device is not to be had, or the disk is full.
    """
    target = Target.load(project.patches / stack.key)
    found = choose(device, target, python, profile=profile)
    with workplace(keep, progress) as root:
        children = Children(root, python, jobs, timeout, kept=target.inherited)
        build = stack.build(snapshot)
        made = Bench(project, target, found, children, build.files, Contents({**snapshot.objects, **build.objects}))
        try:
            yield made
        finally:
            with process.held():
                children.stop()


BROKE = "the check cannot read what it found"


def attempt(session: Session, check: Check, repeat: str) -> Outcome:
    """Make one check; ``repeat`` is the command that makes it again.

    Raises:
        PorterError, OSError: the surroundings failed; every child of the session's is stopped.
    """
    started = time.monotonic()
    outcome = Outcome(check.name, check.proves, report.PASSED, "", 0.0, repeat=repeat)
    try:
        finding = check.make(session)
        outcome = replace(outcome, said=finding.said, figures=finding.figures)
    except NotShown as error:
        outcome = replace(outcome, state=report.NOT_SHOWN, said=str(error), figures=error.figures)
    except Failed as error:
        outcome = replace(
            outcome,
            state=report.FAILED,
            said=error.why,
            log=error.log,
            command=error.command,
            figures=error.figures,
        )
    except Stopped:
        outcome = replace(outcome, state=report.NOT_SHOWN, said="given up")
    except (PorterError, OSError):
        session.children.stop()  # the disk, the interpreter: no other check will fare better
        raise
    except Exception as error:  # the tree left what the check cannot read; other checks go on
        said = f"{BROKE}: {type(error).__name__}: {error}"
        outcome = replace(outcome, state=report.FAILED, said=said, log=traceback.format_exc())
    return replace(outcome, seconds=time.monotonic() - started)


def _write(root: Path, files: Mapping[str, Entry], contents: Contents) -> None:
    for path, entry in files.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(contents[entry.id])
        file.chmod(0o755 if entry.mode == "100755" else 0o644)
