"""Load what export.py made, make more, compare with the model: ``exports.py TREE CHECKPOINT DEVICE PICTURES``.

CHECKPOINT was exported to ONNX and TorchScript before, beside it, at SIZE pixels. Prints JSON, see ``found`` below.
Without the packages onnx and onnxruntime it stops after TorchScript, and says so in ``lacks``.
"""

import importlib.util
import json
import shutil
import sys
from pathlib import Path

from entry import dataloaders, enter, expect, leave

checkpoint, device, pictures = enter()

import cv2
import detect  # the tree's, as all below
import export
import numpy as np
import torch
from models.experimental import attempt_load
from utils import accelerator
from utils.torch_utils import select_device

SIZE, OPSET = 64, 12
AWAY, AWAY_HALF = 1e-3, 5e-2  # what a number may differ by, as a part of 1 or of itself; a half has 11 bits
found = {"lacks": [x for x in ("onnx", "onnxruntime") if not importlib.util.find_spec(x)], "away": {}}
found["skipped"] = {}  # option -> why it was not looked at
torch.manual_seed(0)
square, oblong = torch.rand(1, 3, SIZE, SIZE), torch.rand(2, 3, SIZE, 2 * SIZE)
model = attempt_load(checkpoint, torch.device("cpu"), fuse=True).float()


def away(name, ours, theirs, most=AWAY):
    """The largest difference, as a part of 1 or of the number, whichever is larger."""
    pairs = [(np.asarray(a, np.float32), np.asarray(b, np.float32)) for a, b in zip(ours, theirs)]
    shapes = [a.shape for a, _ in pairs], [b.shape for _, b in pairs]
    expect(pairs and shapes[0] == shapes[1], "%s: shapes %s, the model's %s" % (name, *shapes))
    found = max(float((np.abs(a - b) / np.maximum(np.abs(b), 1)).max()) for a, b in pairs)
    expect(found < most, "%s: %g away from the model" % (name, found))
    return found


def compared(name, outputs, images=square, train=False):
    with torch.no_grad():
        expected = model.train(train)(images)
    found["away"][name] = away(name, outputs, expected if train else expected[:1])


def made(name, **options):
    """A copy of the checkpoint exported to ONNX as ``name``, read; its opset and files beside it are looked at."""
    import onnx

    path = Path(name + ".pt")
    if options:
        shutil.copy(checkpoint, str(path))
        common = {"imgsz": (SIZE, SIZE), "opset": OPSET, "include": ("onnx",), "data": "", "device": "cpu"}
        export.run(weights=str(path), **dict(common, **options))
    file = path.with_suffix(".onnx")
    opsets = [each.version for each in onnx.load(str(file)).opset_import if each.domain in ("", "ai.onnx")]
    expect(opsets == [OPSET], "%s.onnx: opset %s" % (name, opsets))
    parts = sorted(x.name for x in Path().glob(name + ".onnx?*"))
    expect(not parts, "%s.onnx: %s beside it" % (name, ", ".join(parts)))
    return str(file)


def runtime(file, images=square, dtype=np.float32):
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return session.run(None, {"images": images.numpy().astype(dtype)})


def detected(*words):
    """The confidences, in falling order, that detect.py finds in each picture."""
    name = "dnn" if words else "runtime"
    sys.argv = ["detect.py", "--weights", own, "--img", str(SIZE), "--source", pictures, "--conf-thres", "1e-5"]
    sys.argv += ["--max-det", "5", "--save-txt", "--save-conf", "--nosave", "--project", "runs", "--name", name, *words]
    detect.main(detect.parse_opt())
    files = sorted(Path("runs", name, "labels").glob("*.txt"))
    return {
        x.name: sorted((float(y.split()[5]) for y in x.read_text(encoding="utf-8").splitlines()), reverse=True)
        for x in files
    }


def comparable():
    """Whether the plugin has aten::equal, with which torch's exporter looks for equal weights: a BM1684X has not."""
    one = torch.zeros(1).to(select_device(device))
    try:
        return torch.equal(one, one)
    except RuntimeError:  # NotImplementedError is one
        return False


def everything_in_onnx():
    global own
    # first: a process that chose the cpu may see no device any more
    if device == "cpu" or not accelerator.get(device).half:
        found["skipped"]["--half"] = "export.py makes none on %s" % device
    elif not comparable():
        found["skipped"]["--half"] = "%s cannot compare weights, as torch's exporter does" % device
    else:
        half = runtime(made("half", half=True, device=device), dtype=np.float16)
        found["half"] = away("--half", half[:1], model(square)[:1], AWAY_HALF)
    own = made(Path(checkpoint).stem)
    compared("ONNX", runtime(own)[:1])
    net = cv2.dnn.readNetFromONNX(own)
    net.setInput(square.numpy())
    outputs = net.getUnconnectedOutLayersNames()  # "output", or "output0" from v7.0 on
    compared("ONNX in OpenCV", [net.forward(next(name for name in outputs if name.startswith("output")))])
    found["detected"] = [detected(), detected("--dnn")]
    file = made("dynamic", dynamic=True)
    compared("--dynamic", runtime(file, oblong)[:1], oblong)
    if dataloaders().__name__ == "utils.datasets":
        compared("--train", runtime(made("train", train=True)), train=True)
    else:
        found["skipped"]["--train"] = "v6.2 asks a list for its shape there, later releases have no such option"
    if importlib.util.find_spec("onnxsim"):
        file = made("simple", dynamic=True, simplify=True)
        compared("--dynamic --simplify", runtime(file, oblong)[:1], oblong)
    else:
        found["skipped"]["--simplify"] = "onnxsim is not there"


with torch.no_grad():
    (exported,) = Path(checkpoint).parent.glob(Path(checkpoint).stem + ".torchscript*")  # with .pt behind it up to v6.0
    traced = torch.jit.load(str(exported))
    compared("TorchScript", traced(square)[:1])
    if not found["lacks"]:
        everything_in_onnx()
print("\n" + json.dumps(found))
leave()
