"""How the shipped stacks fare on upstream's later releases: docs/upstream.md's table, where the history can be had."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from histories import Line

from porter.rebase import new_pin
from porter.rebase.merge import CONFLICT, TAKEN
from porter.rebase.replay import Course, Replay
from porter.rebase.state import Resolution
from porter.sources.history import History
from porter.stack import COMMON, available, load_parts

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "upstream.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| (\S+) \| (common|mlu|tpu) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$", re.MULTILINE)
# what tests/histories.py's own stacks do there, worked out by hand from its COMMITS
SYNTHETIC = {
    "v6.1": {"common": (8, 0, 1, 0), "mlu": (2, 0, 0, 0), "tpu": (1, 0, 0, 0)},
    "v6.2": {"common": (7, 1, 1, 1), "mlu": (2, 0, 0, 0), "tpu": (1, 0, 0, 0)},
    "v7.0": {"common": (7, 1, 1, 1), "mlu": (2, 0, 0, 0), "tpu": (1, 0, 0, 0)},
}


class Undecided:
    """Nobody decided anything."""

    def skips(self, patch: str) -> bool:
        return False

    def halts(self, patch: str) -> bool:
        return False

    def resolution(self, key: str) -> Resolution | None:
        return None


def expected(line: Line) -> dict[str, dict[str, tuple[int, ...]]]:
    """Release -> stack -> how many move by themselves, conflict, are taken, and are left out by skipping."""
    if line.name == "synthetic":
        return SYNTHETIC
    found: dict[str, dict[str, tuple[int, ...]]] = {}
    for release, stack, *counts in ROW.findall(PAGE):
        found.setdefault(release, {})[stack] = tuple(map(int, counts))
    return found


def counted(course: Course, stack: str) -> Counter[str]:
    return Counter(fate.outcome for fate in course.fates if fate.patch.stack == stack)


@pytest.mark.parametrize("release", ["v6.1", "v6.2", "v7.0"])
@pytest.mark.parametrize("which", ["line_of_the_session", "synthetic_line"])
def test_a_release(which: str, release: str, bump_cache: Path, request: pytest.FixtureRequest) -> None:
    line: Line = request.getfixturevalue(which)
    history = History(line.lock, str(line.upstream), cache=bump_cache.with_name(f"{line.name}-cache"))
    aim = new_pin.find(history, history.resolve(release), release)
    parts, targets = load_parts(line.project), available(line.project.patches)
    replay = Replay(parts, aim.before, aim.snapshot)
    resolved = replay.run(targets, Undecided(), going_on=True)
    skipped = replay.run(targets, Undecided(), going_on=True, favouring=False)
    found = {}
    for stack in (COMMON, *targets):
        counts, left_out = counted(resolved, stack), counted(skipped, stack)
        alone = sum(counts.values()) - counts[CONFLICT] - counts[TAKEN]
        found[stack] = (alone, counts[CONFLICT], counts[TAKEN], left_out[CONFLICT])
        assert sum(counts.values()) == sum(left_out.values()) == len(parts[stack])
    wanted = expected(line)[release]
    rows = [f"| {release} | {stack} | {' | '.join(map(str, counts))} |" for stack, counts in found.items()]
    assert {stack: found[stack] for stack in wanted} == wanted, "docs/upstream.md should say\n" + "\n".join(rows)
    assert aim.licences.before == "GPL-3.0-only"
    assert aim.licences.changed is (line.name == "synthetic" and release == "v7.0")
