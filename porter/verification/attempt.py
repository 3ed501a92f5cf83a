"""Make one check, however it ends."""

from __future__ import annotations

import time
import traceback
from dataclasses import replace

from porter.errors import PorterError
from porter.process import Stopped
from porter.verification import report
from porter.verification.finding import Failed, NotShown
from porter.verification.plan import Check
from porter.verification.report import Outcome
from porter.verification.session import Session

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
