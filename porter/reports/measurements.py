"""What ``porter compare`` and ``porter bench`` measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from porter.output import counted
from porter.reports import chart
from porter.reports.chart import Limit, Line
from porter.reports.markup import Html, code, details, element, figure, join, number, paragraph, table
from porter.reports.proof import badge, mark_of
from porter.reports.records import Field, Record

_PHASES = (("forward", "one"), ("backward", "two"), ("step", "three"))
_SAYS = {"forward": "forward", "backward": "backward", "step": "the optimizer's step"}
_LEAST, _MOST = 0.01, 10_000  # what is less, or more, is drawn as this


def compared(record: Record, number_: int) -> Html:
    """The part of the page about one comparison.

    Raises:
        WrongUsage: the record is damaged.
    """
    field = record.field
    rows = field["rows"].entries()
    first_step = [row for row in rows if row["step"].count() == 0]
    mark = mark_of(field)
    sides = f"{field['device'].text()}, against {field['reference'].text()}"
    precision = field.get("precision")
    how = f"{len(first_step)} tensors of a step, {counted(field['steps'].count(), 'step')}"
    parts = [
        element("h2", f"Compared: {field['target'].text()}", *badge(mark)),
        paragraph(f"{sides}. {how}, {precision.text() if precision else 'fp32'}."),
        _found(field),
        figure(_chart(first_step), _caption(first_step)),
        details("each layer in figures", _layers(first_step, field["lines"])),
    ]
    return element("section", *parts, id=f"compare-{number_}")


def part(row: Field) -> float:
    """A tensor's largest error as a part of its band; infinite where a NaN or an infinity is there."""
    absolute, allowed = row["absolute"].number(), row["allowed"].number()
    if row["nan"].count() or row["inf"].count() or not math.isfinite(absolute):
        return math.inf
    return absolute / allowed if allowed else math.inf if absolute else 0.0


def _found(field: Field) -> Html:
    """What left its band first, or that nothing did."""
    parted, first, operator = field.get("parted"), field.get("first"), field.get("operator")
    if parted is None:
        return paragraph("Nothing is further off than it may be.")
    if first is None:
        return paragraph(
            "The two part in ", element("strong", f"step {parted.count()}"), " (from 0): the first step agrees."
        )
    where = f"{first['path'].text() or 'the model'}, {_SAYS[first['phase'].one_of(_SAYS)]}: {first['what'].text()}"
    line = first.get("line")
    said: list[object] = ["The first to leave its band: ", element("strong", where, class_="bad"), ". "]
    if line is not None and line.text():
        said += [code(line.text()), ". "]
    said.append(
        f"Its largest error is {number(first['absolute'].number())}, {number(first['allowed'].number())} is allowed"
    )
    said.append(f"; {first['nan'].count()} NaN, {first['inf'].count()} Inf. ")
    if operator is not None:
        inside = operator["path"].text()
        said += ["The operator: ", code(operator["name"].text()), f", in {inside}." if inside else "."]
    return paragraph(*said)


def _chart(rows: Sequence[Field]) -> Html:
    drawn = []
    for phase, look in _PHASES:
        points = [(float(n), _shown(part(row))) for n, row in enumerate(rows) if row["phase"].text() == phase]
        if points:
            drawn.append(Line(_SAYS[phase], points, look))
    limits = [Limit("what is allowed", 1.0)]
    return chart.lines(
        "error along the network", "tensors, as they are made", "error / allowed", drawn, limits, log=True
    )


def _shown(value: float) -> float:
    return min(max(value, _LEAST), float(_MOST))


def _caption(rows: Sequence[Field]) -> str:
    parts = [part(row) for row in rows]
    outside, same = sum(row["outside"].flag() for row in rows), sum(not each for each in parts)
    said = f"The largest error of each tensor, as a part of what is allowed: {outside} of {len(rows)} are outside"
    said += f", {same} the same in every bit" if same else ""
    return f"{said}. Less than {number(_LEAST)} is drawn as that, and more than {number(_MOST)}, or a NaN, as that."


def _layers(rows: Sequence[Field], lines: Field) -> Html:
    """The worst of each layer, forward, backward and after the step."""
    texts = {layer: line.entries() for layer, line in lines.fields()}
    worst: dict[str, dict[str, float]] = {}
    for row in rows:
        parts = row["path"].text().split(".")
        layer = parts[1] if len(parts) > 1 and parts[0] == "model" and parts[1].isdigit() else parts[0] or "model"
        phases = worst.setdefault(layer, {})
        phase = row["phase"].text()
        phases[phase] = max(phases.get(phase, 0.0), part(row))

    def cells(layer: str) -> list[object]:
        found = worst[layer]
        values = [found.get(phase) for phase, _ in _PHASES]
        said = ["" if value is None else number(value) if math.isfinite(value) else "NaN, Inf" for value in values]
        marked = [
            element("strong", text, class_="bad") if value and value > 1 else text for text, value in zip(said, values)
        ]
        line = texts.get(layer)
        return [layer, *marked, code(line[1].text()) if line and len(line) > 1 else ""]

    heads = ("layer", *(_SAYS[phase] for phase, _ in _PHASES), join(["line of the model's yaml"]))
    return table(heads, [cells(layer) for layer in worst], right=(1, 2, 3), class_="plain")


# What ``porter bench`` measured.

_LOOKS = ("one", "two", "three")


def speed(record: Record, number_: int) -> Html:
    """The part of the page about one measurement.

    Raises:
        WrongUsage: the record is damaged.
    """
    field = record.field
    subjects = field["subjects"].entries()
    mark = mark_of(field)
    runs = len(subjects[0]["runs"].entries()) if subjects else 0
    speeds = [_speeds(each, n) for n, each in enumerate(subjects)]
    how = ", ".join(
        (
            field["cfg"].text(),
            f"{field['img'].count()} px",
            f"batch {field['batch'].count()}",
            f"{field['iters'].count()} iterations in each of {runs} runs",
            f"{field['warm_up'].count()} before them left out",
            f"data: {field['data'].text()}",
        )
    )
    parts = [
        element("h2", f"Speed: {field['target'].text()}", *badge(mark)),
        paragraph(how, ". ", f"{field['machine'].text()}, {field['date'].text()}."),
        paragraph(
            element("strong", mark),
            ": the times are those of this machine's processor; no card was in it.",
            " An emulated device's counts of copies and waits are a card's." if mark == "EMULATED" else "",
            class_="emulated",
        )
        if mark
        else "",
        figure(
            chart.dots("images per second of each run", "images/s", speeds),
            "Images per second; a point is a run.",
        ),
        _ratio(field.get("ratio"), subjects),
        _table(subjects),
    ]
    return element("section", *parts, id=f"bench-{number_}")


def _name(field: Field) -> str:
    mark = mark_of(field)
    return field["name"].text() + (f" ({mark})" if mark else "")


def _speeds(field: Field, n: int) -> tuple[str, list[float], str]:
    runs = [run["throughput"].number() for run in field["runs"].entries()]
    return _name(field), runs, _LOOKS[n % len(_LOOKS)]


def _ratio(field: Field | None, subjects: list[Field]) -> Html:
    if field is None:
        return Html("")
    names = " / ".join(_name(each) for each in subjects)
    low, middle, high = (number(field[name].number()) for name in ("min", "median", "max"))
    return paragraph(f"Images per second, {names}, round by round: ", element("strong", middle), f" ({low} to {high}).")


def _table(subjects: list[Field]) -> Html:
    rows: list[tuple[str, Callable[[Field], str]]] = [
        ("images/s", lambda f: number(f["throughput"].number())),
        ("an iteration, mean", lambda f: _ms(f["batch_time_avg"].number())),
        ("standard deviation", lambda f: _ms(math.sqrt(max(f["batch_time_var"].number(), 0.0)))),
        ("median", lambda f: _ms(f["batch_time_p50"].number())),
        ("95th percentile", lambda f: _ms(f["batch_time_p95"].number())),
        ("the device's own time, mean", lambda f: _maybe(f.get("hardware_time_avg"))),
        ("waiting for data, mean", lambda f: _ms(f["data_time_avg"].number())),
        ("device memory, peak", lambda f: _mib(f["memory_device"].count())),
        ("host memory, peak", lambda f: _mib(f["memory_host"].count())),
        ("waits for the device in a step", lambda f: _step(f.get("per_step"), "synchronisations")),
        ("copies to the device in a step", lambda f: _step(f.get("per_step"), "host_to_device")),
        ("copies to the host in a step", lambda f: _step(f.get("per_step"), "device_to_host")),
        ("copies inside kernels in a step", lambda f: _step(f.get("per_step"), "inside_kernels")),
    ]
    heads = ("", *(join([_name(each), element("small", each["precision"].text())]) for each in subjects))
    together = [each["together"] for each in subjects]
    body = [(name, *(say(field) for field in together)) for name, say in rows]
    places = [
        ("device", *(each["device"].text() for each in subjects)),
        ("card", *(each["card"].text() for each in subjects)),
        ("tree", *(f"{each['tree'].text()} at {each['commit'].text()[:12]}" for each in subjects)),
    ]
    return table(heads, [*places, *body], class_="plain")


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.4g} ms"


def _mib(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB" if size else "-"


def _maybe(field: Field | None) -> str:
    return "-" if field is None else _ms(field.number())


def _step(field: Field | None, name: str) -> str:
    found = None if field is None else field.get(name)  # an older porter counted no copies inside kernels
    return "-" if found is None else str(found.count())
