"""Losses and metrics of a training on the cpu and on the device, over each other."""

from __future__ import annotations

from collections.abc import Sequence

from porter.reports import chart
from porter.reports.chart import Limit, Line
from porter.reports.markup import Html, details, element, figure, join, number, paragraph, table
from porter.reports.records import Field

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
        drawn = [_line(side, look, [row[n] for row in losses[side]]) for side, look in _SIDES]
        title = _TITLES.get(name, f"Loss {name}")
        made.append(figure(chart.lines(title, "iteration", title.lower(), drawn), _sentence(title, losses, n)))
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
    made.append(figure(chart.lines("mAP@0.5 of the short run", "epoch", "mAP@0.5", drawn, zero=True), words))
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
            chart.lines("loss of the overfit run", "epoch", "loss", loss, zero=True),
            "Loss of a run that is to learn its few pictures by heart, mean of each epoch.",
        ),
        figure(
            chart.lines("mAP of the overfit run", "epoch", "mAP", drawn, [Limit("asked for", asked)], zero=True), said
        ),
    ]


def _epochs(field: Field) -> list[tuple[float, float, float, float]]:
    """Epoch, loss, mAP@0.5 and mAP@0.5:0.95 of each epoch."""
    return [
        (float(each["epoch"].count()), each["loss"].number(), each["mAP50"].number(), each["mAP"].number())
        for each in field.entries()
    ]


def _line(name: str, look: str, values: Sequence[float]) -> Line:
    return Line(name, list(enumerate(map(float, values))), look)
