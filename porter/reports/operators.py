"""The device's work: which operators ran, against the vendor's list, and what went between host and device."""

from __future__ import annotations

from porter.output import counted
from porter.reports import chart
from porter.reports.chart import Limit, Line
from porter.reports.markup import Html, code, details, element, figure, join, number, paragraph, table
from porter.reports.records import Field

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
    return [figure(chart.share("operators of the vendor's list", bars), said)]


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
    return figure(chart.lines(what, "step", "calls", [shown], limits, zero=True), said)
