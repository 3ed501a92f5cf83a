"""Make porter/recording/calls.json.gz: the operator calls of YOLOv5's own programs, as a device of any kind gets them.

    python tools/calls.py --data SCENES/data.yaml --work FOLDER porter/recording/calls.json.gz

It makes a tree for each target, runs training (SGD and Adam, float32, mixed precision, FP16), validation and detection
in it on an emulated card of which nothing is known, so that nothing is refused, and writes down every call of an
operator that takes or makes a tensor on the device.  Takes minutes.  SCENES is what
``porter data make --images 4 --size 128x128 --classes 3 SCENES`` makes.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

# Sophgo's tree needs what Sophgo's gradient scaler alone has; nothing is refused on this card either
CARDS = {"mlu": "generic", "npu": "generic", "tpu": "sg2260"}
COMMON = ("--img", "128", "--project", "runs", "--exist-ok")
TRAIN = (*COMMON, "--batch-size", "2", "--epochs", "1", "--cfg", "yolov5s.yaml", "--weights=", "--workers", "0")
SEE = (*COMMON, "--weights", "runs/train/weights/last.pt")
# label, script, arguments; train makes what the later ones load
PROGRAMS = (
    ("train", "train.py", [*TRAIN, "--name", "train"]),
    ("adam", "train.py", [*TRAIN, "--skip", "--optimizer", "Adam", "--name", "adam"]),
    ("amp", "train.py", [*TRAIN, "--pyamp", "--name", "amp"]),
    ("fp16", "train_fp16.py", [*TRAIN, "--name", "fp16"]),
    ("val", "val.py", [*SEE, "--batch-size", "2"]),
    ("val-half", "val.py", [*SEE, "--batch-size", "2", "--half"]),
    ("detect", "detect.py", [*SEE, "--conf-thres", "0.001"]),
    ("detect-half", "detect.py", [*SEE, "--conf-thres", "0.001", "--half"]),
)


# -- in the program's process ---------------------------------------------------------------------------


class Calls:
    """Calls that differ in more than the values of their tensors and their fractional numbers."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.found: dict[str, list[Any]] = {}

    def note(self, name: str, args: Any, kwargs: Any) -> None:
        import torch

        if any(isinstance(each, torch.UntypedStorage) for each in args):
            return  # memory without a shape: set_ of a deep copy, which is no kernel's work
        ranges: list[list[float] | None] = []
        call = [name, self.plain(args, ranges), self.plain(kwargs, ranges)]
        entry = self.found.setdefault(json.dumps(_shape(call)), [call, ranges])
        entry[1] = [_both(one, other) for one, other in zip(entry[1], ranges)]

    def plain(self, value: Any, ranges: list[list[float] | None]) -> Any:
        import torch

        if isinstance(value, torch.Tensor):
            ranges.append(_range(value))
            made: dict[str, Any] = {"tensor": str(value.dtype)[6:], "shape": list(value.shape)}
            if not value.is_contiguous():
                made["stride"] = list(value.stride())
            return made if value.device.type == self.kind else {**made, "host": True}
        if isinstance(value, (list, tuple)):
            return [self.plain(each, ranges) for each in value]
        if isinstance(value, dict):
            return {key: self.plain(each, ranges) for key, each in value.items()}
        if isinstance(value, torch.dtype):
            return {"dtype": str(value)[6:]}
        if isinstance(value, torch.device):
            return {"device": value.type == self.kind}
        if isinstance(value, (torch.layout, torch.memory_format)):
            return {"torch": str(value)[6:]}
        if isinstance(value, float) and not math.isfinite(value):
            return {"float": str(value)}
        return value


def _shape(value: Any) -> Any:
    """A call without its fractional numbers, which differ from step to step: the rate of learning, for one."""
    if isinstance(value, float):
        return "float"
    if isinstance(value, list):
        return [_shape(each) for each in value]
    return {key: _shape(each) for key, each in value.items()} if isinstance(value, dict) else value


def _range(tensor: Any) -> list[float] | None:
    """The least and the largest finite value; nothing of a tensor that holds none."""
    import torch

    from porter_emulated import _device

    host = _device.native.host_alias(tensor.detach()) if _device else tensor
    if host.dtype == torch.bool or not host.numel():
        return None
    host = host.float() if host.dtype.is_floating_point else host
    host = host[torch.isfinite(host)]
    return [_rounded(host.min().item()), _rounded(host.max().item())] if host.numel() else None


def _rounded(value: float) -> float:
    return float(f"{value:.2g}") if isinstance(value, float) else value


def _both(one: list[float] | None, other: list[float] | None) -> list[float] | None:
    return [min(one[0], other[0]), max(one[1], other[1])] if one and other else one or other


def watch(out: str, kind: str, script: str, arguments: list[str]) -> None:
    """Run a program of the tree, which is the current folder, and write its calls."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    calls = Calls(kind)

    def on_device(value: Any) -> bool:
        if isinstance(value, (list, tuple)):
            return any(on_device(each) for each in value)
        return isinstance(value, (torch.Tensor, torch.device)) and getattr(value, "device", value).type == kind

    class Mode(TorchDispatchMode):
        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = kwargs or {}
            name = str(function)
            if name.startswith("aten.") and (on_device(args) or on_device(list(kwargs.values()))):
                name = name.replace(".", "::", 1)
                calls.note(name[: -len(".default")] if name.endswith(".default") else name, list(args), kwargs)
            return function(*args, **kwargs)

    sys.argv = [script, *arguments]
    sys.path.insert(0, os.getcwd())
    with Mode():
        runpy.run_path(script, run_name="__main__")
    Path(out).write_text(json.dumps(list(calls.found.values())))


# -- around it ------------------------------------------------------------------------------------------


def collect(data: Path, work: Path) -> dict[str, dict[str, Any]]:
    """Every call of all programs in all trees, by what makes it another one."""
    import porter

    merged: dict[str, dict[str, Any]] = {}
    for target in CARDS:
        tree = work / target
        if not tree.is_dir():
            porter.apply([target], tree)
        for label, script, arguments in PROGRAMS:
            if (tree / script).is_file():
                for call, ranges in calls_of(target, tree, work / f"{target}-{label}.json", [script, *arguments], data):
                    entry = merged.setdefault(json.dumps(_shape(call)), {"call": call, "ranges": ranges, "in": []})
                    entry["ranges"] = [_both(one, other) for one, other in zip(entry["ranges"], ranges)]
                    if label not in entry["in"]:
                        entry["in"].append(label)
    return merged


def calls_of(target: str, tree: Path, out: Path, program: list[str], data: Path) -> list[Any]:
    """The calls of a program of a tree, which ``out`` keeps for the next time."""
    import porter

    if not out.is_file():
        seen = ["--source", str(data.parent / "images" / "val")] if "detect.py" in program else ["--data", str(data)]
        words = [__file__, "--watch", str(out), target, *program, *seen, "--device", target]
        made = porter.run(target, tree, words, device="emulated", profile=CARDS[target])
        environment = {**os.environ, **made.environment, "PORTER_EMULATED_MODE": "lenient"}
        done = subprocess.run(made.words, cwd=tree, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{target} {program}:\n{done.stderr[-3000:]}")
    found: list[Any] = json.loads(out.read_text())
    print(f"{out.name}: {len(found)} calls", file=sys.stderr)
    return found


def twins(merged: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Of operators that programs call with strided tensors alone: a call like the first with contiguous ones.

    Without it nobody can tell an operator that a card refuses from one that it refuses for strides.
    """
    strided: dict[str, dict[str, Any]] = {}
    plain = set()
    for entry in merged.values():
        text = json.dumps(_shape(entry["call"]))
        key = json.dumps([entry["call"][0], re.findall(r'"tensor": "(\w+)"', text)])
        strided.setdefault(key, entry) if '"stride"' in text else plain.add(key)
    made = [
        {**entry, "call": _contiguous(entry["call"]), "in": ["twin"]}
        for key, entry in strided.items()
        if key not in plain
    ]
    return {json.dumps(_shape(each["call"])): each for each in made}


def _contiguous(value: Any) -> Any:
    if isinstance(value, list):
        return [_contiguous(each) for each in value]
    if isinstance(value, dict):
        return {key: _contiguous(each) for key, each in value.items() if not (key == "stride" and "tensor" in value)}
    return value


def main() -> None:
    if sys.argv[1:2] == ["--watch"]:
        out, kind, script, *arguments = sys.argv[2:]
        watch(out, kind, script, arguments)
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument(
        "--work", type=Path, required=True, help="a folder for the trees; what is there is not made again"
    )
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    import torch

    given.work.mkdir(exist_ok=True)
    merged = collect(given.data.absolute(), given.work.absolute())
    merged.update(twins(merged))
    calls = [merged[key] for key in sorted(merged)]
    lines = [json.dumps([*each["call"], each["ranges"], each["in"]], separators=(",", ":")) for each in calls]
    head = {"kind": "operator calls", "schema": 1, "torch": torch.__version__.partition("+")[0], "calls": len(lines)}
    text = "\n".join([json.dumps(head), *lines, ""])
    with open(given.out, "wb") as file, gzip.GzipFile("", "wb", 9, file, 0) as packed:
        packed.write(text.encode())
    print(f"{given.out}: {len(lines)} calls, {given.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
