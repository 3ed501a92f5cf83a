"""What a checkpoint that sees something finds in v6.0's own picture, as porter verify records it for its page."""

from __future__ import annotations

import base64
from collections import Counter
from pathlib import Path

from PIL import Image

from porter.project import Project
from porter.reports import proof
from porter.reports.records import Field
from porter.target import Target
from porter.verification.checks.inference import _look
from porter.verification.device import Device
from porter.verification.session import Session

from .harness import Lab, Tree


def test_bus(lab: Lab, tree: Tree, weights: Path, tmp_path: Path) -> None:
    project = Project.find(Path(__file__).parent)
    target = Target.load(project.patches / tree.targets[0])
    device = Device("cpu", "cpu", "the cpu")
    session = Session(project, tree.path, target, device, lab.children, tmp_path, model=weights)
    found = _look(session, weights, "before")
    assert found.said == "before; yolov5s.pt finds 5 boxes in bus.jpg; there is only the cpu to compare"
    (picture,) = found.figures["seen"]["pictures"]
    classes = found.figures["seen"]["classes"]
    assert Counter(classes[str(int(box[0]))] for box in picture["cpu"]) == {"person": 4, "bus": 1}
    assert picture["device"] is None and len(picture["jpeg"]) < 200_000
    (tmp_path / "bus.jpg").write_bytes(base64.b64decode(picture["jpeg"]))
    with Image.open(tmp_path / "bus.jpg") as shown:
        assert (shown.format, *shown.size) == ("JPEG", picture["width"], picture["height"])
        assert shown.size == (480, 640), "810 x 1080, made smaller"
    page = proof.part(Field(found.figures, Path("this")), None)
    assert page.count('class="box cpu"') == 5 + 1 and "4 person, 1 bus on the cpu" in page
