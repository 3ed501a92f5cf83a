"""What comes from strangers, checkpoints apart: the form of label caches, names, texts for a terminal.

What the tree's programs make of hostile files is `porter verify`'s check ``untrusted``.
"""

from __future__ import annotations

import importlib.util
import io
import re
import unicodedata
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .harness import Tree


def module(tree: Tree, name: str) -> ModuleType:
    """A module of the tree that needs nothing of it, without importing the tree."""
    spec = importlib.util.spec_from_file_location(f"tree_{name}", tree.path / "utils" / f"{name}.py")
    assert spec and spec.loader
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


# -- the label cache's form ------------------------------------------------------------------------------


def scanned(count: int = 40) -> dict[str, Any]:
    """What a scan returns: boxes, segments, pictures without labels, names that are no text."""
    random = np.random.RandomState(0)
    found: dict[str, Any] = {}
    for number in range(count):
        boxes = random.rand(number % 4, 5).astype(np.float32)
        segments = [random.rand(3 + k, 2).astype(np.float32) for k in range(len(boxes))] if number % 3 else []
        found[f"../data/images/{number}\udcff.jpg"] = [boxes, (640 + number, 480), segments]
    return {**found, "hash": "f00", "results": (30, 1, 10, 2, 43), "msgs": ["é \x1b[1mbad\udcff"], "version": 0.5}


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two are equal bit for bit, in order, types and all."""

    def flat(x: Any) -> Any:
        if isinstance(x, np.ndarray):
            return (x.dtype.str, x.shape, x.tobytes(), x.flags.writeable)
        return [type(x).__name__, *map(flat, x)] if isinstance(x, (list, tuple)) else (type(x).__name__, x)

    return [(key, flat(x)) for key, x in one.items()] == [(key, flat(x)) for key, x in other.items()]


def test_a_cache_comes_back_bit_for_bit(tree: Tree, tmp_path: Path) -> None:
    cache, path = module(tree, "label_cache"), tmp_path / "labels.cache"
    for x in scanned(), {**scanned(0), "results": (0, 0, 0, 3, 3)}:
        cache.save_label_cache(path, x)
        files = [*(key for key in x if key not in cache.KEYS), "../data/images/corrupt.jpg"]
        assert same(cache.load_label_cache(path, files), x)
    assert [entry.name for entry in tmp_path.iterdir()] == ["labels.cache"]


def test_a_cache_that_is_no_scans_result_is_refused(tree: Tree, tmp_path: Path) -> None:
    cache, path, x = module(tree, "label_cache"), tmp_path / "labels.cache", scanned()
    files = [key for key in x if key not in cache.KEYS]
    name = files[1]

    def changed(boxes: Any = None, shape: Any = None, segments: Any = None) -> dict[str, Any]:
        old = x[name]
        new = [old[0] if boxes is None else boxes, shape or old[1], old[2] if segments is None else segments]
        return {**x, name: new}

    wrong = {
        "nan": changed(np.full((1, 5), np.nan, np.float32)),
        "negative": changed(np.full((1, 5), -1, np.float32)),
        "large": changed(np.array([[0, 0.5, 2, 0.5, 0.5]], np.float32)),
        "tiny": changed(shape=(640, 9)),
        "far segment": changed(segments=[np.full((3, 2), 1e9, np.float32)]),
        "nan segment": changed(segments=[np.full((3, 2), np.nan, np.float32)]),
        "numbers": {**x, "msgs": [1]},
        "results": {**x, "results": (1, 2, "3", 4, 5)},
    }
    for what, hostile in wrong.items():
        cache.save_label_cache(path, hostile)
        with pytest.raises(ValueError):
            cache.load_label_cache(path, files)
            pytest.fail(what)
    cache.save_label_cache(path, x)
    with pytest.raises(ValueError):  # a picture that the data set has not
        cache.load_label_cache(path, files[1:])
    np.save(path.with_suffix(".npy"), x, allow_pickle=True)  # v6.0's
    with pytest.raises(ValueError):
        cache.load_label_cache(path.with_suffix(".npy"), files)


def test_a_broken_cache_is_an_exception_at_once(tree: Tree, tmp_path: Path) -> None:
    """Cut, with bytes changed, or claiming an array of petabytes: refused, or read as something that a scan finds."""
    cache, path, x = module(tree, "label_cache"), tmp_path / "labels.cache", scanned()
    files = [key for key in x if key not in cache.KEYS]
    cache.save_label_cache(path, x)
    whole = path.read_bytes()
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (1 << 50, 5)})
    random = np.random.RandomState(1)
    broken = [header.getvalue(), whole + header.getvalue(), *(whole[:n] for n in range(0, len(whole), 211))]
    for _ in range(300):
        data = bytearray(whole)
        data[random.randint(len(data) if random.rand() < 0.5 else 300)] = random.randint(256)
        broken.append(bytes(data))
    refused = 0
    for data in broken:
        path.write_bytes(data)
        try:
            read = cache.load_label_cache(path, files)
        except Exception:
            refused += 1
            continue
        assert set(read) <= {*files, *cache.KEYS}
        assert all((read[key][0] >= 0).all() for key in files if key in read)
    assert refused > 150


# -- names and texts -------------------------------------------------------------------------------------

SPECIAL = ["", ".", "..", "/", "a/b", "a\\b", "con", "NUL.txt", "x" * 400, "é" * 150]
NAMES = st.text(max_size=8) | st.sampled_from(SPECIAL)


@settings(max_examples=300, deadline=None)
@given(names=st.lists(NAMES, max_size=6))
def test_names_of_files(tree: Tree, names: list[str]) -> None:
    files = module(tree, "untrusted").file_names(names)
    assert len(set(files.values())) == len(set(names)), "different names stay apart"
    for number, file in files.items():
        assert (
            file not in ("", ".", "..") and len(file.encode()) <= 255 and not re.search(r'[\x00-\x1f<>:"/\\|?*]', file)
        )
        assert not re.match(r"(?i)(con|nul|aux|prn)(\.|$)", file) and file[-1] not in " ."
        ordinary = re.fullmatch(r"[a-z]([a-z ]{,98}[a-z])?", names[number])
        if ordinary and names[number] not in ("con", "nul", "aux", "prn"):
            assert file == names[number], "an ordinary name is kept"


@settings(max_examples=300, deadline=None)
@given(text=st.text() | st.text("\x1b[]A0;mJ\x07\r\n\x9b", max_size=12))
def test_texts_reach_a_terminal_as_text(tree: Tree, text: str) -> None:
    ours = module(tree, "untrusted")
    shown = ours.printable(text)
    assert not [c for c in shown if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") or "\u202a" <= c <= "\u202e"]
    assert shown == text or not text.isprintable() or any(c in text for c in "\u061c\u200e\u200f")
    out = io.StringIO()
    print(text, file=ours.Terminal(out), end="")
    left = re.sub(r"\x1b\[[0-9;]*m|\x1b\[A|[\b\t\n\r]", "", out.getvalue())
    assert not re.search("[\x00-\x1f\x7f-\x9f]", left)


def test_what_the_tree_prints_passes(tree: Tree) -> None:
    out, ours = io.StringIO(), "\x1b[34m\x1b[1mtrain: \x1b[0m 50%|█████     | 1/2\r\x1b[A\n人\t"
    module(tree, "untrusted").Terminal(out).write(ours)
    assert out.getvalue() == ours
