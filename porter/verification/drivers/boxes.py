"""Non-maximum suppression of made-up predictions, by the tree and by its definition: ``boxes.py TREE DEVICE``."""

import json
import sys

from entry import enter

(name,) = enter()

sys.modules["torchvision"] = None  # its own is not looked at, and not everywhere

import torch
from utils.general import non_max_suppression  # the tree's
from utils.torch_utils import select_device

NUMBER, CLASSES, KEEP, CONFIDENCE, OVERLAP = 300, 3, 40, 0.25, 0.45
device = select_device(name)
torch.manual_seed(0)
centres, sizes = torch.rand(2, NUMBER, 2) * 200, torch.rand(2, NUMBER, 2) * 60 + 20
predictions = torch.cat((centres, sizes, torch.rand(2, NUMBER, 1), torch.rand(2, NUMBER, CLASSES)), 2)


def overlap(a, b):
    w = min(a[2], b[2]) - max(a[0], b[0])
    h = min(a[3], b[3]) - max(a[1], b[1])
    inner = max(w, 0) * max(h, 0)
    return inner / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inner)


def defined(rows):
    """The definition, box by box: the surest first, none that a surer one of its class covers too much of."""
    boxes = []
    for x, y, w, h, object_, *classes in rows.tolist():
        best = max(range(CLASSES), key=lambda c: classes[c])
        if object_ > CONFIDENCE and object_ * classes[best] > CONFIDENCE:
            boxes.append([x - w / 2, y - h / 2, x + w / 2, y + h / 2, object_ * classes[best], best])
    kept = []
    for box in sorted(boxes, key=lambda box: -box[4]):
        if all(other[5] != box[5] or overlap(other, box) <= OVERLAP for other in kept):
            kept.append(box)
    return kept[:KEEP]


found = non_max_suppression(predictions.clone().to(device), CONFIDENCE, OVERLAP, max_det=KEEP)
print(
    "\n" + json.dumps({"found": [x.cpu().tolist() for x in found], "defined": [defined(rows) for rows in predictions]})
)
