"""The trend file and its picture."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

from porter.errors import SurroundingsFailed, WrongUsage
from porter.measurement import trend

SVG = "{http://www.w3.org/2000/svg}"


def entry(commit: str, speed: float, **more: Any) -> dict[str, Any]:
    how = {"target": "mlu", "device": "MLU:0", "cfg": "yolov5s.yaml", "img": 640, "batch": 16, "precision": "fp32"}
    return {"commit": commit, "throughput": speed, **how, **more}


def test_lines_are_added(tmp_path: Path) -> None:
    file = tmp_path / "trend.jsonl"
    for number in range(3):
        trend.append(file, entry(f"c{number}", number + 1.0))
    assert [each["throughput"] for each in trend.read(file)] == [1.0, 2.0, 3.0]
    assert len(file.read_text().splitlines()) == 3


def test_after_a_line_that_was_cut_off(tmp_path: Path) -> None:
    file = tmp_path / "trend.jsonl"
    file.write_text('{"commit": "c0", "thr')
    trend.append(file, entry("c1", 2.0))
    assert json.loads(file.read_text().splitlines()[1])["commit"] == "c1"
    with pytest.raises(WrongUsage, match=r"trend.jsonl:1: this is no line of a trend"):
        trend.read(file)


@pytest.mark.parametrize("text", ["", "[]\n", '{"commit": "a"}\n', '{"commit": "a", "throughput": "fast"}\n', "\xff\n"])
def test_files_that_are_none(tmp_path: Path, text: str) -> None:
    file = tmp_path / "trend.jsonl"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(WrongUsage, match=r"trend\.jsonl"):
        trend.read(file)
    with pytest.raises(WrongUsage, match="cannot read"):
        trend.read(tmp_path / "none")
    with pytest.raises(SurroundingsFailed, match="cannot write"):
        trend.append(tmp_path, entry("a", 1.0))


def test_the_picture() -> None:
    entries = [
        entry("a" * 40, 10.0, throughput_min=9.0, throughput_max=12.0, date="2026-11-24"),
        entry("b" * 40, 20.0),
        entry("<c&>" + "c" * 36, 5.0, device="SG2260", emulated=True),
    ]
    root = ElementTree.fromstring(trend.draw(entries))
    circles = [(float(each.get("cx", "")), float(each.get("cy", ""))) for each in root.iter(f"{SVG}circle")]
    assert len(circles) == 3 and len(list(root.iter(f"{SVG}polyline"))) == 2
    (first, a), (second, b), (third, c) = circles
    assert first < second < third
    floor = 300.0
    assert (floor - a) / (floor - b) == pytest.approx(0.5, abs=0.01) and (floor - c) / (floor - b) == pytest.approx(
        0.25, abs=0.01
    )
    said = [each.text or "" for each in root.iter(f"{SVG}text")]
    assert "20" in said and "<c&>cccc" in said
    assert "EMULATED SG2260: yolov5s.yaml, 640 px, batch 16, fp32" in said
    assert "MLU:0: yolov5s.yaml, 640 px, batch 16, fp32" in said
    entries[1]["simulator"] = True  # the vendor's, of the same name: another line of the picture
    root = ElementTree.fromstring(trend.draw(entries))
    assert len(list(root.iter(f"{SVG}polyline"))) == 3
    said = [each.text or "" for each in root.iter(f"{SVG}text")]
    assert "SIMULATOR MLU:0: yolov5s.yaml, 640 px, batch 16, fp32" in said
    tips = [each.text or "" for each in root.iter(f"{SVG}title")]
    assert any("10 images/s (9 to 12)" in tip and "2026-11-24" in tip for tip in tips)


def test_one_entry_and_no_speed() -> None:
    ElementTree.fromstring(trend.draw([entry("a", 0.0)]))
