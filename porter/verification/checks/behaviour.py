"""Checks of upstream's behaviour, which a port can lose on every device at once.

Other checks compare a device with the cpu; these compare the tree with what the source of its release says.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import yaml

from porter.output import counted
from porter.verification.plan import check
from porter.verification.releases import Release, default_hyp, release
from porter.verification.report import Failed, Finding
from porter.verification.session import IMAGES, PER_EPOCH, Session

_NOMINAL = 64  # train.py: nominal batch size
# the parameter groups: dimensions of their tensors, and whether they decay; weights stand between biases and norms'
_GROUPS = [[[1], False], [[4], True], [[1], False]]
_ITERATIONS = 50  # a batch of one picture: more than an epoch, and steps of one, two and three pictures


@check("full", "rates, momentum, warm-up and accumulation are upstream's; --iters stops, --skip leaves nothing")
def schedule(session: Session) -> Finding:
    upstream = release(session.upstream)
    trained = session.watched("schedule", "--epochs", 3, "--batch-size", 1, "--iters", _ITERATIONS, "--skip")
    run, found = trained.run, trained.found
    if found["iterations"] != list(range(_ITERATIONS)):
        raise Failed(f"--iters {_ITERATIONS} made {len(found['iterations'])} iterations", run.tail(), run.shown())
    left = sorted(path.name for path in trained.folder.glob("weights/*"))
    if left:
        raise Failed(f"--skip saved {', '.join(left)}")
    if re.search("mAP(@.5|50)", run.text):
        raise Failed("--skip validated", run.tail(), run.shown())
    if found["kept"]:
        raise Failed(f"after the step of iteration {found['kept'][0]} its gradients are still there")
    if found["groups"] != _GROUPS:
        raise Failed(f"the optimizer's groups (dimensions, decay) are {found['groups']}, upstream's {_GROUPS}")
    with open(default_hyp(session.tree), encoding="utf-8") as file:
        expected = _steps(upstream, yaml.safe_load(file), epochs=3)
    ours = [step["iteration"] for step in found["steps"]]
    if ours != list(expected):
        raise Failed(
            f"the optimizer stepped after iterations {_some(ours)},"
            f" {session.upstream} does after {_some(list(expected))}"
        )
    for step in found["steps"]:
        for number, (mine, theirs) in enumerate(zip(step["groups"], expected[step["iteration"]])):
            if any(abs(a - b) > 1e-9 + 1e-6 * abs(b) for a, b in zip(mine, theirs)):
                what = f"iteration {step['iteration']}, parameter group {number}: rate and momentum are {mine}"
                raise Failed(f"{what}, {session.upstream}'s {list(theirs)}")
    return Finding(f"{len(ours)} steps in {_ITERATIONS} iterations, rates and momentum as {session.upstream}'s")


def _steps(upstream: Release, hyp: dict[str, Any], epochs: int) -> dict[int, list[tuple[float, float]]]:
    """Iteration -> rate and momentum of each parameter group, where upstream steps (train.py, the loop)."""
    steps, last = {}, -1
    for iteration in range(_ITERATIONS):
        done = iteration / max(upstream.warm_up, round(hyp["warmup_epochs"] * IMAGES))
        epoch = min(iteration // IMAGES, epochs - 1)
        fallen = (1 - math.cos(epoch * math.pi / epochs)) / 2 if upstream.cosine else epoch / epochs
        rate = hyp["lr0"] * (fallen * (hyp["lrf"] - 1) + 1)
        momentum = hyp["warmup_momentum"] + done * (hyp["momentum"] - hyp["warmup_momentum"])
        if iteration - last >= max(1, round(1 + done * (_NOMINAL - 1))):
            bias = hyp["warmup_bias_lr"] + done * (rate - hyp["warmup_bias_lr"])
            steps[iteration] = [(bias if group == upstream.bias else done * rate, momentum) for group in range(3)]
            last = iteration
    return steps


def _some(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers[:40])) + (", …" if len(numbers) > 40 else "")


@check("full", "anchors that do not fit are replaced, and those in the wrong order turned round")
def anchors(session: Session) -> Finding:
    cwd = session.children.folder("anchors")
    found = session.driver("boxes.py", "anchors", session.device.name, session.copy_data(cwd), cwd=cwd)
    for card in session.target.emulated:  # what one of the vendor's cards has, another may not have
        if session.device.kind == "emulated" and card != session.device.profile:
            env = {"PORTER_EMULATED_PROFILE": card}
            session.driver("boxes.py", "anchors", session.device.name, session.copy_data(cwd), cwd=cwd, env=env)
    return Finding(f"AutoAnchor's largest is {found['largest']:.0f} pixels, for pictures of 96")


@check("full", "non-maximum suppression keeps the boxes that its definition keeps, the surest first")
def boxes(session: Session) -> Finding:
    found = session.driver("boxes.py", "nms", session.device.name, cwd=session.children.folder("boxes"))
    return Finding(f"{counted(found['kept'], 'box')} of 600, in their order")


@check("full", "by a clock that runs 100 times too fast training, val.py, detect.py and the hub's model give the same")
def clock(session: Session) -> Finding:
    right, fast = _by(session, "right"), _by(session, "fast")
    found, files = right
    predicted = sum(len(data.splitlines()) for path, data in files.items() if re.match("val/.*txt", path))
    if not predicted or not all(found["hub"]):
        raise Failed("the model finds nothing: there is nothing to compare")
    if fast[0]["metrics"] != found["metrics"]:
        raise Failed(f"by a fast clock val.py's metrics are {fast[0]['metrics']}, else {found['metrics']}")
    if fast[0]["hub"] != found["hub"]:
        counts = [[len(boxes) for boxes in each["hub"]] for each in (fast[0], found)]
        raise Failed(f"by a fast clock the hub's model finds {counts[0]} boxes, else {counts[1]}, or others")
    for name in sorted({*files, *fast[1]}):
        if files.get(name) != fast[1].get(name):
            how = "is another" if name in fast[1] and name in files else "is there by one clock alone"
            raise Failed(f"{name} {how} where the clock is fast and drawing late")
    said = f"{counted(predicted, 'prediction')}, {counted(sum(map(len, found['hub'])), 'box')} of the hub's model"
    said += f", {counted(len(files), 'file')}"
    return Finding(f"{said}: the same by a right clock and by a fast one")


_RESULTS = {".csv", ".jpg", ".txt"}  # what the programs write that is the same in each run


def _by(session: Session, name: str) -> tuple[dict[str, Any], dict[str, bytes]]:
    """By one of two clocks: what drivers/clock.py prints, and the results that it leaves, by their paths."""
    cwd = session.children.folder(f"clock-{name}")
    data = session.copy_data(cwd)
    found = session.driver("clock.py", name, session.weights, data, cwd=cwd, device="cpu")
    runs = cwd / "runs"
    files = {str(path.relative_to(runs)): path.read_bytes() for path in runs.rglob("*") if path.suffix in _RESULTS}
    return found, files


@check("full", "a process that dies while it saves leaves checkpoints that are whole")
def save(session: Session) -> Finding:
    trained = session.watched("deaths", "--epochs", 1, "--noval")
    run, deaths = trained.run, trained.found["deaths"]
    for death in deaths:
        for name, what in death["broken"].items():
            raise Failed(f"killed while it saved, it left a broken {name}: {what}", run.tail(), run.shown())
    if not any(death["present"] for death in deaths):
        raise Failed("no checkpoint was there at any death: nothing was tried")
    return Finding(f"{len(deaths)} deaths")


@check("full", "downloads: of this release, whole or not at all, without a shell, unpacked inside their folder")
def downloads(session: Session) -> Finding:
    cwd = session.children.folder("downloads")
    found = session.driver("downloads.py", session.upstream, cwd=cwd, device="cpu")
    return Finding(f"{found['archives']} archives from a server")


@check(
    "full",
    "label caches, yaml, run folders and names of strangers run nothing and steer nothing; a refusal is one line",
)
def untrusted(session: Session) -> Finding:
    cwd = session.children.folder("untrusted")
    session.driver("untrusted.py", session.weights, default_hyp(session.tree), cwd=cwd, device="cpu")
    return Finding("caches, downloads, run folders, names and pictures of strangers ran nothing")


# torch's own; 1.9 says the first in every forward pass
_KNOWN = ("Named tensors and all their associated APIs",)


@check("smoke", "no line of the tree makes torch or NumPy warn while it trains and validates on the cpu")
def warnings(session: Session) -> Finding:
    run = session.trained("cpu").run
    found = re.findall(r"(?m)\S+\.py:\d+: (\w*Warning): (.*)$", run.err)
    new = [f"{kind}: {what}" for kind, what in found if not what.startswith(_KNOWN)]
    if new:
        raise Failed(new[0], "\n".join(new), run.shown())
    return Finding(f"none in {2 * PER_EPOCH} iterations")
