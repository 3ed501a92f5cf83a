"""Boxes of a tree's own making: ``boxes.py TREE anchors DEVICE DATA.yaml``, ``boxes.py TREE nms DEVICE``; prints JSON.

anchors   of a model whose anchors are in the wrong order, and of one whose anchors fit nothing
nms       non-maximum suppression of made-up predictions, by the tree and by its definition
"""

import json
import os
import sys

from entry import dataloaders, enter, expect

what, name, *rest = enter()

if what == "nms":
    sys.modules["torchvision"] = None  # its own is not looked at, and not everywhere

import torch
from utils.torch_utils import select_device  # the tree's

# v6.0's, the largest first, and as many that are far too large for any picture
REVERSED = [
    [116, 90, 156, 198, 373, 326],
    [30, 61, 62, 45, 59, 119],
    [10, 13, 16, 30, 33, 23],
]
USELESS = [[size, size, size, size, size, size] for size in (3000, 4000, 5000)]
NUMBER, CLASSES, KEEP, CONFIDENCE, OVERLAP = 300, 3, 40, 0.25, 0.45


def anchors(data):
    import yaml
    from models.yolo import Model
    from utils.autoanchor import check_anchors
    from utils.general import check_dataset, init_seeds

    with open(os.path.join(sys.path[0], "models", "yolov5n.yaml"), encoding="utf-8") as file:
        config = yaml.safe_load(file)
    device = select_device(name)
    for case, given in ("reversed", REVERSED), ("useless", USELESS):
        init_seeds(1)
        model = Model(dict(config, anchors=given), ch=3, nc=80).to(device)
        if case == "useless":
            dataset = dataloaders().LoadImagesAndLabels(check_dataset(data)["train"], 96, 4)
            init_seeds(1)
            check_anchors(dataset, model, thr=4.0, imgsz=96)
        head = model.model[-1]
        head._make_grid(4, 3, 0)  # of these anchors, on the device
        sizes = head.anchors.cpu() * head.stride.cpu().view(-1, 1, 1)
        areas = sizes.prod(2).sum(1).tolist()
        expect(areas == sorted(areas), f"{case} anchors stay in the wrong order: areas {[round(a) for a in areas]}")
    largest = float(sizes.max())
    expect(largest <= 96, f"anchors of up to {largest:.0f} pixels stay, for pictures of 96")
    return {"largest": largest}


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


def nms():
    from utils.general import non_max_suppression

    device = select_device(name)
    torch.manual_seed(0)
    centres, sizes = torch.rand(2, NUMBER, 2) * 200, torch.rand(2, NUMBER, 2) * 60 + 20
    predictions = torch.cat((centres, sizes, torch.rand(2, NUMBER, 1), torch.rand(2, NUMBER, CLASSES)), 2)
    found = non_max_suppression(predictions.clone().to(device), CONFIDENCE, OVERLAP, max_det=KEEP)
    for number, (mine, rows) in enumerate(zip(found, predictions)):
        mine, theirs = mine.cpu().tolist(), defined(rows)
        expect(len(mine) == len(theirs), f"picture {number}: {len(mine)} boxes, by definition {len(theirs)}")
        for place, (a, b) in enumerate(zip(mine, theirs)):
            same = a[5] == b[5] and all(abs(x - y) <= 1e-3 for x, y in zip(a[:5], b[:5]))
            expect(same, f"picture {number}: box {place} is {a}, by definition {b}")
    return {"kept": sum(map(len, found))}


print("\n" + json.dumps({"anchors": anchors, "nms": nms}[what](*rest)))
