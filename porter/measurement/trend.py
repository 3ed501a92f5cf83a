"""A file of measurements over commits, one JSON object a line, and its picture."""

from __future__ import annotations

import json
import math
import os
import statistics
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from porter.commands.bench import Result
from porter.errors import SurroundingsFailed, WrongUsage

_SAME = ("target", "device", "cfg", "img", "batch", "precision")  # what has to be alike to be one line
_COLOURS = ("#0969da", "#bf3989", "#1a7f37", "#9a6700", "#8250df", "#cf222e")
_WIDTH, _HEIGHT, _LEFT, _TOP, _FLOOR = 860, 360, 70, 24, 60


def entry(result: Result) -> dict[str, Any]:
    """What the trend keeps of a result: the subject, not what it was compared with."""
    first, asked = result.measured[0], result.request
    together = first.together.record()
    return {
        "date": result.date,
        "commit": first.subject.commit,
        "target": asked.target,
        "device": first.card,
        "emulated": first.mark == "EMULATED",
        "simulator": first.mark == "SIMULATOR",
        "cfg": asked.cfg,
        "img": asked.img,
        "batch": asked.batch,
        "precision": first.precision,
        "throughput": statistics.median(first.speeds),
        "throughput_min": min(first.speeds),
        "throughput_max": max(first.speeds),
        **{name: value for name, value in together.items() if name not in ("throughput", "iterations")},
    }


def append(path: Path, value: Mapping[str, Any]) -> None:
    """Add a line, in one write: two porters may add to one file.

    Raises:
        SurroundingsFailed: it cannot be written.
    """
    line = (json.dumps(value, ensure_ascii=False) + "\n").encode()
    try:
        with open(path, "ab+") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                line = line if file.read(1) == b"\n" else b"\n" + line  # a line was cut off: leave it to itself
            file.write(line)
    except OSError as error:
        raise SurroundingsFailed(f"cannot write {path}", error.strerror or str(error)) from error


def read(path: Path) -> list[dict[str, Any]]:
    """The entries, oldest first.

    Raises:
        WrongUsage: there is no such file, or a line that is none of ours (file and line).
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise WrongUsage(f"cannot read {path}", why, "porter bench --trend FILE writes one.") from error
    found = []
    for number, line in enumerate(lines, 1):
        try:
            value = json.loads(line)
            found.append({**value, "throughput": float(value["throughput"]), "commit": str(value["commit"])})
        except (ValueError, KeyError, TypeError) as error:
            raise WrongUsage(f"{path}:{number}: this is no line of a trend", line[:100], "Remove it.") from error
    if not found:
        raise WrongUsage(f"{path} is empty", hint="porter bench --trend FILE adds a line to it.")
    return found


def draw(entries: Sequence[Mapping[str, Any]]) -> str:
    """The picture, as SVG: images per second over the entries, a line for each way of measuring."""
    top = _nice(max(float(each.get("throughput_max", each["throughput"])) for each in entries))
    series: dict[tuple[Any, ...], list[int]] = {}
    for number, each in enumerate(entries):
        series.setdefault((*(each.get(name) for name in _SAME), _mark(each)), []).append(number)
    legend = 22 * len(series)
    bottom = _HEIGHT - _FLOOR
    step = (_WIDTH - _LEFT - 30) / max(1, len(entries) - 1)

    def x(number: int) -> float:
        return _LEFT + 10 + step * number

    def y(value: float) -> float:
        return bottom - (bottom - _TOP) * value / top

    parts = [_grid(top, y), _commits(entries, x, bottom)]
    for index, (key, numbers) in enumerate(series.items()):
        parts.append(_line(entries, numbers, _COLOURS[index % len(_COLOURS)], x, y))
        at = _HEIGHT + 22 * index
        mark = key[-1] if key[-1] and key[-1] not in str(key[1]) else ""
        label = f"{mark} {key[1]}: ".lstrip() + ", ".join((f"{key[2]}", f"{key[3]} px", f"batch {key[4]}", f"{key[5]}"))
        parts.append(f'<rect x="{_LEFT}" y="{at}" width="14" height="4" fill="{_COLOURS[index % len(_COLOURS)]}"/>')
        parts.append(f'<text x="{_LEFT + 22}" y="{at + 7}">{escape(label)}</text>')
    height = _HEIGHT + legend + 10
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}"'
    style = 'font-family="system-ui,sans-serif" font-size="12" fill="#1b1f24"'
    title = "<title>images per second over commits</title>"
    return "\n".join([f"{head} {style}>", title, '<rect width="100%" height="100%" fill="#fff"/>', *parts, "</svg>\n"])


def _mark(each: Mapping[str, Any]) -> str:
    """What an entry says where no card was in it."""
    return "SIMULATOR" if each.get("simulator") else "EMULATED" if each.get("emulated") else ""


def _nice(value: float) -> float:
    """A round number that is not less."""
    size = 10 ** math.floor(math.log10(value)) if value > 0 else 1.0
    return float(next(step * size for step in (1, 2, 2.5, 5, 10) if step * size >= value))


def _grid(top: float, y: Any) -> str:
    rows = []
    for part in range(5):
        value = top * part / 4
        rows.append(f'<line x1="{_LEFT}" x2="{_WIDTH - 10}" y1="{y(value):.1f}" y2="{y(value):.1f}" stroke="#d8dee4"/>')
        rows.append(f'<text x="{_LEFT - 8}" y="{y(value) + 4:.1f}" text-anchor="end">{value:g}</text>')
    return "\n".join([*rows, f'<text x="10" y="{_TOP - 8}">images/s</text>'])


def _commits(entries: Sequence[Mapping[str, Any]], x: Any, bottom: float) -> str:
    every = max(1, math.ceil(len(entries) / 12))
    return "\n".join(
        f'<text x="{x(number):.1f}" y="{bottom + 16}" text-anchor="end"'
        f' transform="rotate(-35 {x(number):.1f} {bottom + 16})">{escape(str(each["commit"])[:8])}</text>'
        for number, each in enumerate(entries)
        if number % every == 0
    )


def _line(entries: Sequence[Mapping[str, Any]], numbers: Sequence[int], colour: str, x: Any, y: Any) -> str:
    points = " ".join(f"{x(number):.1f},{y(entries[number]['throughput']):.1f}" for number in numbers)
    parts = [f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>']
    for number in numbers:
        each = entries[number]
        low, high = (float(each.get(f"throughput_{end}", each["throughput"])) for end in ("min", "max"))
        speed = f"{each['throughput']:.4g} images/s ({low:.4g} to {high:.4g})"
        said = f"{each['commit'][:12]}, {each.get('date', '')}: {speed}"
        at = f'x1="{x(number):.1f}" x2="{x(number):.1f}"'
        parts.append(f'<line {at} y1="{y(low):.1f}" y2="{y(high):.1f}" stroke="{colour}"/>')
        circle = f'<circle cx="{x(number):.1f}" cy="{y(each["throughput"]):.1f}" r="3.5" fill="{colour}">'
        parts.append(f"{circle}<title>{escape(said)}</title></circle>")
    return "\n".join(parts)
