from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torchfiles import ANCHORS, STRIDES, checkpoint, hostile

import porter
from porter.checkpoints import inspect, pickles, torchfile
from porter.errors import CheckFailed, WrongUsage

ROOT = Path(porter.__file__).parent
WEIGHTS = Path(os.environ.get("PORTER_TEST_WEIGHTS") or ROOT.parents[1] / "shared" / "data" / "yolov5s.pt")


HOSTILE = hostile()
CASES = list(HOSTILE["instructions"](""))


@pytest.mark.parametrize("kind", list(HOSTILE["FORMATS"]))
@pytest.mark.parametrize("case", CASES)
def test_every_hostile_file_that_the_trees_refuse_is_refused_by_name(tmp_path: Path, case: str, kind: str) -> None:
    mark, file = tmp_path / "0", tmp_path / "file.pt"
    expected, body = HOSTILE["instructions"](str(mark))[case]
    HOSTILE["FORMATS"][kind](HOSTILE["checkpoint"](body), file)
    expected = HOSTILE["wanted"](case, kind, expected)
    modules = set(sys.modules)
    with pytest.raises(CheckFailed) as caught:
        inspect(file)
    assert expected in caught.value.what or expected in caught.value.why
    assert "is refused: " in caught.value.what or "is damaged" in caught.value.what
    assert not mark.exists()
    assert {name for name in set(sys.modules) - modules if not name.startswith("encodings")} == set()


def test_there_are_cases_and_some_are_dangerous(tmp_path: Path) -> None:
    assert len(CASES) > 25
    for case in ("os.system", "getattr", "OBJ"):
        mark = tmp_path / case
        data = HOSTILE["checkpoint"](HOSTILE["instructions"](str(mark))[case][1])
        code = "import pickle, sys; pickle.load(sys.stdin.buffer)"
        subprocess.run([sys.executable, "-c", code], input=data, capture_output=True, check=False)
        assert mark.exists()


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("zipped", [True, False])
def test_a_checkpoint_is_described(tmp_path: Path, zipped: bool) -> None:
    file = write(tmp_path / "last.pt", checkpoint(1000, zipped=zipped))
    found = inspect(file)
    assert (found.format, found.kind) == ("zip" if zipped else "legacy", "YOLOv5 checkpoint")
    assert (found.epoch, found.updates, found.date, found.best_fitness) == (3, 12, "2021-10-12T00:00:00", 0.25)
    assert (found.optimizer, found.ema, found.size) == (True, False, file.stat().st_size)
    assert (found.model, found.classes, found.parameters) == ("yolov5n.yaml", ["cat", "dog"], 1000)
    assert (found.strides, found.anchors) == (STRIDES, ANCHORS)
    assert found.modules == {"Model": 1, "Sequential": 1, "Detect": 1, "SiLU": 1}
    assert (found.dtypes, found.devices) == ({"float16": 2, "float32": 3}, {"cpu": 5})


def test_torch_is_not_needed(tmp_path: Path) -> None:
    file = write(tmp_path / "last.pt", checkpoint())
    code = (
        "import sys; from pathlib import Path; from porter.checkpoints import inspect\n"
        "inspect(Path(sys.argv[1])); print([m for m in ('torch', 'numpy', 'models') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, file], capture_output=True, text=True, check=True, cwd=ROOT.parent
    )
    assert done.stdout == "[]\n"


def test_upstreams_own_checkpoint(tmp_path: Path) -> None:
    """The real one where it can be had, else one of the same make; which of them is printed."""
    real = WEIGHTS.is_file()
    print(f"upstream's yolov5s.pt: {WEIGHTS if real else 'not here, a small one instead'}")
    found = inspect(WEIGHTS if real else write(tmp_path / "small.pt", checkpoint(7_235_389, epoch=-1, optimizer=None)))
    assert (found.kind, found.parameters) == ("YOLOv5 checkpoint", 7_235_389)
    assert (found.epoch, found.optimizer) == (-1, False)
    if real:
        assert (len(found.classes), found.strides) == (80, [8, 16, 32])
        assert found.anchors[0] == [10, 13, 16, 30, 33, 23]


def test_what_is_no_checkpoint_is_called_so(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    torch.save(torch.nn.Linear(3, 4).state_dict(), buffer)
    found = inspect(write(tmp_path / "state.pt", buffer.getvalue()))
    assert (found.kind, found.parameters) == ("state dict", 16)
    buffer = io.BytesIO()
    torch.save([1, 2], buffer)
    assert inspect(write(tmp_path / "list.pt", buffer.getvalue())).kind == "something else"


@pytest.mark.parametrize("place", ["module", "argument"])
def test_code_in_a_models_yaml_is_named(tmp_path: Path, place: str) -> None:
    code = "__import__('os').system('touch pwned')"
    row = [-1, 1, code, []] if place == "module" else [-1, 1, "Conv", [code]]
    file = write(tmp_path / "yaml.pt", checkpoint(model_yaml={"nc": 2, "backbone": [row]}))
    with pytest.raises(CheckFailed, match=r"the yaml of its model holds code: .*touch pwned"):
        inspect(file)


def changed(data: bytes, change: Callable[[dict[str, bytes]], None]) -> bytes:
    """A zip archive with other members."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def test_damage_is_named(tmp_path: Path) -> None:
    whole = checkpoint(1000)
    (folder,) = {name.partition("/")[0] for name in zipfile.ZipFile(io.BytesIO(whole)).namelist()}

    def shorten(members: dict[str, bytes]) -> None:
        members[f"{folder}/data/0"] = members[f"{folder}/data/0"][:-1]

    at = whole.index(zipfile.ZipFile(io.BytesIO(whole)).read(f"{folder}/data/0"))
    row = checkpoint(1000, zipped=False)
    for data, said in (
        (b"", "the file is empty"),
        (b"<html>", "no pickle can be read"),
        (b"\xff\xd8\xff", "no pickle can be read"),
        (whole[: len(whole) // 2], "not a zip file"),
        (whole[:at] + b"\xff" + whole[at + 1 :], "the check sum of .* is wrong"),
        (changed(whole, lambda members: members.pop(f"{folder}/data/0")), "numbers are missing"),
        (changed(whole, shorten), "have 1999 bytes, not 2000"),
        (changed(whole, lambda members: members.update({"x/data.pkl": b""})), "holds 2 pickles"),
        (row[:-100], "it is cut short"),
        (row[:200], "it is cut short"),
    ):
        with pytest.raises(CheckFailed, match=said) as caught:
            inspect(write(tmp_path / "damaged.pt", data))
        assert "is damaged, or no checkpoint" in caught.value.what, data[:20]
    with pytest.raises(WrongUsage, match="there is no"):
        inspect(tmp_path / "absent.pt")
    with pytest.raises(WrongUsage, match="is a folder"):
        inspect(tmp_path)


def test_every_cut_and_every_changed_byte_ends_well() -> None:
    """Whatever the bytes are, the answer is a value or one of two exceptions, at once."""
    with zipfile.ZipFile(io.BytesIO(checkpoint())) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("data.pkl"))
        data = archive.read(name)
    assert len(data) > 1000
    for at in range(0, len(data), 3):
        for other in (data[:at], data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]):
            with contextlib.suppress(pickles.Hostile, pickles.Unreadable):
                pickles.load(other)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"(l" + b"I" + b"9" * 1_000_000 + b"\na.", "it makes objects in a way"),  # years to read, one day
        (b"\x96" + (1 << 40).to_bytes(8, "little") + b".", "it makes objects in a way"),  # a terabyte of zeros
        (
            b"}(" + b")" + b"\x85" * 0 + b"q\x00" + b"h\x00h\x00\x86q\x00" * 60 + b"K\x01u.",
            "containers in containers without end",
        ),
    ],
    ids=["digits", "buffer", "nested key"],
)
def test_a_few_bytes_that_cost_for_ever_are_refused(body: bytes, said: str) -> None:
    with pytest.raises(pickles.Hostile, match=said):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("archive/data.pkl", b"\x80\x02" + body)
        file.seek(0)
        torchfile.read(file)


def run(*args: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "porter", "weights", "inspect", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT.parent)


def test_the_command(tmp_path: Path) -> None:
    file = write(tmp_path / "last.pt", checkpoint())
    done = run(file)
    assert (done.returncode, done.stderr) == (0, "")
    assert "2: cat, dog" in done.stdout
    assert "10x13 16x30 (stride 8)" in done.stdout
    assert "3, from 0; with the optimizer" in done.stdout
    done = run("--json", file)
    assert json.loads(done.stdout)["parameters"] == 100
    HOSTILE["archived"](HOSTILE["checkpoint"](HOSTILE["instructions"](str(tmp_path / "0"))["os.system"][1]), file)
    done = run("--json", file)
    said = json.loads(done.stdout)
    assert (done.returncode, said["kind"], said["exit_code"]) == (1, "error", 1)
    assert "it names os.system, which no YOLOv5 checkpoint holds" in done.stderr
