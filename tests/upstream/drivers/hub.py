"""``hub.py TREE WEIGHTS PICTURE``: load as torch.hub does, find things in a picture, export to TorchScript."""

import json
import shutil

from entry import enter

weights, picture = enter(charts=True)

import export  # the tree's
import hubconf
import torch

model = hubconf.custom(weights, device="cpu", verbose=False)
results = model(picture)
table = results.pandas().xyxy[0]

shutil.copy(weights, "own.pt")  # export writes beside it
export.run(weights="own.pt", include=("torchscript",), imgsz=(64, 64), device="cpu", data="")
traced = torch.jit.load("own.torchscript.pt")
torch.manual_seed(0)
x = torch.rand(1, 3, 64, 64)
plain = hubconf.custom(weights, autoshape=False, device="cpu", verbose=False).eval()
with torch.no_grad():
    difference = (traced(x)[0] - plain(x)[0]).abs().max().item()

print(
    json.dumps(
        {
            "names": table["name"].tolist(),
            "columns": list(table.columns),
            "boxes": results.xyxy[0].tolist(),
            "traced difference": difference,
        }
    )
)
