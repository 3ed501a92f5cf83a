"""Train, and watch one thing of it: ``training.py TREE WHAT OUT.json -- ARGUMENTS OF train.py``.

schedule   when the optimizer stepped, and how
ema        the weights averaged once more beside the tree, on the host
amp        mixed precision, and the way of the scaler's state through a checkpoint
deaths     at every torch.save a copy of the process dies of SIGKILL, half-way and with nothing written
graph      a model that torch cannot trace, as a person trains it
ranks      one process of a distributed training; OUT.json is a folder, which gets rankN.json
"""

import hashlib
import io
import json
import math
import os
import signal
import sys
import zipfile
from pathlib import Path

from entry import Stop, batch_ended, dataloaders, enter, leave, replace_sgd, trained

what, out = enter()

import torch


def write(file, found):
    with open(file, "w", encoding="utf-8") as opened:
        json.dump(found, opened, indent=1)


def schedule(out):
    found = {"iterations": [], "steps": [], "kept": [], "groups": []}
    pending, optimizers = [], []

    def watched(kind):
        class SGD(kind):
            def __init__(self, *args, **kwargs):
                super().__init__(*args, **kwargs)
                optimizers.append(self)

            def step(self, *args, **kwargs):
                pending.append([[float(g["lr"]), float(g["momentum"])] for g in self.param_groups])
                return super().step(*args, **kwargs)

        return SGD

    def end_of_batch(*words):
        ni = batch_ended(words)[0]
        found["iterations"].append(ni)
        for groups in pending:
            found["steps"].append({"iteration": ni, "groups": groups})
            gradients = (p.grad for g in optimizers[0].param_groups for p in g["params"])
            if any(g is not None and bool((g != 0).any()) for g in gradients):
                found["kept"].append(ni)
        del pending[:]

    replace_sgd(watched)
    import train  # the tree's

    trained(train, sys.argv[1:], {"on_train_batch_end": end_of_batch})
    for group in optimizers[0].param_groups:
        found["groups"].append([sorted({p.dim() for p in group["params"]}), bool(group["weight_decay"])])
    write(out, found)


def floats(model):
    # the model may be a DistributedDataParallel's, the average is of what is in it
    state = getattr(model, "module", model).state_dict()
    return {k: v.detach().float().cpu() for k, v in state.items() if v.dtype.is_floating_point}


def ema(out):
    found = {"steps": 0}
    emas = []

    def counted(kind):
        class SGD(kind):
            def step(self, *args, **kwargs):
                out = super().step(*args, **kwargs)
                found["steps"] += 1
                ema = emas[0]
                d = 0.9999 * (1 - math.exp(-found["steps"] / 2000))  # utils/torch_utils.py, v6.0 to v7.0
                now = floats(ema.watched)
                ema.mine = {k: v * d + (1 - d) * now[k] for k, v in ema.mine.items()}
                return out

        return SGD

    replace_sgd(counted)
    import train  # the tree's

    class EMA(train.ModelEMA):
        def __init__(self, model, *args, **kwargs):
            super().__init__(model, *args, **kwargs)
            self.mine = floats(model)
            emas.append(self)

    class Loss(train.ComputeLoss):
        def __init__(self, model, *args):
            super().__init__(model, *args)
            emas[0].watched = model
            # AutoAnchor halves and restores the model between the average's first copy and the first step
            assert emas[0].updates == 0

    train.ModelEMA, train.ComputeLoss = EMA, Loss
    train.main(train.parse_opt())
    (ema,) = emas
    average, weights = floats(ema.ema), floats(ema.watched)
    found["updates"] = ema.updates
    # of what is averaged: counters, which are not, may be where they are best counted
    found["devices"] = sorted({t.device.type for t in ema.ema.state_dict().values() if t.dtype.is_floating_point})
    apart = (((average[k] - v).abs() / (v.abs() + 1)).max() for k, v in ema.mine.items() if v.numel())
    found["error"] = max(map(float, apart))
    found["distance"] = max(float((average[k] - v).abs().max()) for k, v in weights.items() if v.numel())
    write(out, found)


def watched_dtypes():
    """The dtypes that convolutions in training make from now on."""
    dtypes = set()
    conv = torch.nn.Conv2d.forward

    def watched(self, x):  # not a hook: those are pickled with the model
        y = conv(self, x)
        if self.training:
            dtypes.add(str(y.dtype))
        return y

    torch.nn.Conv2d.forward = watched
    return dtypes


def watched_scalers():
    """The scalers of gradients that are made from now on, the states that they get back, and whether they are own."""
    from utils import accelerator  # the tree's

    scalers, restored, own = [], [], []

    def spied(acc):
        make = acc.scaler

        def scaler(*args, **kwargs):
            made = make(*args, **kwargs)
            own.append(isinstance(made, getattr(getattr(acc.module, "amp", None), "GradScaler", ())))
            load = made.load_state_dict

            def load_state_dict(state):
                load(state)
                restored.append(made.state_dict())

            made.load_state_dict = load_state_dict
            scalers.append(made)
            return made

        return scaler

    for acc in accelerator.REGISTRY.values():
        acc.scaler = spied(acc)
    return scalers, restored, own


def amp(out):
    """The run ends after its first epoch was saved and is resumed in the same process."""
    import train  # the tree's

    losses, dtypes = [], watched_dtypes()
    scalers, restored, own = watched_scalers()

    class Loss(train.ComputeLoss):
        def __call__(self, *args):
            loss, items = super().__call__(*args)
            if torch.is_grad_enabled():
                losses.append(loss.detach())
            return loss, items

    def saved(last, epoch, *rest):
        if len(scalers) == 1:
            raise Stop  # the run ends here, with one epoch saved

    train.ComputeLoss = Loss
    trained(train, sys.argv[1:], {"on_model_save": saved})
    state = scalers[-1].state_dict()
    trained(train, ["--resume", os.path.join("runs", "exp", "weights", "last.pt")], {})
    found = {"losses": [float(x) for x in losses], "dtypes": sorted(dtypes), "enabled": bool(scalers[-1].is_enabled())}
    found.update(saved=state, restored=restored[-1] if restored else None, own=all(own))
    write(out, dict(found, autocast=hasattr(torch, "autocast")))


def broken(path):
    """What is wrong with a file as its own archive format checks it (every member's CRC)."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip()
    except (zipfile.BadZipFile, OSError) as error:
        return repr(error)


def die(target, data):
    """Write ``data`` in a copy of this process that is then killed."""
    pid = os.fork()
    if pid == 0:
        try:
            if hasattr(target, "write"):
                target.write(data)
                target.flush()
            else:
                Path(target).write_bytes(data)
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def deaths(out):
    """After each death the checkpoints that are on disk are read, and then the real save goes on."""
    import train  # the tree's

    save, found = torch.save, []
    folder = Path("runs").resolve()

    def saving(obj, f, *args, **kwargs):
        buffer = io.BytesIO()
        save(obj, buffer, *args, **kwargs)
        data = buffer.getvalue()
        for name, part in ("half", data[: len(data) // 2]), ("nothing", b""):
            die(f, part)
            present = sorted(folder.rglob("*.pt"))
            row = {"save": len(found) // 2, "written": name, "target": str(getattr(f, "name", f))}
            row["present"] = [p.name for p in present]
            row["broken"] = {p.name: str(b) for p in present for b in [broken(p)] if b}
            found.append(row)
        save(obj, f, *args, **kwargs)

    torch.save = saving
    train.main(train.parse_opt())
    write(out, {"deaths": found})


def graph(out):
    import train  # the tree's
    from models.yolo import Model

    one = torch.ones(1, requires_grad=True)  # "Cannot insert a Tensor that requires grad as a constant"
    plain = Model._forward_once

    def with_a_constant(self, x, *args):
        return plain(self, x * one.to(x.device, x.dtype).sum(), *args)

    Model._forward_once = with_a_constant
    sys.argv.remove("--sync-bn")  # with which v6.0 traces nothing
    train.main(train.parse_opt())
    write(out, {})


def digest(tensors):
    h = hashlib.sha256()
    for name, tensor in tensors:
        h.update(name.encode() + tensor.detach().cpu().numpy().tobytes())
    return h.hexdigest()


def ranks(folder):
    import torch.distributed as dist
    import train  # the tree's
    from torch.nn.parallel import DistributedDataParallel
    from utils import torch_utils

    # order: per epoch the numbers of the pictures, in the order in which they are asked for
    found = {"images": 0, "order": []}

    def watch(kind):  # in place, as a subclass would not do: v6.0 asks for the class itself
        made, forward = kind.__init__, kind.forward

        def init(self, module, *args, **kwargs):
            made(self, module, *args, **kwargs)
            found["model"], found["before"] = self, digest(module.named_parameters())
            found["device"] = str(next(module.parameters()).device)
            found["backend"] = dist.get_backend()

        def go(self, images, *args, **kwargs):
            if self.training:
                found["images"] += len(images)
            return forward(self, images, *args, **kwargs)

        kind.__init__, kind.forward = init, go

    datasets = dataloaders()

    class Sampler(datasets.torch.utils.data.distributed.DistributedSampler):
        def __iter__(self):
            order = [int(number) for number in super().__iter__()]
            found["order"].append(order)
            return iter(order)

    # torch's, or what a tree has in its place where a device's backend cannot serve that
    for kind in DistributedDataParallel, getattr(torch_utils, "Distributed", None):
        if kind:
            watch(kind)
    datasets.torch.utils.data.distributed.DistributedSampler = Sampler
    train.main(train.parse_opt())
    module = found.pop("model").module
    found["weights"] = digest(module.named_parameters())
    # without SyncBatchNorm running statistics are each process's own until they are broadcast
    found["buffers"] = digest((n, b) for n, b in module.named_buffers() if "running" in n)
    write(os.path.join(folder, "rank%s.json" % os.environ["RANK"]), found)
    if dist.is_initialized():
        dist.destroy_process_group()
    leave()


{"schedule": schedule, "ema": ema, "amp": amp, "deaths": deaths, "graph": graph, "ranks": ranks}[what](out)
