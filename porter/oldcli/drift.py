"""``porter drift``."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from porter.commands.options import FOLDER, STDOUT, UPSTREAM, colour, terminal, write_out

if TYPE_CHECKING:
    from porter.rebase.drift import Drift, Track

_MOST = 6  # ranges shown of a patch


@click.command()
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
@UPSTREAM
@click.option("--html", "html_file", metavar="FILE", type=FOLDER, help="Write the heat map as a page of its own.")
@click.option("--png", "png_file", metavar="FILE", type=FOLDER, help="Write the heat map as a picture.")
@click.option(
    "--json", "json_file", metavar="FILE", type=FOLDER, help="Write the outcomes for programs; - prints them."
)
def drift(
    rev: str,
    targets: Sequence[str],
    upstream: str | None,
    html_file: Path | None,
    png_file: Path | None,
    json_file: Path | None,
) -> None:
    """Show how far each patch carries across upstream's commits after the pin.

    Each commit is a fresh start: the series is applied to it as `git am -3` does it, and a patch that conflicts is left
    out. What was found once is kept in the cache. Files are written whole or not at all.
    """
    from porter.api import drift as run
    from porter.reports import heatmap

    with terminal() as progress:
        found = run(targets, rev, upstream=upstream, progress=progress)
    if json_file != STDOUT:
        _print(found)
    if html_file:
        write_out(html_file, heatmap.to_html(found).encode())
    if png_file:
        write_out(png_file, heatmap.to_png(found))
    if json_file:
        import json

        write_out(json_file, (json.dumps(found.record(), indent=1, ensure_ascii=False) + "\n").encode())


def _print(found: Drift) -> None:
    pin, size = found.pin, len(found.steps)
    click.secho(
        f"{pin.name} {pin.tag}..{found.rev} ({found.until[:10]}): {size} commits, "
        f"{len(found.tracks)} patches of {found.stack}",
        bold=True,
    )
    wide = shutil.get_terminal_size((100, 24)).columns if colour() else 100
    for track in found.tracks:
        _print_track(track, found, wide)
    click.echo(_legend())
    worst = [f"{n} {outcome}" for outcome, n in _at_the_end(found).items()]
    click.echo(f"{found.reach} of {len(found.tracks)} patches reach {found.rev}: {', '.join(worst) or 'no commits'}")
    if found.whole < size:
        step = found.steps[found.whole]
        click.echo(f"All of them stand for {found.whole} commits; then comes {step.id[:10]} {step.date} {step.subject}")


def _print_track(track: Track, found: Drift, wide: int) -> None:
    name = f"{track.patch.stack}/{track.patch.number:04d}"
    room = max(20, wide // 3)
    subject = track.patch.subject
    subject = subject if len(subject) <= room else subject[: room - 1] + "…"
    head = click.style(f"{name:12}", fg="green" if track.reaches else "red")
    click.echo(f"{head} {subject:{room}} {_strip(track.letters, max(10, wide - room - 15))}")
    ranges = [_range(r.outcome, r.first, r.last) for r in track.ranges]
    more = f", and {len(ranges) - _MOST} more ranges" if len(ranges) > _MOST else ""
    click.echo(f"             {', '.join(ranges[:_MOST])}{more}")
    if track.breaks is not None:
        step = found.steps[track.breaks]
        said = f"breaks at {step.id[:10]} {step.date} {step.subject}"
        file = f" ({track.files[track.breaks]})" if track.breaks in track.files else ""
        click.secho(f"             {said}{file}", dim=True)


def _range(outcome: str, first: int, last: int) -> str:
    return f"{outcome} {first}" if first == last else f"{outcome} {first}-{last}"


_SIGNS = {"a": ("█", "green"), "o": ("▓", "green"), "m": ("▒", "yellow"), "t": ("t", "blue"), "c": ("·", "red")}


def _strip(letters: str, wide: int) -> str:
    """The whole line in a row of signs, each for the most frequent outcome of its share."""
    wide = min(wide, len(letters))
    shown = []
    for n in range(wide):
        share = letters[n * len(letters) // wide : (n + 1) * len(letters) // wide]
        sign, paint = _SIGNS[max(share, key=share.count)]
        shown.append(click.style(sign, fg=paint))
    return "".join(shown)


def _legend() -> str:
    from porter.reports.heatmap import SAYS

    return "  ".join(f"{click.style(_SIGNS[letter][0], fg=_SIGNS[letter][1])} {says}" for letter, says in SAYS.items())


def _at_the_end(found: Drift) -> dict[str, int]:
    """Outcome -> how many patches have it at the last commit."""
    from collections import Counter

    return dict(Counter(track.ranges[-1].outcome for track in found.tracks if track.ranges))
