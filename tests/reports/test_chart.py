"""Charts: points in their places, whatever the numbers are."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import pytest

from porter.reports import chart
from porter.reports.chart import Limit, Line
from porter.reports.markup import Html

SVG = "{http://www.w3.org/2000/svg}"


def drawn(made: Html) -> ElementTree.Element:
    """The chart's own picture, parsed as XML."""
    (picture,) = re.findall(r'<svg[^>]* role="img".*?</svg>', made, re.DOTALL)
    return ElementTree.fromstring(picture)


def points(svg: ElementTree.Element, look: str) -> list[tuple[float, float]]:
    found = []
    for line in svg.iter(f"{SVG}polyline"):
        if look in line.attrib["class"].split():
            found += [tuple(map(float, pair.split(","))) for pair in line.attrib["points"].split()]
    return found


def test_two_lines_over_each_other() -> None:
    values = [(0, 4.0), (1, 2.0), (2, 1.0)]
    svg = drawn(
        chart.lines("loss", "iteration", "loss", [Line("cpu", values, "cpu"), Line("device", values, "device")])
    )
    assert points(svg, "cpu") == points(svg, "device")
    (x0, y0), (x1, y1), (x2, y2) = points(svg, "cpu")
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2)
    assert y0 < y1 < y2 and (y1 - y0) == pytest.approx(2 * (y2 - y1), abs=0.3)
    assert "cpu: from 4 to 1 in 3 points" in svg.attrib["aria-label"]
    assert svg.find(f"{SVG}title") is not None


@pytest.mark.parametrize(
    "values",
    [
        [(0, 1.0)],
        [(0, 0.0), (1, 0.0)],
        [(0, -3.0), (1, 5e9)],
        [(0, 1e-12), (1, 2e-12)],
        [(0, 1.0), (1, math.nan), (2, 3.0), (3, math.inf), (4, 2.0), (5, 1.0)],
        [(n, math.sin(n)) for n in range(1000)],
        [(7, 1e99), (8, -1e99)],
        [(7, 1e308), (8, 3.0)],
    ],
)
def test_all_stays_within(values: list[tuple[float, float]]) -> None:
    svg = drawn(chart.lines("t", "x", "y", [Line("one", values, "one", dots=True)], [Limit("asked", 0.5)], zero=True))
    _, _, wide, high = map(float, svg.attrib["viewBox"].split())
    places = points(svg, "one") + [
        (float(dot.attrib["cx"]), float(dot.attrib["cy"])) for dot in svg.iter(f"{SVG}circle")
    ]
    assert places and all(0 <= x <= wide and 0 <= y <= high for x, y in places)
    finite = [value for value in values if abs(value[1]) < 1e100]
    assert len(list(svg.iter(f"{SVG}circle"))) == len(finite)
    assert ("not finite" in svg.attrib["aria-label"]) == (len(finite) < len(values))
    labels = [text.text for text in svg.iter(f"{SVG}text")]
    assert "x" in labels and "y" in labels and 2 < len(labels) < 22


@pytest.mark.parametrize("values", [[], [(0, math.nan)], [(0, math.inf), (1, -math.inf)]])
def test_nothing_to_draw_is_said(values: list[tuple[float, float]]) -> None:
    assert "no finite number" in chart.lines("t", "x", "y", [Line("one", values, "one")])
    assert "no finite number" in chart.dots("t", "x", [("a", [y for _, y in values], "one")])


@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (0.013, 0.019), (3, 700), (-5, 5), (1e-9, 3e-9), (0, 0), (4, 4), (-2, -2)]
)
def test_ticks_hold_the_values(low: float, high: float) -> None:
    ticks = chart._ticks(low, high)
    assert ticks[0] <= low + 1e-12 and ticks[-1] >= high - 1e-12 and 2 <= len(ticks) <= 7


def test_a_share() -> None:
    svg = drawn(chart.share("operators", [("used", 30, "one"), ("rest", 60, "rest"), ("missing", 0, "missing")]))
    widths = [float(bar.attrib["width"]) for bar in svg.iter(f"{SVG}rect")]
    assert widths[1] == pytest.approx(2 * widths[0], abs=0.2) and widths[2] == 0
    assert drawn(chart.share("none", [("used", 0, "one")])) is not None


def test_runs_as_points() -> None:
    svg = drawn(chart.dots("speed", "images/s", [("mlu", [10.0, 20.0], "one"), ("cpu", [20.0], "two")]))
    dots = [(dot.attrib["class"], float(dot.attrib["cx"])) for dot in svg.iter(f"{SVG}circle")]
    assert dots[1][1] == dots[2][1] > dots[0][1]
    assert dots[0][0] == "dot one" and dots[2][0] == "dot two"
