"""porter's commands as functions: what ``porter COMMAND`` does, ``porter.COMMAND(...)`` does.

The command line calls these functions and prints what they return.  They print nothing and read no command line; what
goes wrong is a :class:`porter.errors.PorterError`, which says what, why and what to do next.  Three arguments are
everywhere the same:

- ``project``: whose stacks and lock.  None: those of the checkout that the current folder is in, else those that came
  with the installed package.  A folder stands for the checkout that it is in.
- ``progress``: hears of long steps (:class:`porter.output.Progress`); None: nobody listens.
- ``upstream``: the only place to get upstream from, a clone's path or a URL.  None: ``PORTER_UPSTREAM``, else the
  sources that ``upstream.lock`` names.

Importing this costs milliseconds: what a function needs is imported when it is called.
"""

from porter.api import data, profile, upstream, weights
from porter.api.lifecycle import (
    bump,
    bump_abort,
    bump_continue,
    bump_redo,
    bump_skip,
    bump_status,
    drift,
    export,
    import_,
    new_target,
)
from porter.api.machine import doctor, prepare, train
from porter.api.proof import audit, bench, necessity, report, verify
from porter.api.stacks import lint, lock, show, targets
from porter.api.tree import apply, revert, status

__all__ = [
    "apply",
    "audit",
    "bench",
    "bump",
    "bump_abort",
    "bump_continue",
    "bump_redo",
    "bump_skip",
    "bump_status",
    "data",
    "doctor",
    "drift",
    "export",
    "import_",
    "lint",
    "lock",
    "necessity",
    "new_target",
    "prepare",
    "profile",
    "report",
    "revert",
    "show",
    "status",
    "targets",
    "train",
    "upstream",
    "verify",
    "weights",
]
