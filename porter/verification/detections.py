"""Detections for the report: pictures with the boxes that a model finds in them on the cpu and on the device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from porter.verification.session import Session

Boxes = Mapping[str, Sequence[Sequence[float]]]  # picture -> class, x, y, width, height (parts of it), confidence
SURE = 0.25  # confidence from which boxes are drawn: detect.py's own
_SIDE = 640  # pixels of a picture at most; bus.jpg is then about 60 kB


def detections(
    session: Session, model: str, classes: Sequence[str], files: Sequence[Path], cpu: Boxes, device: Boxes | None
) -> dict[str, Any]:
    """Pictures and boxes as plain data.

    Args:
        model: which model found them, in words.
        classes: the names of its classes.
        files: the pictures; their names without endings are those of ``cpu`` and ``device``.
        device: None where there is only the cpu.
    """
    cwd = session.children.folder("pictures")
    pictures: Any = session.driver("shrink.py", _SIDE, *files, cwd=cwd, device="cpu") if files else []
    shown = [
        {
            "name": file.name,
            **picture,
            "cpu": _sure(cpu.get(file.stem, ())),
            "device": None if device is None else _sure(device.get(file.stem, ())),
        }
        for file, picture in zip(files, pictures)
    ]
    numbers = sorted({int(box[0]) for each in shown for side in ("cpu", "device") for box in each[side] or ()})
    names = {str(n): classes[n] if n < len(classes) else f"class {n}" for n in numbers}
    return {"model": model, "sure": SURE, "classes": names, "pictures": shown}


def _sure(boxes: Sequence[Sequence[float]]) -> list[list[float]]:
    """The boxes to draw, the surest first."""
    return sorted((list(box) for box in boxes if box[5] >= SURE), key=lambda box: (-box[5], box))
