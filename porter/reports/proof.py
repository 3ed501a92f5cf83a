"""What a verification proved: its device, its checks, and the logs of those that failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from porter.output import counted
from porter.reports import chart, detections
from porter.reports.markup import Html, code, details, element, join, number, paragraph, table
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
        chart.part(proof.figures("parity"), proof.figures("learns"), proof.figures("accuracy")),
        detections.part(proof.figures("detect"), proof.figures("accuracy")),
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
