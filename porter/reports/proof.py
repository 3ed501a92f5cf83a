"""What a verification proved: its device, its checks, and the logs of those that failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from porter.output import counted
from porter.reports import chart
from porter.reports.markup import Html, code, details, element, figure, join, key, number, paragraph, picture, table
from porter.reports.records import Field, Record, filled

STATES = {"passed": ("good", "✓"), "failed": ("bad", "✗"), "not shown": ("open", "–")}
_BANNERS = {
    "EMULATED": ": no card was in it. The device is porter's stand-in over this machine's memory; it refuses what the"
    " vendor's plugin has no kernel for, and computes as the cpu does. It shows that the port is right, not how fast it"
    " is.",
    "SIMULATOR": ": no card was in it. The vendor's own plugin ran, on the vendor's own simulator of the chip. It shows"
    " that the port and the plugin go together, not how fast a card is.",
}


@dataclass(frozen=True)
class CheckRecord:
    """A check of a record: what it is to prove, how it ended, its figures (see porter.verification.checks)."""

    name: str
    proves: str
    state: str
    said: str
    seconds: float
    log: str
    command: str
    repeat: str
    figures: Field


@dataclass(frozen=True)
class Proof:
    """A record of ``porter verify``.

    Attributes:
        id: of its part of the page.
        mark: EMULATED or SIMULATOR where no card was in it; else empty.
        commit: the tree's; empty in a record of an older porter.
    """

    id: str
    target: str
    device: str
    mark: str
    level: str
    data: str
    tree: str
    commit: str
    machine: str
    date: str
    seconds: float
    checks: tuple[CheckRecord, ...]

    @classmethod
    def of(cls, record: Record, number: int) -> Proof:
        """The proof in a record, the page's nth.

        Raises:
            WrongUsage: the record is damaged.
        """
        field = record.field
        commit = found.text() if (found := field.get("commit")) else ""
        checks = tuple(_check(each) for each in field["checks"].entries())
        return filled(cls, field, id=f"verify-{number}", mark=mark_of(field), commit=commit, checks=checks)

    def figures(self, name: str) -> Field | None:
        """The figures of a check, if it was made and has some."""
        return next((check.figures for check in self.checks if check.name == name and check.figures.value), None)

    @property
    def counts(self) -> Html:
        """How many checks ended how."""
        shown = [(state, sum(check.state == state for check in self.checks)) for state in STATES]
        return join((state_of(name, f"{count} {name}") for name, count in shown if count), ", ")

    @property
    def heading(self) -> Html:
        """The device in words, with its mark."""
        title = f"{self.target} on {self.name.partition(' (')[0]}"
        return join([title, *badge(self.mark)])

    @property
    def name(self) -> str:
        """The device in words, for beside the mark."""
        return self.device.replace(f"{self.mark} ", "", 1) if self.mark else self.device


def mark_of(field: Field) -> str:
    """The mark of a record, or of a part of one; those of older porters know of no simulator."""
    simulator = field.get("simulator")
    if simulator is not None and simulator.flag():
        return "SIMULATOR"
    return "EMULATED" if field["emulated"].flag() else ""


def badge(mark: str) -> list[Html | str]:
    """What stands behind a heading for a mark: nothing for none."""
    return [" ", element("span", mark, class_="badge")] if mark else []


def _check(field: Field) -> CheckRecord:
    name, state = field["check"].text(), field["state"].one_of(STATES)
    return filled(CheckRecord, field, name=name, state=state, figures=field["figures"])


def state_of(state: str, words: str | None = None) -> Html:
    """A state with its sign: the colour says nothing that the sign does not.

    Args:
        words: what stands behind the sign; None: the state's name.
    """
    look, sign = STATES[state]
    return element("span", f"{sign} {state if words is None else words}".rstrip(), class_=f"state {look}")


def summary(proofs: list[Proof]) -> Html:
    """A line for each verification, at the head of the page."""
    rows = [
        (
            element("a", proof.target, href=f"#{proof.id}"),
            join([proof.name, *badge(proof.mark)]),
            join([proof.counts, element("small", f"level {proof.level}, {proof.date[:10]}")]),
        )
        for proof in proofs
    ]
    return table(("target", "device", "checks"), rows, class_="plain")


def section(proof: Proof) -> Html:
    """The part of the page about one verification."""
    facts = (
        ("device", proof.device),
        ("tree", join([code(proof.tree), *([" at ", code(proof.commit[:12])] if proof.commit else [])])),
        ("data", proof.data),
        ("machine", proof.machine),
        ("when", f"{proof.date}, {proof.seconds:.0f} s, level {proof.level}"),
    )
    parts = [
        element("h2", proof.heading),
        paragraph(element("strong", proof.mark), _BANNERS[proof.mark], class_="emulated") if proof.mark else "",
        element("dl", *(join([element("dt", name), element("dd", value)]) for name, value in facts), class_="facts"),
        _table(proof),
        *(_failure(check, f"{proof.id}-{check.name}") for check in proof.checks if check.state == "failed"),
        chart.part(proof.figures("parity"), proof.figures("learns"), proof.figures("accuracy")),
        part(proof.figures("detect"), proof.figures("accuracy")),
        chart.coverage(proof.figures("ops")),
        chart.transfers(proof.figures("transfers")),
    ]
    return element("section", *parts, id=proof.id)


def _table(proof: Proof) -> Html:
    rows = [
        (
            join([code(check.name), element("br"), state_of(check.state)]),
            join([check.said, element("small", check.proves)]),
            f"{check.seconds:.1f}",
        )
        for check in proof.checks
    ]
    return table(("check", "found, and what it proves", "s"), rows, right=(2,), class_="plain checks")


def _failure(check: CheckRecord, place: str) -> Html:
    return join(
        [
            element("h3", "Failed: ", code(check.name), id=place),
            paragraph(check.said),
            paragraph("What was run: ", code(check.command)) if check.command else "",
            paragraph("Again: ", code(check.repeat)),
            details("what it printed last", element("pre", check.log), open_=True) if check.log else "",
        ]
    )


# What the page opens with: whether a port works, on what, how it computes and how fast, a sentence each.

_STATIC = ("tree", "audit")  # checks that run nothing


def verdict(proof: Proof, benches: Sequence[Record]) -> Html:
    """The sentences about one verification.

    Args:
        benches: what ``porter bench`` measured, of any target.

    Raises:
        WrongUsage: a record is damaged.
    """
    sentences = [
        _works(proof),
        _where(proof),
        _sentence(proof, "parity", "It computes what the CPU computes", "Whether it computes what the CPU computes"),
        _sentence(
            proof, "reference", "It reaches the mAP that v6.0 publishes", "Whether it reaches v6.0's published mAP"
        ),
        _speed(proof, [record for record in benches if record.field["target"].text() == proof.target]),
    ]
    return element("ul", *(element("li", sentence) for sentence in sentences), class_="verdict")


def _works(proof: Proof) -> Html:
    by_state = {
        state: [check.name for check in proof.checks if check.state == state]
        for state in ("passed", "failed", "not shown")
    }
    failed, passed = by_state["failed"], by_state["passed"]
    link = element("a", proof.target, href=f"#{proof.id}")
    if failed:
        names = join((element("a", code(name), href=f"#{proof.id}-{name}") for name in failed), ", ")
        of = counted(len(proof.checks), "check")
        return join(
            [state_of("failed", ""), " ", link, f" does not work yet: {len(failed)} of {of} failed: ", names, "."]
        )
    if not set(passed) - set(_STATIC):
        what = "looked at as files alone: nothing of it was run" if passed else "shown: no check passed"
        return join([state_of("not shown", ""), " ", link, f" was {'' if passed else 'not '}{what}."])
    rest = by_state["not shown"]
    more = f"; {len(rest)} could not be shown here ({', '.join(rest)})" if rest else ""
    return join([state_of("passed", ""), " ", link, f" works: {counted(len(passed), 'check')} passed{more}."])


def _where(proof: Proof) -> Html:
    commit = [", the tree at commit ", code(proof.commit[:12])] if proof.commit else []
    return join(["It was verified on ", proof.name, *badge(proof.mark), *commit, f", on {proof.date[:10]}."])


def _sentence(proof: Proof, name: str, says: str, whether: str) -> Html:
    """What a check found of what a manager asks; ``whether`` begins the sentence where it found nothing."""
    found = next((check for check in proof.checks if check.name == name), None)
    if found is None:
        return join([state_of("not shown", ""), f" {whether}, was not looked at: it is the check ", code(name), "."])
    return join([state_of(found.state, ""), " ", _words(found, says, whether)])


def _words(check: CheckRecord, says: str, whether: str) -> Html:
    if check.state == "passed":
        return join([f"{says}: {check.said}."])
    if check.state == "failed":
        return join([f"{says}? No: {check.said}."])
    return join([f"{whether}, is not shown: {check.said}."])


def _speed(proof: Proof, benches: Sequence[Record]) -> Html:
    for record in benches:
        subject = record.field["subjects"].entries()[0]
        mark = mark_of(record.field)
        said = f"It trains at {number(subject['together']['throughput'].number())} images/s"
        ratio = record.field.get("ratio")
        if ratio is not None:
            against = record.field["subjects"].entries()[1]["name"].text()
            said += f", {number(ratio['median'].number())} times {against}"
        words = f" ({subject['precision'].text()}, {record.field['cfg'].text()}, {record.field['img'].count()} px, "
        words += f"batch {record.field['batch'].count()})"
        return join([said, words, *badge(mark), ": this machine's processor was measured." if mark else "."])
    found = next((check for check in proof.checks if check.name == "metrics" and check.state == "passed"), None)
    if found and not proof.mark:
        return join([f"A training of the check metrics ran at {found.said}; ", code("porter bench"), " measures."])
    return join(["How fast it is, ", code("porter bench"), " measures; none of its records is here."])


# Detections drawn on their pictures: boxes as SVG over a JPEG, and the same as a table.

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
    drawing = picture(
        wide,
        high,
        said,
        element("image", href=f"data:image/jpeg;base64,{data}", width=wide, height=high),
        *(_drawn(box, "cpu", wide, high) for box in cpu),
        *(_drawn(box, "device", wide, high) for box in device or ()),
        *_labels(cpu, device, wide, high),
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
