"""Make steps of a training and record them, or compare them with a record: ``main.py TREE CONFIG.json``.

CONFIG.json has ``device``, ``plugin``, ``seed``, ``steps``, ``batch``, ``img``, ``cfg``, ``weights``, ``data``,
``precision``, and ``out``, the folder for what comes of it:

- ``record``: write a record there, with the weights, the batch and the cpu's own noise in it, and compare nothing.
- ``against``: compare with that record, or with the ``cpu``: rows.jsonl gets a line a tensor, result.json what is to be
  said.
- ``time``: measure a plain step, too: ``wall`` seconds, or the ``cpu``'s, in which other programs count little.

It runs on the oldest Python and torch that a vendor ships: Python 3.6, torch 1.9.
"""

import gc
import importlib
import json
import os
import sys
import time
import types

os.environ.setdefault("TORCH_DEVICE_BACKEND_AUTOLOAD", "0")

import torch
from lockstep import Lockstep
from noise import following_noise, noise, scale
from operators import find_operator
from sides import Comparer, Recorded, recorders, run
from step import Training, batch, halved, parameters, seed
from tensors import BadFile, Reader, Writer

SCHEMA = 2  # of a record: what its noise is a part of
now = time.time


def build(config):
    """The model, on the host, from a checkpoint or from a seed."""
    from models.yolo import Model  # the tree's

    seed(config["seed"])
    if config["weights"]:
        from models.experimental import load_checkpoint

        with_weights = load_checkpoint(config["weights"])["model"].float()
        model = Model(with_weights.yaml, ch=3)
        model.load_state_dict(with_weights.state_dict(), strict=False)
        return model
    cfg = config["cfg"]
    return Model(cfg if os.path.isfile(cfg) else os.path.join("models", cfg), ch=3)


def lines(model):
    """The line of the model's yaml that each layer is from, with what it says."""
    file = os.path.join("models", os.path.basename(getattr(model, "yaml_file", "") or "yolov5s.yaml"))
    found, inside = {}, False
    if os.path.isfile(file):
        with open(file, encoding="utf-8", errors="replace") as text:
            for number, line in enumerate(text, 1):
                inside = inside or line.startswith(("backbone:", "head:"))
                if inside and line.strip().startswith("["):
                    found[str(len(found))] = [number, line.partition("#")[0].strip().strip(",")]
    return {"file": file, "lines": found} if len(found) == len(model.model) else {"file": "", "lines": {}}


class Subject:
    """What both sides begin with: a model and a batch, on the host."""

    def __init__(self, model, images, targets):
        self.model, self.images, self.targets = model, images, targets
        model.nc = model.model[-1].nc

    def training(self, config, device):
        return Training(self.model, device, config)


def subject(config):
    """From the files that the command names."""
    model = build(config)
    images, targets = batch(config, int(model.stride.max()))
    targets[:, 1] = targets[:, 1] % model.model[-1].nc  # a data set of other classes does as well
    if config["precision"] == "fp16":  # the weights that the device begins with
        with torch.no_grad():
            for tensor in model.state_dict().values():
                if tensor.dtype == torch.float32:
                    tensor.copy_(halved(tensor))
    made = Subject(model, images, targets)
    config["scale"] = 1.0
    config["scale"] = scale(model, images, targets, config)
    return made


def record(config, writer):
    """Write the record of a side."""
    of = subject(config)
    found = noise(of.model, of.images, of.targets, config, of.training(config, "cpu"))
    recorded = []
    for name, tensor in of.model.state_dict().items():
        writer.put("weights/" + name, tensor)
    writer.put("images", of.images)
    writer.put("targets", of.targets)
    run(of.training(config, config["device"]), of.images, of.targets, config, recorders(writer, recorded))
    meta = {name: config[name] for name in ("img", "batch", "seed", "steps", "precision", "scale")}
    meta.update(kind="comparison record", schema=SCHEMA, torch=torch.__version__, device=config["says"])
    meta.update(yaml=of.model.yaml, things=recorded, noise=found, model=lines(of.model))
    writer.close(meta)


def recorded_subject(reader):
    """The model that a record was made with, and its batch; the tree checks that its yaml names layers alone."""
    from models.yolo import Model

    try:
        model = Model(dict(reader.meta["yaml"]), ch=3)
        state = {name: reader.get("weights/" + name) for name in model.state_dict()}
        model.load_state_dict(state)
        things = [[row["name"] for row in step] for step in reader.meta["things"]]
        if not things or len(things) != reader.meta["steps"] or len(reader.meta["noise"]) != len(things):
            raise BadFile("%s: its steps do not fit each other" % reader.path)
        return Subject(model, reader.get("images"), reader.get("targets"))
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise BadFile("%s makes no sense: %s: %s" % (reader.path, type(error).__name__, error)) from error


def with_cpu(config):
    """Compare with the cpu, which makes the same step beside it."""
    began = now()
    of = subject(config)
    training = of.training(config, "cpu")
    built = now()
    alone = plain(config, of) if config["time"] else {}
    begun = now()
    find = noise if config["precision"] == "fp32" else following_noise
    found = find(of.model, of.images, of.targets, config, training)
    seconds = {"build": built - began, "noise": now() - begun, **alone}
    return beside(config, of, training, found, seconds)


def beside(config, of, training, found, seconds):
    """The same, from what is built."""
    reference = Lockstep(training, of.images, of.targets, config, follows=config["precision"] != "fp32")
    about = {"reference": "the cpu (torch %s)" % torch.__version__, "model": lines(of.model)}
    try:
        return compared(config, of, reference, found, about, seconds)
    finally:
        reference.close()


def with_record(config, reader):
    if reader.meta.get("kind") != "comparison record":
        raise BadFile("%s is no record of porter compare" % reader.path)
    if reader.meta.get("schema") != SCHEMA:
        raise BadFile("%s is of another version of porter: record it again" % reader.path)
    of = recorded_subject(reader)
    try:
        for name in "img", "batch", "seed", "precision":
            config[name] = reader.meta[name]
        config["scale"] = float(reader.meta["scale"])
        config["steps"] = min(config["steps"], reader.meta["steps"])
    except (KeyError, TypeError, ValueError) as error:
        raise BadFile("%s makes no sense: %s: %s" % (reader.path, type(error).__name__, error)) from error
    about = {"reference": reader.meta["device"], "model": reader.meta["model"]}
    return compared(config, of, Recorded(reader, reader.meta["things"]), reader.meta["noise"], about, {})


def compared(config, of, reference, found, about, seconds):
    """Make the steps on the device, compare them, and find the operator where something leaves the band."""
    comparers, missing, began_with = [], [], parameters(of.model)
    training = of.training(config, config["device"])
    began = now()
    with open(os.path.join(config["out"], "rows.jsonl"), "w", encoding="utf-8") as rows:

        def of_step(number):
            keep = lambda row: rows.write(json.dumps(dict(row, step=number)) + "\n")  # noqa: E731
            comparers.append(Comparer(reference, found[number], config["precision"], not number, began_with, keep))
            return comparers[-1]

        run(training, of.images, of.targets, config, of_step, end=lambda: missing.append(reference.end()))
    seconds["compare"] = now() - began
    firsts = [comparer.first for comparer in comparers]
    made = {
        "steps": len(comparers),
        "first": firsts[0],
        "parted": next((number for number, first in enumerate(firsts) if first), None),
        "compared": comparers[0].count,
        "missing": missing[0],
        "precision": config["precision"],
        "operator": None,
        "seconds": seconds,
    }
    if firsts[0] and config["device"] != "cpu":
        began = now()
        training.begin_again()
        made["operator"] = find_operator(training, of.images, of.targets, firsts[0], config)
        seconds["operator"] = now() - began
    return dict(made, **about)


def plain(config, of):
    """The seconds of a step that nobody watches, on either side: the best of three, and the first of all."""
    found = {}
    for name, device in ("step", config["device"]), ("step of the cpu", "cpu"):
        training = of.training(config, device)
        times = []
        for _ in range(3):
            began = now()
            training.step(of.images, of.targets)
            training.acc.synchronize()
            times.append(now() - began)
        found.setdefault("first step", times[0])
        found[name] = min(times)
    return found


def main(tree, config):
    sys.path[0] = tree
    os.chdir(tree)
    with open(config, encoding="utf-8") as file:
        config = json.load(file)
    import logging

    logging.disable(logging.INFO)  # the model's summary
    # nothing is drawn: without seaborn, and SciPy with it, the tree is imported in four fifths of the time
    sys.modules["seaborn"] = types.ModuleType("seaborn")
    if config["plugin"]:
        importlib.import_module(config["plugin"])
    if config["threads"]:
        torch.set_num_threads(config["threads"])
    if config["time"] == "cpu":
        global now
        now = time.process_time
    if hasattr(gc, "freeze"):  # Python 3.6 has it not
        gc.freeze()  # torch's own objects are many, and a step's garbage is looked for in all of them
    result = {"torch": torch.__version__}
    if config["record"]:
        record(config, Writer(config["record"]))
    elif config["against"] == "cpu":
        result.update(with_cpu(config))
    else:
        result.update(with_record(config, Reader(config["against"])))
    with open(os.path.join(config["out"], "result.json"), "w", encoding="utf-8") as file:
        json.dump(result, file)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except BadFile as error:
        raise SystemExit("porter compare: %s" % error) from None
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # a driver's threads may outlive the interpreter, and end it by a signal
