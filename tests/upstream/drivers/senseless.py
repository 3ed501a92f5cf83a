"""Checkpoints of a model's parts that make no sense: ``senseless.py TREE [all|NAME...]``; prints JSON.

Each is given to the tree's programs, in copies of this process that have imported what they need.  What the loader
refuses goes to one of them by turns, since they have one loader; ``all`` gives everything to every one.
"""

import contextlib
import inspect
import json
import os
import pickle
import runpy
import shutil
import sys
from pathlib import Path

from entry import enter
from tiny import honest, model_of, optimizer_of, stepped

wanted = enter()
TREE, HERE = Path(sys.path[0]), Path.cwd()

import cv2
import numpy as np
import torch
import yaml

torch.set_num_threads(1)

import detect  # noqa: F401
import export  # noqa: F401
import hubconf
import train
import val  # noqa: F401
from models.experimental import attempt_load
from utils.checkpoint import load_checkpoint

KEYWORDS = {"weights_only": False} if "weights_only" in inspect.signature(torch.load).parameters else {}

# -- what is made of it ------------------------------------------------------------------------------------------


def both(change):
    """A change of the model and of its average."""

    def spoil(c):
        for model in c["model"], c["ema"]:
            change(model)

    return spoil


def put(value, *keys):
    """A change that gives a part of a dictionary another value."""

    def spoil(c):
        for key in keys[:-1]:
            c = c[key]
        c[keys[-1]] = value

    return spoil


def drop(*keys):
    def spoil(c):
        for key in keys[:-1]:
            c = c[key]
        del c[keys[-1]]

    return spoil


def attribute(value, name, layer=None):
    """A change of an attribute of the model, or of one of its layers; None: there is none."""

    def change(model):
        one = model if layer is None else layer(model)
        one.__dict__.pop(name, None)
        for kind in "_parameters", "_buffers", "_modules":
            one.__dict__[kind].pop(name, None)
        if value is not None:
            one.__dict__[name] = value

    return both(change)


def design(value, *keys):
    """A change of the model's yaml."""
    return both(lambda model: put(value, *keys)(model.yaml))


def parameter(value, layer, name="weight", kind="_parameters"):
    made = torch.nn.Parameter(value, False) if kind == "_parameters" else value
    return both(lambda model: layer(model).__dict__[kind].__setitem__(name, made))


def head(model):
    return model.model[-1]


def conv(model):
    return model.model[1].conv


def norm(model):
    return model.model[1].bn


def stride(number):
    return lambda c: [attribute(torch.full((2,), float(number)), "stride", layer)(c) for layer in (None, head)]


def wider(c):
    c["ema"] = model_of(width_multiple=1.0).half()


def of_another(c):
    c["optimizer"] = stepped(optimizer_of(model_of(width_multiple=1.0)))


def of_another_kind(c):
    c["optimizer"] = stepped(optimizer_of(model_of(), torch.optim.Adam, eps=1e-8))


def fewer_groups(c):
    c["optimizer"]["param_groups"].pop()


def texts_for_numbers(c):
    c["optimizer"]["state"] = {key: {"momentum_buffer": "x"} for key in c["optimizer"]["state"]}


def part(c):
    c["model"] = c["model"].model[0]
    c["ema"] = None


def four_channels(c):
    c["model"], c["ema"] = model_of(ch=4).half(), model_of(ch=4).half()


def run_of_another(c):
    c["run"]["model"] = model_of(width_multiple=1.0).state_dict()


def tensor(*shape):
    return torch.ones(*shape, dtype=torch.half)


CASES = {
    "no model": drop("model"),
    "no model but an average": put(None, "model"),
    "model a state_dict": lambda c: c.update(model=c["model"].state_dict(), ema=None),
    "model a tensor": lambda c: c.update(model=tensor(3), ema=None),
    "model a layer": part,
    "ema a tensor": put(tensor(3), "ema"),
    "ema a number": put(1, "ema"),
    "ema a layer": lambda c: c.update(ema=c["model"].model[0]),
    "ema of another model": wider,
    "epoch a text": put("3", "epoch"),
    "epoch before the first": put(-7, "epoch"),
    "epoch without end": put(10**30, "epoch"),
    "no epoch": drop("epoch"),
    "no optimizer": drop("optimizer"),
    "optimizer empty": put({}, "optimizer"),
    "optimizer of another model": of_another,
    "optimizer of another kind": of_another_kind,
    "optimizer of fewer groups": fewer_groups,
    "optimizer with texts": texts_for_numbers,
    "learning rate a text": put("fast", "optimizer", "param_groups", 1, "lr"),
    "no learning rate": drop("optimizer", "param_groups", 1, "lr"),
    "groups no list": put(3, "optimizer", "param_groups"),
    "best_fitness a text": put("good", "best_fitness"),
    "best_fitness two numbers": put(np.array([0.1, 0.2]), "best_fitness"),
    "no best_fitness": drop("best_fitness"),
    "no updates": drop("updates"),
    "updates a text": put("3", "updates"),
    "scaler a text": put("x", "scaler"),
    "run a text": put("x", "run"),
    "run of another model": run_of_another,
    "run without numbers": drop("run", "random"),
    "random numbers a text": put("x", "run", "random"),
    "maps a text": put("x", "run", "maps"),
    "best a text": put("x", "run", "best"),
    "last step a text": put("x", "run", "last_opt_step"),
    "no yaml": attribute(None, "yaml"),
    "yaml a text": attribute("yolov5n.yaml", "yaml"),
    "yaml without nc": both(lambda model: model.yaml.pop("nc")),
    "yaml's nc a text": design("2", "nc"),
    "yaml's nc below 0": design(-3, "nc"),
    "yaml's backbone a text": design("Conv", "backbone"),
    "a row of three": design([-1, 1, "Conv"], "backbone", 1),
    "a row that is none": design(5, "backbone", 1),
    "a layer that there is not": design("Convolution", "backbone", 1, 2),
    "a layer that takes no text": design(["x", 3, 2], "backbone", 1, 3),
    "a row from nowhere": design(99, "backbone", 1, 0),
    "a row from a text": design("x", "backbone", 1, 0),
    "rows without end": design(1e9, "depth_multiple"),
    "width a text": design("wide", "width_multiple"),
    "yaml's anchors a text": design("x", "anchors"),
    "yaml's anchors uneven": design([[1, 2, 3], [4], [5, 6]], "anchors"),
    "yaml without a head": design([], "head"),
    "names a number": attribute(5, "names"),
    "names a text": attribute("catdog", "names"),
    "too few names": attribute(["cat"], "names"),
    "names of other numbers": attribute({7: "cat", 8: "dog"}, "names"),
    "no names": attribute(None, "names"),
    "no nc": attribute(None, "nc"),
    "nc a text": attribute("2", "nc"),
    "the head's nc a text": attribute("2", "nc", head),
    "the head's nc another": attribute(7, "nc", head),
    "no anchors": attribute(None, "anchors", head),
    "anchors of another shape": parameter(tensor(2, 7), head, "anchors", "_buffers"),
    "no stride": attribute(None, "stride"),
    "stride 0": stride(0),
    "stride no number": stride(float("nan")),
    "stride a text": attribute("8", "stride"),
    "stride of one scale": attribute(torch.tensor([8.0]), "stride", head),
    "another stride than the head's": attribute(torch.tensor([4.0, 8.0]), "stride"),
    "stride of a mile": stride(1e6),
    "weights of another shape": parameter(tensor(8, 2, 3, 3), conv),
    "weights of one dimension": parameter(tensor(5), conv),
    "no weights": both(lambda model: conv(model)._parameters.update(weight=None)),
    "weights whole numbers": parameter(torch.ones(conv(honest()["model"]).weight.shape, dtype=torch.int8), conv),
    "means of another shape": parameter(tensor(99), norm, "running_mean", "_buffers"),
    "a layer's input missing": attribute(None, "f", lambda model: model.model[1]),
    "a layer's input a text": attribute("x", "f", lambda model: model.model[1]),
    "a layer's input from nowhere": attribute(99, "f", lambda model: model.model[1]),
    "no save": attribute(None, "save"),
    "a layer left out": both(lambda model: model.model._modules.pop("2")),
    "no layers": both(lambda model: model.model._modules.clear()),
    "no head": both(lambda model: model.model._modules.pop("6")),
    "no sequence of layers": attribute(None, "model"),
    "padding a text": attribute("x", "padding", conv),
    "channels without end": attribute(1 << 40, "out_channels", conv),
    "eps a text": attribute("x", "eps", norm),
    "no activation": attribute(None, "act", lambda model: model.model[1]),
    "grid a text": attribute("x", "grid", head),
    "no grid": attribute([], "grid", head),
    "four channels": four_channels,
}
WHOLE = {"a list": [1, 2], "nothing": {}, "a number": 3}

# -- the programs ------------------------------------------------------------------------------------------------


def environment():
    """Pictures with labels, and the folder of a run that was killed."""
    for folder in "files", "set/images", "set/labels", "run/weights":
        (HERE / folder).mkdir(parents=True)
    pictures = np.random.RandomState(0).randint(0, 255, (4, 64, 64, 3), np.uint8)
    for number, picture in enumerate(pictures):
        cv2.imwrite(f"set/images/{number}.jpg", picture)
        Path(f"set/labels/{number}.txt").write_text("0 .5 .5 .4 .3\n1 .3 .3 .2 .4\n")
    data = {"path": str(HERE / "set"), "train": "images", "val": "images", "nc": 2, "names": ["cat", "dog"]}
    Path("data.yaml").write_text(yaml.safe_dump(data))
    sys.argv = ["train.py", *SET, *COMMON, "--epochs", "3", "--noautoanchor"]
    options = {k: str(v) if isinstance(v, Path) else v for k, v in vars(train.parse_opt()).items()}
    Path("run/opt.yaml").write_text(yaml.safe_dump({**options, "data": str(HERE / "data.yaml")}))


COMMON = ["--device", "cpu", "--img", "64"]
SET = ["--data", "data.yaml", "--batch-size", "2", "--workers", "0"]
LAST = "run/weights/last.pt"


def words(program, path):
    """What a program is started with."""
    found = {
        "train": ["train.py", "--weights", path, "--epochs", "2", "--noautoanchor", *SET],
        "resume": ["train.py", "--resume", LAST],
        "val": ["val.py", "--weights", path, *SET[:4]],
        "detect": ["detect.py", "--weights", path, "--source", "set/images", "--conf-thres", "1e-9"],
        "export": ["export.py", "--weights", path, "--include", "torchscript"],
        "hub": ["hub", path],
    }[program]
    project = [] if program == "export" else ["--project", "runs"]
    return found if program in ("resume", "hub") else [*found, *COMMON, *project]


def child(words):
    """How a copy of this process ends that becomes a program: its status, the last line that it said, all of it."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        status = os.waitpid(pid, 0)[1]
        said = Path("err.txt").read_text(errors="replace")
        lines = [line for line in said.splitlines() if line.strip()]
        code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)
        trace = said[-3000:] if "Traceback" in said else ""
        return {"status": code, "said": lines[-1] if lines else "", "trace": trace}
    status = 1
    try:
        for number, name in (1, "out.txt"), (2, "err.txt"):
            os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        sys.argv = words
        if words[0] == "hub":
            hubconf.custom(words[1], verbose=False)(np.zeros((64, 64, 3), np.uint8), size=64)
        else:
            runpy.run_path(str(TREE / words[0]), run_name="__main__")
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def refused(load, path):
    """What is wrong with a file, or None."""
    try:
        load(path)
    except pickle.UnpicklingError as error:
        return str(error)
    except Exception as error:  # as before there were rules
        return repr(error)
    return None


PROGRAMS = ["train", "resume", "val", "detect", "export", "hub"]


def programs(number, path):
    """Those that a file is given to."""
    if "all" in wanted or refused(load_checkpoint, path):
        return PROGRAMS if "all" in wanted else [PROGRAMS[number % 6]]
    return ["train", PROGRAMS[2 + number % 4] if refused(attempt_load, path) else "resume"]


environment()
torch.save(honest(), "base.pt")
found = {}
for number, name in enumerate(["honest", *CASES, *WHOLE]):
    if set(wanted) - {"all"} and name not in wanted:
        continue
    value = WHOLE[name] if name in WHOLE else torch.load("base.pt", **KEYWORDS)
    if name in CASES:
        CASES[name](value)
    path = f"files/{number}.pt"
    torch.save(value, path)
    ends = {}
    for program in PROGRAMS if name == "honest" else programs(number, path):
        shutil.copy(path, LAST)  # a run that goes on writes it
        ends[program] = child(words(program, path))
    found[name] = {"file": path, "load": refused(load_checkpoint, path), "ends": ends}
print("\n" + json.dumps(found))
