"""What a verification proved: its device, its checks, and the logs of those that failed."""

from __future__ import annotations

from dataclasses import dataclass

from porter.reports import curves, detections, operators
from porter.reports.markup import Html, code, details, element, join, paragraph, table
from porter.reports.records import Field, Record

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
        return cls(
            id=f"verify-{number}",
            target=field["target"].text(),
            device=field["device"].text(),
            mark=mark_of(field),
            level=field["level"].text(),
            data=field["data"].text(),
            tree=field["tree"].text(),
            commit=found.text() if (found := field.get("commit")) else "",
            machine=field["machine"].text(),
            date=field["date"].text(),
            seconds=field["seconds"].number(),
            checks=tuple(_check(each) for each in field["checks"].entries()),
        )

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
    return CheckRecord(
        name=field["check"].text(),
        proves=field["proves"].text(),
        state=field["state"].one_of(STATES),
        said=field["said"].text(),
        seconds=field["seconds"].number(),
        log=field["log"].text(),
        command=field["command"].text(),
        repeat=field["repeat"].text(),
        figures=field["figures"],
    )


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
        curves.part(proof.figures("parity"), proof.figures("learns"), proof.figures("accuracy")),
        detections.part(proof.figures("detect"), proof.figures("accuracy")),
        operators.coverage(proof.figures("ops")),
        operators.transfers(proof.figures("transfers")),
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
