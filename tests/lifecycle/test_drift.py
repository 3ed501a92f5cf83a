from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest
from histories import COMMITS, Applier, Bench, Line, agree, sample
from sources import git
from stacks import porter

from porter.commands.drift import drift
from porter.errors import SurroundingsFailed, WrongUsage
from porter.lockfile import GitSource, Lock
from porter.output import Progress
from porter.project import Project
from porter.rebase.drift import Drift, Range, Store, look
from porter.sources.history import History
from porter.stack import Stack

REPO = Path(__file__).resolve().parents[2]
# a letter per commit of histories.COMMITS, and one for the merge at its end
EXPECTED = {
    "Train on any device": "aom" + "m" * 13,
    "Fix a bug": "aaaa" + "t" * 12,
    "Load on the host": "aaa" + "m" * 13,
    "Validate on any device": "aaaaaccc" + "a" * 8,
    "Change what will be removed": "aaaaaaa" + "c" * 9,
    "Add utils/accelerator": "a" * 9 + "ca" + "acc" + "aa",
    "Set a hyperparameter": "aaaaaa" + "m" * 10,
    "Train twice": "aom" + "m" * 13,
    "Move the script": "a" * 16,
    "Add the mlu": "a" * 12 + "cc" + "aa",
    "Time the MLU": "aaa" + "m" * 13,
}


@pytest.fixture
def line(synthetic_line: Line, own_home: Path) -> Line:
    return synthetic_line


def run(line: Line, targets: tuple[str, ...] = ("mlu",), rev: str = "v7.0", progress: Progress | None = None) -> Drift:
    return drift(targets, rev, project=line.project, progress=progress)


def test_each_patch_at_each_commit(line: Line) -> None:
    found = run(line)
    assert {track.patch.subject: track.letters for track in found.tracks} == EXPECTED
    assert (found.stack, found.rev, found.new, len(found.steps)) == ("mlu", "v7.0", 16, len(COMMITS) + 1)
    assert found.tags == {4: "v6.1", 10: "v6.2", 15: "v7.0"}
    assert found.whole == 5
    assert found.reach == 10


def test_what_a_track_says(line: Line) -> None:
    tracks = {track.patch.subject: track for track in run(line).tracks}
    validate = tracks["Validate on any device"]
    assert validate.ranges == [Range("applies", 1, 5), Range("conflict", 6, 8), Range("applies", 9, 16)]
    assert (validate.breaks, validate.reaches) == (5, True)
    assert validate.files == {5: "val.py", 6: "val.py", 7: "val.py"}
    assert validate.counts() == {"applies": 13, "conflict": 3}
    removed = tracks["Change what will be removed"]
    assert (removed.breaks, removed.reaches, removed.files[7]) == (7, False, "old.py")
    assert tracks["Fix a bug"].breaks is None


def test_without_a_target_it_is_every_stack(line: Line) -> None:
    found = run(line, ())
    assert found.stack == "mlu+tpu"
    assert len(found.tracks) == len(EXPECTED) + 1
    assert {track.patch.subject: track.letters for track in found.tracks if track.patch.stack != "tpu"} == EXPECTED


def test_up_to_the_pin_there_is_nothing_to_say(line: Line) -> None:
    found = run(line, rev="v6.0")
    assert [track.letters for track in found.tracks] == [""] * len(EXPECTED)
    assert (found.reach, found.whole, found.new) == (len(EXPECTED), 0, 0)


@pytest.mark.parametrize(("targets", "rev"), [(("npu",), "v7.0"), (("mlu",), "v99"), (("mlu",), "v6.0~1")])
def test_wrong_names(line: Line, targets: tuple[str, ...], rev: str) -> None:
    with pytest.raises(WrongUsage):
        run(line, targets, rev)


def test_it_agrees_with_git_am_on_a_sample(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Of the real history where it can be had; PORTER_TEST_SAMPLE says of how many commits.

    Both the trees, patch by patch as git am -3 and --skip leave them, and what drift says of each patch.
    """
    line: Line = request.getfixturevalue("line_of_the_session")
    bench = Bench(line, tmp_path / "cache")
    places = sample(int(os.environ.get("PORTER_TEST_SAMPLE", "8")), len(bench.steps))
    git_am = Applier(line, tmp_path, [line.project.patches / patch.id for patch in bench.stack.patches])
    agree(bench, [bench.steps[n].id for n in places], git_am)
    (rows,) = look(bench.history, bench.stack, bench.steps, places, Progress())
    for n in places:
        row, skipped = rows[bench.steps[n].id], git_am.apply(bench.steps[n].id).skipped
        assert {at for at, letter in enumerate(row.letters) if letter == "c"} == set(row.files)
        assert set(row.files) <= set(skipped) <= {at for at, letter in enumerate(row.letters) if letter in "ct"}


# -- the cache --------------------------------------------------------------------------------------------


def store_of(line: Line, cache: Path) -> Store:
    return Store(cache / "drift", line.lock.pin, Stack.load(line.project, ["mlu"]))


def test_a_second_run_looks_at_nothing_and_asks_nobody(
    line: Line, own_home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first = run(line)
    monkeypatch.setattr(sys.modules[drift.__module__], "look", None)
    offline = Project(tmp_path / "offline")
    shutil.copytree(line.project.root, offline.root)
    replace(line.lock, sources=(GitSource("/nowhere/at/all"),)).write(offline.lock_path)
    assert drift(["mlu"], "v7.0", project=offline) == replace(first, new=0)


def test_only_commits_that_are_new_are_looked_at(line: Line) -> None:
    assert run(line, rev="v6.1").new == 5
    found = run(line)
    assert found.new == 11
    assert {track.patch.subject: track.letters for track in found.tracks} == EXPECTED


def test_another_patch_is_another_chain(line: Line, own_home: Path, tmp_path: Path) -> None:
    run(line)
    project = Project(tmp_path / "project")
    shutil.copytree(line.project.root, project.root)
    (patch,) = project.patches.glob("mlu/register*")
    patch.write_text(patch.read_text().replace("+NAME = 'mlu'", "+NAME = 'MLU'"))
    assert drift(["mlu"], "v7.0", project=project).new == 16
    assert len(list((own_home / "cache/drift").iterdir())) == 2


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\0",
        b"[]",
        b'{"paths": [], "commits": [["COMMIT", "aaaaaaaaaaa", [[0, 7]]]]}',
        b'{"paths": [], "commits": [["COMMIT", "aa", []]]}',
        b'{"paths": [], "commits": [["COMMIT", "aaaaaaaaaaz", []]]}',
        b'{"paths": [], "commits": [["COMMIT", "aaaaaaaaaaa"]]}',
    ],
)
def test_a_damaged_file_of_outcomes_is_made_anew(line: Line, own_home: Path, content: bytes) -> None:
    path = store_of(line, own_home / "cache").path
    run(line)
    first = git("rev-list", "--reverse", "v6.0..v6.1", cwd=line.upstream).split()[0]
    path.write_bytes(content.replace(b"COMMIT", first.encode()))
    found = run(line)
    assert (found.new, {track.patch.subject: track.letters for track in found.tracks}) == (16, EXPECTED)


def test_only_the_newest_files_are_kept(line: Line, own_home: Path) -> None:
    folder = own_home / "cache/drift"
    folder.mkdir(parents=True)
    for n in range(30):
        (folder / f"{n:064x}.json").write_text("{}")
        os.utime(folder / f"{n:064x}.json", (n, n))
    run(line)
    left = sorted(path.name for path in folder.iterdir())
    assert len(left) == 16
    assert f"{29:064x}.json" in left
    assert store_of(line, own_home / "cache").path.name in left


def test_a_cache_that_cannot_be_written_is_said(line: Line, own_home: Path) -> None:
    History(line.lock).resolve("v7.0")
    (own_home / "cache/drift").write_text("a file")
    with pytest.raises(SurroundingsFailed, match="cache"):
        run(line)


INTERRUPTED = """
    import os, sys
    from pathlib import Path
    from porter.commands.drift import drift
    from porter.rebase import drift as module
    from porter.output import Progress
    from porter.project import Project
    module._BLOCK = 4
    class Stop(Progress):
        left = int(sys.argv[2])
        def step(self, what, done=0, total=None):
            if what.startswith("placing"):
                self.left -= 1
                if self.left < 0:
                    os.kill(os.getpid(), int(sys.argv[3]))
    print(drift(["mlu"], "v7.0", project=Project(Path(sys.argv[1])), progress=Stop()).new)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_what_was_found_before_an_interruption_is_kept(line: Line, own_home: Path, number: signal.Signals) -> None:
    """Stopped in the third of four blocks: the first two are there, whole, and the next run makes the others."""
    words = [line.project.root, 2 * len(EXPECTED) + 5, int(number)]
    command = [sys.executable, "-c", textwrap.dedent(INTERRUPTED), *map(str, words)]
    env = {**os.environ, "PYTHONPATH": str(REPO)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == -number or "KeyboardInterrupt" in done.stderr, done.stderr
    assert len(store_of(line, own_home / "cache").read()) == 8
    found = run(line)
    assert (found.new, {track.patch.subject: track.letters for track in found.tracks}) == (8, EXPECTED)
    assert [path.suffix for path in (own_home / "cache/drift").iterdir()] == [".json"]


# -- the command ------------------------------------------------------------------------------------------


def test_the_command(line: Line, tmp_path: Path) -> None:
    files = {name: tmp_path / f"map.{name}" for name in ("json", "html", "png")}
    words = [word for name, file in files.items() for word in (f"--{name}", file)]
    done = porter("drift", "--stack", "mlu", "--to", "v7.0", *words, cwd=line.project.root)
    assert (done.returncode, done.stderr) == (0, "")
    out = done.stdout.splitlines()
    assert out[0].startswith("example/detector v6.0..v7.0 (")
    assert "16 commits, 11 patches of mlu" in out[0]
    at = next(n for n, text in enumerate(out) if text.startswith("common/4"))
    assert out[at + 1].strip() == "applies 1-5, conflict 6-8, applies 9-16"
    commit = git("rev-list", "--reverse", "--first-parent", "v6.0..v7.0", cwd=line.upstream).split()[5]
    assert out[at + 2].strip() == f"breaks at {commit[:10]} 2021-10-11 Change what the patch changes (val.py)"
    assert out[-2] == "10 of 11 patches reach v7.0: 5 merged, 1 taken, 4 applies, 1 conflict"
    assert out[-1].startswith(f"All of them stand for 5 commits; then comes {commit[:10]} ")
    assert "\x1b" not in done.stdout
    record = json.loads(files["json"].read_text())
    assert {p["subject"]: p["outcomes"] for p in record["patches"]} == EXPECTED
    assert [c["subject"] for c in record["commits"][:-1]] == [subject for subject, _, _ in COMMITS]
    assert record["patches"][3]["breaks"]["commit"] == commit
    assert record["patches"][3]["ranges"] == [["applies", 1, 5], ["conflict", 6, 8], ["applies", 9, 16]]
    assert (record["reach"], record["whole"]) == (10, 5)
    assert files["html"].read_text().startswith("<!DOCTYPE html>")
    assert files["png"].read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["--to", "v99"], 2, "upstream has no commit v99"),
        (["--stack", "npu"], 2, "there is no target 'npu'"),
        (["--to", "v9", "--upstream", "/nowhere/at/all"], 3, "/nowhere/at/all"),
        (["--png", "/nowhere/at/all.png"], 3, "cannot write /nowhere/at/all.png"),
    ],
)
def test_the_command_fails_in_words(line: Line, words: list[str], status: int, says: str) -> None:
    done = porter("drift", *words, cwd=line.project.root)
    assert done.returncode == status, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_the_lock_is_not_written(line: Line) -> None:
    before = line.project.lock_path.read_bytes()
    run(line)
    assert line.project.lock_path.read_bytes() == before
    assert Lock.load(line.project.lock_path) == line.lock
