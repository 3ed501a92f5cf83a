"""Charts as SVG, and the sections that are charts.  Colours are the page's (CSS), so that they follow light and dark.

A chart is 360 units wide, about what a phone shows, so that its letters are readable there without zooming.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from porter.output import counted
from porter.reports.markup import Html, code, details, element, figure, join, key, number, paragraph, picture, table
from porter.reports.records import Field

_WIDE, _HIGH = 360, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 12, 26, 38
_ENDLESS = 1e100
Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """One line of a chart.

    Attributes:
        name: what it is.
        points: x and y in order; a y that is not finite leaves a gap.
        look: the CSS class that paints it: ``cpu`` (wide), ``device`` (thin and dashed, so that both show where they
            are one), ``one``, ``two``, ``three``.
        dots: whether each point is marked.
    """

    name: str
    points: Sequence[Point]
    look: str
    dots: bool = False

    @property
    def finite(self) -> list[Point]:
        """The points that can be drawn."""
        return [(x, y) for x, y in self.points if _finite(x) and _finite(y)]


@dataclass(frozen=True)
class Limit:
    """A level that something has to stay above or below."""

    name: str
    y: float


def lines(
    title: str,
    across: str,
    up: str,
    drawn: Sequence[Line],
    limits: Sequence[Limit] = (),
    *,
    zero: bool = False,
    log: bool = False,
) -> Html:
    """Lines over one axis, with a legend.

    Args:
        title: what is shown, for those who do not see it.
        across, up: what the axes are, with units.
        zero: whether the upright axis begins at nothing.
        log: whether it goes in powers of ten; every y is above 0 then.
    """
    if log:
        limits = [Limit(limit.name, math.log10(limit.y)) for limit in limits]
        drawn = [replace(line, points=[(x, math.log10(y)) for x, y in line.points]) for line in drawn]
    points = [point for line in drawn for point in line.finite]
    if not points:
        return element("p", f"{title}: there is no finite number to draw.", class_="note")
    limits = [limit for limit in limits if _finite(limit.y)]
    xs, ys = [x for x, _ in points], [y for _, y in points] + [limit.y for limit in limits]
    x_ticks = _whole_ticks(min(xs), max(xs))
    y_ticks = _ticks(min(0.0, *ys) if zero else min(ys), max(ys), all(y == int(y) for y in ys) or log)
    x = _scale(min(xs), max(xs), _LEFT + 6, _WIDE - _RIGHT - 6)
    y = _scale(y_ticks[0], y_ticks[-1], _HIGH - _BOTTOM, _TOP)
    parts = [
        _axes(across, up, [(x(v), v) for v in x_ticks], [(y(v), 10**v if log else v) for v in y_ticks]),
        *(
            element("line", class_="limit", x1=_LEFT, x2=_WIDE - _RIGHT, y1=f"{y(limit.y):.1f}", y2=f"{y(limit.y):.1f}")
            for limit in limits
        ),
        *(_line(line, x, y) for line in drawn),
    ]
    said = f"{title}. {'. '.join(_said(line, log) for line in drawn)}."
    keys = [_key(line.name, line.look) for line in drawn]
    keys += [_key(f"{limit.name}: {number(10**limit.y if log else limit.y)}", "limit") for limit in limits]
    return element("div", picture(_WIDE, _HIGH, said, *parts), element("p", *keys, class_="keys"), class_="chart")


def share(title: str, parts: Sequence[tuple[str, float, str]]) -> Html:
    """One bar that several amounts make up; each is a name, the amount, and the CSS class that paints it."""
    whole = sum(amount for _, amount, _ in parts)
    drawn, at = [], 0.0
    for _, amount, look in parts:
        wide = (_WIDE - 2) * amount / whole if whole else 0.0
        wide = max(wide, 2.0) if amount else 0.0  # a value above 0 is visible
        drawn.append(element("rect", class_=f"bar {look}", x=f"{at + 1:.1f}", y=1, width=f"{wide:.1f}", height=18))
        at += wide
    said = ", ".join(f"{name}: {number(amount)}" for name, amount, _ in parts)
    keys = [_key(f"{name}: {number(amount)}", look) for name, amount, look in parts]
    bar = picture(_WIDE, 20, f"{title}. {said}.", *drawn)
    return element("div", bar, element("p", *keys, class_="keys"), class_="chart")


def dots(title: str, across: str, rows: Sequence[tuple[str, Sequence[float], str]]) -> Html:
    """For each row its name and its values as points over one axis that begins at nothing."""
    values = [value for _, row, _ in rows for value in row if _finite(value)]
    if not values:
        return element("p", f"{title}: there is no finite number to draw.", class_="note")
    ticks = _ticks(0.0, max(values))
    high = _TOP + 40 * len(rows) + _BOTTOM
    x = _scale(0.0, ticks[-1], _LEFT - 36, _WIDE - _RIGHT - 12)
    parts = []
    for value in ticks:
        at = f"{x(value):.1f}"
        parts.append(element("line", class_="grid", x1=at, x2=at, y1=_TOP, y2=high - _BOTTOM))
        parts.append(element("text", number(value), x=at, y=high - _BOTTOM + 14, text_anchor="middle"))
    for n, (name, row, look) in enumerate(rows):
        y = _TOP + 40 * n
        parts.append(element("text", name, class_="name", x=_LEFT - 36, y=y + 13))
        parts += [
            element("circle", class_=f"dot {look}", cx=f"{x(value):.1f}", cy=y + 25, r=4.5)
            for value in row
            if _finite(value)
        ]
    parts.append(element("text", across, x=_WIDE - _RIGHT, y=high - 6, text_anchor="end"))
    said = ". ".join(f"{name}: {', '.join(number(value) for value in row)}" for name, row, _ in rows)
    return element("div", picture(_WIDE, high, f"{title}. {said}.", *parts), class_="chart")


# -- parts ------------------------------------------------------------------------------------------------


def _axes(across: str, up: str, x_ticks: Sequence[Point], y_ticks: Sequence[Point]) -> Html:
    floor = _HIGH - _BOTTOM
    parts = []
    for at, value in y_ticks:
        parts.append(element("line", class_="grid", x1=_LEFT, x2=_WIDE - _RIGHT, y1=f"{at:.1f}", y2=f"{at:.1f}"))
        parts.append(element("text", _label(value), x=_LEFT - 6, y=f"{at + 4:.1f}", text_anchor="end"))
    for at, value in x_ticks:
        parts.append(element("line", class_="rule", x1=f"{at:.1f}", x2=f"{at:.1f}", y1=floor, y2=floor + 4))
        parts.append(element("text", _label(value), x=f"{at:.1f}", y=floor + 16, text_anchor="middle"))
    parts.append(element("line", class_="rule", x1=_LEFT, x2=_WIDE - _RIGHT, y1=floor, y2=floor))
    parts.append(element("text", across, x=_WIDE - _RIGHT, y=_HIGH - 6, text_anchor="end"))
    parts.append(element("text", up, x=2, y=12))
    return join(parts)


def _line(line: Line, x: Callable[[float], float], y: Callable[[float], float]) -> Html:
    runs: list[list[str]] = [[]]
    for across, up in line.points:
        if _finite(across) and _finite(up):
            runs[-1].append(f"{x(across):.1f},{y(up):.1f}")
        elif runs[-1]:
            runs.append([])
    parts = [element("polyline", class_=f"curve {line.look}", points=" ".join(run)) for run in runs if len(run) > 1]
    parts += [
        element("circle", class_=f"dot {line.look}", cx=f"{x(across):.1f}", cy=f"{y(up):.1f}", r=3)
        for across, up in (line.finite if line.dots or len(line.finite) == 1 else ())
    ]
    return join(parts)


def _key(name: str, look: str) -> Html:
    return key(name, element("line", class_=f"curve key {look}", x1=1, x2=27, y1=6, y2=6))


def _said(line: Line, log: bool) -> str:
    found = line.finite
    if not found:
        return f"{line.name}: no finite number"
    lost = len(line.points) - len(found)
    first, last = (10**y if log else y for y in (found[0][1], found[-1][1]))
    ends = f"{line.name}: from {number(first)} to {number(last)} in {len(found)} points"
    return f"{ends}, {lost} not finite" if lost else ends


def _finite(value: float) -> bool:
    """Whether a value has a place on an axis; what is larger than any figure of a training has none either."""
    return abs(value) < _ENDLESS


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    """From values to places; a single value is in the middle."""
    if high == low:
        return lambda value: (start + end) / 2
    return lambda value: start + (end - start) * (value - low) / (high - low)


def _label(value: float) -> str:
    return f"{value:.10g}" if abs(value) < 1e5 else f"{value:.3g}"


def _ticks(low: float, high: float, whole: bool = False) -> list[float]:
    """Some round numbers that hold ``low`` and ``high`` between them, whole ones if that is asked for."""
    if high == low:
        high, low = (high + abs(high) / 2, low - abs(low) / 2) if high else (1.0, 0.0)
    step = _round(high / 4 - low / 4)
    step = max(1.0, step) if whole else step
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(n * step, 12) for n in range(first, last + 1)]


def _whole_ticks(low: float, high: float) -> list[float]:
    """Whole numbers within ``low`` and ``high``, ten at most."""
    step = max(1.0, _round((high - low) / 9, (1.0, 2.0, 5.0, 10.0))) if high > low else 1.0
    first = math.ceil(low / step - 1e-9)
    return [float(n * step) for n in range(first, math.floor(high / step + 1e-9) + 1)]


def _round(value: float, steps: Sequence[float] = (1.0, 2.0, 2.5, 5.0, 10.0)) -> float:
    """The next of the steps times a power of ten that is not less."""
    size = 10.0 ** math.floor(math.log10(value))
    return next(step * size for step in steps if step * size >= value * (1 - 1e-9))


# Losses and metrics of a training on the cpu and on the device, over each other.

_SIDES = (("cpu", "cpu"), ("device", "device"))
_TITLES = {"all": "Loss", "box": "Box loss", "obj": "Objectness loss", "cls": "Class loss"}


def part(parity: Field | None, learns: Field | None, accuracy: Field | None) -> Html:
    """The charts of the checks ``parity``, ``learns`` and ``accuracy``, as far as they were made."""
    parts = [*(_parity(parity) if parity else ()), *(_learns(learns, accuracy) if learns else ())]
    if not parts:
        return Html("")
    charts = element("div", *parts, class_="charts")
    return join([element("h3", "Training"), charts, _in_figures(parity) if parity else ""])


def _parity(field: Field) -> list[Html]:
    names = [each.text() for each in field["losses"].entries()]
    losses = {side: [row.numbers(len(names)) for row in field[side]["losses"].entries()] for side, _ in _SIDES}
    made = []
    for n, name in enumerate(names):
        drawn = [_curve_line(side, look, [row[n] for row in losses[side]]) for side, look in _SIDES]
        title = _TITLES.get(name, f"Loss {name}")
        made.append(figure(lines(title, "iteration", title.lower(), drawn), _sentence(title, losses, n)))
    epochs = {side: _epochs(field[side]["epochs"]) for side, _ in _SIDES}
    if not all(epochs.values()):
        return made
    if not any(best for side in epochs.values() for _, _, best, _ in side):
        said = (
            f"mAP@0.5 was 0 after each of {len(epochs['cpu'])} epochs on both sides: too short a run to find anything."
        )
        return [*made, paragraph(said, class_="note")]
    drawn = [
        Line(side, [(epoch, best) for epoch, _, best, _ in epochs[side]], look, dots=True) for side, look in _SIDES
    ]
    words = "mAP@0.5 of the same run, validated after each epoch: it is far too short to find much."
    made.append(figure(lines("mAP@0.5 of the short run", "epoch", "mAP@0.5", drawn, zero=True), words))
    return made


def _in_figures(field: Field) -> Html:
    sides = [[row.numbers()[:1] for row in field[side]["losses"].entries()] for side, _ in _SIDES]
    rows = [(at, *(number(value) for row in pair for value in row)) for at, pair in enumerate(zip(*sides))]
    return details("the loss in figures", table(("iteration", "cpu", "device"), rows, right=(0, 1, 2), class_="plain"))


def _sentence(title: str, losses: dict[str, list[list[float]]], n: int) -> str:
    pairs = list(zip(losses["cpu"], losses["device"]))
    if len(losses["cpu"]) != len(losses["device"]):
        return f"{title}: {len(losses['cpu'])} iterations on the cpu, {len(losses['device'])} on the device."
    same = sum(cpu[n] == device[n] for cpu, device in pairs)
    if same == len(pairs):
        return f"{title} of {len(pairs)} iterations from the same start: equal, bit for bit."
    worst = max((abs(cpu[n] - device[n]) / max(abs(cpu[n]), 1e-9) for cpu, device in pairs), default=0.0)
    apart = f"{same} equal, {worst:.2g} apart at most (relative)"
    return f"{title} of {len(pairs)} iterations from the same start: {apart}."


def _learns(field: Field, accuracy: Field | None) -> list[Html]:
    epochs = _epochs(field["epochs"])
    beside = field.get("cpu")
    sides = [*([("cpu", "cpu", _epochs(beside))] if beside else ()), ("device", "device", epochs)]
    loss = [Line(side, [(at, loss) for at, loss, _, _ in rows], look, dots=True) for side, look, rows in sides]
    asked = field["asked"].number()
    drawn = [
        Line(f"mAP@0.5, {side}", [(at, best) for at, _, best, _ in rows], look, dots=True) for side, look, rows in sides
    ]
    drawn.append(Line("mAP@0.5:0.95, device", [(at, mean) for at, _, _, mean in epochs], "three", dots=True))
    said = f"mAP of each epoch's validation; the check asks for {number(asked)} at 0.5 on the device."
    if beside:
        said += " Cpu and device are equal." if sides[0][2] == epochs else " Cpu and device are not equal."
    cpu = accuracy.get("cpu") if accuracy else None
    if accuracy and cpu and epochs:
        metrics = cpu.numbers(4)
        drawn.append(Line("mAP@0.5 of the best model, val.py on the cpu", [(epochs[-1][0], metrics[2])], "one"))
        device = accuracy["metrics"].numbers(4)[2]
        said += f" val.py gives the best model {metrics[2]:.4g} on the cpu, {device:.4g} on the device."
    return [
        figure(
            lines("loss of the overfit run", "epoch", "loss", loss, zero=True),
            "Loss of a run that is to learn its few pictures by heart, mean of each epoch.",
        ),
        figure(lines("mAP of the overfit run", "epoch", "mAP", drawn, [Limit("asked for", asked)], zero=True), said),
    ]


def _epochs(field: Field) -> list[tuple[float, float, float, float]]:
    """Epoch, loss, mAP@0.5 and mAP@0.5:0.95 of each epoch."""
    return [
        (float(each["epoch"].count()), each["loss"].number(), each["mAP50"].number(), each["mAP"].number())
        for each in field.entries()
    ]


def _curve_line(name: str, look: str, values: Sequence[float]) -> Line:
    return Line(name, list(enumerate(map(float, values))), look)


# The device's work: which operators ran, against the vendor's list, and what went between host and device.

_KINDS = {
    "host_to_device": "copies to the device",
    "device_to_host": "copies to the host",
    "synchronisations": "waits for the device",
    "inside_kernels": "copies inside the vendor's kernels",
}


def coverage(field: Field | None) -> Html:
    """The operators of the check ``ops``."""
    if field is None:
        return Html("")
    used = {name: (each["calls"].count(), each["line"].text()) for name, each in field["operators"].fields()}
    missing = {name: line.text() for name, line in field["missing"].fields()}
    outside = [each.text() for each in field["outside"].entries()]
    parts = [element("h3", "Operators"), *_share(field, len(used), len(missing), outside)]
    if missing:
        lost = [(code(name), code(line)) for name, line in missing.items()]
        parts.append(table(("operator without a kernel", "used at"), lost, class_="plain"))
    rows = [(code(name), f"{calls:,}", code(line)) for name, (calls, line) in used.items()]
    heading = f"the {len(used)} operators, how often each was called and where first"
    parts.append(details(heading, table(("operator", "calls", "first used at"), rows, right=(1,), class_="plain")))
    return join(parts)


def _share(field: Field, used: int, missing: int, outside: list[str]) -> list[Html]:
    listed = field.get("listed")
    if listed is None:
        return [paragraph(f"{used} operators ran. No list of the vendor's is known, so nothing was refused.")]
    whole = listed.count()
    said = f"Training and validation used {used} operators. The list has {whole}: {field['list'].text()}."
    said += f" {missing} of those used are refused." if missing else " Every one used has a kernel there."
    facts = field.get("facts")
    if facts is not None:
        counts = {name: len(facts[name].entries()) for name in ("known", "assumed", "refused")}
        said += f" Of {counts['known']} it is known what their kernels demand; {counts['assumed']} are assumed to take"
        said += f" what they get, since their kernels could not be read to the end; {counts['refused']} are refused."
    if outside:
        said += f" Not in the list, being memory, views or copies, which a plugin has of itself: {', '.join(outside)}."
    ours = used - len(outside)
    bars = [("used", ours, "one"), ("in the list, not used", max(whole - ours, 0), "rest")]
    bars += [("used, not in the list", missing, "missing")] if missing else []
    return [figure(share("operators of the vendor's list", bars), said)]


def transfers(field: Field | None) -> Html:
    """The counts of the check ``transfers``."""
    if field is None:
        return Html("")
    most = {name: value.count() for name, value in field["most"].fields()}
    budget = {name: value.count() for name, value in field["budget"].fields()}
    rows = [
        (_KINDS.get(name, name), count, budget.get(name, "-"), "yes" if count <= budget.get(name, count) else "no")
        for name, count in most.items()
    ]
    head = ("in a training step", "at most", "budget", "within")
    charts = [_steps(name, field["steps"][name], budget.get(name)) for name in most]
    lines = [
        (
            _KINDS.get(each["kind"].text(), each["kind"].text()),
            code(each["operator"].text()),
            code(each["line"].text()),
            each["count"].count(),
            f"{size.count():,}" if (size := each.get("bytes")) else "",
        )
        for each in field["lines"].entries()
    ]
    listed = details(
        f"the {counted(len(lines), 'place')} of one step",
        table(("what", "operator", "line", "times", "bytes"), lines, right=(3, 4), class_="plain"),
    )
    return join(
        [
            element("h3", "Transfers per step"),
            table(head, rows, right=(1, 2), class_="plain"),
            element("div", *charts, class_="charts"),
            listed,
        ]
    )


def _steps(name: str, field: Field, allowed: int | None) -> Html:
    counts = field.numbers()
    what = _KINDS.get(name, name)
    line = Line(what, list(enumerate(counts)), "one", dots=True)
    # what begins and ends an epoch dwarfs the steady steps: the scale is theirs
    steady = sorted(counts)[len(counts) // 2] if counts else 0.0
    top = max(2.0 * max(steady, allowed or 0.0), 4.0)
    shown = Line(what, [(x, y if y <= top else float("nan")) for x, y in line.points], "one", dots=True)
    above = [f"{number(y)} in step {x:.0f}" for x, y in line.points if y > top]
    said = f"{what.capitalize()} in each step."
    if above:
        said += f" Off the scale: {', '.join(above)}; a run's first step does more, and so does an epoch's, since the"
        said += " validation before it is counted there."
    limits = [] if allowed is None else [Limit("budget of a steady step", allowed)]
    return figure(lines(what, "step", "calls", [shown], limits, zero=True), said)
