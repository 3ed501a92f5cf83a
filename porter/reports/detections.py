"""Detections drawn on their pictures: boxes as SVG over a JPEG, and the same as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from porter.reports.markup import Html, details, element, figure, join, key, paragraph, table
from porter.reports.records import Field

_BASE64 = r"[A-Za-z0-9+/]+={0,2}"
_PIXELS = 4096  # a picture's side at most


@dataclass(frozen=True)
class Box:
    """A box: the class's name, corners in parts of the picture, confidence."""

    name: str
    left: float
    top: float
    wide: float
    high: float
    sure: float

    @property
    def label(self) -> str:
        """Class and confidence."""
        return f"{self.name} {self.sure:.2f}"


def part(detect: Field | None, accuracy: Field | None) -> Html:
    """What detect.py and val.py found, as far as a model was at hand that finds something."""
    found = [field for field in (each.get("seen") for each in (detect, accuracy) if each) if field]
    if not found:
        return Html("")
    return join([element("h3", "Detections"), *(_model(field) for field in found)])


def _model(field: Field) -> Html:
    names = {name: value.text() for name, value in field["classes"].fields()}
    pictures = field["pictures"].entries()
    both = any(each.get("device") for each in pictures)
    keys = [_key("cpu", "cpu"), _key("device", "device")] if both else [_key("cpu", "cpu")]
    said = paragraph(
        f"By {field['model'].text()}; boxes of confidence {field['sure'].number():g} and more.",
        "" if both else " There was only the cpu.",
    )
    shown = [_picture(each, names) for each in pictures]
    look = "seen alone" if len(shown) == 1 else "seen"
    return join([said, element("p", *keys, class_="keys"), element("div", *shown, class_=look)])


def _picture(field: Field, names: dict[str, str]) -> Html:
    name = field["name"].text()
    wide, high = field["width"].count(), field["height"].count()
    if not 0 < wide <= _PIXELS or not 0 < high <= _PIXELS:
        field.fail(f"a picture of 1 to {_PIXELS} pixels a side")
    data = field["jpeg"].text(_BASE64, "a JPEG in base64")
    cpu = _boxes(field["cpu"], names)
    device = None if field.get("device") is None else _boxes(field["device"], names)
    said = f"{name}: {_found(cpu)} on the cpu"
    if device is not None:
        said += ", the same on the device" if device == cpu else f"; {_found(device)} on the device"
    said += "."
    drawing = element(
        "svg",
        element("title", said),
        element("image", href=f"data:image/jpeg;base64,{data}", width=wide, height=high),
        *(_drawn(box, "cpu", wide, high) for box in cpu),
        *(_drawn(box, "device", wide, high) for box in device or ()),
        *_labels(cpu, device, wide, high),
        viewBox=f"0 0 {wide} {high}",
        role="img",
        aria_label=said,
        xmlns="http://www.w3.org/2000/svg",
    )
    rows = [(side, box.name, f"{box.sure:.4g}", _place(box, wide, high)) for side, box in _sides(cpu, device)]
    boxes = details(
        f"{len(rows)} {'box' if len(rows) == 1 else 'boxes'} in figures",
        table(("on", "class", "confidence", f"left, top, width, height of {wide} x {high}"), rows, class_="plain"),
    )
    return figure(drawing, said, boxes if rows else "")


def _boxes(field: Field, names: dict[str, str]) -> list[Box]:
    found = []
    for each in field.entries():
        number, x, y, wide, high, sure = each.numbers(6)
        if not all(-0.5 <= value <= 1.5 for value in (x, y, wide, high)):
            each.fail("a box in parts of the picture")
        name = names.get(f"{number:g}", f"class {number:g}")
        found.append(Box(name, x - wide / 2, y - high / 2, wide, high, sure))
    return found


def _sides(cpu: Sequence[Box], device: Sequence[Box] | None) -> list[tuple[str, Box]]:
    """The boxes for the table; what is the same on both sides once."""
    if device == cpu:
        return [("both", box) for box in cpu]
    return [*(("cpu", box) for box in cpu), *(("device", box) for box in device or ())]


def _drawn(box: Box, side: str, wide: int, high: int) -> Html:
    return element(
        "rect",
        class_=f"box {side}",
        x=f"{box.left * wide:.1f}",
        y=f"{box.top * high:.1f}",
        width=f"{box.wide * wide:.1f}",
        height=f"{box.high * high:.1f}",
    )


def _labels(cpu: Sequence[Box], device: Sequence[Box] | None, wide: int, high: int) -> list[Html]:
    """Class and confidence at each box, once where both sides found the same; none over another."""
    size = max(wide, high) / 30
    edge = size * 0.25
    known = set(cpu)
    wanted = [(box, box.label) for box in cpu]
    wanted += [(box, f"device: {box.label}") for box in device or () if box not in known]
    taken: list[tuple[float, float, float]] = []
    made = []
    for box, words in wanted:
        room = size * 0.62 * len(words)  # about: letters have no width until they are drawn
        x = max(edge, min(box.left * wide + edge, wide - edge - room))
        y = min(max(box.top * high + size, size), high - edge)
        while any(abs(y - v) < size and x < u + w and u < x + room for u, v, w in taken) and y < high - size:
            y += size * 1.05
        taken.append((x, y, room))
        end = x + room >= wide - edge - 1  # then it ends at the picture's edge, however wide its letters are
        made.append(
            element(
                "text",
                words,
                class_="tag",
                x=f"{wide - edge if end else x:.1f}",
                y=f"{y:.1f}",
                text_anchor="end" if end else None,
                font_size=f"{size:.1f}",
                stroke_width=f"{size / 5:.1f}",
            )
        )
    return made


def _found(boxes: Sequence[Box]) -> str:
    """``4 person, 1 bus``."""
    counts: dict[str, int] = {}
    for box in boxes:
        counts[box.name] = counts.get(box.name, 0) + 1
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "nothing"


def _place(box: Box, wide: int, high: int) -> str:
    return ", ".join(f"{value:.0f}" for value in (box.left * wide, box.top * high, box.wide * wide, box.high * high))


def _key(name: str, side: str) -> Html:
    return key(name, element("rect", class_=f"box {side}", x=3, y=2, width=22, height=8))
