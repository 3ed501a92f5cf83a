"""porter profile record on emulated devices, whole: what it says, and what a card is that is emulated by it."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import porter
from porter.emulator import environment, recorded_profile
from porter.output import Progress
from porter.project import Project
from porter.recording.difference import Difference, difference, tally
from porter.recording.record import CALLS, Recorder, assembled
from porter.target import Target, load_known
from porter.verification.device import Device, choose

pytestmark = pytest.mark.device
ROOT = Path(__file__).parents[2]
Record = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("records")


@pytest.fixture(scope="module")
def record(folder: Path, built_emulator: Path, emulator_cache: Path) -> Record:
    """The record of a card, made once a session.

    ``card`` is a profile's name, or the name of another record; of the calls each fifth is made, or each ``every``-th.
    """
    cache = porters_cache(folder, emulator_cache)

    def made(target: str, card: str, device: str = "emulated", every: int = 5) -> dict[str, Any]:
        file = folder / f"{target}-{card}-{device}.json"
        if not file.is_file():
            given = str(folder / card) if card.endswith(".json") else card
            with pytest.MonkeyPatch.context() as patched:
                patched.setenv("PORTER_CACHE", cache)
                patched.setenv("HOME", "/home/somebody")
                patched.setattr(porter.profile, "Recorder", partial(Recorder, calls=thinned(folder, every)))
                porter.profile.record(target, file, device=device, profile=given, project=ROOT)
        found: dict[str, Any] = json.loads(file.read_text())
        return found

    return made


def thinned(folder: Path, every: int) -> Path:
    """The calls that a record makes, or each ``every``-th of them; those that come up once are all there."""
    if every == 1:
        return CALLS
    with gzip.open(CALLS, "rt", encoding="utf-8") as file:
        head, *calls = file.read().splitlines()
    seen: Counter[str] = Counter()
    kept = []
    for call in calls:
        name = json.loads(call)[0]
        if seen[name] % every == 0:
            kept.append(call)
        seen[name] += 1
    made = folder / f"every-{every}.json.gz"
    with gzip.open(made, "wt", encoding="utf-8") as file:
        file.write("\n".join([json.dumps({**json.loads(head), "calls": len(kept)}), *kept]) + "\n")
    return made


def porters_cache(folder: Path, emulator_cache: Path) -> str:
    """A cache of porter's in which the device is built already."""
    cache = folder / "cache"
    cache.mkdir(exist_ok=True)
    (cache / "emulator").symlink_to(emulator_cache)
    return str(cache)


def outcomes(found: Difference) -> list[Any]:
    return [each for each in found.changes if each.what in ("outcome", "message")]


def test_every_call_is_made_on_an_emulated_bm1684x(record: Record) -> None:
    found = record("tpu", "bm1684x", every=1)
    counts = tally(found)
    with gzip.open(CALLS, "rt") as calls:
        assert counts.pop("outside") == 0
        assert sum(counts.values()) == json.loads(calls.readline())["calls"]
    assert set(counts) == {"runs", "raises"} and counts["raises"] > 50
    assert found["device"] == "emulated" and found["card"] == "EMULATED BM1684X"
    refused = {name: call for name, calls in found["operators"].items() for call in calls if call["state"] == "raises"}
    assert {"aten::atan", "aten::expand", "aten::sigmoid", "aten::sigmoid_backward"} <= set(refused)
    assert "not contiguous" in refused["aten::sigmoid"]["message"]
    assert refused["aten::atan"]["error"] == "NotImplementedError"
    assert any(call.get("inside") for call in found["operators"]["aten::index.Tensor"])
    surface = found["surface"]
    assert surface["function memory_allocated"]["error"] == "AttributeError"
    assert surface["group sccl"]["state"] == surface["group gloo"]["state"] == "raises"
    assert surface["autocast conv2d"]["value"] == "float32" and surface["autocast mm"]["value"] == "float16"


def test_its_keys_are_those_of_the_page(record: Record) -> None:
    text = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    section = text.partition("## Records of cards")[2].partition("\n## ")[0]
    keys, outcome = (set(re.findall(r"`(\w+)`", " ".join(rows))) for rows in _first_cells(section))
    found = record("tpu", "bm1684x", every=1)
    assert set(found) == {"kind", "schema", "porter", *keys}
    calls = [call for calls in found["operators"].values() for call in calls] + list(found["surface"].values())
    assert {key for call in calls for key in call} <= outcome


def _first_cells(text: str) -> list[list[str]]:
    """The first column of each table."""
    found = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    return [[row.split("|")[1] for row in table.splitlines()[2:]] for table in found]


def test_what_raised_there_raises_here(record: Record) -> None:
    first = record("tpu", "bm1684x", every=1)
    again = record("tpu", "tpu-bm1684x-emulated.json", every=1)
    found = difference(first, again)
    assert found.alone == 0 and outcomes(found) == []
    assert tally(again)["raises"] == tally(first)["raises"]
    # what autocast made raise inside of a call of two operators, no record of single calls holds
    assert {each.name for each in found.changes if each.what == "surface"} <= {"autocast addmm"}


def test_a_program_of_other_shapes_on_the_recorded_card(
    record: Record, folder: Path, built_emulator: Path, emulator_cache: Path
) -> None:
    record("tpu", "bm1684x", every=1)
    card = recorded_profile(folder / "tpu-bm1684x-emulated.json", "tpu", "torch_tpu", ["sccl"], [], "tpu")
    program = """
import torch, torch_tpu
x = torch.rand(3, 7, 5).to("tpu")
for name, function in {
    "strided": lambda: x[..., 2].sigmoid(), "contiguous": lambda: x.sigmoid(), "atan": lambda: x.atan(),
    "five": lambda: x.view(3, 1, 7, 1, 5).expand(3, 2, 7, 2, 5), "three": lambda: x[:1].expand(4, 7, 5),
    "memory": lambda: torch.tpu.memory_allocated(), "event": lambda: torch.tpu.Event(),
}.items():
    try:
        function()
        print(name, "runs")
    except (RuntimeError, AttributeError) as error:
        print(name, type(error).__name__, str(error)[:90])
"""
    given = environment(card, cache=emulator_cache, built=built_emulator, alone=True)
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, **given}, capture_output=True, text=True, check=False
    )
    found = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert done.returncode == 0, done.stderr
    assert {name for name, said in found.items() if said == "runs"} == {"contiguous", "three"}
    assert "not contiguous" in found["strided"] and "Could not run" in found["atan"]
    assert found["memory"].startswith("AttributeError module 'torch_tpu._C'")


def test_a_bare_plugin(record: Record) -> None:
    first, again = (record("mlu", card, every=1) for card in ("bare", "mlu-bare-emulated.json"))
    halves = [call for calls in first["operators"].values() for call in calls if "float16" in json.dumps(call)]
    assert sum(call["state"] == "raises" for call in halves) > len(halves) / 2
    assert first["surface"]["function is_available"]["state"] == "absent"
    assert outcomes(difference(first, again)) == []


def test_the_cpu_under_another_name(record: Record) -> None:
    found = record("npu", "", "cpu")
    assert found["device"] == "cpu" and found["card"] == "CPU"
    calls = [call for calls in found["operators"].values() for call in calls]
    raising = {name for name, calls in found["operators"].items() if any(call["state"] != "runs" for call in calls)}
    assert raising == {"aten::native_batch_norm_backward"}  # with FP16 weights and FP32 statistics, the CPU has none
    calls = [call for call in calls if call["state"] == "runs"]
    assert all(call["figures"] in (None, {"exact": True}) for call in calls)
    # torch's profiler sees the copies on a device that counts nothing
    assert any(call.get("copies") for call in found["operators"]["aten::_to_copy"])


def test_nothing_of_the_machine_is_in_it(record: Record) -> None:
    for made in record("tpu", "bm1684x", every=1), record("npu", "", "cpu"):
        text = json.dumps(made)
        node = os.uname().nodename
        for word in ("/home", "/root", "/tmp", "/work", "somebody", str(ROOT), sys.prefix, *([node] if node else [])):
            assert word not in text, word


FEW = ("aten::silu", "aten::minimum", "aten::rsub.Scalar", "aten::atan", "aten::tanh", "aten::clamp")


@pytest.fixture
def few(tmp_path: Path) -> Path:
    """A call of each of a few operators."""
    with gzip.open(CALLS, "rt") as file:
        head, *lines = file.read().splitlines()
    chosen = [next(line for line in lines if json.loads(line)[0] == name) for name in FEW if name in "".join(lines)]
    made = tmp_path / "few.json.gz"
    with gzip.open(made, "wt") as file:
        file.write("\n".join([json.dumps({**json.loads(head), "calls": len(chosen)}), *chosen, ""]))
    return made


KERNELS = """
import ctypes, os, signal
def dies(*arguments, **named):
    os.kill(os.getpid(), signal.SIGSEGV)
def hangs(*arguments, **named):
    ctypes.PyDLL(None).sleep(600)  # and nothing else of Python runs meanwhile
def says(*arguments, **named):
    raise OSError("cannot open /home/somebody/driver.so")
KERNELS = {"aten::silu.out": dies, "aten::minimum.out": hangs, "aten::rsub.Scalar": says}
"""


def chosen(folder: Path, emulator_cache: Path) -> tuple[Target, Device]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PORTER_CACHE", porters_cache(folder, emulator_cache))
        target = load_known(Project(ROOT), "mlu")
        return target, choose("emulated", target, sys.executable, profile="generic")


def test_a_crash_and_a_hang_end_no_record(
    tmp_path: Path, few: Path, built_emulator: Path, emulator_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, device = chosen(tmp_path, emulator_cache)
    kernels = tmp_path / "kernels.py"
    kernels.write_text(KERNELS)
    monkeypatch.setenv("PORTER_EMULATED_KERNELS", str(kernels))
    recorder = Recorder(target, device, sys.executable, tmp_path / "x.partial", limit=2, calls=few)
    made = assembled(recorder, recorder.run(Progress()), {})
    states = {name: calls[0]["state"] for name, calls in made["operators"].items()}
    assert states.pop("aten::silu") == "crashes" and states.pop("aten::minimum") == "hangs"
    assert states.pop("aten::rsub.Scalar") == "raises" and set(states.values()) == {"runs"}
    assert made["operators"]["aten::rsub.Scalar"][0]["message"] == "cannot open driver.so"
    assert "SIGSEGV" in made["operators"]["aten::silu"][0]["message"]
    assert all("arguments" in calls[0] for calls in made["operators"].values())


def test_it_goes_on_where_it_was_cut_short(
    tmp_path: Path, few: Path, built_emulator: Path, emulator_cache: Path
) -> None:
    target, device = chosen(tmp_path, emulator_cache)
    journal = tmp_path / "x.partial"
    recorder = Recorder(target, device, sys.executable, journal, calls=few)
    whole = recorder.run(Progress())
    lines = journal.read_text().splitlines()
    kept = len(lines) // 2
    journal.write_text("\n".join([*lines[:kept], lines[kept][:20]]))  # the machine went down
    begun: list[str] = []
    again = recorder.run(Progress(), begun.append)
    assert "going on" in begun[0]

    def without_time(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{key: value for key, value in each.items() if key != "seconds"} for each in found]

    assert without_time(again) == without_time(whole)
    assert journal.read_text().splitlines()[: kept - 1] == lines[: kept - 1]
    journal.write_text(lines[0].replace("torch", "torch of another version") + "\n")
    begun.clear()
    recorder.run(Progress(), begun.append)
    assert begun == []
