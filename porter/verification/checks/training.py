"""Checks of training: that it runs, equals the cpu's, learns, resumes after it was killed; and train.py's options."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from porter.output import counted
from porter.process import free_port
from porter.verification.device import card_of
from porter.verification.plan import check
from porter.verification.releases import default_hyp, release, results
from porter.verification.report import Failed, Finding, NotShown, showing
from porter.verification.session import DRIVERS, IMAGES, PER_EPOCH, Record, Session, newest, well

# Hardware sums in another order and multiplies float32 in less precision than the cpu: losses of the first
# iterations agree to a hundredth, later ones drift.
_CLOSE, _FIRST = 1e-2, 5
_SAME = 1e-6  # relative: what a run that was killed and resumed may differ from the run that was not


@check("smoke", "train.py trains from nothing on the device and leaves checkpoints and results")
def train(session: Session) -> Finding:
    run = session.plain()
    rows = results(run.folder)
    _epochs(rows, [0])
    for path in run.last, run.best:
        if not path.is_file():
            raise Failed(f"it left no {path.name}")
    return Finding(f"an epoch of {PER_EPOCH} iterations, loss {_sum(rows[-1]):.4f}")


@check("smoke", "losses and final weights equal those of the same run on the cpu")
def parity(session: Session) -> Finding:
    if session.device.kind == "cpu":
        raise NotShown("there is only the cpu to compare")
    ours, cpu = session.trained(), session.trained("cpu")
    if ours.found["devices"] != [session.device.name]:
        raise Failed(f"the loss was computed on {', '.join(ours.found['devices'])}, not on {session.device.name}")
    figures = {"losses": list(LOSSES), "device": _curve(ours), "cpu": _curve(cpu)}
    with showing(figures):
        return Finding(_same(session, ours, cpu), figures)


LOSSES = ("all", "box", "obj", "cls")  # what drivers/record.py writes of an iteration


def _curve(run: Record) -> dict[str, Any]:
    """A recorded training for the report: its losses per iteration, its metrics per epoch."""
    return {"losses": run.found["losses"], "epochs": epochs(results(run.folder))}


def epochs(rows: Sequence[dict[str, float]]) -> list[dict[str, float]]:
    """What the report draws of results.csv."""
    return [
        {
            "epoch": int(row["epoch"]),
            "loss": _sum(row),
            "mAP50": row["metrics/mAP_0.5"],
            "mAP": row["metrics/mAP_0.5:0.95"],
        }
        for row in rows
    ]


def _same(session: Session, ours: Record, other: Record) -> str:
    """In words, that two runs computed the same: bit for bit where no hardware is in it."""
    a, b = ours.found["losses"], other.found["losses"]
    if len(a) != len(b):
        raise Failed(f"{len(a)} iterations here, {len(b)} on the cpu")
    for number, (mine, theirs) in enumerate(zip(a, b)):
        if session.device.vendors:
            if number < _FIRST and not close(mine, theirs, _CLOSE):
                raise Failed(f"iteration {number}: losses {mine} here, {theirs} on the cpu")
        elif mine != theirs:
            raise Failed(f"iteration {number}: losses {mine} here, {theirs} on the cpu")
    if session.device.vendors:
        return f"the first {_FIRST} of {len(a)} iterations agree with the cpu's to {_CLOSE:g}"
    for what in "weights", "ema":
        if ours.found[what] != other.found[what]:
            raise Failed(f"the losses agree, the {what} after {len(a)} iterations do not")
    return f"{len(a)} iterations: losses, weights and their average are the cpu's, bit for bit"


@check("full", "training starts from a checkpoint")
def finetune(session: Session) -> Finding:
    cwd = session.children.folder("finetune")
    weights = session.weights
    # the model is the checkpoint's own: with a cfg v6.0 leaves its anchors out
    words = ("--epochs", 1, "--weights", weights, "--cfg", "")
    record = session.record("finetune", *words, cwd=cwd)
    said = re.search(r"Transferred (\d+)/(\d+) items", record.run.text)
    if not said or int(said[1]) != int(said[2]):
        raise Failed("the checkpoint's weights were not all taken", record.run.tail(), record.run.shown())
    rows = results(record.folder)
    _epochs(rows, [0])
    return Finding(f"from a checkpoint of the cpu's, {said[1]} of {said[2]} tensors")


@check("full", "a training killed in mid-epoch goes on, with the losses of one that was never killed")
def resume(session: Session) -> Finding:
    cwd = session.children.folder("resume")
    at = PER_EPOCH + PER_EPOCH // 2
    killed = session.record("killed", "--epochs", 3, kill_at=at, cwd=cwd)
    _epochs(results(killed.folder), [0])
    _as_older(killed.folder / "opt.yaml")
    resumed = session.record("resumed", "--resume", killed.last.relative_to(cwd), cwd=cwd)
    whole = session.record("whole", "--epochs", 3)
    _epochs(results(killed.folder), [0, 1, 2])
    if resumed.found["iterations"] != list(range(PER_EPOCH, 3 * PER_EPOCH)):
        raise Failed(f"it went on with iteration {resumed.found['iterations'][:1]}, not with {PER_EPOCH}")
    worst = 0.0
    pairs = zip(resumed.found["iterations"], resumed.found["losses"], whole.found["losses"][PER_EPOCH:])
    for number, mine, theirs in pairs:
        worst = max(worst, *(abs(a - b) / max(abs(b), 1e-9) for a, b in zip(mine, theirs)))
        if worst > _SAME:
            raise Failed(f"iteration {number}: losses {mine} after the resume, {theirs} without it")
    for what in () if session.device.vendors else ("weights", "ema"):
        if resumed.found[what] != whole.found[what]:
            raise Failed(f"the losses agree, the {what} at the end do not")
    return Finding(f"{len(resumed.found['losses'])} iterations after the resume differ by {worst:.1g} at most")


# options that v6.0's train.py has not, in any stack
_NEW = ("pyamp", "iters", "skip", "optimizer", "fp16")


def _as_older(options: Path) -> None:
    """A run's options as unpatched v6.0 would have written them, on a card that is not here."""
    saved = yaml.safe_load(options.read_text(encoding="utf-8"))
    saved = {name: value for name, value in saved.items() if name not in _NEW}
    options.write_text(yaml.safe_dump({**saved, "device": "7"}, sort_keys=False), encoding="utf-8")


# -- learns ------------------------------------------------------------------------------------------

ENOUGH = 0.12  # mAP@0.5; Session.learned says what it reaches


@check("full", "the training loss falls, every parameter moves, and a short overfit run finds its objects")
def learns(session: Session) -> Finding:
    run = session.learned()
    if run.found["still"]:
        still = run.found["still"]
        raise Failed(f"{len(still)} of {run.found['parameters']} parameters never moved: {', '.join(still[:3])}, …")
    rows = results(run.folder)
    first, last = _sum(rows[0]), _sum(rows[-1])
    best = max(row["metrics/mAP_0.5"] for row in rows)
    figures = {"first": first, "last": last, "mAP": best, "asked": ENOUGH, "epochs": epochs(rows)}
    with showing(figures):
        if last >= first * 0.8:
            raise Failed(f"the loss was {first:.4f} in the first epoch and is {last:.4f} in the last")
        if best < ENOUGH:
            raise Failed(f"mAP@0.5 reached {best:.3f}, not {ENOUGH}")
        if session.device.vendors:  # an emulated device's sums are the cpu's, as `parity` and `multi-scale` show
            figures["cpu"] = epochs(results(session.learned("cpu").folder))
    return Finding(f"loss {first:.4f} -> {last:.4f}, mAP@0.5 {best:.3f} ({ENOUGH} is asked)", figures=figures)


def _epochs(rows: Sequence[dict[str, float]], expected: list[int]) -> None:
    found = [int(row["epoch"]) for row in rows]
    if found != expected:
        raise Failed(f"results.csv has the epochs {found}, not {expected}")


def _sum(row: dict[str, float]) -> float:
    return sum(row[f"train/{part}_loss"] for part in ("box", "obj", "cls"))


def close(a: Sequence[float], b: Sequence[float], relative: float) -> bool:
    """Whether all numbers agree to a relative difference."""
    return len(a) == len(b) and all(abs(x - y) <= relative * max(abs(x), abs(y)) for x, y in zip(a, b))


# Checks of train.py's options: mixed precision, sizes, averaged weights, early stop, several devices, metrics.

SPEED = {
    "net", "batch_size", "cards", "precision", "DPF_mode", "batch_time_avg", "batch_time_var", "hardware_time_avg",
    "hardware_time_var", "throughput", "date", "device", "dataset",
}  # fmt: skip
ACCURACY = {"net", "accuracy", "date", "device", "dataset"}
_JPEG = (
    *("train_batch0.jpg", "train_batch1.jpg", "train_batch2.jpg", "labels.jpg", "labels_correlogram.jpg"),
    *("val_batch0_labels.jpg", "val_batch0_pred.jpg"),
)
_PICTURES = {
    **dict.fromkeys(_JPEG, b"\xff\xd8\xff"),
    **dict.fromkeys(("results.png", "confusion_matrix.png"), b"\x89PNG"),
}


@check("full", "--pyamp trains in mixed precision, and the scaler's state goes through a checkpoint and back")
def amp(session: Session) -> Finding:
    trained = session.watched("amp", "--epochs", 2, "--pyamp")
    run, found = trained.run, trained.found
    if not all(loss == loss and abs(loss) < float("inf") for loss in found["losses"]):
        raise Failed("a loss is not finite", run.tail(), run.shown())
    half = bool(set(found["dtypes"]) & {"torch.float16", "torch.bfloat16"})
    if session.device.kind == "cpu":
        if not half and not found["autocast"]:
            raise NotShown("this torch has no mixed precision on the cpu")
        casts = True
    else:
        card = card_of(session.target, session.device.profile)
        casts = card is None or card.casts
    if half != casts:
        raise Failed(f"convolutions ran in {', '.join(found['dtypes'])}{'' if half else ', none in half precision'}")
    if found["enabled"] and found["saved"] != found["restored"]:
        raise Failed(f"the scaler's state was {found['saved']} and is {found['restored']} after the resume")
    if "own-scaler" in session.target.features and session.device.kind != "cpu" and not found["own"]:
        raise Failed(f"the gradient scaler is torch's, not {session.target.plugin.module}'s own")
    scaler = "the scaler's state is restored" if found["enabled"] else "this device needs no scaler"
    plain = "" if casts else " (the vendor's autocast casts no convolution)"
    return Finding(f"{len(found['losses'])} finite losses, {', '.join(found['dtypes'])}{plain}; {scaler}")


@check("full", "train_fp16.py trains with weights in half precision", feature="fp16")
def fp16(session: Session) -> Finding:
    cwd = session.children.folder("fp16")
    words = (*session.nano(cwd), "--epochs", 1)
    if session.device.kind == "cpu":
        run = session.run(session.tree / "train_fp16.py", *words, "--device", "cpu", cwd=cwd)
        if "has no gradient scaler for cpu" in run.err:
            raise NotShown("this torch has no gradient scaler for the cpu")
        well(run)
    else:
        session.script("train_fp16.py", *words, cwd=cwd)
    rows = results(newest(cwd / "runs"))
    return Finding(f"an epoch, mAP and losses are numbers: {rows[-1]['train/box_loss']:.4f} box loss")


@check("full", "--multi-scale trains on batches of several sizes, with the cpu's losses")
def multi_scale(session: Session) -> Finding:
    words = ("--epochs", 1, "--multi-scale", "--noval", "--optimizer", "Adam")  # parity's optimizer is SGD
    run = session.record("multi-scale", *words)
    sizes = sorted({shape[-1] for shape in run.found["shapes"]})
    if len(sizes) < 2:
        raise Failed(f"every batch had {sizes} pixels")
    if session.device.kind == "emulated":
        cpu = session.record("multi-scale-cpu", *words, device="cpu")
        if any(cpu.found[what] != run.found[what] for what in ("losses", "weights")):
            raise Failed("the losses or the weights are not the cpu's")
    return Finding(f"sizes {', '.join(map(str, sizes))}")


@check("full", "the average of the weights (EMA) is on the device and follows the weights")
def ema(session: Session) -> Finding:
    found = session.watched("ema", "--epochs", 1, "--noval", "--nosave").found
    if found["devices"] != [session.device.name]:
        raise Failed(f"the average lies on {', '.join(found['devices'])}")
    if not found["updates"] or found["updates"] != found["steps"]:
        raise Failed(f"{found['steps']} optimizer steps, {found['updates']} updates of the average")
    if found["error"] > 1e-6:
        raise Failed(f"the average is {found['error']:g} away from the one computed beside it on the cpu")
    if found["distance"] == 0:
        raise Failed("the average is the weights themselves")
    return Finding(f"{found['updates']} updates, {found['error']:.1g} from the one computed beside it")


@check("full", "a run that gets no better stops by itself (--patience)")
def early_stop(session: Session) -> Finding:
    upstream = release(session.upstream)
    run = session.whole.learned()
    cwd = session.children.folder("early-stop")
    with open(default_hyp(session.tree), encoding="utf-8") as file:
        hyp = yaml.safe_load(file)
    hyp.update(lr0=0.0, warmup_bias_lr=3.0)  # biases run away from a model that was good: it can only get worse
    (cwd / "hyp.yaml").write_text(yaml.safe_dump(hyp), encoding="utf-8")
    session.copy_data(cwd, run.run.folder / "scenes")
    words = ("--weights", run.best, "--batch-size", 16, "--epochs", 8, "--hyp", "hyp.yaml", "--patience", "1")
    stopped = session.record("early-stop", *words, cwd=cwd)
    epochs = len(results(stopped.folder))
    if epochs >= 8 or upstream.stops not in stopped.run.text:
        raise Failed(f"it went on for {epochs} epochs", stopped.run.tail(), stopped.run.shown())
    return Finding(f"after {epochs} of 8 epochs")


@check("full", "two devices train one model (torch.distributed.run, SyncBatchNorm) and end with equal weights")
def ddp(session: Session) -> Finding:
    if (
        session.device.vendors
        and session.driver("probe.py", "layer", session.device.name, cwd=session.children.folder("count"))["count"] < 2
    ):
        raise NotShown("there is one device only")
    cwd = session.children.folder("ddp")
    launch = ("-m", "torch.distributed.run", "--nproc_per_node", 2, "--master_addr", "127.0.0.1")
    driver = (DRIVERS / "training.py", session.tree, "ranks", cwd, "--", *session.nano(cwd), "--epochs", 2)
    device = session.device.name if session.device.kind == "cpu" else f"{session.device.name}:0,1"
    env = {"TORCH_DEVICE_BACKEND_AUTOLOAD": "0"}  # torch.distributed.run has no use for plugins, which may not load
    run = session.run(*launch, "--master_port", free_port(), *driver, "--device", device, cwd=cwd, env=env)
    if session.device.kind != "cpu" and set(session.target.distributed) == {"gloo"}:  # takes tensors of the host alone
        if not re.search(rf"(?m)^--device {session.device.name}: torch.distributed has no backend for it", run.err):
            raise Failed("it was not refused, though nothing averages gradients there", run.tail(), run.shown())
        raise NotShown("torch.distributed has no backend for the device, which the tree says in one line")
    well(run)
    ranks = [json.loads((cwd / f"rank{number}.json").read_text(encoding="utf-8")) for number in range(2)]
    if ranks[0]["before"] != ranks[1]["before"]:
        raise Failed("the two began with different weights")
    _shared_out(*(rank["order"] for rank in ranks))
    if ranks[0]["weights"] != ranks[1]["weights"] or ranks[0]["weights"] == ranks[0]["before"]:
        raise Failed("the two ended with different weights, or trained nothing")
    if session.device.kind != "cpu":
        if [rank["device"] for rank in ranks] != [f"{session.device.name}:{number}" for number in range(2)]:
            raise Failed(f"they ran on {' and '.join(rank['device'] for rank in ranks)}")
        if "Using SyncBatchNorm" not in run.text or ranks[0]["buffers"] != ranks[1]["buffers"]:
            raise Failed("batch norm was not synchronised", run.tail(), run.shown())
        if ranks[0]["backend"] not in (*session.target.distributed, "gloo"):
            raise Failed(f"the process group is {ranks[0]['backend']}")
    return Finding(
        f"{ranks[0]['images'] + ranks[1]['images']} pictures on two, over {ranks[0]['backend']}; equal weights"
    )


def _shared_out(one: list[list[int]], other: list[list[int]]) -> None:
    """Each epoch's pictures are dealt out to the two, all of them, in another order each time."""
    if len(one) != 2 or len(other) != 2:
        raise Failed(f"their pictures were dealt out {len(one)} and {len(other)} times in 2 epochs")
    for epoch, (mine, theirs) in enumerate(zip(one, other)):
        if set(mine) & set(theirs):
            raise Failed(f"in epoch {epoch} both got {len(set(mine) & set(theirs))} of the same pictures")
        if len({*mine, *theirs}) != IMAGES:
            raise Failed(f"in epoch {epoch} {IMAGES - len({*mine, *theirs})} pictures were nobody's")
    if one[0] == one[1]:
        raise Failed("the second epoch has the order of the first")


@check("full", "the benchmark files of Cambricon's model zoo are written when asked for, with its keys and units")
def metrics(session: Session) -> Finding:
    run = session.plain()
    found = _only(run.run.folder / "benchmark.log")
    if set(found) != SPEED:
        raise Failed(f"benchmark.log has the keys {', '.join(sorted(found))}")
    for key in "batch_size", "cards", "batch_time_avg", "throughput":
        if not isinstance(found[key], (int, float)):
            raise Failed(f"{key} is {found[key]!r}, no number")
    if not 0.002 < found["batch_time_avg"] < 60:
        raise Failed(f"batch_time_avg is {found['batch_time_avg']}, no plausible number of seconds")
    expected = found["batch_size"] / found["batch_time_avg"] * found["cards"]
    if abs(found["throughput"] / expected - 1) > 0.02:
        raise Failed(f"throughput is {found['throughput']}, batch_size / batch_time_avg * cards is {expected:.2f}")
    timed = "hardware-time" in session.target.features and session.device.kind != "cpu"
    if timed and not found["hardware_time_avg"]:
        raise Failed("hardware_time_avg is empty")
    _clock(session, run.run.text)
    if (run.run.folder / "accuracy.log").exists():
        raise Failed("training wrote the file of val.py")
    cwd = session.children.folder("accuracy")
    env = {"AVG_LOG": str(cwd / "accuracy.log")}
    words = ["--data", session.copy_data(cwd), "--weights", run.best, "--img", 96, "--batch-size", 4]
    session.script("val.py", *words, "--project", "runs", cwd=cwd, env=env)
    accuracy = _only(cwd / "accuracy.log")
    if set(accuracy) != ACCURACY:
        raise Failed(f"the accuracy file has the keys {', '.join(sorted(accuracy))}")
    if sorted(p.name for p in cwd.iterdir() if p.suffix in (".log", ".json")) != ["accuracy.log"]:
        raise Failed("val.py wrote a file that it was not asked for")
    return Finding(f"{found['throughput']:.1f} images/s in {found['device']}", figures=found)


def _clock(session: Session, said: str) -> None:
    """Whether the device's memory is shown, and its clock counts its work alone."""
    if session.device.kind == "cpu":
        return
    shown = {float(size) for size in re.findall(r"(?m)^ +0/0 +([\d.e+-]+)G ", said.replace("\r", "\n"))}
    found = session.driver("probe.py", "timer", session.device.name, cwd=session.children.folder("timer"))
    if found["memory"] and not shown - {0.0}:
        raise Failed("the column gpu_mem shows no memory")
    if found["seconds"] is not None and found["seconds"] > found["rest"] / 2:
        raise Failed(f"{found['rest']} s in which the device rests are {found['seconds']:.2f} s of hardware time")


def _only(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise Failed(f"{file.name} was not written")
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


@check("full", "every picture of a training is drawn")
def pictures(session: Session) -> Finding:
    folder = session.plain().folder
    for name, magic in _PICTURES.items():
        path = folder / name
        if not path.is_file() or not path.read_bytes().startswith(magic):
            raise Failed(f"{name} was not drawn")
    return Finding(f"{counted(len(_PICTURES), 'picture')}")
