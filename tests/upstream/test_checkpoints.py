"""A .pt file is a pickle: one that holds anything but a YOLOv5 checkpoint is refused by name and runs nothing."""

from __future__ import annotations

import ast
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
    """What a person sees who was given such a file."""
    import torch

    mark, evil = tmp_path / "mark", tmp_path / "evil.pt"

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.system, (f"touch {mark}",)

    torch.save({"model": Evil()}, evil)
    for words in (
        ("detect.py", "--weights", evil),
        ("train.py", "--weights", evil, "--data", shop.data / "data.yaml", "--project", tmp_path / "runs"),
    ):
        run = shop.lab.script(tree, *words, "--device", "cpu", cwd=shop.lab.folder("evil")).offline()
        assert run.status != 0 and "refused" in run.err and "system" in run.err, run.story()
        assert not mark.exists()


def test_every_checkpoint_goes_through_the_one_loader(tree: Tree) -> None:
    """No torch.load, pickle.load or torch.hub.load of a file anywhere else in the tree."""
    found = []
    for file in sorted(tree.path.rglob("*.py")):
        if file.relative_to(tree.path) == Path("utils/checkpoint.py"):
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("torch.load", "pickle.load", "pickle.loads"):
                found.append(f"{file.relative_to(tree.path)}:{node.lineno}: {ast.unparse(node)}")
    assert not found, "\n".join(found)
