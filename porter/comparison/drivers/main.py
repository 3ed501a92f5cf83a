"""Make steps of a training and record them, or compare them with a record: ``main.py TREE CONFIG.json``.

CONFIG.json has ``device``, ``plugin``, ``seed``, ``steps``, ``batch``, ``img``, ``cfg``, ``weights``, ``data``,
``precision``, and ``out``, the folder for what comes of it:

- ``record``: write a record there, with the weights, the batch and the cpu's own noise in it.
- ``against``: compare with that record: rows.jsonl gets a line a tensor, result.json what is to be said.  The same file
  for both is none but a place on the disk for as long as this runs.
- ``time``: measure a plain step, too.

It runs on the oldest Python and torch that a vendor ships: Python 3.6, torch 1.9.
"""

import importlib
import json
import os
import sys
import time

os.environ.setdefault("TORCH_DEVICE_BACKEND_AUTOLOAD", "0")

import torch
from operators import find_operator
from sides import Comparer, noise, recorders, run
from step import Training, batch, seed
from tensors import BadFile, Reader, Spool, Writer


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
        with open(file, errors="replace", encoding="utf-8") as text:
            for number, line in enumerate(text, 1):
                inside = inside or line.startswith(("backbone:", "head:"))
                if inside and line.strip().startswith("["):
                    found[str(len(found))] = [number, line.partition("#")[0].strip().strip(",")]
    return {"file": file, "lines": found} if len(found) == len(model.model) else {"file": "", "lines": {}}


def record(config, writer, made=None):
    """Write the record of a side; returns the seconds that it took, by part."""
    began = time.time()
    if made is None:
        model = build(config)
        images, targets = batch(config, int(model.stride.max()))
        model.nc = model.model[-1].nc
        targets[:, 1] = targets[:, 1] % model.nc  # a data set of other classes does as well
    else:
        model, images, targets = made
    training = Training(model, config["device"], config)  # whose first imports much
    built = time.time()
    found = noise(model, images, targets, config)
    noted = time.time()
    recorded = []
    for name, tensor in model.state_dict().items():
        writer.put("weights/" + name, tensor)
    writer.put("images", images)
    writer.put("targets", targets)
    seconds = run(training, images, targets, config, recorders(writer, recorded))
    meta = {name: config[name] for name in ("img", "batch", "seed", "steps", "precision")}
    meta.update(kind="comparison record", schema=1, torch=torch.__version__, device=config["says"], yaml=model.yaml)
    meta.update(things=recorded, noise=found, model=lines(model))
    writer.close(meta)
    return {"build": built - began, "noise": noted - built, "record": sum(seconds)}


def model_of(reader):
    """The model that a record was made with, and its batch; the tree checks that its yaml names layers alone."""
    from models.yolo import Model

    try:
        model = Model(dict(reader.meta["yaml"]), ch=3)
        state = {name: reader.get("weights/" + name) for name in model.state_dict()}
        model.load_state_dict(state)
        model.nc = model.model[-1].nc
        things = [[row["name"] for row in step] for step in reader.meta["things"]]
        if not things or len(things) != reader.meta["steps"] or len(reader.meta["noise"]) != len(things):
            raise BadFile("%s: its steps do not fit each other" % reader.path)
        return model, reader.get("images"), reader.get("targets")
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise BadFile("%s makes no sense: %s: %s" % (reader.path, type(error).__name__, error)) from error


def against(config, reader):
    """Compare with a record, and find the operator where something leaves the band."""
    if reader.meta.get("kind") != "comparison record":
        raise BadFile("%s is no record of porter compare" % reader.path)
    model, images, targets = model_of(reader)
    for name in "img", "batch", "seed", "precision":
        config[name] = reader.meta[name]
    config["steps"] = min(config["steps"], reader.meta["steps"])
    out = os.path.join(config["out"], "rows.jsonl")
    comparers = []
    with open(out, "w", encoding="utf-8") as rows:

        def of_step(number):
            comparers.append(
                Comparer(
                    reader,
                    "%d/" % number,
                    reader.meta["things"][number],
                    reader.meta["noise"][number],
                    lambda row: rows.write(json.dumps(dict(row, step=number)) + "\n"),
                )
            )
            return comparers[-1]

        seconds = run(Training(model, config["device"], config), images, targets, config, of_step)
    firsts = [comparer.first for comparer in comparers]
    found = {
        "steps": len(comparers),
        "first": firsts[0],
        "parted": next((number for number, first in enumerate(firsts) if first), None),
        "reference": reader.meta["device"],
        "model": reader.meta["model"],
        "compared": comparers[0].count,
        "missing": len(comparers[0].missing),
        "operator": None,
        "seconds": {"compare": sum(seconds)},
    }
    if firsts[0] and config["device"] != "cpu":
        began = time.time()
        training = Training(model, config["device"], config)
        seed(config["seed"])
        found["operator"] = find_operator(training, images, targets, firsts[0], config)
        found["seconds"]["operator"] = time.time() - began
    if config["time"]:
        training = Training(model, config["device"], config)
        for _ in range(2):  # the first warms up
            began = time.time()
            training.step(images, targets)
            found["seconds"]["step"] = time.time() - began
    return found


def main(tree, config):
    sys.path[0] = tree
    os.chdir(tree)
    with open(config, encoding="utf-8") as file:
        config = json.load(file)
    import logging

    logging.disable(logging.INFO)  # the model's summary
    if config["plugin"]:
        importlib.import_module(config["plugin"])
    if config["threads"]:
        torch.set_num_threads(config["threads"])
    result = {"torch": torch.__version__, "seconds": {}}
    spool = Spool(os.path.join(config["out"], "spool")) if config["record"] == config["against"] else None
    if config["record"]:
        writer = spool or Writer(config["record"])
        result["seconds"].update(record(dict(config, **config["record_as"]), writer))
    if config["against"]:
        found = against(config, spool or Reader(config["against"]))
        result["seconds"].update(found.pop("seconds"))
        result.update(found)
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
