"""The trees for devices of torch's own, xpu and mps, on a stand-in: no machine here has either device.

Nothing can be emulated under torch's own names, so a type of another name takes the accelerator's code.  It has the
operators that torch's lists give a kernel on the real device and the public names of torch.xpu or torch.mps, and no
float64 where the real one has none.  What it does not show: the real device's numbers and its kernels' demands.
"""

from __future__ import annotations

import csv
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from stacks import CHECKOUT

import porter
from porter.emulator import Profile, generic_profile

from .conftest import Run

pytestmark = pytest.mark.device
# what torch asks of a plugin's module and not of its own, and what the stand-in's functions ask
ASKED = {"current_device", "device", "get_amp_supported_dtype", "manual_seed_all"}
ACCELERATOR = """
from utils.accelerator import register
from utils.accelerator.base import Accelerator
from utils.accelerator.{name} import {kind}


class StandIn({kind}):
    type = 'standin'
    plugin = 'torch_standin'
{own}

register(StandIn())
"""
# what asks torch's own build, which here has no such device
OWN = {"xpu": ("select",), "mps": ("is_available", "device_count", "name", "memory_reserved", "scaler")}
# numbers are compared: a training without charts takes two thirds of the time
PROGRAM = Path(porter.__file__).parent / "verification" / "drivers" / "program.py"
BOXES = PROGRAM.with_name("boxes.py")
TRAIN = (
    "train.py",
    "--",
    "--cfg",
    "yolov5n.yaml",
    "--weights=",
    "--batch-size",
    "2",
    "--epochs",
    "1",
    "--img",
    "64",
    "--workers",
    "0",
)


def listed(key: str) -> set[str]:
    """The operators with this dispatch key in the list that the installed torch's registrations are generated from."""
    found = find_spec("torchgen")
    assert found is not None and found.origin
    path = Path(found.origin).parent / "packaged" / "ATen" / "native" / "native_functions.yaml"
    entries = yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    by_name = {entry["func"].partition("(")[0]: entry for entry in entries}
    own = {name for name, entry in by_name.items() if key in ", ".join(entry.get("dispatch", ())).split(", ")}
    return own | {name for name, entry in by_name.items() if entry.get("structured_delegate") in own}


def operators(target: str) -> set[str]:
    if target == "xpu":
        lines = Path(__file__).with_name("xpu-operators.txt").read_text(encoding="utf-8").splitlines()
        # torch's own copy_ copies to and from an Intel GPU, by a table that is not of operators
        return {"_copy_from", *(line for line in lines if not line.startswith("#"))}
    names = listed("MPS")
    assert {"_mps_convolution", "mps_convolution_backward"} <= names
    # a plugin's convolution has another name than MPS's own
    return names | {"convolution_overrideable", "convolution_backward_overrideable"}


def card(target: str, *, float64: bool) -> Profile:
    """A stand-in for the device that torch itself has by the target's name."""
    generic = generic_profile("standin", "torch_standin", ["gloo"], [])
    source = f"torch {torch.__version__}"
    public = {name for name in vars(getattr(torch, target)) if not name.startswith("_")}
    entry: dict[str, Any] = {"at": f"{source}:0", "kernel": None, "demands": [], "host": []}
    names = {f"aten::{name}": entry for name in operators(target)}
    data = {
        **generic.data,
        "device": f"stand-in for {target}",
        "source": "operators.json",
        "surface": {"events": True, "names": sorted(public | ASKED), "source": source},
        "limits": [] if float64 else [{"rule": "no_dtype", "dtypes": ["float64"], "source": source}],
    }
    facts = {"commit": "0" * 40, "version": source.partition(" ")[2], "operators": names, "python": {}}
    return replace(generic, name="standin", data=data, facts=facts, operators=frozenset(names))


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(porter.data.make(tmp_path_factory.mktemp("scenes") / "scenes", images=4, size=(64, 64)).yaml)


@pytest.fixture(params=["xpu", "mps"])
def target(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def tree(target: str, tmp_path: Path) -> Path:
    porter.apply(target, tmp_path / "tree", project=CHECKOUT)
    own = "".join(f"    {name} = Accelerator.{name}\n" for name in OWN[target])
    text = ACCELERATOR.format(name=target, kind=target.upper(), own=own)
    (tmp_path / "tree" / "utils" / "accelerator" / "standin.py").write_text(text, encoding="utf-8")
    return tmp_path / "tree"


def losses(tree: Path, run: str) -> list[dict[str, str]]:
    with (tree / "runs" / "train" / run / "results.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def train(fresh: Run, profile: Profile, tree: Path, data: Path, device: str, *more: str) -> list[dict[str, str]]:
    """What train.py writes down of an epoch, its validation included."""
    done = fresh(profile, PROGRAM, tree, *TRAIN, "--data", data, "--device", device, "--name", device, *more, cwd=tree)
    assert done.status == 0, done.error[-3000:]
    return losses(tree, device)


def test_it_trains_on_what_torch_has_for_the_device(fresh: Run, target: str, tree: Path, scenes: Path) -> None:
    """Every operator is of torch's list for it, every function of its module, and float64 stays on the host."""
    profile = card(target, float64=False)
    assert train(fresh, profile, tree, scenes, "standin") == train(fresh, profile, tree, scenes, "cpu")
    weights = tree / "runs" / "train" / "standin" / "weights" / "last.pt"
    pictures = scenes.parent / "images" / "val"
    done = fresh(
        *(profile, PROGRAM, tree, "detect.py", "--", "--weights", weights, "--source", pictures, "--img", 64),
        *("--device", "standin"),
        cwd=tree,
    )
    assert done.status == 0, done.error[-3000:]


def test_new_anchors_need_no_float64(fresh: Run, target: str, tree: Path, tmp_path: Path) -> None:
    """AutoAnchor computes them in NumPy's float64; Apple's GPU and an Arc A have none."""
    data = Path(porter.data.make(tmp_path / "scenes", images=16, size=(64, 64)).yaml)
    profile = card(target, float64=False)
    done = [fresh(profile, BOXES, tree, "anchors", name, data, cwd=tree) for name in ("standin", "cpu")]
    assert [each.status for each in done] == [0, 0], done[0].error[-3000:]
    assert done[0].json == done[1].json and 0 < done[0].json["largest"] < 200


@pytest.mark.parametrize("target", ["xpu"], indirect=True)
def test_mixed_precision_needs_no_float64(fresh: Run, tree: Path, scenes: Path) -> None:
    """On an Arc A, which has none: torch's own gradient scaler computes its scale in float64."""
    text = (tree / "utils" / "accelerator" / "standin.py").read_text(encoding="utf-8")
    lacking = text.replace(
        "select = Accelerator.select", "select = Accelerator.select\n    has_float64 = lambda self: False"
    )
    profile = card("xpu", float64=False)
    done = fresh(profile, PROGRAM, tree, *TRAIN, "--data", scenes, "--device", "standin", "--pyamp", cwd=tree)
    assert done.status != 0 and "self._scale.double()" in done.error, (
        "the stand-in has float64, so that this shows nothing"
    )
    (tree / "utils" / "accelerator" / "standin.py").write_text(lacking, encoding="utf-8")
    assert train(fresh, profile, tree, scenes, "standin", "--pyamp")
