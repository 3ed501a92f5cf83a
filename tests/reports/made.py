"""Records as porter's commands write them, small and made up."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

from porter.output import heading

EVIL = '<script>document.title="hit"</script><img src=x onerror=alert(1)>" onload="x" &amp; 寒武纪'
# 16 x 12 grey pixels, written by Pillow once
JPEG = (
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABsSFBcUERsXFhceHBsgKEIrKCUlKFE6PTBCYFVlZF9VXVtqeJmBanGQc1tdhbWGkJ6jq62rZ4C8ybqmx5"
    "moq6T/wAALCAAMABABAREA/8QAFQABAQAAAAAAAAAAAAAAAAAABQT/xAAWEAADAAAAAAAAAAAAAAAAAAAABEH/2gAIAQEAAD8AhTg6nAJODqcP/9k="
)


def losses(count: int, drift: float = 0.0) -> list[list[float]]:
    """Losses of a training: all, box, obj, cls."""
    rows = []
    for n in range(count):
        box, obj, cls = (base * math.exp(-n / 15) + 0.01 for base in (0.12, 0.03, 0.05))
        rows.append([4 * (box + obj + cls) + drift * n, box + drift * n, obj, cls])
    return rows


def epochs(count: int) -> list[dict[str, float]]:
    return [{"epoch": n, "loss": 0.25 - 0.01 * n, "mAP50": 0.012 * n, "mAP": 0.004 * n} for n in range(count)]


def seen(*, device: bool = True, text: str = "bus") -> dict[str, Any]:
    boxes = [[5, 0.5, 0.45, 0.9, 0.5, 0.91], [0, 0.15, 0.6, 0.2, 0.45, 0.87], [0, 0.9, 0.6, 0.18, 0.4, 0.55]]
    picture = {"name": "bus.jpg", "width": 480, "height": 360, "jpeg": JPEG, "cpu": boxes}
    return {
        "model": "yolov5s.pt",
        "sure": 0.25,
        "classes": {"0": "person", "5": text},
        "pictures": [{**picture, "device": copy.deepcopy(boxes) if device else None}],
    }


def check(name: str, state: str = "passed", said: str = "as it has to be", **more: Any) -> dict[str, Any]:
    empty = {"seconds": 1.25, "log": "", "command": "", "repeat": f"porter verify --check {name}", "figures": {}}
    return {"check": name, "proves": f"that {name} is right", "state": state, "said": said, **empty, **more}


def verify(target: str = "mlu", *, emulated: bool = True, **more: Any) -> dict[str, Any]:
    operators = {f"aten::op_{n}": {"calls": 40 * n, "line": f"models/common.py:{n}"} for n in range(1, 60)}
    steps = {
        "host_to_device": [90, *[7] * 9, 60, *[7] * 9],
        "device_to_host": [1] * 20,
        "synchronisations": [1] * 20,
        "inside_kernels": [0] * 20,
    }
    line = {"kind": "device_to_host", "operator": "aten::_local_scalar_dense", "line": "train.py:333", "count": 1}
    checks = [
        check("tree", said="36 patches as they are locked"),
        check(
            "parity",
            said="20 iterations: the cpu's, bit for bit",
            figures={
                "losses": ["all", "box", "obj", "cls"],
                "cpu": {"losses": losses(20), "epochs": epochs(2)},
                "device": {"losses": losses(20), "epochs": epochs(2)},
            },
        ),
        check(
            "learns",
            figures={
                "first": 0.25,
                "last": 0.11,
                "mAP": 0.18,
                "asked": 0.12,
                "epochs": epochs(15),
                "cpu": epochs(15),
            },
        ),
        check("accuracy", figures={"metrics": [0.5, 0.4, 0.18, 0.06], "cpu": [0.5, 0.4, 0.18, 0.06], "seen": seen()}),
        check("detect", figures={"seen": seen()}),
        check(
            "ops",
            figures={
                "operators": operators,
                "missing": {},
                "outside": [],
                "facts": {"known": ["aten::add.out"], "assumed": ["aten::silu.out"], "refused": []},
                "listed": 700,
                "list": "codegen/functions.yaml of vendor/plugin",
                "profile": "mlu370",
            },
        ),
        check(
            "transfers",
            figures={
                "most": {"host_to_device": 7, "device_to_host": 1, "synchronisations": 1, "inside_kernels": 0},
                "budget": {"host_to_device": 7, "device_to_host": 1, "synchronisations": 1, "inside_kernels": 0},
                "steps": steps,
                "lines": [line, {**line, "kind": "host_to_device", "bytes": 110592}],
            },
        ),
        check("fp16", "not shown", "this device has no such thing"),
    ]
    device = f"EMULATED {target.upper()}370" if emulated else f"Vendor {target.upper()}"
    return {
        **heading("verify"),
        "target": target,
        "tree": "/home/somebody/yolov5",
        "device": f"{device} (Python 3.11.7, torch 2.13.0+cpu)",
        "emulated": emulated,
        "data": "generated scenes of coco128's layout and classes",
        "level": "full",
        "seconds": 301.2,
        "machine": "Linux-6.1-x86_64",
        "date": "2026-11-24T12:00:00Z",
        "checks": checks,
        **more,
    }


def necessity(patches: list[str], target: str = "mlu", *, state: str = "noticed") -> dict[str, Any]:
    verdict = {"state": state, "checks": ["train"], "said": "train: it ended with status 1", "dependants": []}
    empty = {"seconds": 3.0, "repeat": "porter verify --necessity", "log": ""}
    verdicts = [{"patch": name, **verdict, **empty} for name in patches]
    device = "EMULATED MLU370 (Python 3.11.7, torch 2.13.0+cpu)"
    return {**heading("necessity"), "target": target, "device": device, "verdicts": verdicts, "seconds": 100.0}


def figures(speed: float, per_step: bool) -> dict[str, Any]:
    counts = (
        {"synchronisations": 1, "host_to_device": 7, "device_to_host": 1, "inside_kernels": 0} if per_step else None
    )
    return {
        "throughput": speed,
        "iterations": 20,
        "batch_time_avg": 16 / speed,
        "batch_time_var": 0.0004,
        "batch_time_p50": 16 / speed,
        "batch_time_p95": 17 / speed,
        "hardware_time_avg": 0.2 if per_step else None,
        "hardware_time_var": 0.0001 if per_step else None,
        "data_time_avg": 0.01,
        "memory_device": (900 << 20) if per_step else 0,
        "memory_host": 1 << 30,
        "per_step": counts,
    }


def bench(target: str = "mlu", *, emulated: bool = True) -> dict[str, Any]:
    def subject(name: str, speeds: list[float], card: str, mark: bool) -> dict[str, Any]:
        return {
            "name": name,
            "tree": "/home/somebody/yolov5",
            "commit": "c" * 40,
            "device": card,
            "card": card,
            "emulated": mark,
            "precision": "float32",
            "runs": [figures(speed, mark) for speed in speeds],
            "together": figures(sum(speeds) / len(speeds), mark),
        }

    subjects = [
        subject(target, [10.0, 10.5, 9.8], "EMULATED MLU370", emulated),
        subject("cpu", [12.0, 12.1, 11.9], "CPU", False),
    ]
    return {
        **heading("bench"),
        "target": target,
        "cfg": "yolov5n.yaml",
        "img": 96,
        "batch": 4,
        "precision": "fp32",
        "workers": 0,
        "iters": 20,
        "warm_up": 10,
        "data": "generated scenes",
        "date": "2026-11-24T13:00:00Z",
        "machine": "Linux-6.1-x86_64, 2 cores",
        "emulated": emulated,
        "subjects": subjects,
        "ratio": {"median": 0.85, "min": 0.82, "max": 0.87, "rounds": [0.83, 0.87, 0.82]},
    }


def drift(patches: list[tuple[str, str]], count: int = 60) -> dict[str, Any]:
    commits = [
        {
            "commit": f"{n:040x}",
            "date": f"2022-{1 + n // 10:02d}-{1 + n % 10:02d}",
            "subject": f"Step {n}",
            "tag": {20: "v6.1", count - 1: "v7.0"}.get(n),
        }
        for n in range(count)
    ]
    rows = ["a" * count, "a" * 10 + "o" * 10 + "m" * 10 + "c" * (count - 35) + "t" * 5]
    broken = {
        "number": 31,
        "commit": commits[30]["commit"],
        "date": "2022-04-01",
        "subject": "Step 30",
        "file": "train.py",
    }
    tracks = [
        {
            "patch": name,
            "subject": subject,
            "outcomes": rows[n % 2],
            "asked": [1, 10, 11, 20, 21, 30, 31, count - 5, count - 4, count],
            "breaks": broken if n % 2 else None,
            "reaches": True,
        }
        for n, (name, subject) in enumerate(patches)
    ]
    return {
        **heading("drift"),
        "upstream": "ultralytics/yolov5",
        "pin": {"tag": "v6.0", "commit": "1" * 40},
        "to": {"rev": "v7.0", "commit": commits[-1]["commit"]},
        "stack": "mlu",
        "letters": {},
        "commits": commits,
        "asked": [1, 10, 11, 20, 21, 30, 31, count - 5, count - 4, count],
        "patches": tracks,
        "reach": len(tracks),
        "whole": 30,
    }


def compare(parted: bool = True) -> dict[str, Any]:
    """A comparison of a small network whose third layer, and all after it, is further off than it may be."""
    plain = {
        "step": 0,
        "node": "",
        "shape": [2, 16, 8, 8],
        "dtype": "float32",
        "relative": 0.1,
        "ulps": 3.0,
        "cosine": 1.0,
    }
    rows = []
    for phase in "forward", "backward", "step":
        for n in range(40):
            layer = n // 4 if phase == "forward" else 9 - n // 4
            error = (30.0 if layer > 2 or phase != "forward" else 0.02) if parted else 0.02
            path = "optimizer" if phase == "step" else f"model.{layer}.conv" if n % 4 else f"model.{layer}"
            made = {
                "phase": phase,
                "path": path,
                "what": "output",
                "absolute": error * 1e-5,
                "allowed": 1e-5,
                "nan": 0,
                "inf": 0,
            }
            rows.append({**plain, **made, "outside": error > 1})
    rows[30].update(nan=2, outside=True) if parted else None
    line = "models/yolov5n.yaml:18  [-1, 1, Conv, [256, 3, 2]]"
    first = {**next(row for row in rows if row["outside"]), "line": line, "what": EVIL} if parted else None
    operator = {"name": "aten::silu", "path": "model.3.act", "file": "/tmp/kept.npz", "figures": {}}
    return {
        **heading("compare"),
        "target": "mlu", "tree": "yolov5", "device": "EMULATED MLU370 (Python 3.11.7, torch 2.13.0)",
        "reference": "the cpu (torch 2.13.0)", "emulated": True, "torch": "2.13.0", "steps": 1, "precision": "fp32",
        "parted": 0 if parted else None, "missing": 0, "first": first, "operator": operator if parted else None,
        "yaml": "models/yolov5n.yaml",
        "lines": {str(n): [15 + n, f"[-1, 1, Conv, [{16 * n}, 3, 2]]"] for n in range(10)},
        "rows": rows, "seconds": {},
    }  # fmt: skip


def everything() -> list[dict[str, Any]]:
    """A record of each kind, and a second target on a card."""
    names = ["common/import-the-accelerator.patch", "mlu/register-the-mlu.patch"]
    return [
        verify(),
        verify("tpu", emulated=False),
        necessity(names),
        compare(),
        bench(),
        drift([(name, f"Subject {n}") for n, name in enumerate(names)]),
    ]


def write(folder: Path, records: list[dict[str, Any]]) -> list[Path]:
    """The records as files."""
    paths = []
    for n, record in enumerate(records):
        path = folder / f"{n}-{record['kind']}.json"
        path.write_text(json.dumps(record, ensure_ascii=False, indent=2), encoding="utf-8")
        paths.append(path)
    return paths
