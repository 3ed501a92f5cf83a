"""Checks of training: that it runs, equals the cpu's, learns, and resumes after it was killed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from porter.verification.plan import check
from porter.verification.releases import results
from porter.verification.report import Failed, Finding, NotShown, showing
from porter.verification.session import PER_EPOCH, Record, Session

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
