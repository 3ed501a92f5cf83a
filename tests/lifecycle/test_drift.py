from __future__ import annotations

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import textwrap
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from histories import COMMITS, Applier, Line, sample
from sources import git
from stacks import porter

from porter.commands.apply import apply
from porter.commands.bump import bump
from porter.commands.drift import drift
from porter.commands.export import export
from porter.errors import CheckFailed, WrongUsage
from porter.lockfile import GitSource, Lock
from porter.output import Progress
from porter.project import Project
from porter.rebase import drift as module
from porter.rebase.drift import Drift, Range, bisected
from porter.rebase.trial import StackOutcome, trial
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
# they conflict at commits between two that are asked, at which they stand
FOUND = {**EXPECTED, "Add utils/accelerator": "a" * 16, "Add the mlu": "a" * 16}
ASKED = [*range(9), 10, 15]


@pytest.fixture
def line(synthetic_line: Line, own_home: Path) -> Line:
    return synthetic_line


def run(line: Line, targets: tuple[str, ...] = ("mlu",), rev: str = "v7.0", progress: Progress | None = None) -> Drift:
    return drift(targets, rev, project=line.project, progress=progress)


def letters(found: Drift) -> dict[str, str]:
    return {track.patch.subject: track.letters for track in found.tracks}


def test_colours_arrive_on_a_terminal_as_colours(line: Line) -> None:
    """A code that porter's streams do not know would be spelled out in the strip."""
    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "porter", "drift", "--stack", "mlu", "--to", "v7.0"]
    env = {**os.environ, "PYTHONPATH": str(REPO), "TERM": "xterm", "COLUMNS": "60"}
    env.pop("NO_COLOR", None)
    with subprocess.Popen(words, cwd=line.project.root, env=env, stdout=theirs, stderr=subprocess.PIPE) as process:
        os.close(theirs)
        seen = b""
        with suppress(OSError):  # Linux's way to say that the other side closed
            while data := os.read(ours, 65536):
                seen += data
    os.close(ours)
    text = seen.decode()
    assert process.returncode == 0 and "Train on any device" in text and "\x1b[2m" in text
    assert "\\x1b" not in text
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text).replace("\r", "").splitlines()
    assert [x for x in plain if len(x) > 60 and x.startswith("      ")] == []


def test_each_patch_at_each_commit(line: Line) -> None:
    found = run(line)
    assert letters(found) == FOUND
    assert (found.stack, found.rev, found.new, len(found.steps)) == ("mlu", "v7.0", len(ASKED), len(COMMITS) + 1)
    assert found.tags == {4: "v6.1", 10: "v6.2", 15: "v7.0"}
    assert found.asked == ASKED
    assert found.whole == 5
    assert found.reach == 10


def test_git_is_asked_nothing_but_the_truth(line: Line) -> None:
    """At every commit by itself; where git was asked on the way there, the same."""
    found = {track.patch.subject: track for track in run(line).tracks}
    history = History(line.lock)
    stack = Stack.load(line.project, ["mlu"])
    steps = history.steps(line.lock.pin.commit, history.resolve("v7.0"))
    with trial(history, stack) as tried:
        rows = [tried.ask(step.id) for step in steps]
    assert {patch.subject: "".join(row.letters[n] for row in rows) for n, patch in enumerate(stack.patches)} == EXPECTED
    for subject, track in found.items():
        assert [track.letters[at] for at in track.asked] == [EXPECTED[subject][at] for at in track.asked]


def test_what_a_track_says(line: Line) -> None:
    tracks = {track.patch.subject: track for track in run(line).tracks}
    validate = tracks["Validate on any device"]
    assert validate.ranges == [Range("applies", 1, 5), Range("conflict", 6, 8), Range("applies", 9, 16)]
    assert (validate.breaks, validate.returns, validate.reaches) == (5, [8], True)
    assert validate.asked == (0, 1, 2, 3, 4, 5, 7, 8, 10, 15)  # not at 6: it conflicts on both sides
    assert validate.files == {5: "val.py", 7: "val.py"}
    assert validate.counts() == {"applies": 13, "conflict": 3}
    removed = tracks["Change what will be removed"]
    assert (removed.breaks, removed.returns, removed.reaches, removed.files[7]) == (7, [], False, "old.py")
    assert tracks["Fix a bug"].breaks is None


def test_a_conflict_at_the_last_commit_asked_is_found_though_it_passes(line: Line) -> None:
    at = git("rev-list", "--reverse", "--first-parent", "v6.0..v7.0", cwd=line.upstream).split()[9]
    tracks = {track.patch.subject: track for track in run(line, rev=at).tracks}
    assert (tracks["Add utils/accelerator"].letters, tracks["Add utils/accelerator"].breaks) == ("a" * 9 + "c", 9)


def test_both_sides_of_each_change_are_asked_and_few_others() -> None:
    lines = ["a" * 700 + "c" * 300, "a" * 10 + "o" * 600 + "m" * 100 + "c" * 290, "a" * 1000, "c" * 50 + "t" * 950]
    asked: dict[int, frozenset[int]] = {}

    def ask(at: int, left_out: frozenset[int]) -> StackOutcome:
        assert at not in asked
        asked[at] = left_out
        assert all(lines[n][at] == "c" for n in left_out)
        return StackOutcome("".join(line[at] for line in lines), {}, left_out)

    rows = bisected(1000, {300: "one", 800: "two"}, StackOutcome("aaaa", {}), ask)
    assert set(rows) == set(asked)
    changes = [at for line in lines for at in range(1, 1000) if line[at] != line[at - 1]]
    assert {side for at in changes for side in (at - 1, at)} <= set(asked)
    assert asked[300] == asked[800] == asked[999] == frozenset()
    assert frozenset({0, 1}) not in asked.values()  # between 800 and the end all is the same: nobody asks
    assert len(asked) < 60


def test_no_commits_no_questions() -> None:
    assert bisected(0, {}, StackOutcome("a", {}), lambda at, left_out: pytest.fail("asked")) == {}


def test_without_a_target_it_is_every_stack(line: Line) -> None:
    found = run(line, ())
    assert found.stack == "mlu+tpu"
    assert len(found.tracks) == len(EXPECTED) + 1
    assert {name: row for name, row in letters(found).items() if name in FOUND} == FOUND


def test_up_to_the_pin_there_is_nothing_to_say(line: Line) -> None:
    found = run(line, rev="v6.0")
    assert [track.letters for track in found.tracks] == [""] * len(EXPECTED)
    assert (found.reach, found.whole, found.new) == (len(EXPECTED), 0, 0)


@pytest.mark.parametrize(("targets", "rev"), [(("npu",), "v7.0"), (("mlu",), "v99"), (("mlu",), "v6.0~1")])
def test_wrong_names(line: Line, targets: tuple[str, ...], rev: str) -> None:
    with pytest.raises(WrongUsage):
        run(line, targets, rev)


def test_it_agrees_with_git_am_on_a_sample(line_of_the_session: Line, own_home: Path, tmp_path: Path) -> None:
    """Of the real history where it can be had; PORTER_TEST_SAMPLE says of how many commits."""
    line = line_of_the_session
    history, stack = History(line.lock, str(line.upstream)), Stack.load(line.project, ["mlu"])
    steps = history.steps(line.lock.pin.commit, history.resolve(line.until))
    git_am = Applier(line, tmp_path, [line.project.patches / patch.id for patch in stack.patches])
    with trial(history, stack) as tried:
        for n in sample(int(os.environ.get("PORTER_TEST_SAMPLE", "4")), len(steps)):
            row, expected = tried.ask(steps[n].id), git_am.apply(steps[n].id)
            assert {at for at, letter in enumerate(row.letters) if letter == "c"} == set(row.files)
            # git skips as well some of what is there already, where it sees no way to merge it
            taken = {at for at, letter in enumerate(row.letters) if letter == "t"}
            assert set(row.files) <= set(expected.skipped) <= {*row.files, *taken}


@pytest.mark.parametrize("setting", ["apply.whitespace=error-all", "am.keepcr=false", "merge.renames=false"])
def test_the_users_settings_change_nothing(line: Line, own_home: Path, setting: str) -> None:
    name, _, value = setting.partition("=")
    git("config", "--file", own_home / ".gitconfig", name, value, cwd=line.upstream)
    assert letters(run(line)) == FOUND


def test_a_patch_that_does_not_apply_to_the_pin_is_named(line: Line, tmp_path: Path) -> None:
    project = copied(line, tmp_path)
    (patch,) = project.patches.glob("common/fix-*")
    patch.write_text(patch.read_text().replace("-# general line 20\n", "-# general line 21\n"))
    with pytest.raises(CheckFailed, match=r"common/fix-a-bug\.patch does not apply to utils/general\.py"):
        drift(["mlu"], "v7.0", project=project)


@pytest.mark.root
def test_a_full_disk_is_no_conflict(line: Line, small_disk: Path) -> None:
    (small_disk / "filler").write_bytes(bytes((2 << 20) - 200_000))
    done = porter("drift", "--to", "v7.0", cwd=line.project.root, env={"TMPDIR": str(small_disk)})
    assert done.returncode == 3, done.stdout
    assert "No space left on device" in done.stderr and "TMPDIR" in done.stderr
    assert [path.name for path in small_disk.iterdir()] == ["filler"]


# -- the cache --------------------------------------------------------------------------------------------


def copied(line: Line, folder: Path) -> Project:
    """The line's project, to be changed."""
    return Project(Path(shutil.copytree(line.project.root, folder / "project")))


def test_a_second_run_asks_nobody(line: Line, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    first = run(line)
    monkeypatch.setattr(module, "trial", None)
    offline = copied(line, tmp_path)
    replace(line.lock, sources=(GitSource("/nowhere/at/all"),)).write(offline.lock_path)
    assert drift(["mlu"], "v7.0", project=offline) == replace(first, new=0)


def test_only_what_is_new_is_asked(line: Line) -> None:
    assert run(line, rev="v6.1").new == 5
    found = run(line)
    assert (found.new, letters(found)) == (len(ASKED) - 5, FOUND)


def test_what_git_said_with_a_patch_left_out_is_not_what_it_says_of_all(line: Line) -> None:
    removed = {track.patch.subject: track for track in run(line).tracks}["Change what will be removed"]
    assert removed.letters[8] == "c" and 8 not in removed.asked
    at = git("rev-list", "--reverse", "--first-parent", "v6.0..v7.0", cwd=line.upstream).split()[8]
    removed = {track.patch.subject: track for track in run(line, rev=at).tracks}["Change what will be removed"]
    assert removed.files[8] == "old.py" and 8 in removed.asked


def test_another_patch_is_another_stack(line: Line, own_home: Path, tmp_path: Path) -> None:
    run(line)
    project = copied(line, tmp_path)
    (patch,) = project.patches.glob("mlu/add-*")
    patch.write_text(patch.read_text().replace("+NAME = 'mlu'", "+NAME = 'MLU'"))
    assert drift(["mlu"], "v7.0", project=project).new == len(ASKED)
    assert len(list((own_home / "cache/drift").iterdir())) == 2


def test_answers_that_were_damaged_are_asked_anew(line: Line, own_home: Path) -> None:
    run(line)
    (kept,) = (own_home / "cache/drift").iterdir()
    kept.write_bytes(kept.read_bytes().replace(b"aaaa", b"cccc", 1))
    found = anew(line)
    assert (found["new"], found["letters"]) == (len(ASKED), FOUND)


def test_a_cache_that_cannot_be_written_costs_time_alone(line: Line, own_home: Path) -> None:
    History(line.lock).resolve("v7.0")
    (own_home / "cache/drift").write_text("a file")
    assert letters(run(line)) == FOUND


ANEW = """
    import json, os, sys
    from pathlib import Path
    from porter.commands.drift import drift
    from porter.output import Progress
    from porter.project import Project
    class Stop(Progress):
        left = int(sys.argv[2])
        def step(self, what, done=0, total=None):
            if what.startswith("applying"):
                self.left -= 1
                if self.left < 0:
                    os.kill(os.getpid(), int(sys.argv[3]))
    found = drift(["mlu"], "v7.0", project=Project(Path(sys.argv[1])), progress=Stop())
    print(json.dumps({"new": found.new, "letters": {t.patch.subject: t.letters for t in found.tracks}}))
"""


def process(line: Line, most: int = 99, number: int = 0) -> subprocess.CompletedProcess[str]:
    """A drift in a process of its own, which gets a signal after so many commits."""
    command = [sys.executable, "-c", textwrap.dedent(ANEW), str(line.project.root), str(most), str(number)]
    env = {**os.environ, "PYTHONPATH": str(REPO)}
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def anew(line: Line) -> dict[str, object]:
    """What a process finds that remembers nothing but what is in the cache."""
    done = process(line)
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_what_was_found_before_an_interruption_is_kept(line: Line, own_home: Path, number: signal.Signals) -> None:
    done = process(line, 6, number)
    assert done.returncode == -number or "KeyboardInterrupt" in done.stderr, done.stderr
    assert anew(line) == {"new": len(ASKED) - 6, "letters": FOUND}
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
    assert out[at + 1].strip() == "applies 1-5, conflict 6-8, applies 9-16; asked at 10"
    commits = git("rev-list", "--reverse", "--first-parent", "v6.0..v7.0", cwd=line.upstream).split()
    commit = commits[5]
    assert out[at + 2].strip() == f"breaks at {commit[:10]} 2021-10-11 Change what the patch changes (val.py)"
    assert out[at + 3].strip() == f"stands again at {commits[8][:10]} 2021-10-11 Change it back"
    assert out[-3].startswith("git was asked at 11 of the commits. Between two of these ")
    assert out[-2] == "10 of 11 patches reach v7.0: 5 merged, 1 taken, 4 applies, 1 conflict"
    assert out[-1].startswith(f"All of them stand for 5 commits; then comes {commit[:10]} ")
    assert "\x1b" not in done.stdout
    record = json.loads(files["json"].read_text())
    assert {p["subject"]: p["outcomes"] for p in record["patches"]} == FOUND
    assert [c["subject"] for c in record["commits"][:-1]] == [subject for subject, _, _ in COMMITS]
    assert record["patches"][3]["breaks"]["commit"] == commit
    assert record["patches"][3]["ranges"] == [["applies", 1, 5], ["conflict", 6, 8], ["applies", 9, 16]]
    assert record["patches"][3]["asked"] == [1, 2, 3, 4, 5, 6, 8, 9, 11, 16]
    assert [each["number"] for each in record["patches"][3]["returns"]] == [9]
    assert record["patches"][3]["returns"][0]["commit"] == commits[8]
    assert record["asked"] == [at + 1 for at in ASKED]
    assert (record["reach"], record["whole"]) == (10, 5)
    assert files["html"].read_text().startswith("<!DOCTYPE html>")
    assert files["png"].read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["--to", "v99"], 2, "upstream has no commit v99"),
        (["--stack", "npu"], 2, "there is no target 'npu'"),
        (["--to", "v9", "--upstream", "/nowhere/at/all"], 2, "there is no /nowhere/at/all"),
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


# -- through the lines of a project ---------------------------------------------------------------------------


@pytest.fixture
def lined(line: Line, tmp_path: Path) -> Project:
    """The project with a line for v6.1, as a bump makes it, and then somebody who changes a patch."""
    project = copied(line, tmp_path)
    shutil.copytree(line.project.root, project.root / "lines" / "v6.1")
    later = project.others["v6.1"]
    assert bump("v6.1", project=later).state == "done"
    tree = apply("mlu", tmp_path / "tree", project=later).path
    (tree / "utils" / "accelerator" / "mlu.py").write_text("NAME = 'MLU'\n")
    export(tree, into="mlu/1", project=later)
    return project


def test_lines_are_joined_at_their_releases(line: Line, lined: Project) -> None:
    """Up to v6.1 with the patches for v6.0, then with those for v6.1, which begin anew."""
    found = drift(["mlu"], "v7.0", lines=True, project=lined)
    alone = drift(["mlu"], "v7.0", project=lined.others["v6.1"])
    assert (len(found.steps), found.tags) == (16, {4: "v6.1", 10: "v6.2", 15: "v7.0"})
    assert letters(found) == {
        subject: FOUND[subject][:5] + letters(alone).get(subject, "z" * 11) for subject in EXPECTED
    }
    assert letters(found)["Load on the host"] == "aaamm" + "a" * 11, "the line's own patch knows the file's new name"
    for track in found.tracks:
        assert [at for at in track.asked if at < 5] == [at for at in ASKED if at < 5]


def test_the_release_that_a_patch_was_last_changed_for_is_said(lined: Project) -> None:
    found = {way.patch.partition("/")[2]: way for way in drift(["mlu"], "v6.1", lines=True, project=lined).ways}
    assert found["add-the-mlu.patch"].touched == ("v6.1",)
    assert found["train-on-any-device.patch"].steps == {"v6.1": "same"}, "only the lines around it are others"
    assert found["fix-a-bug.patch"].steps == {"v6.1": "dropped"} and not found["fix-a-bug.patch"].touched
    assert found["fix-a-bug.patch"].lines == {"v6.0": 2} and found["add-the-mlu.patch"].lines == {"v6.0": 1, "v6.1": 1}
    said = porter("drift", "--to", "v6.1", "--lines", "--stack", "mlu", cwd=lined.root).stdout
    assert "last changed for v6.1" in said and "for v6.1: " in said and " 1 dropped" in said
    printed = porter("drift", "--to", "v6.1", "--lines", "--stack", "mlu", "--json", "-", cwd=lined.root).stdout
    assert {"patch", "lines", "steps", "touched"} == set(json.loads(printed)["ways"][0])


def test_one_line_is_not_joined(line: Line) -> None:
    with pytest.raises(WrongUsage, match=r"there is no line after v6\.0"):
        drift(["mlu"], "v7.0", lines=True, project=line.project)
