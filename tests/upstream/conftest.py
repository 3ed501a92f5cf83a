"""Fixtures of the tests on v6.0.

Trees are made by ``porter apply`` as a user would, from the sources in upstream.lock, into a cache of
this session's own.  Environment:

PORTER_TEST_TREES    folders to test instead of fresh ones: ``mlu=DIR:tpu=DIR:pristine=DIR``
PORTER_TEST_WEIGHTS  the official v6.0 yolov5s.pt (else ../shared/data/yolov5s.pt beside the checkout)
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from porter.datasets import generate as data_sets
from porter.verification.plan import NAMES

from .harness import Lab, Tree, porter
from .jobs import WEIGHTS, Shop

TREES = ["mlu", "tpu", "mlu+tpu"]
# Without --tree most tests run in the tree that holds every patch. The vendors' sessions run them in that vendor's tree
# alone, and `porter verify --level full` makes its checks in each.
WHOLE = "mlu+tpu"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "pristine: compares with unpatched v6.0 in the same environment")
    config.addinivalue_line(
        "markers", "trees(*names): runs in these trees; without it in the one of --tree, or the whole one"
    )
    config.addinivalue_line(
        "markers",
        "verified(*checks): these checks of `porter verify` say it wherever a device can be emulated; runs elsewhere",
    )
    config.addinivalue_line("markers", "jobs(*names): what of jobs.py the test looks at, begun ahead of it")


def unpatched_runs() -> bool:
    """Whether v6.0 as it is can train here: facts from ../shared/facts, each of these stops it."""
    import numpy
    import torch

    new_torch = tuple(map(int, torch.__version__.split(".")[:2])) >= (1, 13)
    new_numpy = tuple(map(int, numpy.__version__.split(".")[:2])) >= (1, 24)
    return not (new_torch or new_numpy)


def emulated() -> bool:
    """Whether `porter verify` can make all of its checks under this torch."""
    import torch

    return tuple(map(int, torch.__version__.split(".")[:2])) >= (2, 1)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect what is not asked for with --tree, what `porter verify` says under this torch, and, where unpatched v6.0
    does not run, the comparisons with it."""
    only, runs, verified = config.getoption("tree"), unpatched_runs(), emulated()

    def wanted(item: pytest.Item) -> bool:
        tree = item.callspec.params.get("tree_name", only) if hasattr(item, "callspec") else only
        return tree == only or not only

    def said_elsewhere(item: pytest.Item) -> bool:
        marker = item.get_closest_marker("verified")
        assert marker is None or (marker.args and set(marker.args) <= set(NAMES)), f"{item.nodeid}: no such check"
        return verified and marker is not None

    out = [item for item in items if not (wanted(item) and (runs or not item.get_closest_marker("pristine")))]
    out += [item for item in items if item not in out and said_elsewhere(item)]
    if out:
        config.hook.pytest_deselected(items=out)
        items[:] = [item for item in items if item not in out]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "tree_name" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker("trees")
        names = marker.args if marker else [metafunc.config.getoption("tree") or WHOLE]
        metafunc.parametrize("tree_name", names, scope="session")


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    made = Lab(tmp_path_factory.mktemp("lab"))
    yield made
    made.close()


def _given() -> dict[str, Path]:
    pairs = (pair.partition("=") for pair in os.environ.get("PORTER_TEST_TREES", "").split(":") if pair)
    return {name: Path(folder).resolve() for name, _, folder in pairs}


@pytest.fixture(scope="session")
def porter_env(lab: Lab) -> dict[str, str]:
    """porter runs as the user does (git and pip configuration are theirs), with a cache of this session."""
    return {**os.environ, "PORTER_CACHE": str(lab.root / "cache")}


@pytest.fixture(scope="session")
def trees(lab: Lab, porter_env: dict[str, str]) -> dict[str, Tree]:
    """Every tree by name; the pristine one holds the files that porter's own snapshot has."""
    given = _given()
    made = {}
    for name in TREES:
        folder = given.get(name)
        if folder is None:
            folder = lab.root / "trees" / name
            folder.parent.mkdir(exist_ok=True)
            targets = [word for target in name.split("+") for word in ("--target", target)]
            done = porter("apply", *targets, folder, env=porter_env)
            assert done.returncode == 0, done.stdout + done.stderr
        made[name] = Tree(name, folder)
    made["pristine"] = Tree("pristine", given.get("pristine") or _pristine(lab))
    return made


def _pristine(lab: Lab) -> Path:
    from .pristine import write

    return write(lab.root / "trees" / "pristine", lab.root / "cache")


@pytest.fixture(scope="session")
def tree(trees: dict[str, Tree], tree_name: str) -> Tree:
    return trees[tree_name]


@pytest.fixture(scope="session")
def pristine(trees: dict[str, Tree]) -> Tree:
    return trees["pristine"]


@pytest.fixture(scope="session")
def dataset(lab: Lab) -> Path:
    """A small data set in YOLOv5's layout: 40 images to train on, 10 to validate on."""
    return data_sets.make(lab.root / "scenes", images=40, size=(128, 96)).path


@pytest.fixture(scope="session")
def weights() -> Path:
    """The official yolov5s.pt, which is no part of the project."""
    return WEIGHTS


@pytest.fixture(scope="session")
def shop(request: pytest.FixtureRequest, lab: Lab, trees: dict[str, Tree], dataset: Path) -> Shop:
    """The jobs; those that the selected tests name are begun now, in the tests' order."""
    made = Shop(lab, trees, dataset)
    for item in request.session.items:
        name = item.callspec.params.get("tree_name") if hasattr(item, "callspec") else None
        names = [name] if name else []
        if item.get_closest_marker("pristine"):
            names.append("pristine")
        for marker in item.iter_markers("jobs"):
            for job in marker.args:
                for tree in names:
                    made.ahead(job, trees[tree])
    return made
