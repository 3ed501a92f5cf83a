"""The command line: which verb is in which module of porter.commands, exit codes, what is kept of a crash.

A verb's module is imported when the verb is named.  Nothing heavier than click is imported before that: ``porter
--help`` has to be instant.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import click

from porter.commands.options import CONTEXT, colour, give_common_options, in_line
from porter.errors import EnvironmentFailed, PorterError, redacted
from porter.version import __version__

# open files, memory and room that are not there; a path that the system cannot have; a disk that fails
_OF_THE_SYSTEM = {
    *(errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.ENOSPC, errno.EDQUOT),
    *(errno.ENAMETOOLONG, errno.ELOOP, errno.EIO, errno.EROFS, errno.ESTALE),
}
_LIMITS = "`ulimit -a` shows what is limited: `ulimit -n 1024` allows 1024 open files; `df -h` shows the disks."
_UNFORESEEN = 70  # EX_SOFTWARE of sysexits.h: none of the four that porter's users can act on


class _Group(click.Group):
    """A group that lists its commands by what they are for, and imports one when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_SAYS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in _SAYS and cmd_name not in self.commands:
            found: click.Command = import_module(f"porter.commands.{_module(cmd_name)}").command
            found.short_help = _SAYS[cmd_name]
            give_common_options(found, cmd_name)
            self.add_command(found)
        return self.commands.get(cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from difflib import get_close_matches

            near = get_close_matches(args[0], self.list_commands(ctx), 1)
            if not near:
                raise
            raise click.UsageError(f"{error.message} Did you mean {near[0]}?", error.ctx) from error

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except PorterError as error:
            if "--line" not in error.hint:
                error.hint = in_line(error.hint, ctx)
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for heading, commands in _COMMANDS.items():
            with formatter.section(heading):
                formatter.write_dl(list(commands.items()))


@click.group(cls=_Group, context_settings=CONTEXT)
@click.version_option(__version__, "--version", message="porter %(version)s")
def cli() -> None:
    """Hardware ports of ultralytics/yolov5 v6.0, as stacks of small patches.

    \b
    porter apply --target mlu ./yolov5    make a ported tree
    porter verify --target mlu            prove it trains
    porter prepare --target mlu ./yolov5  with all it needs

    Exit codes: 0 done, 1 a check or a patch failed, 2 wrong usage, 3 the environment failed (network,
    disk, permissions, a missing program), 70 a bug in porter.
    """


# what it is for -> name -> what it does; each is ``command`` in the module of that name
_COMMANDS: dict[str, dict[str, str]] = {
    "A tree": {
        "apply": "Make a ported tree, or port your own clone.",
        "status": "What is in it: the pin, patches, your commits.",
        "revert": "Back to pristine upstream.",
        "prepare": "Tree, packages, weights, data, and what to type.",
        "train": "Run its train.py on the card, or on several.",
        "run": "Run any program on the card, or on an emulated one.",
    },
    "Proof": {
        "verify": "Prove that it trains, on a card or an emulated one.",
        "compare": "Find the first module that a device computes otherwise.",
        "bench": "Measure how fast it trains.",
        "audit": "Find what in it names a device, ported or not.",
        "report": "Make one page of what verify, bench and drift found.",
    },
    "The patches": {
        "lines": "List the releases of upstream that there are stacks for.",
        "targets": "List the device families that there are stacks for.",
        "show": "Print a patch.",
        "diff": "Compare two states of them, patch by patch.",
        "lint": "Check them: headers, order, form, that all apply.",
        "lock": "Write what they make of the pin into the lock.",
        "export": "Make them what a tree's commits are.",
        "import": "Turn somebody else's changes into patches.",
        "new-target": "Make a stack for another device family.",
    },
    "Upstream": {
        "upstream": "Get, show or check the pinned upstream.",
        "carry": "Make the change of a patch in the later lines too.",
        "bump": "Rebase every stack onto another upstream commit.",
        "drift": "Show how far each patch carries after the pin.",
    },
    "Cards": {
        "profile": "Show what is known of a card; read its plugin's source.",
    },
    "Machine and data": {
        "doctor": "Say whether training can work here, and what to do.",
        "data": "Fetch, draw or check a data set.",
        "weights": "Fetch a checkpoint, or look into one.",
        "completion": "Print the script that makes a shell complete porter.",
    },
}
_SAYS = {name: says for commands in _COMMANDS.values() for name, says in commands.items()}


def _module(name: str) -> str:
    return "import_" if name == "import" else name.replace("-", "_")


give_common_options(cli)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and leave with its exit code."""
    import gc

    from porter import output

    # syntax trees and patches are many small objects that live to the end; looking for cycles among them costs a fifth
    gc.set_threshold(100_000, 20, 20)
    output.clean()
    words = list(sys.argv[1:] if arguments is None else arguments)
    code = _run(words)
    if words and not {"-h", "--help", "--version"} & {*words}:  # which have to be instant
        _remove_leftovers()
    try:
        sys.stdout.flush()
    except PorterError as error:
        _complain(error)
        code = error.exit_code
    sys.exit(code)


def _run(words: Sequence[str]) -> int:
    """Run the command line and say what went wrong; its exit code."""
    from porter import process

    try:
        process.handle_signals()
        result = cli.main(words, prog_name="porter", standalone_mode=False, color=None if colour() else False)
        return result if isinstance(result, int) else 0
    except PorterError as error:
        return _failed(words, error)
    except click.ClickException as error:
        setattr(error, "message", redacted(error.message))  # noqa: B010  # final in click's own types alone
        error.show()
        context = getattr(error, "ctx", None)
        hint = f"{context.command_path} --help" if context else ""
        _complain_to_program(words, error.format_message(), "", hint, error.exit_code)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return 130
    except process.Terminated as error:
        return 128 + error.number
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _OF_THE_SYSTEM:
            return _failed(words, EnvironmentFailed("the system refuses what porter needs", str(error), _LIMITS))
        kept = _unforeseen(error)
        what = redacted(f"this should not have happened: {type(error).__name__}: {error}")
        _complain_to_program(words, what, "", f"Please report it with {kept}." if kept else "", _UNFORESEEN)
        return _UNFORESEEN


def _remove_leftovers() -> None:
    """What a killed run left in the folder for temporary files, also where this one made nothing there."""
    places = (*(os.environ.get(name, "") for name in ("TMPDIR", "TEMP", "TMP")), "/tmp", "/dev/shm")
    if any(os.path.isdir(f"{place}/porter-{os.geteuid()}") for place in places if place):
        import contextlib

        from porter.temporary import sweep

        with contextlib.suppress(PorterError, OSError):
            sweep()


def _failed(words: Sequence[str], error: PorterError) -> int:
    """Say what went wrong, to a person and to a program that asked for JSON; the exit code."""
    _complain(error)
    _complain_to_program(words, error.what, error.why, error.hint, error.exit_code)
    return error.exit_code


def _complain(error: PorterError) -> None:
    colour = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    word = click.style("error:", fg="red", bold=True) if colour else "error:"
    click.echo(f"porter: {word} {error.what}", err=True)
    for line in error.why.split("\n") if error.why else ():
        click.echo(f"  {line}", err=True)
    if error.hint:
        click.echo(f"hint: {error.hint}", err=True)


def _complain_to_program(words: Sequence[str], what: str, why: str, hint: str, exit_code: int) -> None:
    """The same as one JSON object on standard output, where the command line asks for JSON there."""
    if not _asks_for_json(words):
        return
    from porter.output import labelled, to_json

    record = {"error": what, "why": why, "hint": hint, "exit_code": exit_code}
    try:
        click.echo(to_json(labelled("error", record)), nl=False)
        sys.stdout.flush()
    except (PorterError, OSError, ValueError):  # nobody can read it; it stands on standard error
        pass


def _asks_for_json(words: Sequence[str]) -> bool:
    """Whether a command line, which may be a wrong one, asks for JSON on standard output: ``--json``, ``--json -``.

    The option's environment variable does, too.
    """
    words = words[: words.index("--")] if "--" in words else words
    if "--json=-" in words:
        return True
    found: click.Command = cli
    for word in words:
        inner = found.get_command(click.Context(found), word) if isinstance(found, click.Group) else None
        found = inner or found
    option = next((option for option in found.params if "--json" in option.opts), None)
    takes_file = option is not None and not getattr(option, "is_flag", False)
    if "--json" in words:
        return not takes_file or list(words[words.index("--json") + 1 :])[:1] == ["-"]
    given = os.environ.get(str(option.envvar), "") if option else ""
    return given == "-" if takes_file else given.lower() in ("1", "true", "t", "yes", "y", "on")


def _unforeseen(error: Exception) -> Path | None:
    """Keep the trace of a bug in a file, which is returned: it is for us, not for the person at the terminal."""
    import contextlib
    import platform
    import time
    import traceback

    from porter.files import user_folder
    from porter.temporary import temporary_root

    folders = []
    with contextlib.suppress(PorterError):
        folders.append(user_folder("state", ""))
    with contextlib.suppress(PorterError):
        folders.append(Path(temporary_root()))
    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    head = f"porter {__version__}, Python {platform.python_version()}, {platform.platform()}\n{sys.argv}\n\n"
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
    said = redacted(f"{type(error).__name__}: {error}")
    for folder in folders:
        try:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(redacted(head + text), encoding="utf-8", errors="backslashreplace")
        except OSError:
            continue
        click.echo(f"porter: error: this should not have happened: {said}", err=True)
        click.echo(f"The details are in {path}. Please report it with that file.", err=True)
        return path
    click.echo(redacted(text), err=True)
    return None
