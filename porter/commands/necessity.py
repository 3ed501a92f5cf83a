"""Every patch earns its place: a tree without it has to fail the check that its header names."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import as_completed
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

from packaging.requirements import Requirement

from porter import process
from porter.commands.verify import Request, workplace
from porter.errors import WrongUsage
from porter.lockfile import Lock
from porter.output import Progress, heading
from porter.patch import Patch
from porter.project import Project
from porter.rebase.omission import without
from porter.sources.obtain import obtain
from porter.sources.snapshot import Snapshot
from porter.stack import Stack, find_patch
from porter.target import Target
from porter.verification import report
from porter.verification.bench import Bench, attempt
from porter.verification.checks import select
from porter.verification.child import Children
from porter.verification.device import Device, choose
from porter.verification.plan import Check
from porter.verification.report import Outcome
from porter.verification.session import Session

NOTICED, BUILT_ON, UNNOTICED, NOT_SHOWN = "noticed", "built on", "unnoticed", "not shown"


@dataclass(frozen=True)
class Verdict:
    """Whether anything notices that a patch is missing.

    Attributes:
        patch: its name.
        state: ``noticed``: its checks fail without it.  ``built on``: they do, but no tree lacks it alone, and
            they fail as well without the patches that build on it.  ``unnoticed``: a check passes without it.
            ``not shown``: this device or interpreter cannot tell.
        checks: those that its header names.
        said: what they said, or why nothing can be told.
        dependants: the patches that had to be left out with it.
        seconds: what it took, waiting for others included.
        repeat: the command that looks at this patch alone.
        log: the end of what a failing program printed.
    """

    patch: str
    state: str
    checks: tuple[str, ...]
    said: str
    dependants: tuple[str, ...] = ()
    seconds: float = 0.0
    repeat: str = ""
    log: str = ""


@dataclass(frozen=True)
class Necessity:
    """Of a whole stack: target, device, a verdict a patch in the stack's order, and the seconds it took."""

    target: str
    device: str
    verdicts: tuple[Verdict, ...]
    seconds: float

    @property
    def unnoticed(self) -> list[Verdict]:
        """The patches that nothing misses."""
        return [verdict for verdict in self.verdicts if verdict.state == UNNOTICED]

    @property
    def summary(self) -> str:
        """The last line."""
        counts = {s: sum(v.state == s for v in self.verdicts) for s in (NOTICED, BUILT_ON, UNNOTICED, NOT_SHOWN)}
        parts = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
        return f"{self.target}: of {len(self.verdicts)} patches {parts} in {self.seconds:.0f} s on {self.device}"

    def record(self) -> dict[str, Any]:
        """The same as plain data, for JSON."""
        return {**heading("necessity"), **asdict(self), "verdicts": [asdict(verdict) for verdict in self.verdicts]}


def necessity(
    project: Project,
    request: Request,
    names: Sequence[str],
    progress: Progress,
    begun: Callable[[str], None],
    ended: Callable[[Verdict], None],
) -> Necessity:
    """Leave out each patch of a target's stack in turn, or each of ``names``, and make the checks that it names.

    ``begun`` gets the first line, ``ended`` each verdict as it comes.

    Raises:
        WrongUsage: no such target, patch, check or interpreter.
        CheckFailed: a patch does not apply.
        SurroundingsFailed: upstream or the device is not to be had, or the disk is full.
    """
    started = time.monotonic()
    stack = Stack.load(project, [request.target])
    patches = _chosen(project, stack, names)
    target = Target.load(project.patches / request.target)
    checks = {patch.id: checks_of(patch, target) for patch in patches}
    snapshot = obtain(Lock.load(project.lock_path), progress=progress)
    with bench(project, request, snapshot, stack, progress) as made:
        device = made.whole.device
        begun(f"{request.target}: the stack without each of {len(patches)} patches, on {device.says}")
        trial = _Trial(made, snapshot, stack, request)
        verdicts = {}
        # closed before the folder is removed, however this ends: its threads write there
        with closing(_all(trial, checks, {patch.id: patch for patch in patches}, progress)) as judged:
            for verdict in judged:
                verdicts[verdict.patch] = verdict
                ended(verdict)
    ordered = tuple(verdicts[patch.id] for patch in patches)
    return Necessity(request.target, device.says, ordered, time.monotonic() - started)


@contextmanager
def bench(project: Project, request: Request, snapshot: Snapshot, stack: Stack, progress: Progress) -> Iterator[Bench]:
    """A bench with the whole stack's tree on it, and its end: no child is left, and no file unless asked for.

    Raises:
        WrongUsage: no such target or interpreter.
        SurroundingsFailed: the device is not to be had, or the disk is full.
    """
    target = Target.load(project.patches / request.target)
    device = choose(request.device, target, request.python, profile=request.profile)
    with workplace(request, progress) as root:
        children = Children(root, request.python, request.jobs or min(4, os.cpu_count() or 1), request.timeout)
        whole = without(snapshot, stack, ())
        made = Bench(project, target, device, children, whole.files, whole.contents)
        try:
            yield made
        finally:
            with process.held():
                children.stop()


def checks_of(patch: Patch, target: Target) -> list[Check]:
    """The checks that a patch's header names.

    Raises:
        WrongUsage: there is none, or none of that name.
    """
    named = [name.strip() for name in patch.trailer("Check").split(",") if name.strip()]
    if not named:
        raise WrongUsage(f"{patch.id} names no check", hint="`porter lint` says what a header needs.")
    return select("full", named, target)


def unmet(patch: Patch, device: Device) -> list[str]:
    """The conditions of a patch's trailer ``Needs`` that an interpreter does not meet.

    A patch for what some versions of a package do cannot be missed where another version is installed.
    """
    versions = {**device.facts.get("packages", {}), **{k: device.facts[k] for k in ("python", "torch")}}
    found = []
    for condition in filter(None, (part.strip() for part in patch.trailer("Needs").split(","))):
        wanted = Requirement(condition)
        version = versions.get(wanted.name.lower(), "")
        if not version or not wanted.specifier.contains(version.partition("+")[0], prereleases=True):
            found.append(f"{condition} (here: {version or 'none'})")
    return found


def _chosen(project: Project, stack: Stack, names: Sequence[str]) -> list[Patch]:
    wanted = {find_patch(project, name).id for name in names}
    known = {patch.id for patch in stack.patches}
    for name in sorted(wanted - known):
        raise WrongUsage(f"{name} is not in the stack of {stack.key}")
    return [patch for patch in stack.patches if not wanted or patch.id in wanted]


def _all(
    trial: _Trial, checks: Mapping[str, list[Check]], patches: Mapping[str, Patch], progress: Progress
) -> Generator[Verdict, None, None]:
    """The verdicts as they come."""
    # a thread more than programs may run: while one reads and writes trees the others' programs run
    with process.threads(trial.jobs + 1, "patch", trial.bench.whole.children.stop) as threads:
        futures = [threads.submit(trial.judge, patches[name], found) for name, found in checks.items()]
        for done, future in enumerate(as_completed(futures), 1):
            progress.step("leaving out", done, len(futures))
            yield future.result()


class _Trial:
    """Judges patches of one stack on one bench."""

    def __init__(self, bench: Bench, snapshot: Snapshot, stack: Stack, request: Request) -> None:
        self.bench, self.snapshot, self.stack, self.request = bench, snapshot, stack, request
        self.jobs = request.jobs or min(4, os.cpu_count() or 1)

    def judge(self, patch: Patch, checks: Sequence[Check]) -> Verdict:
        """Whether a patch's checks miss it."""
        started = time.monotonic()
        names = tuple(check.name for check in checks)
        verdict = Verdict(patch.id, NOTICED, names, "", repeat=_repeat(self.request, patch))
        lacking = unmet(patch, self.bench.whole.device)
        if lacking:
            return replace(verdict, state=NOT_SHOWN, said=f"needs {', '.join(lacking)}")
        left = without(self.snapshot, self.stack, [patch])
        session = self.bench.lay(patch.id.partition("-")[0], left.files, left.contents)
        verdict = replace(verdict, dependants=tuple(other.id for other in left.dependants))
        for check in checks:
            verdict = self._look(verdict, session, check, patch.trailer("Reason"))
            if verdict.state != NOTICED:
                break
        if verdict.state == NOTICED and left.dependants:
            verdict = self._alone(verdict, patch, left.dependants, checks)
        self.bench.clear(session)
        return replace(verdict, seconds=time.monotonic() - started)

    def _look(self, verdict: Verdict, session: Session, check: Check, reason: str) -> Verdict:
        """The verdict after one more check; ``reason`` is the patch's, by its header."""
        before = self._on_whole(check)
        if before.state != report.PASSED:
            state = NOT_SHOWN if before.state == report.NOT_SHOWN else UNNOTICED
            return replace(verdict, state=state, said=f"{check.name}, with every patch: {before.said}", log=before.log)
        found = attempt(session, check, "")
        if found.state == report.NOT_SHOWN:
            return replace(verdict, state=NOT_SHOWN, said=f"{check.name}: {found.said}")
        if found.state == report.PASSED:
            # what a patch does for devices need not show where there is none
            blind = reason == "device" and session.device.kind == "cpu"
            said = f"{check.name} passes without it{' on the cpu' if blind else ''}: {found.said}"
            return replace(verdict, state=NOT_SHOWN if blind else UNNOTICED, said=said)
        said = "; ".join(filter(None, (verdict.said, f"{check.name}: {found.said}")))
        return replace(verdict, said=said, log=found.log)

    def _alone(self, verdict: Verdict, patch: Patch, dependants: Sequence[Patch], checks: Sequence[Check]) -> Verdict:
        """Whether it was the patch that was missed, or those that had to go with it."""
        left = without(self.snapshot, self.stack, dependants)
        session = self.bench.lay(patch.id.partition("-")[0] + "-there", left.files, left.contents)
        states = [attempt(session, check, "").state for check in checks]
        self.bench.clear(session)
        return verdict if report.PASSED in states else replace(verdict, state=BUILT_ON)

    def _on_whole(self, check: Check) -> Outcome:
        """A check of the tree with every patch, made once: where that fails it proves nothing."""
        whole = self.bench.whole
        outcome: Outcome = whole.once(f"whole {check.name}", lambda: attempt(whole, check, ""))
        return outcome


def _repeat(request: Request, patch: Patch) -> str:
    words = ["porter", "verify", "--target", request.target, "--necessity", "--patch", patch.id.partition("-")[0]]
    words += ["--device", request.device] if request.device != "auto" else []
    words += ["--profile", request.profile] if request.profile else []
    words += ["--python", request.python] if request.python != sys.executable else []
    return shlex.join([*words, "--keep"])
