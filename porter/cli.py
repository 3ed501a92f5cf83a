"""The command line: parse, call one function, print what it found.

Nothing heavier than click is imported before a command runs: ``porter --help`` has to be instant.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from porter import __version__
from porter.errors import PorterError

if TYPE_CHECKING:
    from porter.commands.apply import Applied
    from porter.commands.status import Status
    from porter.lock import Lock
    from porter.progress import Terminal
    from porter.project import Project
    from porter.verify.report import Outcome

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
_UNFORESEEN = 70  # EX_SOFTWARE of sysexits.h: none of the four that porter's users can act on
_UPSTREAM = click.option(
    "--upstream",
    metavar="PATH|URL",
    help="Get upstream from this clone, mirror or URL only (or set PORTER_UPSTREAM).",
)
_FOLDER = click.Path(path_type=Path, readable=False)  # what cannot be read is no wrong usage


class _ReaderLeft(Exception):
    """Whoever read our output has enough, as in `porter show 3 | head`: nothing to complain about."""


class _Group(click.Group):
    """A group that keeps click from making a closed pipe exit code 1, which is a failed check here."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise _ReaderLeft from error


@click.group(cls=_Group, context_settings=_CONTEXT)
@click.version_option(__version__, "--version", message="porter %(version)s")
def cli() -> None:
    """Hardware ports of ultralytics/yolov5 v6.0, as stacks of small patches.

    \b
    porter apply --target mlu ./yolov5    make a ported tree, or port your own clone
    porter status ./yolov5                what is in it
    porter revert ./yolov5                back to pristine upstream
    porter verify --target mlu            prove that it trains, on the card or an emulated one

    Exit codes: 0 done, 1 a check or a patch failed, 2 wrong usage, 3 the surroundings failed (network,
    disk, permissions, a missing program), 70 a bug in porter.
    """


@cli.command()
@click.option(
    "--target", "targets", multiple=True, metavar="NAME", help="A device family, mlu or tpu; may be repeated."
)
@_UPSTREAM
@click.option("--check", is_flag=True, help="Say whether every patch applies, and write nothing.")
@click.argument("folder", metavar="DIR", type=_FOLDER)
def apply(targets: Sequence[str], upstream: str | None, check: bool, folder: Path) -> None:
    """Make DIR a tree of upstream with the stack of one or more targets.

    If there is no DIR it is made. If DIR is your own clean clone at the pin, the stack goes on a new branch
    in it and your branch stays as it is. If DIR holds the same stack already, nothing is touched.
    """
    from porter.commands.apply import apply as run
    from porter.progress import Terminal
    from porter.project import Project

    with Terminal() as progress:
        done = run(Project.find(), targets, folder, upstream, check, progress)
    _print_applied(done, folder)


def _print_applied(done: Applied, folder: Path) -> None:
    from shlex import quote

    count = len(done.build.commits)
    if done.how == "already":
        click.echo(f"{folder} holds {done.stack.key} already ({count} patches). Nothing was touched.")
        return
    if done.how == "checked":
        click.echo(f"All {count} patches of {done.stack.key} apply. Nothing was written to {folder}.")
        return
    for built in done.build.commits:
        name = click.style(f"{built.patch.stack}/{built.patch.number:04d}", fg="green")
        click.echo(f"  {name}  {built.patch.subject}")
    what = "made" if done.how == "made" else f"on the new branch {done.stack.branch}"
    click.echo(f"{folder}: {what}, {count} patches, commit {done.build.tip[:12]}")
    if done.missing:
        lacks = f"It lacks {len(done.missing)} files of upstream that the package index has not"
        click.echo(f"{lacks}; `porter status {folder}` names them.")
    if done.before:
        from porter.tree import short

        click.echo(f"Your {short(done.before)} is as it was; `porter revert {folder}` goes back to it.")
    device = done.stack.targets[0]
    command = f"python train.py --data coco128.yaml --weights '' --cfg yolov5s.yaml --device {device}"
    click.echo(f"Next: cd {quote(str(folder))} && {command}")


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.argument("folder", metavar="[DIR]", type=_FOLDER, default=".")
def status(as_json: bool, folder: Path) -> None:
    """Say what the tree in DIR holds: the pin, each patch, your commits and changes on top."""
    from porter.commands.status import status as run
    from porter.project import Project

    found = run(Project.find(), folder)
    if as_json:
        _print_json(found.record())
    else:
        _print_status(found)


def _print_status(found: Status) -> None:
    pin, head = found.pin, found.branch or f"detached at {found.head[:12]}"
    click.echo(f"{found.path}: {pin['name']} {pin['tag']} ({pin['commit'][:12]}), {head}")
    if found.targets:
        click.echo(f"stack: {'+'.join(found.targets)}, {len(found.patches)} patches")
    elif not found.commits:
        click.echo("stack: none, this is upstream")
    colours = {"applied": "green", "changed": "yellow", "missing": "red"}
    for patch in found.patches:
        state = click.style(f"{patch.state:8}", fg=colours[patch.state])
        click.echo(f"  {state} {patch.stack}/{patch.number:04d}  {patch.subject}")
    if found.commits:
        click.echo(f"your commits: {len(found.commits)}")
        for commit in found.commits[-20:]:
            click.echo(f"  {commit.id[:12]}  {commit.subject}")
    if found.changes:
        click.echo("your changes:")
        for change in found.changes:
            click.echo(f"  {change.code} {change.path}")
    if found.missing:
        click.echo(f"missing: {len(found.missing)} files of upstream that its source had not:")
        click.echo("  " + ", ".join(found.missing))
    if found.unfinished:
        click.echo(f"unfinished: {found.unfinished}")


@cli.command()
@click.argument("folder", metavar="DIR", type=_FOLDER)
def revert(folder: Path) -> None:
    """Bring the tree in DIR back to upstream: your branch, or master in a tree that porter made.

    Refused if you have commits or changes on the stack; nothing of yours is ever lost.
    """
    from porter.commands.revert import revert as run
    from porter.project import Project
    from porter.tree import short

    done = run(Project.find(), folder)
    if not done.done:
        click.echo(f"{folder} is upstream as it is ({short(done.head)}). Nothing was touched.")
    else:
        moved = "" if done.pristine else ", which has moved since the stack was applied"
        click.echo(f"{folder}: back at {short(done.head)}{moved}; the stack's branch is gone")


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
def targets(as_json: bool) -> None:
    """List the device families that there are stacks for."""
    from porter.project import Project
    from porter.target import load_all

    found = load_all(Project.find())
    if as_json:
        _print_json([target.record() for target in found])
        return
    for target in found:
        click.echo(f"{click.style(target.name, bold=True)}  {target.title['en']}")
        click.echo(f"  plugin: {target.plugin.module}, from {target.plugin.source}")
        if target.plugin.confused_with:
            click.echo(f"          not {target.plugin.confused_with}")
        click.echo(f"  probe: {' or '.join(target.probe)}")
        click.echo(f"  distributed: {', '.join(target.distributed)}; devices: {', '.join(target.visible_devices)}")
        for link in target.documentation:
            click.echo(f"  {link.title}: {link.url}")


@cli.command()
@click.argument("name", metavar="PATCH")
def show(name: str) -> None:
    """Print a patch: by number (3), stack and number (common/3), or the beginning of its name."""
    from porter.commands.show import find
    from porter.project import Project

    patch = find(Project.find(), name)
    click.secho(f"# {patch.id}", fg="yellow")
    click.echo(patch.data if not _colour() else _coloured(patch.data))


def _coloured(data: bytes) -> bytes:
    colours = {b"+": b"\x1b[32m", b"-": b"\x1b[31m", b"@": b"\x1b[36m", b"d": b"\x1b[1m"}
    head, middle, diff = data.partition(b"\ndiff --git ")
    rows = (middle[1:] + diff).split(b"\n")
    painted = [colours[row[:1]] + row + b"\x1b[0m" if row[:1] in colours else row for row in rows]
    return head + b"\n" + b"\n".join(painted)


@cli.command()
@_UPSTREAM
def lint(upstream: str | None) -> None:
    """Check the patches: headers, order, names, whitespace, canonical form, that all apply, the lock.

    Exit code 1 if there is anything to say.
    """
    from porter.commands.lint import lint as run
    from porter.progress import Terminal
    from porter.project import Project

    with Terminal() as progress:
        findings = run(Project.find(), upstream, progress)
    for finding in findings:
        click.echo(str(finding))
    if findings:
        click.echo(f"{len(findings)} finding(s)", err=True)
        raise SystemExit(1)
    click.echo("The stacks are as they should be.")


@cli.command()
@_UPSTREAM
@click.option("--check", is_flag=True, help="Write nothing; exit code 1 if the lock is not in step.")
def lock(upstream: str | None, check: bool) -> None:
    """Write into upstream.lock what each stack makes of the pin."""
    from porter.commands.lock import updated
    from porter.progress import Terminal
    from porter.project import Project

    project = Project.find()
    with Terminal() as progress:
        before, after = updated(project, upstream, progress)
    stale = sorted(
        name for name in {*before.stacks, *after.stacks} if before.stacks.get(name) != after.stacks.get(name)
    )
    if not stale:
        click.echo("upstream.lock is in step with the patches.")
    elif check:
        click.echo(f"upstream.lock is not in step with the patches: {', '.join(stale)}. Run `porter lock`.", err=True)
        raise SystemExit(1)
    else:
        after.write(project.lock_path)
        click.echo(f"upstream.lock: wrote {', '.join(stale)}")


@cli.command()
@click.option("--target", "target", required=True, metavar="NAME", help="A device family, mlu or tpu.")
@click.option(
    "--device",
    type=click.Choice(["auto", "hardware", "emulated", "cpu"]),
    default="auto",
    show_default=True,
    help="auto: the card if there is one, else an emulated one, else the cpu.",
)
@click.option("--profile", metavar="CARD", default="", help="The card to emulate, such as sg2260.")
@click.option("--level", type=click.Choice(["static", "smoke", "full"]), default="smoke", show_default=True)
@click.option("--check", "checks", multiple=True, metavar="NAME", help="Make this check only; may be repeated.")
@click.option("--python", metavar="EXE", default=sys.executable, help="Run the tree under this interpreter.")
@click.option(
    "--jobs", type=click.IntRange(1), help="Programs that may run at once.  [default: a core each, at most 4]"
)
@click.option(
    "--timeout", type=click.FloatRange(1), default=300.0, show_default=True, help="Seconds that one program may take."
)
@click.option("--json", "json_file", metavar="FILE", type=_FOLDER, help="Write the report here, for programs.")
@click.option("--html", "html_file", metavar="FILE", type=_FOLDER, help="Write the report here, for people.")
@click.option("--keep", is_flag=True, help="Leave the folder that the checks worked in.")
@click.argument("tree", metavar="[TREE]", type=_FOLDER, required=False)
def verify(
    target: str,
    device: str,
    profile: str,
    level: str,
    checks: tuple[str, ...],
    python: str,
    jobs: int | None,
    timeout: float,
    json_file: Path | None,
    html_file: Path | None,
    keep: bool,
    tree: Path | None,
) -> None:
    """Prove that TREE trains as on the target's device; without TREE, a tree made aside.

    static looks at files alone; smoke trains for seconds; full makes every check. Exit code 1 if one fails.
    """
    from porter.commands.verify import Request
    from porter.commands.verify import verify as run
    from porter.document import write
    from porter.progress import Terminal
    from porter.project import Project

    request = Request(target, tree, device, profile, level, checks, python, jobs or 0, timeout, keep)
    with Terminal() as progress:
        made = run(Project.find(), request, progress, progress.say, lambda found: _print_outcome(found, progress))
    for file, text in (json_file, made.json()), (html_file, made.html()):
        if file:
            write(file, text.encode())
    click.echo(made.summary)
    raise SystemExit(1 if made.failed else 0)


def _print_outcome(found: Outcome, progress: Terminal) -> None:
    colours = {"passed": "green", "failed": "red", "not shown": "yellow"}
    state = click.style(f"{found.state:9}", fg=colours[found.state]) if _colour() else f"{found.state:9}"
    progress.say(f"{state} {found.check:12} {found.said}  ({found.seconds:.1f} s)")
    if found.state == "failed":
        for line in found.log.splitlines():
            progress.say(f"    | {line}")
        progress.say(f"    repeat: {found.repeat}")


@cli.group(name="upstream")
def upstream_group() -> None:
    """The upstream that the stacks are for: get it, look at it, check it."""


@upstream_group.command()
@_UPSTREAM
def fetch(upstream: str | None) -> None:
    """Get upstream at the pin into the cache, checked object by object.

    What the cache has is kept. If a package index gave only a part of the files, the rest is asked for again.
    PORTER_CACHE names another folder for the cache, PORTER_TIMEOUT the seconds of silence (60) after which a
    git server is given up.
    """
    from porter.progress import Terminal
    from porter.project import Project
    from porter.upstream import fetch as run

    lock = _load_lock(Project.find())
    with Terminal() as progress:
        snapshot = run(lock, upstream, progress=progress)
    count = f"{len(snapshot.files)} of {len(lock.pin.files)}" if snapshot.partial else f"all {len(snapshot.files)}"
    click.echo(f"{lock.pin.name} {lock.pin.tag} ({lock.pin.commit[:12]}): {count} files are in the cache")


@upstream_group.command(name="show")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def show_upstream(as_json: bool) -> None:
    """Say what is pinned, under which licence, where it is had and what the cache holds of it."""
    from porter.commands.upstream import describe
    from porter.project import Project

    found = describe(_load_lock(Project.find()))
    if as_json:
        _print_json(found.record())
        return
    pin, cache = found.pin, found.cache
    click.echo(f"{click.style(f'{pin.name} {pin.tag}', bold=True)}  {pin.date[:10]}, {len(pin.files)} files")
    click.echo(f"  commit:  {pin.commit}\n  tree:    {pin.tree}\n  licence: {pin.license}")
    click.echo("  sources: " + "\n           ".join(found.sources))
    says = {
        "whole": "all files",
        "partial": f"{cache.files} files; missing: {', '.join(cache.missing)}",
        "nothing": "nothing yet; `porter upstream fetch` fills it",
        "damaged": f"damaged ({cache.why}); `porter upstream fetch` makes it anew",
    }
    size = f", {cache.size / 1e6:.1f} MB" if cache.size else ""
    click.echo(f"  cache:   {cache.path}{size}: {says[cache.state]}")


@upstream_group.command(name="verify")
def verify_upstream() -> None:
    """Hash everything that the cache holds of the pin again.

    Exit code 1 if something is not what upstream.lock says, or if there is nothing.
    """
    from porter.project import Project
    from porter.upstream import verify as run

    lock = _load_lock(Project.find())
    right, wrong = run(lock)
    for finding in wrong:
        click.echo(f"{finding.name}: expected {finding.expected}, found {finding.found}")
    if wrong:
        click.echo(
            f"{len(wrong)} of {right + len(wrong)} objects are wrong; `porter upstream fetch` replaces them.", err=True
        )
        raise SystemExit(1)
    click.echo(f"{lock.pin.name} {lock.pin.tag}: {right} objects, each with the id that upstream.lock says")


def _load_lock(project: Project) -> Lock:
    from porter.lock import Lock

    return Lock.load(project.lock_path)


@cli.group()
def data() -> None:
    """Data sets to train on, made here: nothing is downloaded."""


def _size(context: click.Context, option: click.Parameter, value: str) -> tuple[int, int]:
    """A width and a height in pixels, from ``160x120``."""
    width, _, height = value.partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise click.BadParameter(f"{value!r} is not a width and a height in pixels, as 160x120.", context, option)
    return int(width), int(height)


@data.command()
@click.option(
    "--like", type=click.Choice(["coco128"]), default="coco128", show_default=True, help="Layout and classes."
)
@click.option("--images", default=128, show_default=True, help="Pictures to train on; a quarter more for validation.")
@click.option("--seed", default=0, show_default=True, help="The same seed gives the same bytes on every machine.")
@click.option(
    "--size", callback=_size, metavar="WxH", default="160x120", show_default=True, help="Of each picture, in pixels."
)
@click.option("--classes", default=80, show_default=True, help="How many of the 80 classes occur.")
@click.argument("folder", metavar="DEST", type=_FOLDER)
def make(like: str, images: int, seed: int, size: tuple[int, int], classes: int, folder: Path) -> None:
    """Draw labelled scenes that a YOLOv5 can learn, in its own layout, into the new folder DEST.

    A class is one of 8 shapes in one of 10 colours.
    """
    from porter.assets.dataset import Recipe
    from porter.assets.dataset import make as run
    from porter.progress import Terminal

    recipe = Recipe(images, seed, *size, classes)
    with Terminal() as progress:
        made = run(folder, recipe, progress)
    parts = (f"{made.images[split]} pictures with {made.objects[split]} objects in {split}" for split in made.images)
    click.echo(f"{folder}: {', '.join(parts)}")
    click.echo(f"Next, in a tree: python train.py --data {made.yaml} --img {max(size)} --weights '' --cfg yolov5n.yaml")


def _colour() -> bool:
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ


def _print_json(value: Any) -> None:
    import json

    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and leave with its exit code."""
    from porter import signals

    signals.install()
    for stream in (sys.stdout, sys.stderr):
        # a path or a patch may hold what the terminal's encoding has not
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        result = cli.main(arguments, prog_name="porter", standalone_mode=False, color=None if _colour() else False)
        sys.stdout.flush()
        sys.exit(result if isinstance(result, int) else 0)
    except PorterError as error:
        _complain(error)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except signals.Terminated as error:
        sys.exit(128 + error.number)
    except (BrokenPipeError, _ReaderLeft):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except Exception as error:
        _unforeseen(error)
        sys.exit(_UNFORESEEN)


def _complain(error: PorterError) -> None:
    colour = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    word = click.style("error:", fg="red", bold=True) if colour else "error:"
    click.echo(f"porter: {word} {error.what}", err=True)
    for line in error.why.split("\n") if error.why else ():
        click.echo(f"  {line}", err=True)
    if error.hint:
        click.echo(f"hint: {error.hint}", err=True)


def _unforeseen(error: Exception) -> None:
    """Keep the trace of a bug in a file: it is for us, not for the person at the terminal."""
    import platform
    import tempfile
    import time
    import traceback

    import platformdirs

    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    head = f"porter {__version__}, Python {platform.python_version()}, {platform.platform()}\n{sys.argv}\n\n"
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
    for folder in (platformdirs.user_state_dir("porter", appauthor=False), tempfile.gettempdir()):
        try:
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(head + text, encoding="utf-8", errors="backslashreplace")
        except OSError:
            continue
        click.echo(f"porter: error: this should not have happened: {type(error).__name__}: {error}", err=True)
        click.echo(f"The details are in {path}. Please report it with that file.", err=True)
        return
    click.echo(text, err=True)
