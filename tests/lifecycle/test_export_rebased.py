"""Whatever `git rebase -i` makes of a stack becomes patches, and those give the same tree: a property test.

The commits really go through git: reordered (across the border between the stacks, too), dropped, split in two, edited,
folded into the one before, each at random.
"""

from __future__ import annotations

import random
import shutil
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sources import git
from stacks import LONG, message

from porter.commands.export import export
from porter.stack import load_parts

from .trees import Change, gives_back, rewritten, undisturbed

pytestmark = pytest.mark.usefixtures("warm")

SIZE, COMMON = 8, 3  # commits; how many of them are common's
ACTIONS = ("pick", "pick", "drop", "split", "edit", "fixup")
# the commit becomes two: what it does to the file of all, and what it does to its own
SPLIT = """set -e
git reset -q HEAD~1
git add utils/long.py
git commit -q -C ORIG_HEAD
git add utils/own_$1.py
git commit -q -F "$2"
"""
EDIT = """set -e
echo "edited = $1" >> utils/own_$1.py
git commit -q -a --amend --no-edit
"""


def stack_of(number: int) -> str:
    return "common" if number < COMMON else "mlu"


def changes() -> list[Change]:
    """A stack whose commits change two files each: their own, and one that all change, far enough from each other."""
    found, text = [], LONG
    for n in range(SIZE):
        at = 6 * n + 3
        text = text.replace(f"line_{at} = {at}\n", f"line_{at} = 'step {n}'\n")
        files: dict[str, str | None] = {"utils/long.py": text, f"utils/own_{n}.py": f"own = {n}\n"}
        found.append(Change(message(f"Step {n}", stack_of(n)), files))
    # what common brings is there before any of them: the file that all change
    first = Change(message("Begin", "common"), {"utils/long.py": LONG})
    return [first, *found]


@dataclass
class Todo:
    """A todo list for `git rebase -i`, the subjects that the stacks shall have, and what was done to the commits."""

    lines: list[str] = field(default_factory=list)
    subjects: dict[str, list[str]] = field(default_factory=lambda: {"common": ["Begin"], "mlu": []})
    seen: Counter[str] = field(default_factory=Counter)


def todo(rng: random.Random, ids: list[str], scripts: Path) -> Todo:
    made = Todo([f"pick {ids[0]}"])
    order = list(range(SIZE))
    for _ in range(rng.randint(0, 4)):
        order.insert(rng.randrange(SIZE), order.pop(rng.randrange(SIZE)))
    made.seen["reorder"] += order != sorted(order)
    for n in order:
        action = rng.choice(ACTIONS)
        made.seen[action] += 1
        commit, stack = ids[n + 1], stack_of(n)
        made.lines.append(f"{action if action in ('drop', 'fixup') else 'pick'} {commit}")
        if action in ("drop", "fixup"):
            continue
        made.subjects[stack].append(f"Step {n}")
        if action == "split":
            (scripts / f"message-{n}").write_text(message(f"Step {n}, its own file", stack))
            made.lines.append(f"exec sh {scripts}/split {n} {scripts}/message-{n}")
            made.subjects[stack].append(f"Step {n}, its own file")
        elif action == "edit":
            made.lines.append(f"exec sh {scripts}/edit {n}")
    return made


def test_what_a_rebase_leaves_round_trips(made: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    seen: Counter[str] = Counter()

    @settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
    @given(seed=st.integers(0, 10**6))
    def check(seed: int) -> None:
        root = tmp_path_factory.mktemp("rebased")
        seen.update(round_trip(made, root, random.Random(seed)))
        shutil.rmtree(root)

    check()
    assert set(seen) >= {*ACTIONS, "reorder", "moved"}, seen


def round_trip(made: Path, root: Path, rng: random.Random) -> Counter[str]:
    """Rebase a stack at random, export it, apply what came of it, export both again; what was done."""
    project, tree = undisturbed(made, root), root / "tree"
    rewritten(tree, "master", changes())
    (root / "split").write_text(SPLIT)
    (root / "edit").write_text(EDIT)
    wanted = todo(rng, git("rev-list", "--reverse", "master..HEAD", cwd=tree).split(), root)
    (root / "todo").write_text("".join(f"{line}\n" for line in wanted.lines))
    git("-c", f"sequence.editor=cp {root}/todo", "rebase", "-q", "-i", "master", cwd=tree)
    done = export(tree, project=project)
    wanted.seen["moved"] += done.moved > 0
    found = {name: [patch.subject for patch in part] for name, part in load_parts(project).items() if name != "tpu"}
    assert found == wanted.subjects
    gives_back(project, root)
    return wanted.seen
