"""What loading a checkpoint reaches, whatever the file says: ``reach.py TREE COUNT [seed|broken]``; prints JSON.

Files are an honest checkpoint with a few parts changed at random, or instructions of pickle at random in its place.
Each goes the whole way of the programs up to their first picture or batch.  Meanwhile an audit hook and a profiler
write down what is done besides.  With ``broken`` the tree's maker does what it must not: opens what a file names.
"""

import contextlib
import importlib
import inspect
import json
import random
import resource
import signal
import struct
import sys
import time
import zipfile
from pathlib import Path

from entry import enter
from tiny import honest, optimizer_of

count, *rest = enter(charts=True)
TREE = Path(sys.path[0])

import numpy as np
import torch

torch.set_num_threads(1)
sys.modules["thop"] = None  # which is not looked for then

from models.common import Concat, Conv  # the tree's, as the others
from models.experimental import attempt_load
from models.yolo import Model
from utils import checkpoint, pickles, torchfile
from utils.checkpoint import Refused, check_state, load_checkpoint
from utils.general import non_max_suppression, set_logging

set_logging(0, verbose=False)
FILE = Path("file.pt").resolve()

# -- the way of the programs -------------------------------------------------------------------------------------


def trains():
    """train.py, from --weights or --resume to the first batch."""
    found = load_checkpoint(str(FILE))
    with checkpoint.blaming(FILE):
        model = Model(found["model"].yaml, ch=3, nc=2)
        csd = found["model"].float().state_dict()
    ours = model.state_dict()
    model.load_state_dict({k: v for k, v in csd.items() if k in ours and v.shape == ours[k].shape}, strict=False)
    optimizer = optimizer_of(model)
    check_state(FILE, found, model, optimizer)
    if found["optimizer"] is not None:
        optimizer.load_state_dict(found["optimizer"])
        optimizer.step()
        max(0.1, found["best_fitness"])
    if found.get("ema"):
        model.load_state_dict(found["ema"].float().state_dict())
        found["updates"] + 1
    found["epoch"] + 1
    run = found.get("run") or {}
    if run:
        model.load_state_dict(run["model"])
        checkpoint.restore_random(run["random"])


def detects():
    """val.py, detect.py, export.py and the hub, to the classes of what they find."""
    model = attempt_load(str(FILE))
    int(max(model.stride))
    with torch.no_grad():
        found = non_max_suppression(model(torch.zeros(1, 3, 64, 64))[0], conf_thres=1e-9)
        model.autoshape()(np.zeros((64, 64, 3), np.uint8), size=64).tolist()
    [f"{model.names[int(row[-1])]}" for row in found[0][:9]]


# -- files at random ---------------------------------------------------------------------------------------------

chance = random.Random(int(rest[0]) if rest and rest[0].isdigit() else 0)
TEXTS = ["", "x", "yolov5n.yaml", "/etc/passwd", "http://127.0.0.1:9/x", "append", "forward", "nn.Conv2d", "nc", "cpu"]


def value():
    """Something that a checkpoint may hold."""
    kinds = [
        lambda: chance.choice([None, True, False, -1, 0, 1, 2, 3, 7, 255, 1 << 40, 10**30]),
        lambda: chance.choice([0.5, -1.0, 1e9, float("nan"), float("inf")]),
        lambda: chance.choice(TEXTS),
        lambda: [value() for _ in range(chance.randrange(3))],
        lambda: tuple(value() for _ in range(chance.randrange(3))),
        lambda: {chance.choice(TEXTS): value() for _ in range(chance.randrange(3))},
        lambda: torch.ones([chance.randrange(4) for _ in range(chance.randrange(4))]),
        lambda: torch.nn.Parameter(torch.ones(chance.randrange(9), 2).half()),
        lambda: chance.choice([torch.float16, torch.device("cpu"), torch.Size([3]), {1}, frozenset("a")]),
        lambda: chance.choice([np.array([1.0]), np.float64(2), np.arange(3)]),
        lambda: chance.choice([torch.nn.SiLU, Concat, lambda: Conv(3, 8), torch.nn.Identity])(),
    ]
    return chance.choice(kinds)()


def containers(found):
    """Every dictionary, list and module's state in a checkpoint, and every module."""
    todo, boxes, layers, done = [found], [], [], set()
    while todo:
        one = todo.pop()
        if id(one) in done:
            continue
        done.add(id(one))
        if isinstance(one, torch.nn.Module):
            layers.append(one)
            todo.append(one.__dict__)
        elif isinstance(one, (dict, list)):
            boxes += [one] if one else []
            todo += one.values() if isinstance(one, dict) else one
    return boxes, layers


CLASSES = [getattr(importlib.import_module(module), name, None) for module, name in sorted(pickles.CLASSES)]
CLASSES = [cls for cls in CLASSES if cls]  # those that this torch has
NAMES = ["names", "stride", "yaml", "nc", "save", "f", "i", "inplace", "fuse", "forward", "act", "bn", "training"]
NAMES += ["cfg", "yaml_file", "__class__", "__call__", "hyp", "anchor_grid", *sorted(pickles.METHODS)[::9]]


def change(found):
    """One part of a checkpoint becomes another, goes, or comes; or a layer gets another class."""
    boxes, layers = containers(found)
    if layers and chance.random() < 0.1:
        layer = chance.choice(layers)
        layer.__class__ = chance.choice(CLASSES)
        return
    # those that matter are few among the hundreds of buffers and hooks
    known = {"nc", "optimizer", "param_groups"}
    small = [box for box in boxes if box is found or (isinstance(box, dict) and not known.isdisjoint(box))]
    box = chance.choice(small if small and chance.random() < 0.4 else boxes)
    keys = list(box) if isinstance(box, dict) else range(len(box))
    key, way = chance.choice(keys), chance.random()
    if way < 0.15:
        del box[key]
    elif way < 0.25 and isinstance(box, dict):
        box[chance.choice(NAMES)] = value()
    elif way < 0.4:
        box[key] = box[chance.choice(keys)]
    else:
        box[key] = value()


def text(word):
    return b"X" + struct.pack("<I", len(word)) + word.encode()


OPCODES = [bytes([code]) for code in b"()NQRabes0e1t]}2u\x81\x85\x86\x87\x88\x89\x8f\x90\x91\x93\x94o\x92"]
OPCODES += [b"c%s\n%s\n" % (module.encode(), name.encode()) for module, name in [*pickles.CALLED, *pickles.CLASSES]]
OPCODES += [text(word) for word in [*TEXTS, "_modules", "_parameters", "_buffers", "__dict__"]]
OPCODES += [b")\x81", b")R", b"}b", b"h\x00", b"q\x00", b"K\x01", b"C\x01a"] * 9


PARTS = b"".join(text(name) + b"}" for name in torchfile._NEEDED)


def layer(state):
    """A layer with the parts of each and this state."""
    module, name = chance.choice(sorted(pickles.CLASSES))
    return b"c%s\n%s\n)\x81}(" % (module.encode(), name.encode()) + PARTS + state + b"ub"


def instructions():
    """A pickle whose model is what random instructions make, or a layer with such in its state."""
    body = b"".join(chance.choice(OPCODES) for _ in range(chance.randrange(1, 12)))
    for _ in range(chance.randrange(3)):
        body = layer(text(chance.choice(NAMES)) + body)
    head = b"\x80\x02}(" + text("epoch") + b"K\x01" + text("optimizer") + b"N" + text("ema") + b"N" + text("model")
    return head + body + b"u."


def write(number):
    if number % 4:
        found = torch.load("base.pt", **WHOLE)
        for _ in range(chance.choice([1, 1, 1, 2, 3])):
            change(found)
        try:
            torch.save(found, FILE)
        except Exception:  # what torch cannot save is no file
            return write(number)
    else:
        with zipfile.ZipFile(FILE, "w") as archive:
            archive.writestr("archive/data.pkl", instructions())


WHOLE = {"weights_only": False} if "weights_only" in inspect.signature(torch.load).parameters else {}

# -- what is seen ------------------------------------------------------------------------------------------------

watching, events, called = [], set(), set()
# Python's own notes that nothing is done by; logging asks for frames
QUIET = {"builtins.id", "sys._getframe", "object.__getattr__", "object.__setattr__", "object.__delattr__"}
OURS = {str(TREE / "utils" / f"{name}.py") for name in ("checkpoint", "pickles", "torchfile")}


def audit(event, args):
    expected = (
        (event == "open" and args[0] == str(FILE) and args[1] in ("r", "rb"))
        or (event == "compile" and args[1] == "<unknown>")  # ast.literal_eval, which makes no code
        or (event == "import" and args[0] == "thop")  # asked for whenever a model is described
        or event == "sys.setprofile"
    )
    if watching and event not in QUIET and not expected:
        events.add(f"{event} {args[:2]!a:.100}")


def profile(frame, event, arg):
    """Of Python's functions those that the maker calls and that are not its own."""
    code = frame.f_code
    if event == "call" and code.co_filename not in OURS:
        called.add(f"{frame.f_globals.get('__name__')}:{code.co_name}")


def late(*_):
    raise SystemError("it takes more than 20 seconds of the processor")


def ended(way):
    """How a road ended: nothing, "Refused", or an exception that must not be."""
    signal.setitimer(signal.ITIMER_PROF, 20)
    watching.append(way)
    try:
        way()
    except Refused as error:
        return "" if str(error).startswith(f"{FILE}: refused: ") and "\n" not in str(error) else f"Refused {error}"
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    finally:
        watching.clear()
        signal.setitimer(signal.ITIMER_PROF, 0)
    return None


def reads():
    """The loader alone, under the profiler."""
    sys.setprofile(profile)
    try:
        load_checkpoint(str(FILE))
    finally:
        sys.setprofile(None)


def opens(self, note, state, makes=checkpoint.Maker.module):
    """A maker that lets a file choose what is opened."""
    if isinstance(state.get("type"), str):  # every layer has one
        with contextlib.suppress(OSError):
            open(state["type"]).close()
    return makes(self, note, state)


torch.save(honest(), "base.pt")
torch.save(honest(), FILE)
"".encode("cp437")  # what is imported or made once is there from now on
for way in trains, detects:
    way()
sys.addaudithook(audit)
first = {way.__name__: ended(way) for way in (reads, trains, detects)}
if "broken" in rest:
    checkpoint.Maker.module = opens
signal.signal(signal.SIGPROF, late)
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (4 << 30),) * 2)
wrong, loaded, began = {}, 0, time.monotonic()
for number in range(int(count)):
    write(number)
    ends = {way.__name__: ended(way) for way in (reads, trains, detects)}
    loaded += ends["reads"] is None
    for name, end in ends.items():
        if end:
            wrong[f"{number} {name}"] = end
found = {"honest": first, "events": sorted(events), "called": sorted(called), "wrong": wrong, "loaded": loaded}
print("\n" + json.dumps({**found, "seconds": time.monotonic() - began}))
