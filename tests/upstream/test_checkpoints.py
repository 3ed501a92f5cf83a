"""A .pt file is a pickle: one that holds anything but a YOLOv5 checkpoint is refused by name and runs nothing."""

from __future__ import annotations

import ast
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from porter.checkpoints import inspect
from porter.errors import CheckFailed

from .harness import Tree
from .jobs import FILES, Shop


@pytest.mark.verified("safety")
@pytest.mark.jobs("hostile")
def test_hostile_files_are_refused_by_name(shop: Shop, tree: Tree, weights: Path) -> None:
    result = hostile(shop, tree)
    assert result["honest"] is None, result["honest"]
    assert len(result["cases"]) > 100
    wrong = []
    for case, found in result["cases"].items():
        assert not found["ran"], f"{case}: the payload RAN"
        for way in "attempt_load", "strip_optimizer", "load_checkpoint":
            error = found[way]
            if error is None or found["expected"] not in error[1] or "refused" not in error[1]:
                wrong.append((case, way, error))
    assert not wrong, "\n".join(map(str, wrong))


@pytest.mark.verified("safety")
@pytest.mark.jobs("hostile")
def test_the_files_are_hostile(shop: Shop, tree: Tree, weights: Path) -> None:
    """Plain pickle runs them: without this the test above could pass on files that are merely broken."""
    assert len(hostile(shop, tree)["plain"]) == 7


@pytest.mark.verified("safety")
@pytest.mark.jobs("hostile")
@pytest.mark.parametrize("place", ["module", "argument", "file", "depth"])
def test_a_models_yaml_is_no_code(shop: Shop, tree: Tree, weights: Path, place: str) -> None:
    found = hostile(shop, tree)["yaml"][place]
    assert not found["ran"], "the yaml's code RAN, or the file that it names was opened"
    assert found["attempt_load"] and "refused" in found["attempt_load"][1]
    assert found["Model"] is not None, "a model was made from a yaml that names no layer, or layers without end"


def hostile(shop: Shop, tree: Tree) -> dict[str, Any]:
    result: dict[str, Any] = shop.get("hostile", tree)
    return result


def test_files_that_run_when_torch_opens_them_end_in_a_line(shop: Shop, tree: Tree, tmp_path: Path) -> None:
    """Where detect.py asks no loader of its own, and torch.hub.load; the others' lines are ``senseless``'s."""
    import torch

    mark, evil = tmp_path / "mark", tmp_path / "evil.pt"

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.system, (f"touch {mark}",)

    torch.save({"model": Evil()}, evil)
    program = tmp_path / "evil.torchscript.pt"  # refused by what is in it, whatever its name
    torch.jit.save(torch.jit.trace(torch.nn.ReLU(), torch.zeros(1)), str(program))
    hub = tmp_path / "hub.py"
    hub.write_text(f"import torch\ntorch.hub.load({str(tree.path)!r}, 'custom', {str(evil)!r}, source='local')\n")
    for words, asked in (
        (("detect.py", "--weights", program, "--device", "cpu"), f"{program}: refused: it is a TorchScript archive"),
        ((hub,), f"{evil}: refused: it names "),
    ):
        run = shop.lab.script(tree, *map(str, words), cwd=shop.lab.folder("evil")).offline()
        assert run.status == 1 and "Traceback" not in run.err, run.story()
        assert run.err.strip().splitlines()[-1].startswith(asked), run.story()
        assert not mark.exists()


@pytest.mark.jobs("senseless")
def test_a_file_that_makes_no_sense_ends_in_one_line(shop: Shop, tree: Tree) -> None:
    """Wrong shapes, missing keys, texts for numbers: a line that names the file and what is wrong, and status 1."""
    found = dict(shop.get("senseless", tree))
    honest = found.pop("honest")
    assert {end["status"] for end in honest["ends"].values()} == {0} and len(honest["ends"]) == 6, honest
    assert len(found) > 90
    passed = []
    for case, one in found.items():
        for program, end in one["ends"].items():
            assert not end["trace"] and end["status"] in (0, 1), f"{case}, {program}: {end['trace'] or end}"
            file = "run/weights/last.pt" if program == "resume" else one["file"]
            assert end["status"] == 0 or end["said"].startswith(f"{file}: refused: "), f"{case}, {program}: {end}"
        if not any(end["status"] for end in one["ends"].values()):
            passed.append(case)
    assert passed == ["no nc"]  # which no program asks for, as long as the head has it


@pytest.mark.jobs("senseless")
def test_the_inspector_refuses_what_the_loader_refuses(shop: Shop, tree: Tree) -> None:
    """In the same words."""
    refused = 0
    for case, one in shop.get("senseless", tree).items():
        try:
            kind, said = inspect(one["path"]).kind, ""
        except CheckFailed as error:
            kind, said = "", f"{error.what} {error.why}"
        if one["load"] is None:
            assert kind == "YOLOv5 checkpoint", case
        else:
            refused += 1
            what = one["load"].partition(": refused: ")[2]
            assert what in said or (kind == "something else" and what.startswith("it holds ")), (case, what, kind, said)
    assert refused > 40


@pytest.mark.jobs("mutated")
def test_the_inspector_and_the_loader_agree_on_mutants(shop: Shop, tree: Tree) -> None:
    """Bytes of an honest checkpoint at random: what one of them accepts the other does."""
    apart, loaded = [], 0
    for path, refusal in shop.get("mutated", tree).items():
        try:
            kind = inspect(path).kind
        except CheckFailed:
            kind = ""
        loaded += refusal is None
        if not (kind == "something else" and "it holds a" in str(refusal)) and bool(kind) != (refusal is None):
            apart.append((path.name, kind, refusal))
    assert apart == []
    assert 30 < loaded < 370


# What may be called, in Python, to make the objects that a file describes: by module and function.
CALLED = (
    r"(abc|codecs|contextlib|encodings\.cp437|importlib(\._bootstrap)?|pathlib\S*|re|threading|zipfile):\w+"
    r"|torch\.nn\.(modules\.\w+:__(set|get)(state|attr)__|parameter:\w+)"
)


@pytest.mark.jobs("reach")
def test_no_file_reaches_a_call_outside_a_short_list(shop: Shop, tree: Tree) -> None:
    """On the whole way from the file to the first picture or batch, whatever the file says; and no other error."""
    found = shop.get("reach", tree)
    assert set(found["honest"].values()) == {None}, found["honest"]
    assert found["events"] == []
    assert [name for name in found["called"] if not re.fullmatch(CALLED, name)] == []
    assert found["wrong"] == {}
    assert found["loaded"] > FILES // 8


@pytest.mark.jobs("reach-broken")
def test_what_a_file_reaches_is_seen(shop: Shop, tree: Tree) -> None:
    """Without it the test above could pass since nothing is watched: here the maker opens what a file names."""
    assert any(event.startswith("open ") for event in shop.get("reach-broken", tree)["events"])


def test_checkpoints_load_bit_for_bit(shop: Shop, tree: Tree, weights: Path) -> None:
    """v6.0's own, those of trainings here in both forms, those of other trees: as torch.load itself reads them."""
    run = shop.lab.driver(tree, "bitwise.py", weights, cwd=shop.lab.folder("bitwise")).offline()
    found = json.loads(run.out.strip().splitlines()[-1])
    assert found["same"] == 7
    assert found["ratio"] < 5, "loading takes five times as long as torch.load"  # benchmarks/ has the figure


def test_every_checkpoint_goes_through_the_one_loader(tree: Tree) -> None:
    """No torch.load, pickle.load or torch.hub.load of a file anywhere else in the tree."""
    found = []
    for file in sorted(tree.path.rglob("*.py")):
        if file.relative_to(tree.path) in (Path("utils/checkpoint.py"), Path("utils/pickles.py")):
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in (
                "torch.load",
                "torch.jit.load",
                "pickle.load",
                "pickle.loads",
            ):
                found.append(f"{file.relative_to(tree.path)}:{node.lineno}: {ast.unparse(node)}")
    assert not found, "\n".join(found)
