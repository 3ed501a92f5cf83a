"""How the shipped stacks fare on later releases: docs/upstream.md's and docs/lines.md's tables, where git has them."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from histories import Line

from porter.rebase.outcome import CONFLICT, TAKEN, Bump
from porter.rebase.session import BumpRun
from porter.rebase.state import Journal, Store
from porter.stack import COMMON, available, load_parts

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "upstream.md").read_text(encoding="utf-8")
LINES = (DOCS / "lines.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| (\S+) \| (common|mlu|tpu) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$", re.MULTILINE)
STEP = re.compile(r"^\| (v\S+) \| (v\S+) \| (\d+) \| (\d+) \|$", re.MULTILINE)
# what tests/histories.py's own stacks do there, worked out by hand from its COMMITS
SYNTHETIC = {
    "v6.1": {"common": (8, 0, 1, 0), "mlu": (2, 0, 0, 0), "tpu": (1, 0, 0, 0)},
    "v6.2": {"common": (7, 1, 1, 1), "mlu": (2, 0, 0, 0), "tpu": (1, 0, 0, 0)},
    "v7.0": {"common": (7, 1, 1, 1), "mlu": (2, 0, 0, 0), "tpu": (1, 0, 0, 0)},
}


def previewed(line: Line, release: str, favouring: bool) -> Bump:
    """What a dry run says; with ``favouring`` each conflict is resolved, without it each is left out."""
    session = BumpRun(Store(line.project), line.lock, str(line.upstream), None, None)
    commit = session.history.resolve(release)
    session.open(Journal(line.lock.pin.commit, commit, release, "", (), {}))
    return session.preview(favouring)


def expected(line: Line) -> dict[str, dict[str, tuple[int, ...]]]:
    """Release -> stack -> how many move by themselves, conflict, are taken, and are left out by skipping."""
    if line.name == "synthetic":
        return SYNTHETIC
    found: dict[str, dict[str, tuple[int, ...]]] = {}
    for release, stack, *counts in ROW.findall(PAGE):
        found.setdefault(release, {})[stack] = tuple(map(int, counts))
    return found


def counted(found: Bump, stack: str) -> Counter[str]:
    return Counter(row.outcome for row in found.rows if row.patch.startswith(f"{stack}/"))


@pytest.mark.parametrize("release", ["v6.1", "v6.2", "v7.0"])
@pytest.mark.parametrize("which", ["line_of_the_session", "synthetic_line"])
def test_a_release(
    which: str, release: str, bump_cache: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    line: Line = request.getfixturevalue(which)
    monkeypatch.setenv("PORTER_CACHE", str(bump_cache.with_name(f"{line.name}-cache")))
    resolved, skipped = (previewed(line, release, favouring) for favouring in (True, False))
    parts = load_parts(line.project)
    found = {}
    for stack in (COMMON, *available(line.project.patches)):
        counts, left_out = counted(resolved, stack), counted(skipped, stack)
        alone = sum(counts.values()) - counts[CONFLICT] - counts[TAKEN]
        found[stack] = (alone, counts[CONFLICT], counts[TAKEN], left_out[CONFLICT])
        assert sum(counts.values()) == sum(left_out.values()) == len(parts[stack])
    wanted = expected(line)[release]
    rows = [f"| {release} | {stack} | {' | '.join(map(str, counts))} |" for stack, counts in found.items()]
    assert {stack: found[stack] for stack in wanted} == wanted, "docs/upstream.md should say\n" + "\n".join(rows)
    assert resolved.new_pin is not None
    assert resolved.new_pin.licences.before == "GPL-3.0-only"
    assert resolved.new_pin.licences.changed is (line.name == "synthetic" and release == "v7.0")


def test_each_line_moves_to_the_next(
    line_of_the_session: Line, bump_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How many common patches of a line move to the release of the line after it by themselves."""
    if line_of_the_session.name == "synthetic":
        pytest.skip("upstream's history cannot be had, and the one made here has one line")
    monkeypatch.setenv("PORTER_CACHE", str(bump_cache.with_name("real-cache")))
    lines = {"v6.0": line_of_the_session.project, **line_of_the_session.project.others}
    rows = []
    for before, after in zip(lines, list(lines)[1:]):
        one = replace(line_of_the_session, project=lines[before])
        counts = counted(previewed(one, after, True), COMMON)
        rows.append((before, after, sum(counts.values()) - counts[CONFLICT], sum(counts.values())))
    said = [(before, after, int(alone), int(of)) for before, after, alone, of in STEP.findall(LINES)]
    assert said == rows
    assert rows[-1][2] * 2 > rows[-1][3], "half of the common patches move from v6.2 to v7.0 by themselves"
