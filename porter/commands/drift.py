"""``porter drift``: how far each patch carries across upstream's commits after the pin."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import click

from porter.commands.arguments import AnyProject, Names, find, names
from porter.commands.options import FOLDER, STDOUT, UPSTREAM, colour, terminal, write_out
from porter.lockfile import Lock
from porter.output import Progress
from porter.rebase.drift import Drift, Store, Track, look, track_of
from porter.reports.heatmap import SAYS, to_html, to_png
from porter.sources.history import DEFAULT, History
from porter.stack import Stack, available

_MOST = 6  # ranges shown of a patch


def drift(
    targets: Names = (),
    rev: str = DEFAULT,
    *,
    upstream: str | None = None,
    project: AnyProject = None,
    progress: Progress | None = None,
) -> Drift:
    """How far each patch carries across upstream's commits after the pin.

    Args:
        targets: whose patches; none: every target's.
        rev: the last commit: a tag, a branch, an id; ``HEAD``: the end of upstream's default branch.

    Raises:
        WrongUsage: there is no such target, or no such commit after the pin.
        SurroundingsFailed: upstream's history cannot be had, or the cache not be used.
    """
    found, progress = find(project), progress or Progress()
    lock = Lock.load(found.lock_path)
    stack = Stack.load(found, names(targets) or available(found.patches))
    history = History(lock, upstream, progress=progress)
    until = history.resolve(rev)
    steps = history.steps(lock.pin.commit, until)
    store = Store(history.cache.folder / "drift", lock.pin, stack)
    known = store.read()
    wanted = [n for n, one in enumerate(steps) if one.id not in known]
    if wanted:
        for block in look(history, stack, steps, wanted, progress):
            known.update(block)
            store.write(known)
    rows = [known[one.id] for one in steps]
    tracks = tuple(track_of(patch, n, rows) for n, patch in enumerate(stack.patches))
    named = history.tags()
    tags = {n: named[one.id] for n, one in enumerate(steps) if one.id in named}
    return Drift(lock.pin, rev, until, stack.key, tuple(steps), tags, tracks, len(wanted))


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
@UPSTREAM
@click.option("--html", "html_file", metavar="FILE", type=FOLDER, help="Write the heat map as a page of its own.")
@click.option("--png", "png_file", metavar="FILE", type=FOLDER, help="Write the heat map as a picture.")
@click.option(
    "--json", "json_file", metavar="FILE", type=FOLDER, help="Write the outcomes for programs; - prints them."
)
def command(
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
    with terminal() as progress:
        found = drift(targets, rev, upstream=upstream, progress=progress)
    if json_file != STDOUT:
        _print(found)
    if html_file:
        write_out(html_file, to_html(found).encode())
    if png_file:
        write_out(png_file, to_png(found))
    if json_file:
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
    name = track.patch.label
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
    return "  ".join(f"{click.style(_SIGNS[letter][0], fg=_SIGNS[letter][1])} {says}" for letter, says in SAYS.items())


def _at_the_end(found: Drift) -> dict[str, int]:
    """Outcome -> how many patches have it at the last commit."""
    return dict(Counter(track.ranges[-1].outcome for track in found.tracks if track.ranges))
