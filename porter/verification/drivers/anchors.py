"""Anchors in the wrong order, and anchors that fit nothing: ``anchors.py TREE DEVICE DATA.yaml``; prints JSON."""

import json
import os
import sys

from entry import dataloaders, enter

name, data = enter()

import yaml
from models.yolo import Model  # the tree's
from utils.autoanchor import check_anchors
from utils.general import check_dataset, init_seeds
from utils.torch_utils import select_device

# v6.0's, the largest first, and as many that are far too large for any picture
REVERSED = [
    [116, 90, 156, 198, 373, 326],
    [30, 61, 62, 45, 59, 119],
    [10, 13, 16, 30, 33, 23],
]
USELESS = [[size, size, size, size, size, size] for size in (3000, 4000, 5000)]


def made(anchors):
    with open(os.path.join(sys.path[0], "models", "yolov5n.yaml"), encoding="utf-8") as file:
        config = yaml.safe_load(file)
    init_seeds(1)
    return Model(dict(config, anchors=anchors), ch=3, nc=80)


found = {}
device = select_device(name)
for case, anchors in ("reversed", REVERSED), ("useless", USELESS):
    model = made(anchors).to(device)
    if case == "useless":
        dataset = dataloaders().LoadImagesAndLabels(check_dataset(data)["train"], 96, 4)
        init_seeds(1)
        check_anchors(dataset, model, thr=4.0, imgsz=96)
    head = model.model[-1]
    head._make_grid(4, 3, 0)  # of these anchors, on the device
    found[case] = (head.anchors.cpu() * head.stride.cpu().view(-1, 1, 1)).tolist()
print("\n" + json.dumps(found))
