"""What the page opens with: whether a port works, on what, how it computes and how fast, a sentence each."""

from __future__ import annotations

from collections.abc import Sequence

from porter.output import counted
from porter.reports.markup import Html, code, element, join, number
from porter.reports.proof import CheckRecord, Proof, badge, mark_of, state_of
from porter.reports.records import Record

_STATIC = ("tree", "audit")  # checks that run nothing


def section(proof: Proof, benches: Sequence[Record]) -> Html:
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
