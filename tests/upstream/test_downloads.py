"""Data sets from a server: no shell, nothing outside the folder, nothing half-had.

The server is a real one on loopback; it runs inside the child, which has no other network.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from .harness import Tree
from .jobs import Shop

pytestmark = pytest.mark.jobs("downloads")


def found(shop: Shop, tree: Tree) -> dict[str, Any]:
    result: dict[str, Any] = shop.get("downloads", tree)
    return result


def test_an_honest_data_set_comes(shop: Shop, tree: Tree) -> None:
    case = found(shop, tree)["honest"]
    assert case["error"] is None
    assert case["files"] == ["coco/images/val/1.png", "coco/labels/val/1.txt"]


@pytest.mark.parametrize("name", ["parent", "absolute", "deep parent", "backslash"])
def test_a_zip_that_leads_out_is_refused(shop: Shop, tree: Tree, name: str) -> None:
    case = found(shop, tree)[f"zip {name}"]
    assert case["outside"] == [], "it wrote outside its folder"
    if name == "backslash":  # a plain character in a name here: harmless
        return
    assert case["error"] and "refused" in case["error"] and "evil" in case["error"]
    assert case["files"] == [], "part of it was unpacked"


@pytest.mark.parametrize("data_filter", [True, False])
@pytest.mark.parametrize("name", ["parent", "link", "link in steps", "hard link", "device"])
def test_a_tar_that_leads_out_is_refused(shop: Shop, tree: Tree, name: str, data_filter: bool) -> None:
    """Also on Pythons whose tarfile has no filters (before 3.8.17)."""
    case = found(shop, tree)[f"tar {name} {data_filter}"]
    assert case["outside"] == [], "it wrote outside its folder"
    assert case["error"] is not None


def test_names_are_no_shell_commands(shop: Shop, tree: Tree) -> None:
    case = found(shop, tree)["shell"]
    assert case["outside"] == []
    assert "ran" not in case["files"]


def test_a_cut_download_leaves_nothing(shop: Shop, tree: Tree) -> None:
    case = found(shop, tree)["cut"]
    assert case["error"] is not None
    assert case["files"] == []


def test_a_missing_file_is_an_error(shop: Shop, tree: Tree) -> None:
    """A server's page that says 404 is no data set."""
    case = found(shop, tree)["missing"]
    assert case["error"] is not None and "404" in case["error"]
    assert case["files"] == []


def test_weights_are_not_looked_up_unasked(shop: Shop, tree: Tree) -> None:
    """A file that is there is used as it is; only a name that is missing is asked for, and that is said."""
    cwd = shop.lab.folder("missing-weights")
    run = shop.lab.script(tree, "val.py", "--weights", "mine.pt", "--data", shop.data / "data.yaml", cwd=cwd)
    assert run.status != 0
    assert json.dumps(run.forbidden) == "[]", run.story()
