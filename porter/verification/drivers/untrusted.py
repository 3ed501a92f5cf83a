"""Files, names and pictures of strangers, other than checkpoints: ``untrusted.py TREE HONEST.pt HYP``.

Each payload that runs leaves a file in ``marks/``, and none may.
"""

import inspect
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

from entry import dataloaders, enter, expect, pictures

honest, hyp = enter(charts=True)
TREE, HERE = Path(sys.path[0]), Path.cwd()
MARKS = HERE / "marks"
MARKS.mkdir()
(HERE / "bin").mkdir()
(HERE / "bin" / "gs").write_text(f"#!/bin/sh\ntouch {shlex.quote(str(MARKS))}/gs\nexit 1\n", encoding="utf-8")
(HERE / "bin" / "gs").chmod(0o755)
os.environ["PATH"] = f"{HERE / 'bin'}{os.pathsep}{os.environ['PATH']}"

import numpy as np
import torch
import yaml
from models.common import AutoShape, Detections  # the tree's
from models.experimental import attempt_load
from train import own_options
from utils.checkpoint import load_checkpoint
from utils.general import check_dataset
from utils.plots import feature_visualization

Loader = dataloaders().LoadImagesAndLabels


class Call:
    def __init__(self, function, *values):
        self.how = function, values

    def __reduce__(self):
        return self.how


def demand(holds, why):
    """Expect this, and that nothing ran."""
    marks = sorted(path.name for path in MARKS.iterdir())
    expect(not marks, f"code ran that came with {', '.join(marks)}")
    expect(holds, why)


def attempt(function, *values, **named):
    """How a call ended: the exception's class and text, or None."""
    try:
        function(*values, **named)
    except BaseException as error:  # whatever a hostile file raises is the result
        return [type(error).__name__, str(error)]
    return None


# -- a label cache --------------------------------------------------------------------------------------


def scan():
    """What the loader has of the data set, and whether it scanned it."""
    scans = []
    looked = Loader.cache_labels

    def look(self, *args, **named):
        scans.append(1)
        return looked(self, *args, **named)

    Loader.cache_labels = look
    found = Loader(str(HERE / "set" / "images"), 64)
    Loader.cache_labels = looked
    data = [[pictures(found), found.shapes.tolist()], [x.tolist() for x in found.labels]]
    data += [[[s.tolist() for s in x] for x in found.segments], [str(x.dtype) for x in found.labels]]
    return data, bool(scans)


def caches():
    for folder in "images", "labels":
        (HERE / "set" / folder).mkdir(parents=True)
    for number, text in enumerate(["0 .5 .5 .25 .125\n1 .25 .25 .1 .1\n", "2 .1 .1 .2 .2 .3 .1 .15 .3\n", "", None]):
        shutil.copy(str(TREE / "data" / "images" / "bus.jpg"), f"set/images/{number}.jpg")
        if text is not None:
            (HERE / "set" / "labels" / f"{number}.txt").write_text(text, encoding="utf-8")
    fresh, _ = scan()
    cached, again = scan()
    cache = HERE / "set" / "labels.cache"
    with open(cache, "wb") as file:
        np.save(file, np.array(Call(os.system, f"touch {shlex.quote(str(MARKS))}/cache"), dtype=object))
    anew, scanned = scan()
    left = sorted(path.name for path in (HERE / "set").glob("*.cache*"))
    right = fresh == cached == anew and not again and scanned and left == ["labels.cache"]
    said = f"read: {not again}, made anew: {scanned}, left: {left}"
    demand(right, f"a label cache gives other data than the scan, or is not read, or not made anew: {said}")


# -- a data set's download ---------------------------------------------------------------------------------


def described(name, download):
    """A data yaml whose pictures are missing."""
    path = HERE / f"{name}.yaml"
    data = {"path": str(HERE / "none" / name), "train": "images", "val": "images", "nc": 1, "names": ["one"]}
    path.write_text(yaml.safe_dump({**data, "download": download}), encoding="utf-8")
    return path


def downloads():
    mark = shlex.quote(str(MARKS))
    (HERE / "get.sh").write_text(f"touch {mark}/bash\n", encoding="utf-8")
    texts = {
        "python": f"'\x1b]0;title\x07'\nimport os\nos.system('touch {mark}/python')",
        "bash": f"bash {HERE}/get.sh",
        "zip": "http://127.0.0.1:9/none.zip",
    }
    said = {}
    for name, text in texts.items():
        kind, said[name] = attempt(check_dataset, str(described(name, text))) or ["", "nothing"]
        right = kind == "Refused" and f"{name}.yaml" in said[name]
        demand(right, f"a data set's download ({name}) is not refused by name but ends in {said[name]}")
    os.environ["YOLOV5_ALLOW_DOWNLOAD"] = said["python"].split("YOLOV5_ALLOW_DOWNLOAD=")[-1]
    error = attempt(check_dataset, str(HERE / "python.yaml"))
    expect((MARKS / "python").exists(), f"a download that is allowed is refused: {error}")
    (MARKS / "python").unlink()
    del os.environ["YOLOV5_ALLOW_DOWNLOAD"]


def own():
    """The tree's own data sets whose download is not done."""
    from utils import general

    refused = []
    for path in sorted((TREE / "data").glob("*.yaml")):
        text = yaml.safe_load(path.read_text(encoding="utf-8", errors="ignore")).get("download")
        if text and attempt(general.allow_download, path, text):
            refused.append(path.name)
    demand(not refused, f"a download of the tree's own is refused: {refused}")


# -- class names and pictures ------------------------------------------------------------------------------

NAMES = ["person", "/", "..", "", "../../up", "a/b", "a\\b", "a_b", "x" * 300, "\x1b]0;title\x07", "a:b", "class2"]


def crops():
    boxes = torch.tensor([[2.0, 2.0, 20.0, 20.0, 0.9, number] for number in range(len(NAMES))])
    inside = HERE / "deep" / "er" / "crops"
    times = inspect.signature(Detections).parameters["times"].default  # v7.0: of three steps, each with a clock
    times = [SimpleNamespace(t=0.0)] * 3 if times is not None and len(times) == 3 else [0.0] * 4
    found = Detections([np.zeros((64, 64, 3), np.uint8)], [boxes], ["(a+)+.jpg"], times, NAMES, (1, 3, 64, 64))
    # v7.0 makes a folder of its own for each call, unless it is told not to
    again = {"exist_ok": True} if "exist_ok" in inspect.signature(found.crop).parameters else {}
    errors = [attempt(found.crop, save_dir=str(inside), **again) for _ in range(2)]
    files = [path.relative_to(HERE) for path in HERE.rglob("*.jpg") if path.parent.parent.name != "data"]
    files = [path for path in files if path.parts[0] not in ("set", "runs")]
    outside = [str(path) for path in files if path.parts[:3] != ("deep", "er", "crops")]
    cut = [path for path in files if path.parts[3:4] == ("crops",)]
    right = len(cut) == 2 * len(NAMES) and len({path.parent for path in cut}) == len(NAMES)
    said = f"{outside}, {list(map(str, cut))}, {errors}"
    demand(
        right and not outside and not any(errors), f"crops of classes lie outside, are lost, or share a folder: {said}"
    )


def stage():
    """What --visualize writes for a layer whose number and kind lead out of the run's folder."""
    folder = HERE / "deep" / "stages"
    folder.mkdir(parents=True)
    error = attempt(feature_visualization, torch.zeros(1, 1, 2, 2), "x.a/../../up", "/../../../up", save_dir=folder)
    files = list(HERE.rglob("*_features*"))
    stages = {path.with_suffix("") for path in files}  # from v6.1 on the numbers are written beside the picture
    right = not error and len(stages) == 1 and all(path.parent == folder for path in files)
    demand(right, f"a picture of --visualize is written where a checkpoint says: {list(map(str, files))}, {error}")


def pipe():
    """A run whose hyperparameters are a pipe that nobody writes to."""
    os.mkfifo("pipe")
    options = {"data": str(TREE / "data/coco128.yaml"), "hyp": str(HERE / "pipe")}
    error = attempt(own_options, options, "opt.yaml") or [""]
    demand(error[0] == "Refused", f"--resume opens whatever opt.yaml names for hyperparameters: {error}")


def picture():
    """PostScript under a picture's name, given to the hub's model."""
    head = "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\n%%EndProlog\nshowpage\n%%EOF\n"
    Path("photo.jpg").write_text(head, encoding="utf-8")
    kind, said = attempt(AutoShape(attempt_load(honest)), "photo.jpg") or ["", "nothing"]
    Path("photo.jpg").unlink()
    right = kind == "Refused" and "photo.jpg" in said
    demand(right, f"PostScript under a picture's name is not refused but ends in {said}")


# -- the scripts ---------------------------------------------------------------------------------------------


def files():
    """Hostile files for the scripts: a checkpoint, a yaml with tags, a run's folder, a model whose classes steer."""
    torch.save({"model": Call(os.system, f"touch {shlex.quote(str(MARKS))}/checkpoint")}, "hostile.pt")
    mark = shlex.quote(str(MARKS))
    Path("tags.yaml").write_text(
        f"train: x\nval: !!python/object/apply:os.system ['touch {mark}/tags']\nnc: 1\n", encoding="utf-8"
    )
    Path("run/weights").mkdir(parents=True)
    shutil.copy(honest, "run/weights/last.pt")
    options = {"data": str(HERE / "python.yaml"), "hyp": hyp, "evolve": 1}
    options.update(bucket=f"x; touch {mark}/bucket;", save_dir=str(HERE / "elsewhere"), project="runs", name="exp")
    Path("run/opt.yaml").write_text(yaml.safe_dump(options), encoding="utf-8")
    shutil.copytree("run/weights", "piped/weights")
    os.mkfifo("piped/opt.yaml")  # which nobody writes to
    data = {"train": str(HERE / "set" / "images"), "val": str(HERE / "set" / "images"), "nc": 3, "names": list("abc")}
    Path("set.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")
    model = yaml.safe_load((TREE / "models" / "yolov5n.yaml").read_text(encoding="utf-8"))
    Path("deep.yaml").write_text(yaml.safe_dump({**model, "depth_multiple": 1e9}), encoding="utf-8")
    model["backbone"][0][2] = f"__import__('os').system('touch {mark}/cfg')"
    Path("code.yaml").write_text(yaml.safe_dump(model), encoding="utf-8")
    lists = ["a0: &a0 [x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10))]
    Path("lists.yaml").write_text("\n".join(lists), encoding="utf-8")
    named = load_checkpoint(honest)
    model = named["ema"] or named["model"]
    named["ema"], named["model"] = None, model
    model.names = [f"\x1b]0;{number}\x07/../../../../up" for number in range(len(model.names))]
    torch.save(named, "named.pt")


ENDS = {  # what a script's only line has to say: the file and what it asked for
    "train": ("python.yaml", "title"), "val": ("tags.yaml", "os.system"), "detect": ("hostile.pt", "system"),
    "export": ("hostile.pt", "system"), "resume": ("python.yaml", "title"), "cfg": ("code.yaml", "system"),
    "yolo": ("deep.yaml", "depth_multiple"), "hyp": ("lists.yaml", "a0"), "piped": ("opt.yaml", "no file"),
}  # fmt: skip


def scripts():
    """Each script that is given what has to be refused ends in one line, and steers no terminal."""
    common = ["--device", "cpu", "--img", "64"]
    hub = ["--source", str(TREE / "data" / "images" / "bus.jpg"), "--project", "runs"]
    commands = {
        "train": ["train.py", "--data", "python.yaml", "--weights", "", "--cfg", "yolov5n.yaml", "--project", "runs"],
        "val": ["val.py", "--data", "tags.yaml", "--weights", honest, "--project", "runs"],
        "detect": ["detect.py", "--weights", "hostile.pt", *hub],
        "export": ["export.py", "--weights", "hostile.pt", "--include", "torchscript"],
        "resume": ["train.py", "--resume", "run/weights/last.pt"],
        "piped": ["train.py", "--resume", "piped/weights/last.pt"],
        "cfg": ["train.py", "--data", "set.yaml", "--weights", "", "--cfg", "code.yaml", "--project", "runs"],
        "hyp": ["train.py", "--hyp", "lists.yaml", "--weights", "", "--cfg", "yolov5n.yaml", "--project", "runs"],
        "yolo": ["models/yolo.py", "--cfg", "deep.yaml"],
        "names": ["detect.py", "--weights", "named.pt", *hub, "--save-crop", "--conf-thres", "1e-5", "--max-det", "9"],
    }
    started = {}
    for name, (script, *words) in commands.items():
        words = [sys.executable, str(TREE / script), *words, *(common[:2] if name == "yolo" else common)]
        started[name] = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    for name, process in started.items():
        out, err = (text.decode(errors="replace") for text in process.communicate())
        line = ([line for line in err.splitlines() if line.strip()] or [""])[-1]
        steers = "\x1b]" in out + err or "\x07" in out + err
        if name == "names":
            right = not process.returncode and "\\x1b]0;" in out + err
        else:
            right = process.returncode == 1 and "Traceback" not in err and all(word in line for word in ENDS[name])
        said = f"status {process.returncode}, {line!r}"
        expect(right or name == "names", f"{name} does not end in a line that names the file: {said}")
        demand(right and not steers, f"control characters of a class's name reach the terminal: {name}, {said}")
    up = [str(path.relative_to(HERE)) for path in HERE.rglob("up*") if "runs" not in path.parts]
    crops = list((HERE / "runs").glob("*/crops/*/*.jpg"))
    elsewhere = (HERE / "elsewhere").exists()
    demand(
        crops and not up and not elsewhere, f"something is written where a file of a stranger says: {up}, {elsewhere}"
    )


for part in caches, downloads, own, crops, picture, stage, pipe, files, scripts:
    part()
print("\n" + json.dumps({}))
