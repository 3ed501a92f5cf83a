"""`porter data check` and unpatched v6.0's loader agree on random data sets in which things are wrong.

The generator (spoilt.py) knows every fault's file and line, and what v6.0 takes; v6.0's own loader has to take just
that, and porter has to name just those faults.  PORTER_TEST_SETS says how many sets; PORTER_TEST_SEED the first one.
Of sets with which nothing is wrong the ported tree trains: of PORTER_TEST_TRAINED seeds.
"""

from __future__ import annotations

import functools
import json
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from spoilt import Made, make
from stacks import CHECKOUT, porter

from porter.project import Project
from porter.tree import status

SETS = int(os.environ.get("PORTER_TEST_SETS", "20"))
SEED = int(os.environ.get("PORTER_TEST_SEED", "0"))
TRAINED = int(os.environ.get("PORTER_TEST_TRAINED", "4"))
BATCH = 100  # sets that are on the disk at one time
# what porter says of sets that v6.0 takes as they are
OURS = {"duplicate picture", "label without a picture", "label in another folder", "no label file", "left out"}
OURS |= {"corrupt picture"}  # a JPEG that v6.0 writes anew, or shows half of


def run(how: str, tree: Path, sets: list[Made], work: Path) -> list[dict[str, Any]]:
    jobs, results = work / f"{how}.jobs", work / f"{how}.results"
    jobs.write_text(json.dumps([str(made.root) for made in sets]))
    script = Path(__file__).with_name("loaders.py")
    subprocess.run(
        [sys.executable, script, how, tree, jobs, results], check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    found: list[dict[str, Any]] = json.loads(results.read_text())
    return found


def disagreements(made: Made, said: dict[str, Any], upstream: dict[str, Any]) -> list[str]:
    """What porter's driver, v6.0 and the generator do not agree in; empty if they do."""
    if "crash" in said or "crash" in upstream:
        return [str(said.get("crash") or upstream["crash"])]
    if made.refused or "what" in said:
        right = made.refused and "what" in said and upstream["errors"]
        return [] if right else [f"yaml: {said.get('what')!r}, {upstream['errors']!r}"]
    wrong = []
    # porter and the generator: every fault, by file and line
    named = {(os.path.relpath(each["file"], made.root), each["line"]) for each in said["problems"]}
    if named != made.faults:
        wrong.append(f"not named: {made.faults - named}; named, and not wrong: {named - made.faults}")
    # v6.0 and the generator: which pictures are taken, and what they teach
    here = {file: picture for file, picture in made.pictures.items() if file.split("/")[1] in upstream["splits"]}
    unsure = {file for file, picture in here.items() if picture.kept is None}
    expected = {file for file, picture in here.items() if picture.listed and picture.kept}
    if set(upstream["kept"]) - unsure != expected:
        wrong.append(f"v6.0 takes others: {sorted((set(upstream['kept']) - unsure) ^ expected)}")
    as_written = {file for file, rows in upstream["kept"].items() if file in here and same(rows, here[file].rows)}
    learned = {file for file, picture in here.items() if picture.learned and file in upstream["kept"]}
    if as_written != learned:
        wrong.append(f"v6.0 learns otherwise: {sorted(as_written ^ learned)}")
    # porter and v6.0
    whole = not upstream["errors"] and set(upstream["kept"]) == set(made.pictures) == as_written
    if not said["problems"] and not whole:
        wrong.append(f"porter has no problem; v6.0: {upstream['errors']}, {sorted(set(made.pictures) - as_written)}")
    if whole:
        wrong += [f"v6.0 has nothing against {each}" for each in said["problems"] if each["kind"] not in OURS]
    return wrong


def same(rows: list[list[float]], written: Sequence[Sequence[float]]) -> bool:
    """Are they the same boxes, of classes that there are, to the precision of FP32?"""
    close = functools.partial(math.isclose, rel_tol=1e-4, abs_tol=1e-5)
    return len(rows) == len(written) and all(all(map(close, *each)) for each in zip(rows, written))


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A ported tree, and v6.0 without a patch."""
    root = tmp_path_factory.mktemp("trees")
    done = porter("apply", "--target", "mlu", root / "ported", cwd=CHECKOUT)
    assert done.returncode == 0, done.stderr
    subprocess.run(["git", "clone", "-q", "-n", root / "ported", root / "upstream"], check=True)
    pin = status(Project(CHECKOUT), root / "ported").pin["commit"]
    subprocess.run(["git", "checkout", "-q", pin], cwd=root / "upstream", check=True)
    return root / "ported", root / "upstream"


@pytest.mark.long
def test_they_agree(trees: tuple[Path, Path], tmp_path: Path) -> None:
    ported, unpatched = trees
    wrong, faults = {}, 0
    for start in range(SEED, SEED + SETS, BATCH):
        seeds = range(start, min(start + BATCH, SEED + SETS))
        sets = [make(tmp_path / f"{seed}", seed) for seed in seeds]
        said = run("porter", ported, sets, tmp_path)
        upstream = run("upstream", unpatched, sets, tmp_path)  # last: it writes caches, and JPEGs anew
        found = {seed: disagreements(*each) for seed, *each in zip(seeds, sets, said, upstream)}
        wrong.update({seed: each for seed, each in found.items() if each})
        faults += sum(len(made.faults) + made.refused for made in sets)
        for seed in seeds:
            subprocess.run(["rm", "-rf", tmp_path / f"{seed}"], check=True)
    assert not wrong, "\n".join(f"{seed}: {each}" for seed, several in wrong.items() for each in several)
    assert faults > SETS


@pytest.mark.long
def test_what_has_no_problem_can_be_trained_on(trees: tuple[Path, Path], tmp_path: Path) -> None:
    sets = [make(tmp_path / f"{seed}", seed) for seed in range(SEED, SEED + TRAINED)]
    said = run("porter", trees[0], sets, tmp_path)
    good = [made for made, one in zip(sets, said) if "what" not in one and not one["problems"]]
    ended = run("train", trees[0], good, tmp_path)
    print(f"{len(good)} of {len(sets)} sets have no problem")
    assert good and {made.root.name: one["crash"] for made, one in zip(good, ended) if "crash" in one} == {}
