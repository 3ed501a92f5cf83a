"""What ``porter bench`` measured."""

from __future__ import annotations

import math
from collections.abc import Callable

from porter.reports import chart
from porter.reports.markup import Html, element, figure, join, number, paragraph, table
from porter.reports.proof import badge, mark_of
from porter.reports.records import Field, Record

_LOOKS = ("one", "two", "three")


def section(record: Record, number_: int) -> Html:
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
