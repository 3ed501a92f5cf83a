"""Seeded mistakes are caught.

Here those are made whose checks train nothing; ``python -m tests.mutants`` makes every one, as GitHub does weekly.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import porter
from porter import git
from porter.output import Progress
from porter.verification.checks import BROKE, known
from porter.verification.child import ENDLESS
from porter.verification.report import Outcome

from .mutants import FOLDER, Mutant, Result, groups, hunt, load, make, project_of

QUICK = {"boxes", "import", "probe"}
NEW_ENOUGH = tuple(map(int, torch.__version__.split(".")[:2])) >= (2, 1)  # for the emulated device


def test_each_says_what_it_is() -> None:
    mutants = load()
    assert len(mutants) >= 20
    assert [mutant.path for mutant in mutants] == sorted(FOLDER.iterdir())
    assert len({mutant.mistake for mutant in mutants}) == len(mutants)
    assert {name for mutant in mutants for name in mutant.checks} <= set(known())
    page = (FOLDER.parents[2] / "docs" / "verify.md").read_text(encoding="utf-8")
    assert f"`tests/mutants/` holds {len(mutants)} mistakes" in " ".join(page.split())
    numbers = [mutant.name.partition("-")[0] for mutant in mutants]
    assert numbers == [f"{number:02}" for number in range(1, len(mutants) + 1)]


def test_each_can_be_made(tmp_path: Path) -> None:
    """Those whose checks train are made weekly: a patch that moves must not leave them behind until then."""
    trees = {}
    for mutant in load():
        if mutant.line:
            continue  # its files come from upstream's history, which may be out of reach: tests/upstream has it
        if mutant.target not in trees:
            trees[mutant.target] = porter.apply(mutant.target, tmp_path / mutant.target, project=project_of("")).path
        make(mutant, trees[mutant.target])
        git.run("reset", "--quiet", "--hard", cwd=trees[mutant.target])


@pytest.mark.parametrize(
    ("whole", "said", "caught"),
    [
        ("passed", "the losses are others", True),
        ("failed", "the losses are others", False),
        ("passed", f"{BROKE}: KeyError: 'a'", False),
        ("passed", f"train.py {ENDLESS} 300 s without an end", False),
    ],
)
def test_what_counts_as_caught(whole: str, said: str, caught: bool) -> None:
    mutant = load()[0]
    outcomes = (Outcome("train", "", state, said, 1.0) for state in (whole, "failed"))
    assert Result(mutant, "train", *outcomes).caught == caught


def quick() -> dict[tuple[str, str, str], list[Mutant]]:
    """By target, card and line, those that are caught in seconds on what the tests run under."""
    checks = QUICK if NEW_ENOUGH else QUICK - {"probe"}  # which needs the device
    return groups([mutant for mutant in load() if set(mutant.checks) <= checks])


@pytest.mark.parametrize(("target", "profile", "line"), quick())
def test_caught(target: str, profile: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    mutants = quick()[target, profile, line]
    device = "emulated" if NEW_ENOUGH else "cpu"
    results = list(hunt(target, mutants, Progress(), device=device, profile=profile, line=line, jobs=2))
    assert {result.mutant.name for result in results} == {mutant.name for mutant in mutants}
    missed = [
        f"{r.mutant.name}: {r.check} says {r.whole.said!r}, with the mistake {r.found.said!r}"
        for r in results
        if not r.caught
    ]
    assert not missed, "\n".join(missed)
    assert list(tmp_path.iterdir()) == [], "something is left behind"
