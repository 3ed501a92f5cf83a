"""The rules of a checkpoint's pickle: what can be called, and what a state can lie in front of."""

from __future__ import annotations

import gc
import importlib
import io
import pickle
import struct
import sys
import zipfile
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from porter.checkpoints import pickles, torchfile
from porter.checkpoints.pickles import CALLED, CLASSES, METHODS, STORAGES, Hostile, Unreadable

NAMES = [*CALLED, *sorted(CLASSES)[::9], ("numpy", "ndarray"), ("torch", "float32"), ("models.common", "AutoShape")]
NAMES += [("torch", name) for name in list(STORAGES)[:2]]
OURS = {pickles.__file__, torchfile.__file__}
# What the rules call of Python's own, in C, and what its modules for zip archives and codecs do.
BUILT_IN = {"extend", "append", "update", "isalnum", "replace", "encode", "isprintable", "get", "setdefault", "values"}
BUILT_IN |= {"len", "sum", "isinstance", "issubclass", "id", "abs", "max", "any", "all", "from_bytes", "join", "items"}
BUILT_IN |= {"load", "__new__", "match", "end", "find", "hasattr", "to_bytes", "setprofile", "__init__", "any"}
BUILT_IN |= {"fromkeys"}


def test_the_trees_have_these_very_files() -> None:
    name = "refuse-checkpoints-that-hold-anything-but-a-model.patch"
    diff = (Path(__file__).parents[2] / "patches" / "common" / name).read_text(encoding="utf-8")
    for module in pickles, torchfile:
        ours = Path(module.__file__)
        part = diff.partition(f"+++ b/utils/{ours.name}\n")[2].partition("diff --git")[0].partition("\n-- \n")[0]
        lines = [line[1:] for line in part.splitlines() if line.startswith("+")]
        assert lines == ours.read_text(encoding="utf-8").splitlines()


def test_no_state_can_lie_in_front_of_a_method() -> None:
    """Of the classes that this torch has; those of the tree are nn.Module's and v6.0's own."""
    shown = 0
    for module, name in sorted(CLASSES):
        cls = getattr(importlib.import_module(module), name, None) if module.startswith("torch.") else None
        for attribute in dir(cls) if cls else ():
            value = getattr(cls, attribute)
            if (
                not attribute.startswith("_")
                and attribute != "type"
                and (callable(value) or isinstance(value, property))
            ):
                assert attribute in METHODS, f"{module}.{name}.{attribute}"
                shown += 1
    assert shown > 1000


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


WORDS = ["append", "extend", "add", "__setstate__", "__call__", "__dict__", "forward", "_modules", "_metadata", "cpu"]
SINGLE = [
    bytes([code])
    for code in b"()NQRabes0e1t]}2u" + bytes([0x81, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8F, 0x90, 0x91, 0x93, 0x94])
]
OPCODES = st.one_of(
    st.sampled_from(SINGLE),
    st.sampled_from([b"c%s\n%s\n" % (module.encode(), name.encode()) for module, name in NAMES]),
    st.sampled_from([text(word) for word in WORDS]),
    st.sampled_from([b"h\x00", b"h\x01", b"q\x00", b"q\x01", b"K\x01", b"C\x01a", b"o", b"\x92"]),
    st.sampled_from(
        [b")\x81", b")R", b"}b", b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") * 2 + b"K\x01tQ"]
    ),
)


@settings(max_examples=1500, deadline=None)
@given(st.lists(OPCODES, min_size=1, max_size=40))
def test_no_instructions_reach_a_call_outside_a_short_list(instructions: list[bytes]) -> None:
    """Every call that Python makes while it reads, in Python and in C, is one of ours or of those few."""
    data = b"\x80\x02" + b"".join(instructions) + b"."
    seen: set[str] = set()

    def watch(frame: FrameType, event: str, called: Any) -> None:
        if event == "call" and frame.f_code.co_filename not in OURS:
            seen.add(f"{frame.f_code.co_filename}:{frame.f_code.co_name}")
        elif event == "c_call" and called.__name__ not in BUILT_IN:
            seen.add(called.__name__)

    before = set(sys.modules)
    gc.disable()
    sys.setprofile(watch)
    try:
        torchfile.Notes(None).whole(pickles.load(data)[0])  # type: ignore[arg-type]
    except (Hostile, Unreadable):
        pass
    finally:
        sys.setprofile(None)
        gc.enable()
    assert seen == set()
    assert set(sys.modules) == before


def test_what_is_called_outside_is_seen() -> None:
    """Without it the test above could pass since nothing is watched."""
    seen = set()

    def watch(frame: FrameType, event: str, called: Any) -> None:
        if event == "call":
            seen.add(frame.f_code.co_name)

    class Evil:
        def __setstate__(self, state: Any) -> None:
            pass

    sys.setprofile(watch)
    try:
        Evil().__setstate__(None)
    finally:
        sys.setprofile(None)
    assert "__setstate__" in seen


def test_a_state_dict_keeps_what_torch_hangs_on_it() -> None:
    buffer = io.BytesIO()
    torch.save({"model": None, "state": torch.nn.BatchNorm2d(2).state_dict()}, buffer)
    buffer.seek(0)
    found = torchfile.read(buffer).value["state"]
    assert list(found) == ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    assert found._metadata[""] == {"version": 2}


def test_a_compressed_or_swollen_archive_is_refused() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"a": [0] * 1000}, 2))
    buffer.seek(0)
    try:
        torchfile.read(buffer)
    except Unreadable as error:
        assert "compressed" in str(error)
    else:
        raise AssertionError("read")
