"""porter: hardware ports of ultralytics/yolov5 v6.0, kept as ordered stacks of small patches.

What ``porter COMMAND`` does, ``porter.COMMAND(...)`` does: the same function, in :mod:`porter.commands`.  A function
prints nothing and reads no command line; what goes wrong is a :class:`porter.errors.PorterError`, which says what, why
and what to do next.  Three arguments are the same everywhere:

- ``project``: whose stacks and lock.  None: those of the checkout that the current folder is in, else those that came
  with the installed package.  A folder stands for the checkout that it is in, or for the line: :func:`porter.lines`
  says the folder of each.  A function that gets a tree takes the tree's line, where none is named.
- ``progress``: hears of long steps (:class:`porter.Progress`); None: nobody listens.
- ``upstream``: the only place to get upstream from, a clone's path or a URL.  None: ``PORTER_UPSTREAM``, else the
  sources that ``upstream.lock`` names.

Importing this costs milliseconds: a function's module is imported when the function is asked for.
"""

from __future__ import annotations

from porter.version import __version__ as __version__

TYPE_CHECKING = False  # what typing has; its import would be most of this one's time
if TYPE_CHECKING:
    from typing import Any

    from porter.commands import data as data
    from porter.commands import profile as profile
    from porter.commands import upstream as upstream
    from porter.commands import weights as weights
    from porter.commands.apply import apply as apply
    from porter.commands.audit import audit as audit
    from porter.commands.bench import bench as bench
    from porter.commands.bump import bump as bump
    from porter.commands.bump import bump_abort as bump_abort
    from porter.commands.bump import bump_continue as bump_continue
    from porter.commands.bump import bump_redo as bump_redo
    from porter.commands.bump import bump_skip as bump_skip
    from porter.commands.bump import bump_status as bump_status
    from porter.commands.carry import carry as carry
    from porter.commands.compare import compare as compare
    from porter.commands.compare import replay as replay
    from porter.commands.diff import diff as diff
    from porter.commands.doctor import doctor as doctor
    from porter.commands.drift import drift as drift
    from porter.commands.export import export as export
    from porter.commands.import_ import import_ as import_
    from porter.commands.lines import lines as lines
    from porter.commands.lint import lint as lint
    from porter.commands.lock import lock as lock
    from porter.commands.new_target import new_target as new_target
    from porter.commands.prepare import prepare as prepare
    from porter.commands.report import report as report
    from porter.commands.revert import revert as revert
    from porter.commands.run import run as run
    from porter.commands.show import show as show
    from porter.commands.status import status as status
    from porter.commands.targets import targets as targets
    from porter.commands.train import train as train
    from porter.commands.verify import necessity as necessity
    from porter.commands.verify import verify as verify
    from porter.errors import CheckFailed as CheckFailed
    from porter.errors import EnvironmentFailed as EnvironmentFailed
    from porter.errors import PorterError as PorterError
    from porter.errors import WrongUsage as WrongUsage
    from porter.output import Progress as Progress
    from porter.project import Project as Project

# name -> the module that it is in; a group of commands is a module itself
_PLACES = {
    **dict.fromkeys(("CheckFailed", "PorterError", "EnvironmentFailed", "WrongUsage"), "porter.errors"),
    "Progress": "porter.output",
    "Project": "porter.project",
    **dict.fromkeys(
        ("bump", "bump_abort", "bump_continue", "bump_redo", "bump_skip", "bump_status"), "porter.commands.bump"
    ),
    "necessity": "porter.commands.verify",
    "replay": "porter.commands.compare",
    **{
        name: f"porter.commands.{name}"
        for name in (
            "apply", "audit", "bench", "carry", "compare", "data", "diff", "doctor", "drift", "export", "import_",
            "lines", "lint", "lock", "new_target", "prepare", "profile", "report", "revert", "run", "show", "status",
            "targets", "train", "upstream", "verify", "weights",
        )
    },
}  # fmt: skip
__all__ = sorted(_PLACES)


if not TYPE_CHECKING:  # a type checker knows all names, and may complain about others

    def __getattr__(name: str) -> Any:
        """Import what is asked for when it is: `import porter` alone costs nothing."""
        if name not in _PLACES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        module = import_module(_PLACES[name])
        value = getattr(module, name, module)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
