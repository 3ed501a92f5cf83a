"""A drift as a picture, patch by commit: a PNG, and a page of its own for a browser."""

from __future__ import annotations

import html
import io
import json

from porter.errors import EnvironmentFailed
from porter.output import counted
from porter.rebase.drift import Drift, Track
from porter.rebase.trial import LETTERS

SAYS = {
    "a": "applies as it is",
    "o": "applies, lines have moved",
    "m": "merges three-way",
    "t": "taken upstream",
    "c": "conflicts",
    "z": "is in no stack of that line",
}
BETWEEN = "Between two of these a patch is taken to have the outcome that it has at both."
# told apart in the common colour blindnesses, and by lightness alone; a letter is a class of the page, which has others
COLOURS = {"a": "#1b7a5a", "o": "#6cbf8f", "m": "#f0c24b", "t": "#4a78c8", "c": "#b5352f", "z": "#9aa0a6"}
_WIDE, _ROW = 1400, 26  # pixels for the commits, at least one each, and of a patch's row
_LEFT, _RIGHT, _ABOVE, _BELOW = 480, 90, 130, 100  # pixels around them
_SUBJECT = 40  # characters


def to_png(drift: Drift) -> bytes:
    """The picture as a PNG, about 2000 pixels wide.

    Raises:
        EnvironmentFailed: Matplotlib is not installed.
    """
    try:
        from matplotlib.colors import ListedColormap
        from matplotlib.figure import Figure
        from matplotlib.patches import Rectangle
    except ImportError as error:
        hint = "pip install 'yolov5-porter[train]' brings it; --html needs nothing."
        raise EnvironmentFailed("a picture of the drift needs Matplotlib", str(error), hint) from error
    count, rows = max(1, len(drift.steps)), max(1, len(drift.tracks))
    inner = max(1, _WIDE // count) * count, _ROW * rows
    outer = inner[0] + _LEFT + _RIGHT, inner[1] + _ABOVE + _BELOW
    figure = Figure(figsize=(outer[0] / 100, outer[1] / 100), dpi=100)
    area = _LEFT / outer[0], _BELOW / outer[1], inner[0] / outer[0], inner[1] / outer[1]
    axes = figure.add_axes(area, frame_on=False)
    order = ["", *COLOURS]  # the first: no commit at all
    codes = [[order.index(letter) for letter in track.letters] or [0] for track in drift.tracks] or [[0] * count]
    axes.imshow(
        codes,
        ListedColormap(["white", *COLOURS.values()]),
        aspect="auto",
        interpolation="nearest",
        vmin=0,
        vmax=len(COLOURS),
    )
    axes.hlines([row + 0.5 for row in range(rows)], -0.5, count - 0.5, "white", linewidth=3)  # apart from one another
    axes.set_yticks(range(len(drift.tracks)), [_label(track) for track in drift.tracks], family="monospace")
    # below each row a mark for each commit at which git was asked
    axes.hlines([row + 0.4 for row in range(rows)], -0.5, count - 0.5, "white", linewidth=5)
    for row, track in enumerate(drift.tracks):
        axes.vlines(track.asked, row + 0.32, row + 0.46, "black", linewidth=0.6)
    quarters = _quarters(drift)
    axes.set_xticks(list(quarters), list(quarters.values()))
    axes.set_ylim(rows - 0.5, -0.5)
    for n, track in enumerate(drift.tracks):
        axes.text(count, n, f" {sum(letter != 'c' for letter in track.letters)}", va="center")
    for at, tag in drift.tags.items():
        axes.axvline(at, color="black", linewidth=1)
        axes.annotate(tag, (at, 1), (0, 4), ("data", "axes fraction"), "offset points", ha="center")
    figure.text(20 / outer[0], 1 - 30 / outer[1], _title(drift), fontsize=16)
    figure.text(20 / outer[0], 1 - 60 / outer[1], _verdict(drift), color="dimgray")
    shown = [Rectangle((0, 0), 1, 1, color=colour) for colour in COLOURS.values()]
    figure.legend(shown, list(SAYS.values()), loc="lower left", ncols=len(SAYS), frameon=False)
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def _quarters(drift: Drift) -> dict[int, str]:
    """Where each third month begins that has a commit, with room between them: the step's number -> year and month."""
    found: dict[int, str] = {}
    before, last = "", -len(drift.steps)
    for at, step in enumerate(drift.steps):
        quarter = f"{step.date[:4]}-{(int(step.date[5:7]) - 1) // 3 * 3 + 1:02d}"
        if quarter != before and (at - last) * 14 > len(drift.steps):
            found[at], last = step.date[:7], at
        before = quarter
    return found


def _title(drift: Drift) -> str:
    return f"{drift.stack}: {counted(len(drift.tracks), 'patch')} on {drift.pin.name} {drift.pin.tag}..{drift.rev}"


def _verdict(drift: Drift) -> str:
    return (
        f"{counted(len(drift.steps), 'commit')}; "
        f"{drift.reach} of {counted(len(drift.tracks), 'patch')} reach {drift.rev}; "
        f"all of them stand for {counted(drift.whole, 'commit')}. At the right: commits at which a patch stands. "
        "Below a row: those at which git was asked."
    )


def _label(track: Track) -> str:
    subject = track.patch.subject
    cut = subject if len(subject) <= _SUBJECT else subject[: _SUBJECT - 3].rstrip() + "..."
    text = f"{track.patch.label} {cut}"
    return text.encode("ascii", "replace").decode().replace("$", r"\$")  # Matplotlib's own font has no Chinese


# -- the page ---------------------------------------------------------------------------------------------


def to_html(drift: Drift) -> str:
    """The picture as a page: nothing from elsewhere, light and dark, a commit's subject under the pointer."""
    title = f"porter drift: {drift.stack}, {drift.pin.tag}..{drift.rev}"
    commits = [[one.id[:10], one.date, one.subject, drift.tags.get(n, "")] for n, one in enumerate(drift.steps)]
    patches = [[track.letters, list(track.asked), _conflicts(track)] for track in drift.tracks]
    data = json.dumps(
        {"commits": commits, "patches": patches, "says": SAYS}, ensure_ascii=False, separators=(",", ":")
    ).replace("<", "\\u003c")
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>{html.escape(title)}</title>
<style>{_STYLE}</style></head><body>
<h1>{html.escape(title)}</h1>
<p>{html.escape(sentence(drift))}</p>
{picture(drift)}
<div id="tip" role="status" hidden></div>
<h2>Where each patch breaks</h2>
{table(drift)}
<script id="data" type="application/json">{data}</script>
<script>{_SCRIPT}</script>
</body></html>
"""


def picture(drift: Drift) -> str:
    """The legend and the map, for a page that has :data:`MAP_STYLE`."""
    signs = {**SAYS, "q": "below a row: git was asked"}
    legend = "".join(f'<li><i class="{letter}"></i>{html.escape(says)}</li>' for letter, says in signs.items())
    strips = "".join(_strip(n, track, drift) for n, track in enumerate(drift.tracks))
    return f"""<ul class="legend">{legend}</ul>
<div class="map">
{_tags(drift)}
{strips}
{_dates(drift)}
</div>"""


def sentence(drift: Drift) -> str:
    """What the map shows, in words."""
    asked, size = len(drift.asked), len(drift.steps)
    how = (
        "at each commit" if asked == size else f"at {asked} of the commits: at tags, and around each change. {BETWEEN}"
    )
    return (
        f"{counted(len(drift.tracks), 'patch')} at {counted(size, 'commit')} of {drift.pin.name}. "
        "The series is applied by git am -3, and a "
        f"patch that conflicts is left out. git was asked {how.rstrip('.')}. "
        f"{counted(drift.reach, 'patch')} {'stands' if drift.reach == 1 else 'stand'} "
        f"at {drift.rev} ({drift.until[:10]}); "
        f"all of them stand for the first {counted(drift.whole, 'commit')}."
    )


def _conflicts(track: Track) -> list[tuple[int, str]]:
    """The commits (indices) at which git named a file that conflicts, and the file."""
    return sorted(track.files.items())


def _percent(at: int, drift: Drift) -> str:
    return f"{100 * at / max(1, len(drift.steps)):.3f}%"


def _tags(drift: Drift) -> str:
    marks = "".join(
        f'<b style="left:{_percent(at, drift)}">{html.escape(tag)}</b>' for at, tag in sorted(drift.tags.items())
    )
    return f'<div class="row axis"><span></span><div>{marks}</div><em></em></div>'


def _dates(drift: Drift) -> str:
    marks, before, last = [], "", -100.0
    for at, step in enumerate(drift.steps):
        share = 100 * at / len(drift.steps)
        if step.date[:7] != before and share - last > 14 and share < 90:
            marks.append(f'<b style="left:{share:.3f}%">{step.date[:7]}</b>')
            last = share
        before = step.date[:7]
    return f'<div class="row axis dates"><span></span><div>{"".join(marks)}</div><em></em></div>'


def _strip(number: int, track: Track, drift: Drift) -> str:
    size = len(drift.steps)
    bars = "".join(
        f'<rect class="{_letter(r.outcome)}" x="{r.first - 1}" width="{r.last - r.first + 1}" height=".78">'
        f"<title>{html.escape(_range(r.first, r.last, drift))}: {SAYS[_letter(r.outcome)]}</title></rect>"
        for r in track.ranges
    )
    bars += f'<path class="q" d="{"".join(f"M{at} .84h1V1h-1z" for at in track.asked)}"/>'
    stands = sum(letter != "c" for letter in track.letters)
    name = f"<code>{html.escape(track.patch.label)}</code> {html.escape(track.patch.subject)}"
    return (
        f'<div class="row"><span title="{html.escape(track.patch.subject)}">{name}</span>'
        f'<svg data-n="{number}" viewBox="0 0 {max(1, size)} 1" preserveAspectRatio="none" role="img" '
        f'aria-label="stands at {stands} of {size} commits">{bars}</svg><em>{stands}</em></div>'
    )


def _letter(outcome: str) -> str:
    return next(letter for letter, name in LETTERS.items() if name == outcome)


def _range(first: int, last: int, drift: Drift) -> str:
    one, two = drift.steps[first - 1], drift.steps[last - 1]
    if first == last:
        return f"{one.id[:10]} ({one.date})"
    return f"{one.id[:10]} ({one.date}) to {two.id[:10]} ({two.date}), {counted(last - first + 1, 'commit')}"


def table(drift: Drift) -> str:
    """Patch by patch, at how many commits it stands and where it first conflicts."""
    rows = "".join(_table_row(track, drift) for track in drift.tracks)
    head = "<tr><th>patch</th><th>stands at</th><th>first conflict</th></tr>"
    return f'<table class="plain"><thead>{head}</thead><tbody>{rows}</tbody></table>'


def _table_row(track: Track, drift: Drift) -> str:
    stands = sum(letter != "c" for letter in track.letters)
    where = "none"
    if track.breaks is not None:
        step, file = drift.steps[track.breaks], track.files.get(track.breaks, "")
        again = "".join(f"; stands again at {drift.steps[at].id[:10]}" for at in track.returns)
        where = (
            f"<code>{step.id[:10]}</code> {step.date} {html.escape(step.subject)}"
            f"<small>{html.escape(file)}{again}</small>"
        )
    name = f"<code>{html.escape(track.patch.id.split('-')[0])}</code> {html.escape(track.patch.subject)}"
    return f"<tr><td>{name}</td><td>{stands}</td><td>{where}</td></tr>"


# of the map alone; --ink, --paper, --faint and --line are the page's colours
MAP_STYLE = (
    """
.legend{display:flex;flex-wrap:wrap;gap:.3em 1.4em;list-style:none;padding:0}
.legend i{display:inline-block;width:1em;height:1em;margin-right:.4em;vertical-align:-.15em;border-radius:2px}
.row{display:grid;grid-template-columns:21em 1fr 3em;gap:0 .8em;align-items:center;margin:2px 0}
.row span{white-space:nowrap;overflow:hidden;text-overflow:ellipsis;font-size:.87em}
.row em{font-style:normal;color:var(--faint);font-size:.8em;font-variant-numeric:tabular-nums}
.row svg{display:block;width:100%;height:18px;touch-action:pan-y;shape-rendering:crispEdges}
.axis div{position:relative;height:1.4em;font-size:.8em}.axis b{position:absolute;transform:translateX(-50%);
font-weight:600}.dates b{transform:none;font-weight:400;color:var(--faint)}
@media(max-width:45em){.row{grid-template-columns:1fr 2.4em;gap:0 .5em;margin:5px 0}
.row span{grid-column:1/-1}.axis span{display:none}}
"""
    + "".join(
        f".{letter}{{fill:{colour};background:{colour}}}" for letter, colour in {**COLOURS, "q": "var(--ink)"}.items()
    )
).replace("\n", "")

_STYLE = (
    """
:root{color-scheme:light dark;--ink:#1b1f24;--paper:#fff;--faint:#57606a;--line:#d8dee4}
@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--paper:#0d1117;--faint:#9198a1;--line:#30363d}}
body{font:15px/1.5 system-ui,sans-serif;max-width:90em;margin:1.5em auto;padding:0 1em;color:var(--ink);
background:var(--paper)}h1{font-size:1.4em}h2{font-size:1.1em;margin-top:2em}
#tip{position:fixed;z-index:2;max-width:min(30em,90vw);padding:.5em .7em;border:1px solid var(--line);border-radius:6px;
background:var(--paper);color:var(--ink);font-size:.87em;pointer-events:none;box-shadow:0 2px 10px #0004}
#tip code{color:var(--faint)}table{border-collapse:collapse;width:100%;font-size:.93em}td,th{text-align:left;
vertical-align:top;padding:.3em .6em;border-bottom:1px solid var(--line)}code{font-family:ui-monospace,monospace}
small{display:block;color:var(--faint)}@media(max-width:45em){body{padding:0 .6em}td,th{padding:.3em .3em}}
""".replace("\n", "")
    + MAP_STYLE
)

_SCRIPT = """
const data = JSON.parse(document.getElementById("data").textContent), tip = document.getElementById("tip");
function show(event) {
  const svg = event.target.closest("svg[data-n]");
  if (!svg) { tip.hidden = true; return; }
  const box = svg.getBoundingClientRect(), size = data.commits.length;
  const at = Math.min(size - 1, Math.max(0, Math.floor((event.clientX - box.left) / box.width * size)));
  const [id, date, subject, tag] = data.commits[at], [letters, asked, files] = data.patches[svg.dataset.n];
  const file = (files.find(([where]) => where === at) || [])[1];
  const before = asked.filter((where) => where < at).pop(), after = asked.find((where) => where > at);
  const around = [before === undefined ? "the pin" : before + 1, after + 1].join(" and ");
  const more = asked.includes(at) ? (file ? `: ${file}` : "") : `, as at ${around}: git was not asked here`;
  const code = document.createElement("code"), what = document.createElement("strong");
  code.textContent = `${at + 1}. ${id} ${date} ${tag}`;
  what.textContent = data.says[letters[at]] + more;
  tip.replaceChildren(code, document.createElement("br"), subject, document.createElement("br"), what);
  tip.hidden = false;
  const left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8);
  const below = event.clientY + 18;
  tip.style.left = Math.max(8, left) + "px";
  tip.style.top = (below + tip.offsetHeight > innerHeight ? event.clientY - tip.offsetHeight - 12 : below) + "px";
}
for (const kind of ["pointermove", "pointerdown"]) document.addEventListener(kind, show);
document.querySelector(".map").addEventListener("pointerleave", () => { tip.hidden = true; });
// the pointer says more than the titles, which are for browsers without scripts
document.querySelectorAll("svg title").forEach((title) => title.remove());
"""
