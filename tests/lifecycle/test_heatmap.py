from __future__ import annotations

import io
import re
import sys
from dataclasses import replace

import pytest
from PIL import Image
from reports.reading import Page

from porter.errors import EnvironmentFailed
from porter.lockfile import Pin
from porter.patch import Patch
from porter.rebase.drift import Drift, Track
from porter.rebase.trial import LETTERS
from porter.reports import heatmap, records
from porter.reports.page import page
from porter.sources.history import UpstreamCommit

ASKED = (0, 9, 10, 19, 20, 29, 30, 44, 45, 49)
EVIL = '<script>alert(1)</script> & "quotes" </title> 寒武纪'


def patch(number: int, subject: str) -> Patch:
    return Patch("common", f"{number:04d}-x.patch", subject, "", (), "A <a@b>", "0 +0000", (), b"", 1)


@pytest.fixture
def drift() -> Drift:
    steps = tuple(
        UpstreamCommit(f"{n:040x}", f"2022-{1 + n // 10:02d}-01", EVIL if n == 3 else f"Step {n}", {})
        for n in range(50)
    )
    rows = ["a" * 50, "a" * 10 + "o" * 10 + "m" * 10 + "c" * 15 + "t" * 5, "c" * 50]
    tracks = tuple(
        Track(
            patch(n + 1, EVIL if n else "Plain"),
            row,
            {at: "train.py" for at, letter in enumerate(row) if letter == "c" and at in ASKED},
            ASKED,
        )
        for n, row in enumerate(rows)
    )
    pin = Pin("example/x", "v6.0", "1" * 40, "2" * 40, "2021-10-11T23:47:18-07:00", "GPL-3.0-only", {})
    return Drift(pin, "v7.0", steps[-1].id, "mlu", steps, {20: "v6.1", 49: "v7.0"}, tracks, 50)


def shown(drift: Drift) -> str:
    return page([records.of_result(drift)], [track.patch for track in drift.tracks])


def test_the_page_is_whole_and_needs_nothing_from_elsewhere(drift: Drift) -> None:
    text = shown(drift)
    found = Page(text)
    assert not {"src", "action"} & {name for _, attributes in found.tags for name in attributes}
    assert all(attributes["href"].startswith("#") for attributes in found.all("a"))
    assert not re.search(r"https?://(?!www.w3.org/2000/svg)|@import|url\(", text) and "script" not in dict(found.tags)


def test_the_page_holds_every_outcome(drift: Drift) -> None:
    found = Page(shown(drift))
    assert [(bar["class"], bar["x"], bar["width"]) for bar in found.all("rect")] == [
        ("a", "0", "50"),
        ("a", "0", "10"),
        ("o", "10", "10"),
        ("m", "20", "10"),
        ("c", "30", "15"),
        ("t", "45", "5"),
        ("c", "0", "50"),
    ]
    marks = [attributes["d"] for attributes in found.all("path")]
    assert [re.findall(r"M(\d+) ", each) for each in marks] == [[str(at) for at in ASKED]] * 3
    assert [mark["style"] for mark in found.all("b")] == [
        "left:40.000%",
        "left:98.000%",
        *(f"left:{at}.000%" for at in (0, 20, 40, 60, 80)),
    ]
    assert "train.py; stands again at 0000000000" in found.text and EVIL in found.text
    assert "git was asked at 10 of the commits" in found.text


def test_where_git_was_asked_everywhere_nothing_is_inferred(drift: Drift) -> None:
    every = replace(drift, tracks=tuple(replace(track, asked=tuple(range(50))) for track in drift.tracks))
    assert "git was asked at each commit. 2 patches" in heatmap.sentence(every)


def pixels(data: bytes) -> list[list[tuple[int, int, int]]]:
    """Rows of red, green and blue."""
    with Image.open(io.BytesIO(data)) as picture:
        wide, _ = picture.size
        data = picture.convert("RGB").tobytes()
    flat = [(data[at], data[at + 1], data[at + 2]) for at in range(0, len(data), 3)]
    return [flat[at : at + wide] for at in range(0, len(flat), wide)]


def test_the_picture_has_the_outcomes_in_their_places(drift: Drift) -> None:
    shown = {tuple(bytes.fromhex(colour[1:])): letter for letter, colour in heatmap.COLOURS.items()}
    assert set(shown.values()) == set(heatmap.SAYS) == set(LETTERS)
    column = heatmap._WIDE // 50
    strips = []
    for row in pixels(heatmap.to_png(drift)):
        middles = row[heatmap._LEFT + column // 4 : heatmap._LEFT + heatmap._WIDE : column]  # beside the tags' lines
        strip = "".join(shown.get(colour, "?") for colour in middles)
        if "?" not in strip and (not strips or strips[-1] != strip):
            strips.append(strip)
    assert strips == [track.letters for track in drift.tracks]


def test_the_picture_marks_where_git_was_asked(drift: Drift) -> None:
    column = heatmap._WIDE // 50
    rows = [row[heatmap._LEFT : heatmap._LEFT + heatmap._WIDE] for row in pixels(heatmap.to_png(drift))]
    # where a row is white but for marks; a tag's line is there as well, at a commit that was asked
    marked = [
        {x // column for x, colour in enumerate(row) if sum(colour) < 600} for row in rows if row[5] == (255,) * 3
    ]
    assert sum(found == set(ASKED) for found in marked) >= 3, marked


def test_a_picture_needs_matplotlib(drift: Drift, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(EnvironmentFailed, match="needs Matplotlib"):
        heatmap.to_png(drift)


def test_nothing_to_show_is_shown_too(drift: Drift) -> None:
    none = replace(
        drift, steps=(), tags={}, tracks=tuple(replace(t, letters="", files={}, asked=()) for t in drift.tracks)
    )
    Page(shown(none))
    pixels(heatmap.to_png(none))
    pixels(heatmap.to_png(replace(none, tracks=())))


def test_thousands_of_commits_have_a_pixel_each(drift: Drift) -> None:
    many = replace(
        drift, steps=drift.steps * 60, tracks=tuple(replace(t, letters=t.letters * 60) for t in drift.tracks)
    )
    rows = pixels(heatmap.to_png(many))
    assert len(rows[0]) > 3000
