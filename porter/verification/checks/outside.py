"""Checks of what other programs get: exported files, results of the hub's model, TensorBoard's graph."""

from __future__ import annotations

import re

from porter.verification.plan import check
from porter.verification.releases import release
from porter.verification.report import Failed, Finding, NotShown
from porter.verification.session import DRIVERS, NANO, Session, newest, well

_AWAY, _AWAY_HALF = 1e-3, 5e-2  # what a number may differ by, as a part of 1 or of itself; a half has 11 bits


@check(
    "full", "exported files are as asked for and compute what the model does; an export that fails ends with status 1"
)
def export(session: Session) -> Finding:
    cwd = session.children.folder("export")
    own = cwd / "own.pt"  # as torch before 1.11 pickled it: as v6.0's own checkpoints
    session.driver("foreign.py", session.weights, own, "cpu", cwd=cwd, device="cpu")
    _one_fails(session, own)
    words = (own, session.device.name, session.data / "images" / "val")
    found = session.driver("exports.py", *words, cwd=cwd)
    for name, away in found["away"].items():
        if isinstance(away, str) or not away < _AWAY:
            raise Failed(f"{name}: {away if isinstance(away, str) else f'{away:g} away from the model'}")
    for name, what in found["other"].items():
        raise Failed(f"{name}.onnx: {what}")
    if found["lacks"]:
        raise NotShown(f"TorchScript is right; no {' and no '.join(found['lacks'])} to look at ONNX with")
    if not found.get("half", 0) < _AWAY_HALF:
        raise Failed(f"--half: {found['half']:g} away from the model")
    runtime, dnn = found["detected"]
    if not any(runtime.values()):
        raise Failed("detect.py finds nothing with the exported model: there is nothing to compare")
    for name, ours in runtime.items():
        theirs = dnn.get(name, [])
        if len(ours) != len(theirs) or any(abs(a - b) > _AWAY * max(a, 1e-3) for a, b in zip(ours, theirs)):
            raise Failed(f"{name}: detect.py --dnn is sure by {theirs}, without --dnn by {ours}")
    said = [*found["away"], *(["--half"] if "half" in found else [])]
    skipped = [f"not {option}: {why}" for option, why in found["skipped"].items()]
    return Finding("; ".join([", ".join(said), *skipped]), found)


def _one_fails(session: Session, own: object) -> None:
    """TorchScript and ONNX are made although CoreML's package is missing, which is said in a line, and is a failure."""
    lacking = session.children.folder("lacking")
    (lacking / "coremltools.py").write_text(
        "raise ModuleNotFoundError('No module named it', name='coremltools')\n", encoding="utf-8"
    )
    words = ("--weights", own, "--img", 64, "--opset", 12, "--include", "torchscript", "coreml", "onnx")
    cwd = session.children.folder("export-cli")
    env = {"PYTHONPATH": str(lacking)}
    run = session.run(session.tree / "export.py", *words, "--device", "cpu", cwd=cwd, device="cpu", env=env)
    if run.forbidden:
        raise Failed(f"it tried: {run.forbidden[0]}", run.tail(), run.shown())
    lines = [line for line in run.text.splitlines() if "export failure" in line and "CoreML" in line]
    if run.status != 1 or "Traceback" in run.text or "Export complete" in run.text:
        raise Failed(f"an export that fails: it {run.ending}{run.reason}", run.tail(), run.shown())
    if len(lines) != 1 or "pip install coremltools" not in lines[0]:
        raise Failed("the package that an export needs is not named in a line", run.tail(), run.shown())


@check("full", "the hub's model takes every kind of picture; its results print, save, show, crop, render and tabulate")
def hub(session: Session) -> Finding:
    picture = min((session.data / "images" / "val").iterdir())
    found = {}
    for device in session.devices:
        cwd = session.children.folder(f"hub-{device}")
        found[device] = session.driver("hub.py", session.weights, device, picture, cwd=cwd, device=device)
        for name, what in found[device]["wrong"].items():
            raise Failed(f"{name}: {what}")
    ours, cpu = found[session.device.name]["found"], found["cpu"]["found"]
    if session.device.kind == "emulated" and ours != cpu:
        name = next(name for name in cpu if ours[name] != cpu[name])
        raise Failed(f"{name}: the boxes are not the cpu's")
    return Finding(f"{len(cpu)} kinds of input, every method of their results", {"inputs": list(cpu)})


@check("full", "a model that torch cannot trace is trained all the same, without TensorBoard's graph")
def graph(session: Session) -> Finding:
    graphless = release(session.upstream).graphless
    cwd = session.children.folder("graph")
    words: list[object] = [word for word in NANO if word != "--sync-bn"]  # with which v6.0 traces nothing
    words += ["--data", session.copy_data(cwd), "--project", "runs", "--epochs", 1, "--noval"]
    run = session.run(DRIVERS / "graph.py", session.tree, "--", *words, "--device", session.device.name, cwd=cwd)
    well(run)
    said = re.findall(f"{graphless}.*", run.text)  # a progress bar may stand before it
    if len(said) != 1:
        raise Failed("nothing says that there is no graph", run.tail(), run.shown())
    if not (newest(cwd / "runs") / "weights" / "last.pt").is_file():
        raise Failed("it left no checkpoint", run.tail(), run.shown())
    return Finding(said[0])
