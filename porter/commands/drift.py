"""``porter drift``: how far each patch carries across upstream's commits after the pin."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import click

from porter.commands.arguments import AnyProject, Names, find, names
from porter.commands.options import FOLDER, STDOUT, UPSTREAM, colour, must_take, terminal, write_out
from porter.errors import WrongUsage
from porter.line import lines as all_lines
from porter.lockfile import Lock
from porter.output import Progress, counted, hanging
from porter.project import Project
from porter.rebase.drift import Drift, Track, Way, follow, joined
from porter.reports import page, records
from porter.reports.heatmap import BETWEEN, SAYS, to_png
from porter.sources.history import DEFAULT, History
from porter.sources.remote import must_be_a_source
from porter.stack import Stack, available

_MOST = 6  # ranges shown of a patch


def drift(
    targets: Names = (),
    rev: str = DEFAULT,
    *,
    lines: bool = False,
    upstream: str | None = None,
    project: AnyProject = None,
    progress: Progress | None = None,
) -> Drift:
    """How far each patch carries across upstream's commits after the pin.

    Args:
        targets: whose patches; none: every target's.
        rev: the last commit: a tag, a branch, an id; ``HEAD``: the end of upstream's default branch.
        lines: up to the release of each line take the patches of the line before it; ``ways`` of the result then
            says for which release each was changed.

    Returns:
        each patch's outcome at each commit, and at which commits git was ``asked``; at the others it is taken to be
        that of the asked commits around.

    Raises:
        CheckFailed: a patch does not apply to the pin.
        WrongUsage: there is no such target, or no such commit after the pin, or with ``lines`` only one line.
        EnvironmentFailed: upstream's history cannot be had, or the cache not be used.
    """
    found, progress = find(project), progress or Progress()
    if upstream:
        must_be_a_source(upstream)

    def stack_of(line: Project) -> Stack:
        return Stack.load(line, names(targets) or available(line.patches))

    def along(line: Project, stack: Stack, to: str) -> Drift:
        return follow(History(Lock.load(line.lock_path), upstream, progress=progress), stack, to, progress)

    if not lines:
        return along(found, stack_of(found), rev)
    known = all_lines(found)
    if rev in known:  # what comes after it is not asked about
        known = dict(list(known.items())[: list(known).index(rev) + 1])
    if len(known) < 2:
        raise WrongUsage(f"there is no line after {next(iter(known))}", hint="Leave --lines out.")
    held = {name: stack_of(line) for name, line in known.items()}
    ends = [*list(known)[1:], rev]
    parts = {name: along(line, held[name], end) for (name, line), end in zip(known.items(), ends) if end != name}
    stacks = {name: stack.patches for name, stack in held.items()}
    return joined(parts, stacks)


@click.command(name="drift")
@click.option(
    "--to",
    "rev",
    metavar="REV",
    default="HEAD",
    help="The last commit: a tag, a branch, an id.  [default: the end of upstream's default branch]",
)
@click.option(
    "--stack",
    "targets",
    multiple=True,
    metavar="NAME",
    help="A target whose patches to follow; may be repeated.  [default: every target's]",
)
@click.option("--lines", is_flag=True, help="Up to each line's release with the patches of the line before it, joined.")
@UPSTREAM
@click.option("--html", "html_file", metavar="FILE", type=FOLDER, help="Write the page of `porter report` here.")
@click.option("--png", "png_file", metavar="FILE", type=FOLDER, help="Write the heat map as a picture.")
@click.option(
    "--json", "json_file", metavar="FILE", type=FOLDER, help="Write the outcomes for programs; - prints them."
)
def command(
    rev: str,
    targets: Sequence[str],
    lines: bool,
    upstream: str | None,
    html_file: Path | None,
    png_file: Path | None,
    json_file: Path | None,
) -> None:
    """Show how far each patch carries across upstream's commits after the pin.

    The series is applied by `git am -3`, and a patch that conflicts is left out: at upstream's tags and the last
    commit, then halfway between two commits where a patch's outcome is not the same, until the commit that changes it
    is known. Between two commits with the same outcome a patch is taken to have it too. What git said is kept in the
    cache. Files are written whole or not at all.
    """
    must_take(html_file, png_file, json_file)
    with terminal() as progress:
        found = drift(targets, rev, lines=lines, upstream=upstream, progress=progress)
    if json_file != STDOUT:
        _print(found)
    if html_file:
        patches = [track.patch for track in found.tracks]
        write_out(html_file, page.page([records.of_result(found)], patches).encode("utf-8", "backslashreplace"))
    if png_file:
        write_out(png_file, to_png(found))
    if json_file:
        write_out(json_file, (json.dumps(found.record(), indent=1, ensure_ascii=False) + "\n").encode())


def _print(found: Drift) -> None:
    pin, size, asked = found.pin, len(found.steps), len(found.asked)
    click.secho(
        f"{pin.name} {pin.tag}..{found.rev} ({found.until[:10]}): {counted(size, 'commit')}, "
        f"{counted(len(found.tracks), 'patch')} of {found.stack}",
        bold=True,
    )
    wide = shutil.get_terminal_size((100, 24)).columns if colour() else 100
    for track in found.tracks:
        _print_track(track, found, wide)
    click.echo(_legend())
    if asked < size:
        click.echo(f"git was asked at {asked} of the commits. {BETWEEN}")
    worst = [f"{n} {outcome}" for outcome, n in _at_the_end(found).items()]
    click.echo(
        f"{found.reach} of {counted(len(found.tracks), 'patch')} reach {found.rev}: {', '.join(worst) or 'no commits'}"
    )
    if found.ways:
        _print_ways(found.ways)
    if found.whole < size:
        click.echo(f"All of them stand for {counted(found.whole, 'commit')}; then comes {_commit(found, found.whole)}")


def _print_track(track: Track, found: Drift, wide: int) -> None:
    name = track.patch.label
    room = max(20, wide // 3)
    subject = track.patch.subject
    subject = subject if len(subject) <= room else subject[: room - 1] + "…"
    head = click.style(f"{name:12}", fg="green" if track.reaches else "red")
    click.echo(f"{head} {subject:{room}} {_strip(track, max(10, wide - room - 15))}")
    ranges = [_range(r.outcome, r.first, r.last) for r in track.ranges]
    more = f", and {len(ranges) - _MOST} more ranges" if len(ranges) > _MOST else ""
    click.echo(hanging(f"             {', '.join(ranges[:_MOST])}{more}; asked at {len(track.asked)}", 15))
    if track.breaks is not None:
        file = f" ({track.files[track.breaks]})" if track.breaks in track.files else ""
        click.secho(hanging(f"             breaks at {_commit(found, track.breaks)}{file}", 15), dim=True)
    for at in track.returns[:_MOST]:
        click.secho(hanging(f"             stands again at {_commit(found, at)}", 15), dim=True)


def _commit(found: Drift, at: int) -> str:
    step = found.steps[at]
    return f"{step.id[:10]} {step.date} {step.subject}"


def _range(outcome: str, first: int, last: int) -> str:
    return f"{outcome} {first}" if first == last else f"{outcome} {first}-{last}"


_TALLY = ("same", "changed", "added", "dropped")


def _print_ways(ways: Sequence[Way]) -> None:
    """Patch by patch how many lines it is in each line, and the releases for which it was changed; what each cost."""
    lines = list(dict.fromkeys(line for way in ways for line in way.lines))
    wide = max(len(way.patch) for way in ways)
    click.secho(f"{'lines added or taken away in':{wide}}  {'  '.join(f'{line:>5}' for line in lines)}", bold=True)
    for way in ways:
        sizes = "  ".join(f"{way.lines.get(line, '-'):>5}" for line in lines)
        last = f"last changed for {way.touched[-1]}" if way.touched else "as in the first"
        click.echo(f"{way.patch:{wide}}  {sizes}  {last}")
    for line in lines[1:]:
        steps = Counter(way.steps[line] for way in ways if line in way.steps)
        click.echo(f"for {line}: {', '.join(f'{steps[step]} {step}' for step in _TALLY if steps[step])}")


_SIGNS = {
    "z": (" ", "white"),
    "a": ("█", "green"),
    "o": ("▓", "green"),
    "m": ("▒", "yellow"),
    "t": ("t", "blue"),
    "c": ("·", "red"),
}


def _strip(track: Track, wide: int) -> str:
    """The whole line in a row of signs, each for the most frequent outcome of its share; dim where none was asked."""
    size = len(track.letters)
    wide = min(wide, size)
    shown = []
    for n in range(wide):
        first, end = n * size // wide, (n + 1) * size // wide
        share = track.letters[first:end]
        sign, paint = _SIGNS[max(share, key=share.count)]
        asked = any(first <= at < end for at in track.asked)
        shown.append(click.style(sign, fg=paint, dim=None if asked else True))  # False would send a code of its own
    return "".join(shown)


def _legend() -> str:
    return "  ".join(f"{click.style(_SIGNS[letter][0], fg=_SIGNS[letter][1])} {says}" for letter, says in SAYS.items())


def _at_the_end(found: Drift) -> dict[str, int]:
    """Outcome -> how many patches have it at the last commit."""
    return dict(Counter(track.ranges[-1].outcome for track in found.tracks if track.ranges))
