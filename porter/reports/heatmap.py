"""A drift as a picture, patch by commit: a PNG, and a section of the page, out of its record."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from porter.errors import EnvironmentFailed
from porter.lockfile import Pin
from porter.output import counted
from porter.patch import Patch
from porter.rebase.drift import Drift, Track
from porter.rebase.trial import LETTERS
from porter.reports.markup import Html, code, details, element, join, paragraph, table
from porter.reports.records import Field, Record
from porter.sources.history import UpstreamCommit

SAYS = {
    "a": "applies as it is",
    "o": "applies, lines have moved",
    "m": "merges three-way",
    "t": "taken upstream",
    "c": "conflicts",
    "z": "is in no stack of that line",
}
BETWEEN = "Between two of these a patch is taken to have the outcome that it has at both."
# told apart in the common colour blindnesses, and by lightness alone; a letter is a class of the page, which has others
COLOURS = {"a": "#1b7a5a", "o": "#6cbf8f", "m": "#f0c24b", "t": "#4a78c8", "c": "#b5352f", "z": "#9aa0a6"}
_WIDE, _ROW = 1400, 26  # pixels for the commits, at least one each, and of a patch's row
_LEFT, _RIGHT, _ABOVE, _BELOW = 480, 90, 130, 100  # pixels around them
_SUBJECT = 40  # characters


def to_png(drift: Drift) -> bytes:
    """The picture as a PNG, about 2000 pixels wide.

    Raises:
        EnvironmentFailed: Matplotlib is not installed.
    """
    try:
        from matplotlib.colors import ListedColormap
        from matplotlib.figure import Figure
        from matplotlib.patches import Rectangle
    except ImportError as error:
        hint = "pip install 'yolov5-porter[train]' brings it; --html needs nothing."
        raise EnvironmentFailed("a picture of the drift needs Matplotlib", str(error), hint) from error
    count, rows = max(1, len(drift.steps)), max(1, len(drift.tracks))
    inner = max(1, _WIDE // count) * count, _ROW * rows
    outer = inner[0] + _LEFT + _RIGHT, inner[1] + _ABOVE + _BELOW
    figure = Figure(figsize=(outer[0] / 100, outer[1] / 100), dpi=100)
    area = _LEFT / outer[0], _BELOW / outer[1], inner[0] / outer[0], inner[1] / outer[1]
    axes = figure.add_axes(area, frame_on=False)
    order = ["", *COLOURS]  # the first: no commit at all
    codes = [[order.index(letter) for letter in track.letters] or [0] for track in drift.tracks] or [[0] * count]
    axes.imshow(
        codes,
        ListedColormap(["white", *COLOURS.values()]),
        aspect="auto",
        interpolation="nearest",
        vmin=0,
        vmax=len(COLOURS),
    )
    axes.hlines([row + 0.5 for row in range(rows)], -0.5, count - 0.5, "white", linewidth=3)  # apart from one another
    axes.set_yticks(range(len(drift.tracks)), [_label(track) for track in drift.tracks], family="monospace")
    # below each row a mark for each commit at which git was asked
    axes.hlines([row + 0.4 for row in range(rows)], -0.5, count - 0.5, "white", linewidth=5)
    for row, track in enumerate(drift.tracks):
        axes.vlines(track.asked, row + 0.32, row + 0.46, "black", linewidth=0.6)
    quarters = _quarters(drift)
    axes.set_xticks(list(quarters), list(quarters.values()))
    axes.set_ylim(rows - 0.5, -0.5)
    for n, track in enumerate(drift.tracks):
        axes.text(count, n, f" {sum(letter != 'c' for letter in track.letters)}", va="center")
    for at, tag in drift.tags.items():
        axes.axvline(at, color="black", linewidth=1)
        axes.annotate(tag, (at, 1), (0, 4), ("data", "axes fraction"), "offset points", ha="center")
    figure.text(20 / outer[0], 1 - 30 / outer[1], _title(drift), fontsize=16)
    figure.text(20 / outer[0], 1 - 60 / outer[1], _verdict(drift), color="dimgray")
    shown = [Rectangle((0, 0), 1, 1, color=colour) for colour in COLOURS.values()]
    figure.legend(shown, list(SAYS.values()), loc="lower left", ncols=len(SAYS), frameon=False)
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def _quarters(drift: Drift) -> dict[int, str]:
    """Where each third month begins that has a commit, with room between them: the step's number -> year and month."""
    found: dict[int, str] = {}
    before, last = "", -len(drift.steps)
    for at, step in enumerate(drift.steps):
        quarter = f"{step.date[:4]}-{(int(step.date[5:7]) - 1) // 3 * 3 + 1:02d}"
        if quarter != before and (at - last) * 14 > len(drift.steps):
            found[at], last = step.date[:7], at
        before = quarter
    return found


def _title(drift: Drift) -> str:
    return f"{drift.stack}: {counted(len(drift.tracks), 'patch')} on {drift.pin.name} {drift.pin.tag}..{drift.rev}"


def _verdict(drift: Drift) -> str:
    return (
        f"{counted(len(drift.steps), 'commit')}; "
        f"{drift.reach} of {counted(len(drift.tracks), 'patch')} reach {drift.rev}; "
        f"all of them stand for {counted(drift.whole, 'commit')}. At the right: commits at which a patch stands. "
        "Below a row: those at which git was asked."
    )


def _label(track: Track) -> str:
    subject = track.patch.subject
    cut = subject if len(subject) <= _SUBJECT else subject[: _SUBJECT - 3].rstrip() + "..."
    text = f"{track.patch.label} {cut}"
    return text.encode("ascii", "replace").decode().replace("$", r"\$")  # Matplotlib's own font has no Chinese


# -- the section of the page ------------------------------------------------------------------------------

_ID = r"[0-9a-f]{40}"
_BREAKS = ("patch", "stands at", "first conflict")


def section(record: Record, number: int) -> Html:
    """The part of the page about one drift.

    Raises:
        WrongUsage: the record is damaged.
    """
    drift = drift_of(record)
    signs = {**SAYS, "q": "below a row: git was asked"}
    legend = (element("li", element("i", class_=letter), says) for letter, says in signs.items())
    rows = [_row(track, drift) for track in drift.tracks]
    breaks = table(_BREAKS, [_where(track, drift) for track in drift.tracks], class_="plain")
    parts = [
        element("h2", f"Drift: {drift.stack}, {drift.pin.tag}..{drift.rev}"),
        paragraph(sentence(drift)),
        element("ul", *legend, class_="legend"),
        element("div", _axis(drift.tags, drift), *rows, _axis(_months(drift), drift, " dates"), class_="map"),
        details("where each patch breaks", element("div", breaks, class_="drifted")),
    ]
    return element("section", *parts, id=f"drift-{number}")


def sentence(drift: Drift) -> str:
    """What the map shows, in words."""
    asked, size = len(drift.asked), len(drift.steps)
    how = (
        "at each commit" if asked == size else f"at {asked} of the commits: at tags, and around each change. {BETWEEN}"
    )
    return (
        f"{counted(len(drift.tracks), 'patch')} at {counted(size, 'commit')} of {drift.pin.name}. "
        "The series is applied by git am -3, and a "
        f"patch that conflicts is left out. git was asked {how.rstrip('.')}. "
        f"{counted(drift.reach, 'patch')} {'stands' if drift.reach == 1 else 'stand'} "
        f"at {drift.rev} ({drift.until[:10]}); "
        f"all of them stand for the first {counted(drift.whole, 'commit')}."
    )


def _stands(track: Track) -> int:
    return sum(letter != "c" for letter in track.letters)


def _axis(marks: Mapping[int, str], drift: Drift, look: str = "") -> Html:
    """A line above or below the rows: words at commits (indices)."""
    size = max(1, len(drift.steps))
    words = (element("b", word, style=f"left:{100 * at / size:.3f}%") for at, word in sorted(marks.items()))
    return element("div", element("span"), element("div", *words), element("em"), class_=f"row axis{look}")


def _months(drift: Drift) -> dict[int, str]:
    """Where a month begins, with room between them: the commit's index -> year and month."""
    found: dict[int, str] = {}
    before, last, size = "", -len(drift.steps), len(drift.steps)
    for at, step in enumerate(drift.steps):
        if step.date[:7] != before and (at - last) * 100 > 14 * size and at * 100 < 90 * size:
            found[at], last = step.date[:7], at
        before = step.date[:7]
    return found


def _row(track: Track, drift: Drift) -> Html:
    size, stands = max(1, len(drift.steps)), _stands(track)
    letters = {outcome: letter for letter, outcome in LETTERS.items()}
    bars = [
        element(
            "rect",
            element("title", f"{_range(one.first, one.last, drift)}: {SAYS[letters[one.outcome]]}"),
            class_=letters[one.outcome],
            x=one.first - 1,
            width=one.last - one.first + 1,
            height=".78",
        )
        for one in track.ranges
    ]
    marks = element("path", class_="q", d="".join(f"M{at} .84h1V1h-1z" for at in track.asked))
    said = f"stands at {stands} of {size} commits"
    strip = element(
        "svg", *bars, marks, viewBox=f"0 0 {size} 1", preserveAspectRatio="none", role="img", aria_label=said
    )
    name = element("span", code(track.patch.label), " ", track.patch.subject, title=track.patch.subject)
    return element("div", name, strip, element("em", stands), class_="row")


def _range(first: int, last: int, drift: Drift) -> str:
    one, two = drift.steps[first - 1], drift.steps[last - 1]
    if first == last:
        return f"{one.id[:10]} ({one.date}) {one.subject}"
    return f"{one.id[:10]} ({one.date}) to {two.id[:10]} ({two.date}), {counted(last - first + 1, 'commit')}"


def _where(track: Track, drift: Drift) -> tuple[object, ...]:
    """Of a patch at how many commits it stands, and where it first conflicts."""
    name = join([code(track.patch.id.split("-")[0]), " ", track.patch.subject])
    if track.breaks is None:
        return name, _stands(track), "none"
    step, file = drift.steps[track.breaks], track.files.get(track.breaks, "")
    again = "".join(f"; stands again at {drift.steps[at].id[:10]}" for at in track.returns)
    where = join([code(step.id[:10]), f" {step.date} {step.subject}", element("small", f"{file}{again}")])
    return name, _stands(track), where


def drift_of(record: Record) -> Drift:
    """What the record was made of, less the files of conflicts after each patch's first.

    Raises:
        WrongUsage: the record is damaged.
    """
    field = record.field
    pin, end = field["pin"], field["to"]
    commits = field["commits"].entries()
    return Drift(
        pin=Pin(field["upstream"].text(), pin["tag"].text(), pin["commit"].text(_ID, "a commit id"), "", "", "", {}),
        rev=end["rev"].text(),
        until=end["commit"].text(_ID, "a commit id"),
        stack=field["stack"].text(),
        steps=tuple(_step(each) for each in commits),
        tags={n: tag.text() for n, each in enumerate(commits) if (tag := each.get("tag"))},
        tracks=tuple(_tracks(field["patches"].entries(), len(commits))),
        new=0,
    )


def _step(field: Field) -> UpstreamCommit:
    date = field["date"].text(r"\d{4}-\d\d-\d\d", "a date")
    return UpstreamCommit(field["commit"].text(_ID, "a commit id"), date, field["subject"].text(), {})


def _tracks(fields: Iterable[Field], size: int) -> Iterator[Track]:
    """The patches of a record, each stack's in order."""
    counts: Counter[str] = Counter()
    for field in fields:
        stack, _, name = field["patch"].text(r"[\w.-]+/[\w.-]+", "a patch's name").partition("/")
        letters = field["outcomes"].text(f"[{''.join(LETTERS)}]{{{size}}}", f"{size} letters of {''.join(LETTERS)}")
        counts[stack] += 1
        patch = Patch(stack, name, field["subject"].text(), "", (), "", "", (), b"", 0, counts[stack])
        given = field.get("asked")  # older records have none: git was asked at each commit
        asked = tuple(each.count() - 1 for each in given.entries()) if given else tuple(range(size))
        if any(not 0 <= at < size for at in asked):
            field["asked"].fail(f"numbers of commits, 1 to {size}")
        yield Track(patch, letters, _files(field.get("breaks")), asked)


def _files(field: Field | None) -> Mapping[int, str]:
    file = field.get("file") if field else None
    return {field["number"].count() - 1: file.text()} if field and file else {}


# of the outcomes in the map; --ink is the page's colour
STYLE = "".join(
    f".{letter}{{fill:{colour};background:{colour}}}" for letter, colour in {**COLOURS, "q": "var(--ink)"}.items()
)
