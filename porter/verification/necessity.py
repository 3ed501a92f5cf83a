"""Whether each patch is needed: a tree without it has to fail the checks that its header names."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import as_completed
from dataclasses import asdict, dataclass, replace
from typing import Any

from packaging.requirements import Requirement

from porter import process
from porter.errors import WrongUsage
from porter.output import Progress, counted, heading
from porter.patch import Patch
from porter.target import Target
from porter.verification import report
from porter.verification.checks import attempt, select
from porter.verification.device import Device
from porter.verification.plan import Check
from porter.verification.report import Outcome
from porter.verification.session import Session
from porter.verification.variants import Variants

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
    """What was found of a stack: target, device, one verdict for each patch in the stack's order, seconds."""

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
        return (
            f"{self.target}: of {counted(len(self.verdicts), 'patch')} {parts} in {self.seconds:.0f} s on {self.device}"
        )

    def record(self) -> dict[str, Any]:
        """The same as plain data, for JSON."""
        return {**heading("necessity"), **asdict(self), "verdicts": [asdict(verdict) for verdict in self.verdicts]}


def named_checks(patch: Patch) -> list[str]:
    """The names of checks in a patch's header."""
    return [name.strip() for name in patch.trailer("Check").split(",") if name.strip()]


def checks_of(patch: Patch, target: Target) -> list[Check]:
    """The checks that a patch's header names.

    Raises:
        WrongUsage: there is none, or none of that name.
    """
    named = named_checks(patch)
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


class Judge:
    """Judges patches of one stack.

    Args:
        trees: of that stack.
        repeat: patch -> the command that looks at it alone.
    """

    def __init__(self, trees: Variants, repeat: Callable[[Patch], str]) -> None:
        self.trees, self.repeat = trees, repeat

    def judge_all(
        self, patches: Sequence[Patch], checks: Mapping[str, Sequence[Check]], progress: Progress
    ) -> Generator[Verdict, None, None]:
        """The verdicts as they come; ``checks`` has those that a patch names, by its id."""
        children = self.trees.whole.children
        # a thread more than programs may run: while one reads and writes trees the others' programs run
        with process.threads(children.jobs + 1, "patch", children.stop) as threads:
            futures = [threads.submit(self.judge, patch, checks[patch.id]) for patch in patches]
            for done, future in enumerate(as_completed(futures), 1):
                progress.step("leaving out", done, len(futures))
                yield future.result()

    def judge(self, patch: Patch, checks: Sequence[Check]) -> Verdict:
        """Whether a patch's checks miss it."""
        started = time.monotonic()
        names = tuple(check.name for check in checks)
        verdict = Verdict(patch.id, NOTICED, names, "", repeat=self.repeat(patch))
        lacking = unmet(patch, self.trees.whole.device)
        if lacking:
            return replace(verdict, state=NOT_SHOWN, said=f"needs {', '.join(lacking)}")
        session, dependants = self.trees.add(patch.label, [patch])
        verdict = replace(verdict, dependants=tuple(other.id for other in dependants))
        for check in checks:
            verdict = self._look(verdict, session, check, patch.trailer("Reason"))
            if verdict.state != NOTICED:
                break
        if verdict.state == NOTICED and dependants:
            verdict = self._alone(verdict, patch, dependants, checks)
        self.trees.remove(session)
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
        session, _ = self.trees.add(patch.label + "-there", dependants)
        states = [attempt(session, check, "").state for check in checks]
        self.trees.remove(session)
        return verdict if report.PASSED in states else replace(verdict, state=BUILT_ON)

    def _on_whole(self, check: Check) -> Outcome:
        """A check of the tree with every patch, made once: where that fails it proves nothing."""
        whole = self.trees.whole
        return whole.once(f"whole {check.name}", lambda: attempt(whole, check, ""))
