"""Check a tree, or one made aside: choose a device, make the checks, report."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from porter import process
from porter.checkpoints.inspection import inspect
from porter.errors import WrongUsage
from porter.files import work_folder
from porter.lockfile import Lock
from porter.output import Progress
from porter.project import Project
from porter.stack import Stack
from porter.target import Target, load_known
from porter.tree.clone import must_hold
from porter.tree.make import put
from porter.verification.bench import attempt
from porter.verification.checks import select
from porter.verification.child import Children
from porter.verification.device import Device, choose
from porter.verification.plan import Check
from porter.verification.report import Outcome, Report
from porter.verification.session import Session

TIMEOUT = 300.0  # seconds a program of a check may take; the longest takes a fifth of that on two idle cores


@dataclass(frozen=True)
class Request:
    """What to check and how.

    Attributes:
        target: a device family.
        tree: the folder; None to make a tree aside.
        device: ``auto``, ``hardware``, ``simulator``, ``emulated`` or ``cpu``.
        profile: the card to emulate; empty for the target's usual one.
        level: ``static``, ``smoke`` or ``full``.
        checks: names; empty for the level's.
        python: the interpreter that runs the tree.
        jobs: how many programs may run at once.
        timeout: seconds that one may take.
        keep: leave the working folder.
        data: what to train on, see :mod:`porter.verification.data`.
        weights: a checkpoint that sees something, for the check ``detect``; one of v6.0's, for ``reference`` and
            ``converges``; None for none.
        full_size: hold the tree to published figures at the published size.
    """

    target: str
    tree: Path | None = None
    device: str = "auto"
    profile: str = ""
    level: str = "smoke"
    checks: tuple[str, ...] = ()
    python: str = sys.executable
    jobs: int = 0
    timeout: float = TIMEOUT
    keep: bool = False
    data: str = "auto"
    weights: Path | None = None
    full_size: bool = False


def verify(
    project: Project,
    request: Request,
    progress: Progress,
    begun: Callable[[str], None],
    ended: Callable[[Outcome], None],
) -> Report:
    """Make the checks; ``begun`` gets the first lines, ``ended`` each outcome as it comes.

    Raises:
        WrongUsage: no such target, check, tree or interpreter.
        SurroundingsFailed: the device asked for is not to be had, or the disk is full.
    """
    started = time.monotonic()
    target = load_known(project, request.target)
    checks = select(request.level, request.checks, target)
    if request.tree is not None:
        must_hold(project, request.tree, target.name)
    if request.weights is not None and not inspect(request.weights).classes:
        hint = f"porter weights inspect {request.weights} says what it is."
        raise WrongUsage(f"{request.weights} is no YOLOv5 checkpoint", hint=hint)
    with workplace(request, progress) as root:
        tree = request.tree or _make(project, target, root, progress)
        device = _device(request, target, checks)
        begun(f"{target.name}: {tree if request.tree else 'a tree made aside'}, on {device.says}")
        jobs = request.jobs or min(4, os.cpu_count() or 1)
        children = Children(root, request.python, jobs, request.timeout, kept=target.inherited)
        model = request.weights.absolute() if request.weights else None
        session = Session(
            project, tree.absolute(), target, device, children, root, request.data, progress,
            model=model, full_size=request.full_size,
        )  # fmt: skip
        data = "none: nothing is run"
        if any(found.level != "static" for found in checks):
            data = session.pictures.says  # made once, before the checks' threads look at it
            begun(f"data: {data}")
        outcomes = _all(session, checks, request, progress, ended)
    seconds = time.monotonic() - started
    return Report(target.name, str(tree), device.says, data, device.kind, request.level, tuple(outcomes), seconds)


@contextmanager
def workplace(request: Request, progress: Progress) -> Iterator[Path]:
    """An empty folder, removed in the end unless it is to be kept.

    Raises:
        SurroundingsFailed: the block raised OSError: the disk is full, for example.
    """
    with work_folder("porter-verify-", request.keep) as root:
        try:
            yield root
        finally:
            if request.keep:
                progress.answer(f"kept: {root}")


def _make(project: Project, target: Target, root: Path, progress: Progress) -> Path:
    put(Lock.load(project.lock_path), Stack.load(project, [target.name]), root / "tree", None, False, progress)
    return root / "tree"


def _device(request: Request, target: Target, checks: Sequence[Check]) -> Device:
    """The device; none is looked for where nothing runs."""
    if all(found.level == "static" for found in checks):
        return Device("cpu", "cpu", "no device: nothing is run")
    return choose(request.device, target, request.python, profile=request.profile)


def _all(
    session: Session, checks: Sequence[Check], request: Request, progress: Progress, ended: Callable[[Outcome], None]
) -> list[Outcome]:
    """Every check's outcome; checks wait for each other's trainings, so each has a thread of its own."""
    with process.threads(len(checks), "check", session.children.stop) as threads:
        futures = [threads.submit(attempt, session, found, _repeat(request, session, found)) for found in checks]
        pending: set[Future[Outcome]] = set(futures)
        while pending:
            progress.step("checking", len(checks) - len(pending), len(checks))
            done, pending = wait(pending, timeout=0.5, return_when=FIRST_COMPLETED)
            for future in futures:
                if future in done:
                    ended(future.result())
        return [future.result() for future in futures]


def _repeat(request: Request, session: Session, found: Check) -> str:
    words = ["porter", "verify", "--target", request.target, "--check", found.name]
    if session.device.kind != "cpu" or request.device == "cpu":
        words += ["--device", session.device.kind]
    words += ["--profile", request.profile] if request.profile else []
    words += ["--data", request.data] if request.data != "auto" else []
    words += ["--python", request.python] if request.python != sys.executable else []
    named = found.name in ("detect", "reference", "converges")
    words += ["--weights", str(request.weights)] if request.weights and named else []
    words += ["--full-size"] if request.full_size else []
    words += ["--keep", *([str(request.tree)] if request.tree else [])]
    return shlex.join(words)
