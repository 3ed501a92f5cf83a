"""Write reference/detect.json: what unpatched v6.0 finds in its own two pictures with the official yolov5s.pt.

Run it where unpatched v6.0 runs (patches/mlu/requirements.txt)::

    PORTER_TEST_WEIGHTS=yolov5s.pt python -m tests.upstream.make_reference
"""

from __future__ import annotations

import json
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from .harness import HERE, Lab, Tree
from .jobs import WEIGHTS, Shop, detected
from .pristine import write

REFERENCE = HERE / "reference" / "detect.json"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "lab").mkdir()
        lab = Lab(root / "lab")
        tree = Tree("pristine", write(root / "pristine", cache=root / "cache"))
        try:
            boxes = detected(Shop(lab, {"pristine": tree}, root), tree).boxes
        finally:
            lab.close()
    made_with = {name: version(name) for name in ("torch", "torchvision", "numpy", "opencv-python-headless")}
    rounded = {name: [{k: round(v, 4) for k, v in box.items()} for box in found] for name, found in boxes.items()}
    reference = {
        "made by": "tests/upstream/make_reference.py",
        "made with": {"python": ".".join(map(str, sys.version_info[:2])), **made_with},
        "weights sha256": _sha256(WEIGHTS),
        "boxes": rounded,
    }
    REFERENCE.write_text(json.dumps(reference, indent=1) + "\n")
    print(REFERENCE)


def _sha256(path: Path) -> str:
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    main()
