"""What the hub's model finds and its results can do, of all kinds of input: ``hub.py TREE WEIGHTS DEVICE PICTURE``.

Prints JSON: of each input the boxes. What is saved is in ``saved``.
"""

import functools
import http.server
import inspect
import json
import threading
from pathlib import Path

from entry import dataloaders, enter, expect, leave

weights, device, picture = enter()

import cv2
import hubconf  # the tree's
import numpy as np
import torch
from PIL import Image, ImageShow

shown = []


class Screen(ImageShow.Viewer):
    """Stands for a person's screen."""

    def show(self, image, **options):
        shown.append(image.size)
        return 1


ImageShow.register(Screen, -1)
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(Path(picture).parent))
server = http.server.HTTPServer(("127.0.0.1", 0), handler)
threading.Thread(target=server.serve_forever, daemon=True).start()


def inputs():
    """Every kind of picture, made anew: results are drawn on a caller's own array, if it is one that can be used."""
    image, bgr = Image.open(picture), cv2.imread(picture)
    read_only = bgr.copy()
    read_only.flags.writeable = False
    # from v6.2 on upstream writes crops with Pillow, which takes no numbers but whole ones
    kind = np.float64 if dataloaders().__name__ == "utils.datasets" else np.uint8
    return {
        "a file's name": picture,
        "a Path": Path(picture),
        "a URL": "http://127.0.0.1:%d/%s" % (server.server_port, Path(picture).name),
        "OpenCV": bgr[:, :, ::-1],
        "PIL": image,
        "PIL, grey": image.convert("L"),
        "PIL, with alpha": image.convert("RGBA"),
        "NumPy, zeros": np.zeros((96, 128, 3), kind),
        "NumPy, grey": bgr[..., 0],
        "NumPy, read-only": read_only,
        "NumPy, channels first": bgr.transpose(2, 0, 1).copy(),
    }


quiet = {"verbose" if "verbose" in inspect.signature(hubconf.custom).parameters else "_verbose": False}
model = hubconf.custom(weights, device=device, **quiet)
model.conf, model.max_det = 1e-5, 20  # a model after 20 iterations is sure of nothing
found = {}


def looked_at(name, results, count):
    """Every method of the results; what it gives has to be there, drawn, and free to be drawn on."""
    results.print()
    drawn_on = results.ims if hasattr(results, "ims") else results.imgs  # the name from v7.0 on, and before
    before = [np.array(each) for each in drawn_on]
    folder = Path("saved", name)
    results.save(save_dir=folder)
    results.show()
    crops = results.crop(save=True, save_dir=Path("cropped", name))
    drawn = results.render()
    tables = [results.pandas().xyxy, results.pandas().xywhn]
    boxes = sum(map(len, results.xyxy))
    if not boxes:
        return "it finds nothing: nothing was drawn"
    if len({*results.files}) != len(list(folder.glob("*.jpg"))):
        return "%d pictures are saved" % len(list(folder.glob("*.jpg")))
    if len(shown) != count:
        return "%d pictures are shown of %d" % (len(shown), count)
    if len(crops) != boxes or any(sum(map(len, table)) != boxes for table in tables):
        return "%d boxes, %d crops, rows of pandas %s" % (boxes, len(crops), [sum(map(len, x)) for x in tables])
    for old, new in zip(before, drawn):
        if old.shape == new.shape and (old == new).all():
            return "render() has drawn nothing"
        if not new.flags.writeable:
            return "what render() gives is read-only"
        cv2.putText(new, "mine", (0, 20), 0, 1, (255, 0, 0))
    return ""


for name, given in [*inputs().items(), ("all at once", list(inputs().values()))]:
    count = len(given) if isinstance(given, list) else 1
    del shown[:]
    try:
        results = model(given, size=96)
        found[name] = [boxes.tolist() for boxes in results.xyxy]
        wrong = looked_at(name, results, count)
    except Exception as error:
        wrong = "%s: %s" % (type(error).__name__, " ".join(str(error).split()))
    expect(not wrong, "%s: %s" % (name, wrong))
found["a tensor"] = model(torch.zeros(1, 3, 64, 64))[0].cpu().tolist()
print("\n" + json.dumps(found))
leave()
