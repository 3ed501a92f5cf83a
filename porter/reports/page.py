"""The whole page."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from porter.output import counted
from porter.patch import Patch
from porter.project import Project
from porter.reports import heatmap, measurements, patches, proof
from porter.reports.markup import Html, element, join, paragraph
from porter.reports.patches import Verdicts
from porter.reports.proof import Proof
from porter.reports.records import Record
from porter.stack import Stack, available

# nothing is loaded from anywhere and nothing runs, whatever the records hold
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def targets_of(records: Sequence[Record]) -> list[str]:
    """The targets that records are about, sorted.

    Raises:
        WrongUsage: a record is damaged.
    """
    found: set[str] = set()
    for record in records:
        name = "stack" if record.kind == "drift" else "target"
        found.update(record.field[name].text(r"[\w.-]+(\+[\w.-]+)*", "a target's name").split("+"))
    return sorted(found)


def with_patches(project: Project, records: Sequence[Record], targets: Sequence[str] = ()) -> str:
    """One page of records, and of the patches as the project has them.

    Args:
        targets: whose patches; by default those that the records are about and that there is a stack for here: a
            record may come from another checkout.

    Raises:
        WrongUsage: a record is damaged; there is no such target.
        CheckFailed: a stack is malformed.
    """
    here = available(project.patches)
    shown = targets or [name for name in targets_of(records) if name in here]
    return page(records, Stack.load(project, shown).patches if shown else ())


def page(records: Sequence[Record], stack: Sequence[Patch]) -> str:
    """One page of records, in an order of its own, and of the patches.

    Raises:
        WrongUsage: a record is damaged; the message names the file and the field.
    """
    ordered = sorted(records, key=lambda record: record.order)
    of = {
        kind: [record for record in ordered if record.kind == kind] for kind in ("verify", "compare", "bench", "drift")
    }
    proofs = [Proof.of(record, n) for n, record in enumerate(of["verify"], 1)]
    judged = [Verdicts.of(record) for record in ordered if record.kind == "necessity"]
    title = f"porter report: {', '.join(targets_of(ordered))}"
    parts = [
        element(
            "header",
            element("h1", title),
            *_head(proofs, of["bench"]),
            _contents(proofs, of["compare"], of["bench"], of["drift"]),
        ),
        *(proof.section(each) for each in proofs),
        *(measurements.compared(record, n) for n, record in enumerate(of["compare"], 1)),
        *(measurements.speed(record, n) for n, record in enumerate(of["bench"], 1)),
        patches.section(stack, judged),
        *(heatmap.section(record, n) for n, record in enumerate(of["drift"], 1)),
        element("footer", _footer(ordered)),
    ]
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width,initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("style", Html(style())),
    )
    body = element("body", element("main", Html("\n".join(part for part in parts if part))))
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n"


def _head(proofs: list[Proof], benches: list[Record]) -> list[Html]:
    if not proofs:
        return [paragraph("No verification is among the records.", class_="note")]
    failed = sum(check.state == "failed" for each in proofs for check in each.checks)
    said = f"{counted(failed, 'check')} failed." if failed else "No check failed."
    for mark, what in ("EMULATED", "EMULATED"), ("SIMULATOR", "the vendor's SIMULATOR"):
        count = sum(each.mark == mark for each in proofs)
        if count:
            which = "Every device here" if count == len(proofs) else f"Of the {len(proofs)} devices here {count}"
            said += f" {which} was {what}: no card was in it."
    return [*(proof.verdict(each, benches) for each in proofs), paragraph(said), proof.summary(proofs)]


def _contents(proofs: list[Proof], compared: list[Record], benches: list[Record], drifts: list[Record]) -> Html:
    links: list[tuple[str, object]] = [(each.id, each.heading) for each in proofs]
    links += [(f"compare-{n}", f"compared: {record.field['target'].text()}") for n, record in enumerate(compared, 1)]
    links += [(f"bench-{n}", f"speed: {record.field['target'].text()}") for n, record in enumerate(benches, 1)]
    links += [("patches", "patches")]
    links += [(f"drift-{n}", f"drift: {record.field['stack'].text()}") for n, record in enumerate(drifts, 1)]
    items = [element("li", element("a", name, href=f"#{place}")) for place, name in links]
    return element("nav", element("ul", *items), aria_label="Contents")


def _footer(records: Sequence[Record]) -> Html:
    versions = sorted({str(version.text()) for record in records if (version := record.field.get("porter"))})
    counts = Counter(record.kind for record in records)
    made = ", ".join(f"{count} of {kind}" for kind, count in counts.items())
    of = counted(len(records), "record")
    return join([f"Made by porter report of {of} ({made}), written by porter {', '.join(versions)}."])


def style() -> str:
    """How the page looks, without the line breaks and comments of its file; and the colours of a drift's map."""
    text = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
    return re.sub(r"/\*.*?\*/|\n", "", text, flags=re.DOTALL) + heatmap.STYLE
