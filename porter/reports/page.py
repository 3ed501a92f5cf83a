"""The whole page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

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
        element("style", Html(STYLE)),
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


# How the page looks: on a phone, on a desk, in the dark, on paper.
#
# The colours of lines and states are those of Okabe and Ito, which people with any of the common colour blindnesses
# tell apart; beside the colour there is always a shape, a dash or a word.

_PAGE = """
:root{color-scheme:light;--ink:#1b1f24;--paper:#fff;--soft:#f4f6f8;--faint:#57606a;--line:#d0d7de;
--one:#0072b2;--two:#d55e00;--three:#007a57;--good:#0a6b4b;--bad:#b3260e;--warn:#fff3c4;--warnline:#b58900;--link:#0a58a8}
@media screen and (prefers-color-scheme:dark){:root{color-scheme:dark;--ink:#e6edf3;--paper:#0d1117;--soft:#161b22;
--faint:#9da7b1;--line:#3d444d;--one:#56b4e9;--two:#f0a030;--three:#2fc79a;--good:#3fcf9b;--bad:#ff8a73;
--warn:#3a2f0b;--warnline:#d4a72c;--link:#79b8ff}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;text-size-adjust:100%}
body{font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","Noto Sans CJK SC",sans-serif;max-width:72rem;
margin:0 auto;padding:1.5rem 1.25rem 4rem;color:var(--ink);background:var(--paper);overflow-wrap:break-word}
h1{font-size:1.7rem;line-height:1.2;margin:0 0 .6rem}h2{font-size:1.3rem;line-height:1.3;margin:3rem 0 .6rem;
padding-top:.8rem;border-top:2px solid var(--line)}h3{font-size:1.05rem;margin:2rem 0 .4rem}p{margin:.5rem 0}
a{color:var(--link)}code,pre{font:.9em/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,"Noto Sans Mono",monospace}
code{overflow-wrap:anywhere}pre{background:var(--soft);border:1px solid var(--line);border-radius:6px;
padding:.7rem .8rem;overflow:auto;white-space:pre-wrap;overflow-wrap:anywhere}
small,.note,figcaption,caption{color:var(--faint);font-size:.88rem}small{display:block}
nav ul{list-style:none;padding:0;margin:1rem 0;display:flex;flex-wrap:wrap;gap:.35rem 1.2rem}
.badge{display:inline-block;font-size:.78rem;font-weight:700;letter-spacing:.04em;border:1.5px solid var(--warnline);
background:var(--warn);border-radius:4px;padding:.05em .45em;vertical-align:.12em;white-space:nowrap}
.verdict{list-style:none;margin:.8rem 0;padding:.7rem .9rem;border:1.5px solid var(--line);border-radius:6px;
background:var(--soft)}.verdict li{padding:.12rem 0}.verdict li:first-child{font-weight:600}
.emulated{border:1.5px solid var(--warnline);background:var(--warn);border-radius:6px;padding:.6rem .9rem}
.facts{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1rem;margin:.8rem 0}.facts dt{color:var(--faint)}
.facts dd{margin:0;min-width:0}
.wide{overflow-x:auto;margin:.8rem 0}table.plain{border-collapse:collapse;width:100%;font-size:.93rem}
caption{text-align:left;padding:.2rem 0 .3rem}
.plain td,.plain th{text-align:left;vertical-align:top;padding:.35rem .6rem;border-bottom:1px solid var(--line)}
.plain thead th{border-bottom-width:2px}.plain .n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
.state{font-weight:600;white-space:nowrap}.good{color:var(--good)}.bad{color:var(--bad)}.open{color:var(--faint)}
details{border:1px solid var(--line);border-radius:6px;padding:.1rem .8rem;margin:.8rem 0}
summary{cursor:pointer;padding:.35rem 0}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,21rem),1fr));gap:1.2rem 1.6rem;
align-items:start;max-width:62rem}
figure{margin:0;min-width:0}.chart>svg{display:block;width:100%;height:auto;max-width:36rem}
.chart text{fill:var(--ink);font:12px system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif}
.chart .name{font-weight:600}.grid{stroke:var(--line);stroke-width:1}.rule{stroke:var(--faint);stroke-width:1}
.curve{fill:none;stroke:var(--one);stroke-width:2;stroke-linejoin:round}.dot{fill:var(--one)}.bar{fill:var(--one)}
.curve.cpu{stroke-width:6;stroke-opacity:.45}.curve.device{stroke:var(--two);stroke-dasharray:5 3}
.dot.device,.bar.device{fill:var(--two)}.curve.two{stroke:var(--two);stroke-dasharray:7 3}
.dot.two,.bar.two{fill:var(--two)}
.curve.three{stroke:var(--three);stroke-dasharray:2 3}.dot.three,.bar.three{fill:var(--three)}
.bar.rest{fill:var(--line)}.curve.rest{stroke:var(--line);stroke-width:8}.curve.key.one{stroke-width:4}
.bar.missing{fill:var(--bad)}.curve.missing{stroke:var(--bad);stroke-width:4;stroke-dasharray:3 2}
.limit,.curve.limit{stroke:var(--faint);stroke-width:1.5;stroke-dasharray:2 4;fill:none}
.keys{display:flex;flex-wrap:wrap;gap:.1rem 1.1rem;font-size:.85rem;margin:.2rem 0 0}
.keys svg{display:inline-block;width:28px;height:12px;margin-right:.4em;vertical-align:-1px}
.seen{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,15rem),1fr));gap:1.2rem}
.seen.alone{grid-template-columns:minmax(0,30rem)}
.seen svg{display:block;width:100%;height:auto;border-radius:4px;background:#808080}.seen image{image-rendering:auto}
.box{fill:none;vector-effect:non-scaling-stroke}.box.cpu{stroke:#56b4e9;stroke-width:6px;stroke-opacity:.75}
.box.device{stroke:#ffb000;stroke-width:2.2px;stroke-dasharray:7 4}
.tag{fill:#fff;stroke:#000;paint-order:stroke;stroke-linejoin:round;font-family:system-ui,sans-serif;font-weight:600}
.keys .box{stroke-opacity:1}
.names{columns:3 16rem;font-size:.85rem;padding-left:1.2rem}
.unified td:first-child{min-width:9rem}
footer{margin-top:3rem;padding-top:.8rem;border-top:1px solid var(--line);color:var(--faint);font-size:.88rem}
.checks td:first-child{width:8.5rem;white-space:nowrap}
.patches{list-style:none;padding:0}.patches li{display:grid;grid-template-columns:1fr 19rem;gap:.2rem 1.5rem;
padding:.5rem 0;border-bottom:1px solid var(--line);font-size:.93rem}.patches li>div{min-width:0}
@media(max-width:45em){.patches li{grid-template-columns:1fr}.checks td:first-child{width:auto}
body{padding:1rem .8rem 3rem;font-size:15px}.plain td,.plain th{padding:.3rem .35rem}
.facts{grid-template-columns:1fr;gap:0}.facts dd{margin-bottom:.35rem}.chart>svg{max-width:none}}
@media print{@page{margin:14mm 12mm}body{font-size:10pt;max-width:none;padding:0}h2{break-after:avoid;margin-top:1.6rem}
h3,caption,thead{break-after:avoid}figure,tr,.patches li,.chart,.emulated{break-inside:avoid}nav{display:none}
.wide{overflow:visible}.plain td,.plain th{padding:.15rem .4rem}
.patches li{padding:.15rem 0;grid-template-columns:1fr 6.5cm}
table.plain,.patches li,small{font-size:8.5pt;line-height:1.35}
details{border:0;padding:0}details::details-content{content-visibility:visible;display:block;
height:auto}summary{list-style:none;font-weight:600}a{color:inherit;text-decoration:none}
.charts{grid-template-columns:1fr 1fr}.seen{grid-template-columns:repeat(3,1fr)}.seen.alone{grid-template-columns:9cm}
.badge,.emulated,.seen svg,.map rect,.legend i{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
"""

STYLE = (_PAGE + heatmap.STYLE).replace("\n", "")
