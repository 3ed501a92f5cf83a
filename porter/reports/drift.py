"""How far each patch carries across upstream's history: the heat map of ``porter drift`` out of its record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from porter.lockfile import Pin
from porter.patch import Patch
from porter.rebase.drift import Drift, Track
from porter.rebase.trial import LETTERS
from porter.reports import heatmap
from porter.reports.markup import Html, details, element, paragraph
from porter.reports.records import Field, Record
from porter.sources.history import UpstreamCommit

_ID = r"[0-9a-f]{40}"


def section(record: Record, number: int) -> Html:
    """The part of the page about one drift.

    Raises:
        WrongUsage: the record is damaged.
    """
    found = drift_of(record)
    parts = [
        element("h2", f"Drift: {found.stack}, {found.pin.tag}..{found.rev}"),
        paragraph(heatmap.sentence(found)),
        Html(heatmap.picture(found)),
        details("where each patch breaks", element("div", Html(heatmap.table(found)), class_="wide drifted")),
    ]
    return element("section", *parts, id=f"drift-{number}")


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
