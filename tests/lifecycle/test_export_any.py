"""Whatever people do to their commits, export gives patches that give the tree."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sources import FILES
from stacks import LONG, MAIN, message

from porter.commands.export import export
from porter.errors import CheckFailed

from .test_rewrite import state
from .trees import Change, gives_back, rewritten, undisturbed

pytestmark = pytest.mark.usefixtures("warm")


PLACES = {"utils/long.py": LONG, "train.py": MAIN, "models/yolo.py": FILES["models/yolo.py"].decode()}


def _lines(rng: random.Random, text: str, number: int) -> str:
    """A text with a few of its lines changed, added or gone."""
    lines = text.splitlines(keepends=True)
    for _ in range(rng.randint(1, 3)):
        place = rng.randrange(len(lines) + 1)
        lines[place : place + rng.choice([0, 0, 1])] = [f"new_{number} = {rng.random()}\n"] * rng.choice([0, 1, 2])
    return "".join(lines)


def _commits(seed: int) -> list[Change]:
    """Commits as a person might leave them: any order, with fixups, splits and drops."""
    rng = random.Random(seed)
    files: dict[str, str] = {"train.py": FILES["train.py"].decode(), "models/yolo.py": PLACES["models/yolo.py"]}
    changes = [Change(message("Begin", "common"), {"utils/long.py": LONG, "train.py": MAIN})]
    files.update(PLACES)
    subjects = ["Begin"]
    for number in range(rng.randint(0, 7)):
        touched: dict[str, str | None] = {}
        for path in rng.sample(sorted(files), rng.randint(1, min(2, len(files)))):
            action = rng.random()
            if action < 0.1 and path not in PLACES:
                touched[path] = None
            else:
                touched[path] = _lines(rng, files[path], number)
        if rng.random() < 0.3:
            touched[f"utils/new_{number}.py"] = f"new = {number}\n"
        touched = {path: text for path, text in touched.items() if text != files.get(path)}
        if not touched:
            continue
        subject = f"Step {number}"
        if rng.random() < 0.3:
            text = f"fixup! {rng.choice(subjects)}\n"
        else:
            text = message(subject, rng.choice(["common", "mlu"]))
            subjects.append(subject)
        changes.append(Change(text, touched))
        for path, new in touched.items():
            files.pop(path, None)
            if new is not None:
                files[path] = new
    return changes


def test_any_commits_round_trip(made: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    seen: Counter[str] = Counter()

    @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
    @given(seed=st.integers(0, 10**6))
    def check(seed: int) -> None:
        root = tmp_path_factory.mktemp("any")
        seen[round_trip(made, root, seed)] += 1
        shutil.rmtree(root)

    check()
    assert seen["moved"] >= 1, seen
    assert seen["straight"] >= 1, seen
    assert seen["refused"] <= seen["moved"] + seen["straight"], seen


def round_trip(made: Path, root: Path, seed: int) -> str:
    """Export whatever commits, apply what came of it, export both again; how it went."""
    project = undisturbed(made, root)
    rewritten(root / "tree", "master", _commits(seed))
    before = state(project)
    try:
        done = export(root / "tree", project=project)
    except CheckFailed as error:
        # what cannot be moved past what is between is refused as a whole; nothing else may be
        assert "moved to its place" in error.what or "put in the stacks' order" in error.what, error
        assert state(project) == before
        return "refused"
    gives_back(project, root)
    return "moved" if done.moved else "straight"
