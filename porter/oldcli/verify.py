"""``porter verify``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from porter.commands.options import FOLDER, STDOUT, colour, complete_target, is_quiet, terminal, write_out
from porter.commands.options import device as device_options

if TYPE_CHECKING:
    from porter.commands.necessity import Verdict
    from porter.output import Terminal
    from porter.verification.report import Outcome


@click.command()
@click.option(
    "--target",
    "target",
    required=True,
    metavar="NAME",
    shell_complete=complete_target,
    help="A device family of `porter targets`.",
)
@device_options
@click.option(
    "--level",
    type=click.Choice(["static", "smoke", "full"]),
    default="smoke",
    show_default=True,
    help="static looks at files alone, smoke trains for about a minute, full makes every check.",
)
@click.option("--check", "checks", multiple=True, metavar="NAME", help="Make this check only; may be repeated.")
@click.option("--python", metavar="EXE", default=sys.executable, help="Run the tree under this interpreter.")
@click.option(
    "--jobs", type=click.IntRange(1), help="Programs that may run at once.  [default: a core each, at most 4]"
)
@click.option(
    "--timeout", type=click.FloatRange(1), default=300.0, show_default=True, help="Seconds that one program may take."
)
@click.option(
    "--weights",
    metavar="FILE",
    type=FOLDER,
    help="detect shows what this checkpoint sees in bus.jpg; reference and converges need one of v6.0's.",
)
@click.option(
    "--full-size", is_flag=True, help="reference and converges at 640 pixels, as on a card; elsewhere it is 320."
)
@click.option(
    "--json", "json_file", metavar="FILE", type=FOLDER, help="Write the record here, for `porter report`; - prints it."
)
@click.option("--html", "html_file", metavar="FILE", type=FOLDER, help="Write the page of `porter report` here.")
@click.option(
    "--data",
    type=click.Choice(["auto", "coco128", "scenes"]),
    default="auto",
    show_default=True,
    help="auto: coco128 if it is there or can be downloaded, else generated scenes.",
)
@click.option("--keep", is_flag=True, help="Leave the folder that the checks worked in.")
@click.option(
    "--necessity", is_flag=True, help="Leave out each patch in turn: the check that its header names has to fail."
)
@click.option(
    "--patch", "patches", multiple=True, metavar="NAME", help="With --necessity: this patch; may be repeated."
)
@click.argument("tree", metavar="[TREE]", type=FOLDER, required=False)
def verify(
    target: str,
    device: str,
    profile: str,
    level: str,
    checks: tuple[str, ...],
    python: str,
    jobs: int | None,
    timeout: float,
    weights: Path | None,
    full_size: bool,
    json_file: Path | None,
    html_file: Path | None,
    data: str,
    keep: bool,
    necessity: bool,
    patches: tuple[str, ...],
    tree: Path | None,
) -> None:
    """Prove that TREE trains as on the target's device; without TREE, a tree made aside.

    Exit code 1 if a check fails. What cannot be shown on a device is said and is no failure.

    With --necessity each patch of the target's stack is left out in turn; exit code 1 if nothing misses one.
    """
    from porter import api

    how: dict[str, Any] = {"device": device, "profile": profile, "python": python, "jobs": jobs or 0}
    how.update(timeout=timeout, keep=keep, data=data)
    if necessity or patches:
        if tree or checks or html_file or weights or full_size or not necessity:
            raise click.UsageError("--necessity makes its own trees and chooses checks itself; --patch goes with it.")
        _necessity(target, patches, how, json_file)
    say = json_file != STDOUT  # else the record is all that standard output gets
    with terminal() as progress:
        made = api.verify(
            target, tree, level=level, checks=checks, **how, weights=weights, full_size=full_size, progress=progress,
            begun=progress.note if is_quiet() or not say else progress.say,
            ended=lambda found: _print_outcome(found, progress) if say else None,
        )  # fmt: skip
    if json_file:
        write_out(json_file, made.json().encode("utf-8", "backslashreplace"))
    if html_file:
        write_out(html_file, api.report([made]).encode("utf-8", "backslashreplace"))
    if say:
        click.echo(made.summary)
    raise SystemExit(1 if made.failed else 0)


def _print_outcome(found: Outcome, progress: Terminal) -> None:
    if is_quiet() and found.state == "passed":
        return
    colours = {"passed": "green", "failed": "red", "not shown": "yellow"}
    state = click.style(f"{found.state:9}", fg=colours[found.state]) if colour() else f"{found.state:9}"
    progress.say(f"{state} {found.check:12} {found.said}  ({found.seconds:.1f} s)")
    if found.state == "failed":
        for line in found.log.splitlines():
            progress.say(f"    | {line}")
        progress.say(f"    repeat: {found.repeat}")


def _necessity(target: str, patches: tuple[str, ...], how: dict[str, Any], json_file: Path | None) -> NoReturn:
    from porter import api

    say = json_file != STDOUT
    with terminal() as progress:
        made = api.necessity(
            target, patches, **how, progress=progress, begun=progress.note if is_quiet() or not say else progress.say,
            ended=lambda verdict: _print_verdict(verdict, progress) if say else None,
        )  # fmt: skip
    if json_file:
        import json

        write_out(json_file, (json.dumps(made.record(), indent=2, ensure_ascii=False) + "\n").encode())
    if say:
        click.echo(made.summary)
    raise SystemExit(1 if made.unnoticed else 0)


def _print_verdict(verdict: Verdict, progress: Terminal) -> None:
    if is_quiet() and verdict.state in ("noticed", "built on"):
        return
    colours = {"noticed": "green", "built on": "green", "unnoticed": "red", "not shown": "yellow"}
    state = click.style(f"{verdict.state:9}", fg=colours[verdict.state]) if colour() else f"{verdict.state:9}"
    progress.say(f"{state} {verdict.patch}  ({verdict.seconds:.1f} s)")
    progress.say(f"          {verdict.said}")
    if verdict.dependants:
        how = "needed by" if verdict.state == "built on" else "left out with it:"
        progress.say(f"          {how} {', '.join(name.partition('-')[0] for name in verdict.dependants)}")
    if verdict.state == "unnoticed":
        progress.say(f"    repeat: {verdict.repeat}")
