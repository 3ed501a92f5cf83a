"""porter: hardware ports of ultralytics/yolov5 v6.0, kept as ordered stacks of small patches.

The commands of the command line are functions here, under the same names: see :mod:`porter.api`.
"""

from __future__ import annotations

from porter.version import __version__ as __version__

TYPE_CHECKING = False  # what typing has; its import would be most of this one's time
if TYPE_CHECKING:
    from typing import Any

    from porter.api import (
        apply,
        audit,
        bench,
        bump,
        bump_abort,
        bump_continue,
        bump_redo,
        bump_skip,
        bump_status,
        data,
        doctor,
        drift,
        export,
        import_,
        lint,
        lock,
        necessity,
        new_target,
        prepare,
        profile,
        report,
        revert,
        show,
        status,
        targets,
        train,
        upstream,
        verify,
        weights,
    )
    from porter.errors import CheckFailed, PorterError, SurroundingsFailed, WrongUsage
    from porter.output import Progress
    from porter.project import Project

__all__ = [
    "CheckFailed",
    "PorterError",
    "Progress",
    "Project",
    "SurroundingsFailed",
    "WrongUsage",
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
_ELSEWHERE = {
    "CheckFailed": "porter.errors",
    "PorterError": "porter.errors",
    "Progress": "porter.output",
    "Project": "porter.project",
    "SurroundingsFailed": "porter.errors",
    "WrongUsage": "porter.errors",
}


if not TYPE_CHECKING:  # a type checker knows all names, and may complain about others

    def __getattr__(name: str) -> Any:
        """Import what is asked for when it is: `import porter` alone costs nothing."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        value = getattr(import_module(_ELSEWHERE.get(name, "porter.api")), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
