"""What commands share: options of the command line, how results are printed, how much is said beside them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from porter.output import Terminal
    from porter.project import Project
    from porter.rebase.write_stacks import Rewrite
    from porter.verification.launch import Launch

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
UPSTREAM = click.option(
    "--upstream",
    metavar="PATH|URL",
    help="Get upstream from this clone, mirror or URL only (or set PORTER_UPSTREAM).",
)
MIRROR = click.option(
    "--mirror",
    "mirrors",
    multiple=True,
    metavar="URL|DIR",
    help="Try this place first: a folder that holds the file by its name, or a pattern with {url} or {name} in it."
    " May be repeated; the first comes first.",
)
REQUIRE_KNOWN = click.option(
    "--require-known", is_flag=True, help="Refuse what porter knows no digest of: no first download is trusted."
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
FOLDER = click.Path(path_type=Path, readable=False)  # what cannot be read is no wrong usage
STDOUT = Path("-")  # as a FILE

_Command = TypeVar("_Command", bound=Callable[..., Any])
_LOUDNESS = "porter.loudness"
_QUIET, _VERBOSE = "--quiet", "--verbose"
_PROJECT = "porter.project"
_LINE = "porter.line"


# -- what a shell completes -----------------------------------------------------------------------------


def _completed(names: Callable[[Project], Iterable[str]]) -> Callable[..., list[str]]:
    """What click asks for the words that may stand in a place: those of ``names`` that begin as typed."""

    def complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
        from porter.errors import PorterError
        from porter.project import Project

        try:
            project = Project.find(named_project(context))
            line = named_line(context)
            if line and line in project.top.others:
                project = project.top.others[line]
            return [name for name in names(project) if name.startswith(incomplete)]
        except PorterError:  # nobody reads an error here
            return []

    return complete


def _targets(project: Project) -> Iterable[str]:
    from porter.stack import available

    return available(project.patches)


def _lines(project: Project) -> Iterable[str]:
    from porter.line import lines

    return lines(project)


def _patches(project: Project) -> Iterable[str]:
    from porter.stack import load_parts

    return [patch.id for part in load_parts(project).values() for patch in part]


def _checks(project: Project) -> Iterable[str]:
    from porter.verification.plan import NAMES

    return NAMES


def _cards(project: Project) -> Iterable[str]:
    from porter.emulator.profiles import BARE, GENERIC, profiles

    return [*profiles(), GENERIC, BARE]


def _weights(project: Project) -> Iterable[str]:
    from porter.downloads.weights import NAMES

    return NAMES


def _datasets(project: Project) -> Iterable[str]:
    from porter.downloads.datasets import SETS

    return [*SETS, "scenes"]


complete_target = _completed(_targets)
complete_patch = _completed(_patches)
complete_check = _completed(_checks)
complete_card = _completed(_cards)
complete_weights = _completed(_weights)
complete_dataset = _completed(_datasets)
complete_line = _completed(_lines)
_FAMILY = "A device family of `porter targets`"


def target_option(
    more: str = "", *, required: bool = False, multiple: bool = False, default: str | None = None
) -> Callable[[_Command], _Command]:
    """The option ``--target``: a device family, or with ``multiple`` several, as ``targets``.

    Args:
        more: what it is for, where that is not plain, to follow ``A device family of `porter targets```.
    """
    given: dict[str, Any] = {} if default is None else {"default": default}  # None would satisfy `required`
    return click.option(
        "--target",
        "targets" if multiple else "target",
        required=required,
        multiple=multiple,
        metavar="NAME",
        shell_complete=complete_target,
        help=f"{_FAMILY}{more}{'; may be repeated' if multiple else ''}.",
        **given,
    )


# -- which device -----------------------------------------------------------------------------------------


class _Device(click.Choice):  # type: ignore[type-arg]  # generic in late versions of click
    """How the device is to be had; people try what train.py takes, such as mlu:0."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as error:
            more = "The device family is --target's; which card, the vendor's variable says (`porter targets`)."
            raise click.BadParameter(f"{error.message} {more}", ctx, param) from error


def device(command: _Command) -> _Command:
    """The options that say which device: ``--device`` and ``--profile``."""
    profile = click.option(
        "--profile",
        metavar="CARD",
        default="",
        shell_complete=complete_card,
        help="The card to emulate, such as sg2260, or bare.",
    )
    which = click.option(
        "--device",
        type=_Device(["auto", "hardware", "simulator", "emulated", "cpu"]),
        default="auto",
        show_default=True,
        help="The target's card, the vendor's simulator of it, an emulated one, or the cpu; auto: the first to be had.",
    )
    return which(profile(command))


# -- what every command takes ---------------------------------------------------------------------------


def give_common_options(command: click.Command, *names: str) -> None:
    """Give a command, and each in its group, ``--project``, ``--line``, ``--quiet``, ``--verbose`` and ``--offline``.

    They stand before its name or after it.  And every option gets its environment variable, which its help names.

    Args:
        names: those that lead to it, as typed behind ``porter``; the variables begin with them.
    """
    if command.name != "train":  # whose --project, a folder for results, people would put before the --
        command.params.append(
            click.Option(
                ["--project"],
                metavar="DIR",
                type=FOLDER,
                expose_value=False,
                callback=_choose_project,
                help="The checkout of porter that is meant.  [default: the one that the current folder is in]",
            )
        )
    command.params.append(
        click.Option(
            ["--line"],
            metavar="NAME",
            expose_value=False,
            callback=_choose_line,
            shell_complete=complete_line,
            help="The release of upstream that is meant, of `porter lines`.  [default: the tree's own, or the first]",
        )
    )
    for short, name, help_ in (
        ("-q", _QUIET, "Print only results and errors."),
        ("-v", _VERBOSE, "Say on standard error what is run, asked and written."),
    ):
        option = click.Option([short, name], is_flag=True, expose_value=False, callback=_choose, help=help_)
        command.params.append(option)
    help_ = "Use no network: what is in the cache and on this machine has to do."
    command.params.append(
        click.Option(["--offline"], is_flag=True, expose_value=False, callback=_go_offline, help=help_)
    )
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.is_eager:
            parameter.envvar = "_".join(map(_variable, ("porter", *names, max(parameter.opts, key=len))))
            parameter.show_envvar = True
    for inner in command.commands.values() if isinstance(command, click.Group) else ():
        inner.short_help = (inner.help or "").partition("\n\n")[0].strip()  # click would cut it at the line's end
        give_common_options(inner, *names, inner.name or "")


def _variable(word: str) -> str:
    """``--no-verify`` or ``new-target`` as a part of a variable's name: ``NO_VERIFY``, ``NEW_TARGET``."""
    return word.lstrip("-").replace("-", "_").upper()


def _choose_project(context: click.Context, parameter: click.Parameter, folder: Path | None) -> None:
    if folder is not None:
        context.meta[_PROJECT] = folder


def named_project(context: click.Context | None = None) -> Path | None:
    """What ``--project`` names, where a command line is at work."""
    context = context or click.get_current_context(silent=True)
    return context.meta.get(_PROJECT) if context else None


def _choose_line(context: click.Context, parameter: click.Parameter, name: str | None) -> None:
    if name:
        context.meta[_LINE] = name


def named_line(context: click.Context | None = None) -> str:
    """What ``--line`` names, where a command line is at work; empty for nothing."""
    context = context or click.get_current_context(silent=True)
    return context.meta.get(_LINE, "") if context else ""


def in_line(text: str, context: click.Context | None = None) -> str:
    """Text whose commands of porter's go on with the line that ``--line`` names, if it names one."""
    context = context or click.get_current_context(silent=True)
    name, root = named_line(context), context.find_root() if context else None
    if not name or not root or not isinstance(root.command, click.Group):
        return text
    import re

    verbs = "|".join(root.command.list_commands(root))
    return re.sub(rf"\bporter (?=(?:{verbs})\b(?!-))", lambda found: f"{found[0]}--line {name} ", text)


def _go_offline(context: click.Context, parameter: click.Parameter, is_given: bool) -> None:
    if is_given:
        from porter.downloads import retry

        retry.forbid()


def _choose(context: click.Context, parameter: click.Parameter, is_given: bool) -> None:
    if not is_given or not parameter.name:
        return
    wanted = f"--{parameter.name}"
    if context.meta.setdefault(_LOUDNESS, wanted) != wanted:  # a context shares it with those around it
        raise click.UsageError(f"{_QUIET} and {_VERBOSE} do not go together.")
    if wanted == _VERBOSE:
        from porter.output import listen

        context.find_root().call_on_close(listen())


def is_quiet() -> bool:
    """Whether only results and errors are to be printed."""
    context = click.get_current_context(silent=True)
    return context is not None and context.meta.get(_LOUDNESS) == _QUIET


def tell(line: str, err: bool = False) -> None:
    """Print what goes with a result and was not asked for by itself: what was done, the next step."""
    if not is_quiet():
        click.echo(line, err=err)


def terminal() -> Terminal:
    """What long steps report to."""
    from porter.output import Terminal

    return Terminal(is_quiet())


class ProgramCommand(click.Command):
    """A command whose words after ``--`` are a program's, and people forget the two dashes.

    Args:
        after_dashes: what is said before the option that no command of porter's has.
    """

    def __init__(self, *args: Any, after_dashes: str, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.after_dashes = after_dashes

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            said = f"{error.format_message()} {self.after_dashes} {error.option_name} ..."
            raise click.UsageError(said, ctx) from error


def become(program: Launch, dry_run: bool) -> None:
    """Print a program's command, and become the program: signals and the exit status are its own."""
    if program.stand_in:
        tell(program.stand_in, err=True)
    if dry_run:
        click.echo(program.shown)
        return
    tell(f"+ {program.shown}", err=True)
    sys.stdout.flush()
    sys.stderr.flush()
    program.go()


# -- results --------------------------------------------------------------------------------------------


def colour(stream: Any = None) -> bool:
    """Whether standard output, or another stream, may be coloured."""
    return (stream or sys.stdout).isatty() and "NO_COLOR" not in os.environ


def list_row(text: str, indent: int, word: str, paint: str) -> str:
    """A line of a list for standard output, folded on a narrow terminal, its first ``word`` in a colour."""
    from porter.output import hanging

    return hanging(text, indent).replace(word, click.style(word, fg=paint), 1)


def print_json(kind: str, value: Mapping[str, Any]) -> None:
    """Print a record as one JSON document.  One that says its kind and schema itself is printed as it is."""
    from porter.output import labelled, to_json

    click.echo(to_json(labelled(kind, value), for_stdout=True), nl=False)


def print_bytes(data: bytes) -> None:
    """Print a file's content: as it is, but for what a terminal would take for a command."""
    click.echo(data.decode(errors="replace") if sys.stdout.isatty() else data, nl=False)


def print_edits(rewrite: Rewrite) -> None:
    """A line for each file that changes."""
    for edit in rewrite.edits:
        painted = {"new": "green", "changed": "yellow", "gone": "red"}[edit.change]
        click.echo(f"  {click.style(f'{edit.change:8}', fg=painted)} {edit.path}")


def must_take(*files: Path | None) -> None:
    """Refuse a file that :func:`write_out` could not write, before what takes minutes begins.

    Raises:
        EnvironmentFailed: one is in no folder that can be written to.
    """
    from porter import files as places

    for file in files:
        if file and file != STDOUT:
            places.must_take(file)


def write_out(file: Path, data: bytes) -> None:
    """Write a report into a file, whole or not at all; ``-`` is standard output.

    Raises:
        EnvironmentFailed: it cannot be written.
    """
    from porter.files import write_file

    if file == STDOUT:
        print_bytes(data)
    else:
        write_file(file, data)
