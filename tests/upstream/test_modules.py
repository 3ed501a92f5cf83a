"""Every module of a tree imports with nothing but the declared packages and no network."""

from __future__ import annotations

import ast
import json

import pytest

from .harness import Tree
from .jobs import Shop

# What cannot be imported on its own in v6.0 either.
LEFT_OUT = {
    "models.tf": "needs TensorFlow",
    "utils.aws.resume": "acts when it is imported",
    "utils.flask_rest_api.example_request": "acts when it is imported",
    "utils.flask_rest_api.restapi": "needs Flask",
    "utils.loggers.wandb.log_dataset": "needs Weights & Biases",
    "utils.loggers.wandb.sweep": "needs Weights & Biases",
}


def names(tree: Tree) -> list[str]:
    """Every module by its dotted name, packages by the folder's."""
    found = []
    for file in sorted(tree.path.rglob("*.py")):
        parts = file.relative_to(tree.path).with_suffix("").parts
        found.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return [name for name in found if name not in LEFT_OUT]


@pytest.mark.verified("import")
def test_every_module_imports(shop: Shop, tree: Tree) -> None:
    cwd = shop.lab.folder("modules")
    wanted = names(tree)
    assert {"train", "val", "detect", "export", "hubconf", "utils.datasets", "utils.loggers.wandb.wandb_utils"} <= set(
        wanted
    )
    assert {f"utils.accelerator.{target}" for target in tree.targets} <= set(wanted)
    run = shop.lab.driver(tree, "modules.py", *wanted, cwd=cwd).ok()
    failed = json.loads(run.out.splitlines()[-1])
    assert failed == {}, run.story()
    assert list(cwd.iterdir()) == [], "importing wrote files"


def test_what_the_stacks_add_is_python_3_6(tree: Tree, pristine: Tree) -> None:
    """v6.0 declares Python 3.6.2 and vendors' containers have old ones; feature_version goes down to 3.4 syntax."""
    for file in sorted(tree.path.rglob("*.py")):
        upstream = pristine.path / file.relative_to(tree.path)
        if not upstream.exists() or upstream.read_bytes() != file.read_bytes():
            ast.parse(file.read_text(), str(file), feature_version=(3, 6))


def test_data_and_weights_are_fetched_without_a_shell(tree: Tree) -> None:
    """v6.0 gave names from a yaml to os.system; only Google's own tool is still asked that way, for gs:// names."""
    left = []
    for name in "utils/general.py", "utils/downloads.py", "utils/plots.py":
        for node in ast.walk(ast.parse((tree.path / name).read_text())):
            if isinstance(node, ast.Call):
                shell = any(k.arg == "shell" and getattr(k.value, "value", None) is True for k in node.keywords)
                if (shell or ast.unparse(node.func) == "os.system") and "gsutil" not in ast.unparse(node):
                    left.append(f"{name}:{node.lineno}: {ast.unparse(node)}")
    assert not left, "\n".join(left)
