"""What was proved, for people (a line a check, an HTML page) and for programs (JSON)."""

from __future__ import annotations

import html
import json
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

PASSED, FAILED, NOT_SHOWN = "passed", "failed", "not shown"


@dataclass(frozen=True)
class Outcome:
    """How a check ended.

    Attributes:
        check: its name.
        proves: what it is to prove.
        state: ``passed``, ``failed`` or ``not shown``.
        said: one line: what was found, or why not.
        seconds: how long it took, what it shares with others included where it came first.
        log: the end of what the failing program printed.
        command: what it was.
        repeat: the porter command that makes this check alone.
        table: rows for the report, the first is the heading.
        figures: for programs.
    """

    check: str
    proves: str
    state: str
    said: str
    seconds: float
    log: str = ""
    command: str = ""
    repeat: str = ""
    table: tuple[tuple[Any, ...], ...] = ()
    figures: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """A whole verification.

    Attributes:
        target, tree, device, data: what was checked, on what, with what, each in words.
        emulated: whether the device was an emulated one.
        level: ``static``, ``smoke`` or ``full``.
        outcomes: in the order of the checks.
        seconds: all in all.
    """

    target: str
    tree: str
    device: str
    data: str
    emulated: bool
    level: str
    outcomes: tuple[Outcome, ...]
    seconds: float

    @property
    def failed(self) -> list[Outcome]:
        """What failed."""
        return [outcome for outcome in self.outcomes if outcome.state == FAILED]

    @property
    def summary(self) -> str:
        """The last line."""
        counts = {state: sum(o.state == state for o in self.outcomes) for state in (PASSED, FAILED, NOT_SHOWN)}
        parts = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
        return f"{self.target}: {parts} in {self.seconds:.0f} s on {self.device}"

    def json(self) -> str:
        """One JSON object."""
        value = {
            "target": self.target,
            "tree": self.tree,
            "device": self.device,
            "emulated": self.emulated,
            "data": self.data,
            "level": self.level,
            "seconds": round(self.seconds, 2),
            "machine": platform.platform(),
            "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "checks": [
                {
                    "check": o.check,
                    "proves": o.proves,
                    "state": o.state,
                    "said": o.said,
                    "seconds": round(o.seconds, 2),
                    "log": o.log,
                    "command": o.command,
                    "repeat": o.repeat,
                    "figures": dict(o.figures),
                }
                for o in self.outcomes
            ],
        }
        return json.dumps(value, indent=2, ensure_ascii=False) + "\n"

    def html(self) -> str:
        """A page of its own: no script, nothing from elsewhere."""
        title = f"porter verify: {self.target}"
        rows = "\n".join(map(_row, self.outcomes))
        details = "\n".join(map(_details, self.outcomes))
        banner = '<p class="emulated">EMULATED: no card was in it.</p>' if self.emulated else ""
        return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{html.escape(title)}</title>
<style>{_STYLE}</style></head><body>
<h1>{html.escape(title)}</h1>{banner}
<p>{html.escape(self.summary)}. Level {self.level}. Tree: <code>{html.escape(self.tree)}</code>.
Data: {html.escape(self.data)}.</p>
<table><thead><tr><th>check</th><th>state</th><th>found</th><th class="n">s</th></tr></thead><tbody>
{rows}
</tbody></table>
{details}
</body></html>
"""


_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:70em;margin:2em auto;padding:0 1em;color:#1b1f24;background:#fff}
table{border-collapse:collapse;width:100%;margin:1em 0}td,th{text-align:left;vertical-align:top;padding:.3em .7em;
border-bottom:1px solid #d8dee4}.n{text-align:right}.passed{color:#116329}.failed{color:#a40e26;font-weight:600}
.not{color:#6e7781}pre{background:#f6f8fa;padding:.8em;overflow:auto}code{font-family:ui-monospace,monospace}
.emulated{background:#fff8c5;border:1px solid #d4a72c;padding:.4em .8em;font-weight:600}
small{color:#57606a;display:block}summary{cursor:pointer}
""".replace("\n", "")


def _row(outcome: Outcome) -> str:
    cells = (
        f'<td><code>{html.escape(outcome.check)}</code></td><td class="{outcome.state.split()[0]}">{outcome.state}</td>'
    )
    said = f"<td>{html.escape(outcome.said)}<small>{html.escape(outcome.proves)}</small></td>"
    return f'<tr>{cells}{said}<td class="n">{outcome.seconds:.1f}</td></tr>'


def _details(outcome: Outcome) -> str:
    if outcome.state == FAILED:
        log = f"<pre>{html.escape(outcome.log)}</pre>" if outcome.log else ""
        heading = f"<h2><code>{html.escape(outcome.check)}</code></h2>"
        return f"{heading}<p>Repeat: <code>{html.escape(outcome.repeat)}</code></p>{log}"
    if not outcome.table:
        return ""
    head, *body = outcome.table
    heading = "".join(f"<th>{html.escape(str(cell))}</th>" for cell in head)
    rows = "".join("<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>" for row in body)
    summary = f"<summary><code>{html.escape(outcome.check)}</code>: {len(body)} rows</summary>"
    return f"<details>{summary}<table><tr>{heading}</tr>{rows}</table></details>"
