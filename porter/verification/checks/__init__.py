"""What verify proves: the modules here hold the checks, which register themselves in porter.verification.plan."""

from __future__ import annotations

import time
import traceback
from collections.abc import Sequence
from dataclasses import replace

from porter.errors import PorterError, WrongUsage
from porter.process import Stopped
from porter.target import Target
from porter.verification import report
from porter.verification.checks import (  # noqa: F401  registers them
    behaviour,
    device,
    figures,
    inference,
    source,
    tasks,
    training,
)
from porter.verification.plan import CHECKS, LEVELS, NAMES, Check
from porter.verification.report import Failed, NotShown, Outcome
from porter.verification.session import Session


def known() -> dict[str, Check]:
    """Every check by name, in their order."""
    return {name: CHECKS[name] for name in NAMES}


def select(level: str, names: Sequence[str], target: Target) -> list[Check]:
    """The checks to make, in their order: those of a level, or the named ones.

    Raises:
        WrongUsage: there is no such check, or not for this target.
    """
    ours = {name: found for name, found in known().items() if found.feature in ("", *target.features)}
    for name in names:
        if name not in ours:
            raise WrongUsage(f"there is no check {name!r} for {target.name}", hint=f"There are: {', '.join(ours)}.")
    if names:
        return [found for name, found in ours.items() if name in names]
    return [found for found in ours.values() if LEVELS.index(found.level) <= LEVELS.index(level)]


# Make one check, however it ends.

BROKE = "the check cannot read what it found"


def attempt(session: Session, check: Check, repeat: str) -> Outcome:
    """Make one check; ``repeat`` is the command that makes it again.

    Raises:
        PorterError, OSError: the environment failed; every child of the session's is stopped.
    """
    started = time.monotonic()
    outcome = Outcome(check.name, check.proves, report.PASSED, "", 0.0, repeat=repeat)
    try:
        finding = check.make(session)
        outcome = replace(outcome, said=finding.said, figures=finding.figures)
    except NotShown as error:
        outcome = replace(outcome, state=report.NOT_SHOWN, said=str(error), figures=error.figures)
    except Failed as error:
        last = session.children.last
        if last and not error.command:  # it ended well, and what it made is wrong
            error.log, error.command = error.log or last.tail(), last.shown()
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
