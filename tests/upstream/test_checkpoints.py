"""A .pt file is a pickle: one that holds anything but a YOLOv5 checkpoint is refused by name and runs nothing."""

from __future__ import annotations

import ast
import json
import os
from pathlib import Path
from typing import Any

import pytest

from .harness import Tree
from .jobs import Shop


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


@pytest.mark.jobs("hostile")
def test_the_files_are_hostile(shop: Shop, tree: Tree, weights: Path) -> None:
    """Plain pickle runs them: without this the test above could pass on files that are merely broken."""
    assert len(hostile(shop, tree)["plain"]) == 7


@pytest.mark.jobs("hostile")
@pytest.mark.parametrize("place", ["module", "argument"])
def test_a_models_yaml_is_no_code(shop: Shop, tree: Tree, weights: Path, place: str) -> None:
    found = hostile(shop, tree)["yaml"][place]
    assert not found["ran"], "the yaml's code RAN"
    assert found["Model"] is not None, "a model was made from a yaml that names no layer"


def hostile(shop: Shop, tree: Tree) -> dict[str, Any]:
    result: dict[str, Any] = shop.get("hostile", tree)
    return result


def test_programs_say_so_in_a_line(shop: Shop, tree: Tree, tmp_path: Path) -> None:
    """What a person sees who was given such a file: its name and what it asked for, no traceback, status 1."""
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
    for words in (
        ("val.py", "--weights", evil, "--data", shop.data / "data.yaml"),
        ("export.py", "--weights", evil, "--include", "torchscript"),
        ("detect.py", "--weights", program),
        (str(hub),),
        ("detect.py", "--weights", evil),
        ("train.py", "--weights", evil, "--data", shop.data / "data.yaml", "--project", tmp_path / "runs"),
    ):
        device = () if words == (str(hub),) else ("--device", "cpu")
        run = shop.lab.script(tree, *words, *device, cwd=shop.lab.folder("evil")).offline()
        asked = (
            f"{program}: refused: it is a TorchScript archive" if program in words else f"{evil}: refused: it names "
        )
        assert run.status == 1 and "Traceback" not in run.err, run.story()
        assert run.err.strip().splitlines()[-1].startswith(asked), run.story()
        assert not mark.exists()


def test_checkpoints_load_bit_for_bit(shop: Shop, tree: Tree, weights: Path) -> None:
    """v6.0's own, and those of trainings here in both forms, as torch.load itself reads them."""
    run = shop.lab.driver(tree, "bitwise.py", weights, cwd=shop.lab.folder("bitwise")).offline()
    found = json.loads(run.out.strip().splitlines()[-1])
    assert found["same"] == 5
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
