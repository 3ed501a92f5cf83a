from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest
from histories import COMMITS, Line
from sources import git, git_server, mute_server, serving

from porter.errors import EnvironmentFailed, WrongUsage
from porter.git.objects import Object
from porter.lockfile import GitSource
from porter.output import Progress
from porter.sources.cache import Cache, Damaged
from porter.sources.history import History
from porter.sources.obtain import obtain

REPO = Path(__file__).resolve().parents[1]


class Notes(Progress):
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.steps: list[str] = []

    def note(self, line: str) -> None:
        self.notes.append(line)

    def step(self, what: str, done: int = 0, total: int | None = None) -> None:
        self.steps.append(what)


@pytest.fixture
def line(synthetic_line: Line, own_home: Path) -> Line:
    return synthetic_line


@pytest.fixture
def history(line: Line) -> History:
    made = History(line.lock)
    made.resolve("v7.0")
    return made


def elsewhere(line: Line, *urls: str) -> History:
    """The history, with other sources."""
    return History(replace(line.lock, sources=tuple(GitSource(url) for url in urls or ("/nowhere/at/all",))))


def test_revs_are_resolved(line: Line, history: History) -> None:
    for rev in ("v7.0", "v6.1", "HEAD", "master", "v7.0~1", "HEAD~2", "refs/tags/v6.2"):
        assert history.resolve(rev) == git("rev-parse", f"{rev}^{{commit}}", cwd=line.upstream)
    full = git("rev-parse", "v6.1^{commit}", cwd=line.upstream)
    assert history.resolve(full) == history.resolve(full[:9]) == full


@pytest.mark.parametrize(
    "rev", ["", "-x", "--all", "v7.0 v6.0", "^v7.0", "v6.0..v7.0", "v7.0:train.py", "v9", "0" * 40]
)
def test_what_is_no_commit_is_wrong_usage(history: History, rev: str) -> None:
    with pytest.raises(WrongUsage, match="commit"):
        history.resolve(rev)


def test_with_the_objects_there_no_source_is_asked(line: Line, history: History) -> None:
    offline = elsewhere(line)
    assert offline.resolve("v7.0") == history.resolve("v7.0")
    assert len(offline.first_parents(line.lock.pin.commit, offline.resolve("HEAD"))) == len(COMMITS) + 1
    with pytest.raises(EnvironmentFailed, match=r"commit v9 of .* is not in the cache") as error:
        offline.resolve("v9")
    assert "/nowhere/at/all" in error.value.why
    assert "--upstream PATH|URL" in error.value.hint


def test_with_nothing_there_and_nowhere_to_ask_it_says_so(line: Line, own_home: Path) -> None:
    with pytest.raises(EnvironmentFailed, match="no source has the history") as error:
        elsewhere(line).resolve("v7.0")
    assert "--upstream" in error.value.hint
    assert not (own_home / "cache/history.git").exists()


def test_the_next_source_is_asked_where_one_fails(line: Line) -> None:
    found = elsewhere(line, "/nowhere/at/all", str(line.upstream)).resolve("v7.0")
    assert found == git("rev-parse", "v7.0", cwd=line.upstream)


def test_the_argument_goes_before_the_variable_and_that_before_the_lock(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTER_UPSTREAM", "/from/the/variable")
    assert History(line.lock, "/named").sources == ["/named"]
    assert History(line.lock).sources == ["/from/the/variable"]
    monkeypatch.delenv("PORTER_UPSTREAM")
    assert History(line.lock).sources == [str(line.upstream)]


def test_another_repository_is_not_taken(line: Line, tmp_path: Path, own_home: Path) -> None:
    git("init", "-q", tmp_path / "other", cwd=tmp_path)
    git("commit", "-q", "--allow-empty", "-m", "x", cwd=tmp_path / "other")
    git("tag", "v7.0", cwd=tmp_path / "other")
    with pytest.raises(EnvironmentFailed, match="no source has the history") as error:
        elsewhere(line, str(tmp_path / "other")).resolve("v7.0")
    assert line.lock.pin.commit in error.value.why
    assert os.listdir(own_home / "cache") == ["lock"]


def test_first_parents_and_what_each_changed(line: Line, history: History) -> None:
    pin, until = line.lock.pin.commit, history.resolve("v7.0")
    ids = history.first_parents(pin, until)
    assert ids == git("rev-list", "--first-parent", "--reverse", f"{pin}..v7.0", cwd=line.upstream).split()
    steps = history.steps(pin, until)
    assert [step.id for step in steps] == ids
    assert [step.subject for step in steps] == [subject for subject, _, _ in COMMITS] + ["Merge the side branch"]
    assert steps[0].date == "2021-10-11"
    assert set(steps[3].changes) == {"utils/datasets.py", "utils/dataloaders.py"}
    assert steps[3].changes["utils/datasets.py"] is None
    assert set(steps[-1].changes) == {"utils/side.py"}
    files = dict(line.lock.pin.files)
    for step in steps:
        for path, entry in step.changes.items():
            files.pop(path, None)
            if entry:
                files[path] = entry
        assert dict(sorted(files.items())) == history.repository.files(step.id)
    assert history.steps(until, until) == []
    assert history.describe(ids[1]) == steps[1]


def test_a_commit_before_the_pin_does_not_come_after_it(line: Line, history: History) -> None:
    with pytest.raises(WrongUsage, match="does not come after"):
        history.first_parents(line.lock.pin.commit, history.resolve("v6.0~1"))


def test_snapshots(line: Line, history: History) -> None:
    pin, later = history.snapshots(line.lock.pin.commit, history.resolve("v7.0"))
    whole = obtain(line.lock)
    assert (pin.base, dict(pin.files)) == (whole.base, dict(whole.files))
    assert {i: pin.objects[i] for i in pin.objects if pin.objects[i].kind != "tree"} == {
        i: whole.objects[i] for i in whole.objects if whole.objects[i].kind != "tree"
    }
    assert [pin, later] == [history.snapshots(each.base)[0] for each in (pin, later)]
    assert later.objects[later.files["README.md"].id].data == b"# A detector\n\nMore.\n"
    assert later.files["data/scripts/get.sh"].mode == "100755"
    assert not later.partial


def test_commits_that_touched_lines(line: Line, history: History) -> None:
    pin, until = line.lock.pin.commit, history.resolve("v7.0")
    assert [s.subject for s in history.touching(pin, until, "val.py")] == [
        "Change it back",
        "Change what the patch changes",
    ]
    assert [s.subject for s in history.touching(pin, until, "train.py", (44, 46))] == [
        "Change a line beside the patch's"
    ]
    assert history.touching(pin, until, "train.py", (900, 901)) == []
    assert history.touching(pin, until, "absent.py", (1, 2)) == []
    assert [s.subject for s in history.counting(pin, until, "val.py", "val line 15, otherwise")] == [
        "Change it back",
        "Change what the patch changes",
    ]
    assert history.counting(pin, until, "val.py", "-val line") == []


def test_a_fetch_brings_what_is_new_and_no_more(line: Line, tmp_path: Path) -> None:
    git("clone", "-q", "--bare", line.upstream, tmp_path / "up.git", cwd=tmp_path)
    ours = elsewhere(line, str(tmp_path / "up.git"))
    ours.resolve("v7.0")
    packs = sorted((ours.repository.path / "objects/pack").glob("*.pack"))
    git("clone", "-q", tmp_path / "up.git", tmp_path / "work", cwd=tmp_path)
    git("commit", "-q", "--allow-empty", "-m", "newer", cwd=tmp_path / "work")
    git("tag", "v8.0", cwd=tmp_path / "work")
    git("push", "-q", "origin", "HEAD", "v8.0", cwd=tmp_path / "work")
    heard = Notes()
    ours.progress = heard
    found = ours.resolve("v8.0")
    assert found == git("rev-parse", "HEAD", cwd=tmp_path / "work") == ours.resolve("HEAD")
    assert any("fetching" in step for step in heard.steps)
    (new,) = set((ours.repository.path / "objects/pack").glob("*.pack")) - set(packs)
    assert new.stat().st_size < 1000
    assert git("fsck", "--full", cwd=ours.repository.path) == ""
    assert not (ours.repository.path / "objects/info/alternates").exists()


def test_a_commit_that_no_branch_has_is_asked_for_by_its_id(line: Line, tmp_path: Path) -> None:
    git("clone", "-q", "--bare", line.upstream, tmp_path / "up.git", cwd=tmp_path)
    lone = git("commit-tree", "HEAD^{tree}", "-p", "HEAD", "-m", "a pull request", cwd=tmp_path / "up.git")
    git("update-ref", "refs/pull/1/head", lone, cwd=tmp_path / "up.git")
    assert elsewhere(line, str(tmp_path / "up.git")).resolve(lone) == lone


def shallow(line: Line, place: Path, *options: object) -> Path:
    """A clone of the line's upstream that lacks what is before some commit."""
    git("clone", "-q", *options, f"file://{line.upstream}", place, cwd=place.parent)
    return place


def test_a_shallow_clone_has_what_it_has(line: Line, tmp_path: Path) -> None:
    pin = line.lock.pin
    clone = shallow(line, tmp_path / "clone", "--depth=1", "--branch", pin.tag)
    history = elsewhere(line, str(clone))
    history.progress = notes = Notes()
    assert history.resolve(pin.tag) == history.resolve("HEAD") == pin.commit
    assert history.repository.files(pin.commit) == pin.files
    deeper = f"git -C {clone} fetch --unshallow --tags"
    assert len(notes.notes) == 1 and "is a shallow clone" in notes.notes[0] and deeper in notes.notes[0]
    with pytest.raises(WrongUsage, match=r"no commit v7\.0 is in ") as error:
        history.resolve("v7.0")
    assert deeper in error.value.hint
    # the very command, then the very same cache
    subprocess.run(error.value.hint.partition("with: ")[2], shell=True, check=True, capture_output=True)
    assert history.resolve("v7.0") == git("rev-parse", "v7.0^{commit}", cwd=line.upstream)
    assert not history.cut
    git("fsck", "--connectivity-only", cwd=history.repository.path)


def test_a_shallow_clone_without_the_pin_says_so(line: Line, tmp_path: Path) -> None:
    clone = shallow(line, tmp_path / "clone", "--depth=1", "--branch", "v7.0")
    with pytest.raises(EnvironmentFailed) as error:
        elsewhere(line, str(clone)).resolve("v7.0")
    assert "a shallow clone, commit" in error.value.why
    assert f"git -C {clone} fetch --unshallow" in error.value.hint
    assert not (Cache().folder / "history.git").exists()


def test_a_whole_history_is_not_cut_by_a_shallow_clone(line: Line, history: History, tmp_path: Path) -> None:
    git("clone", "-q", "--bare", line.upstream, tmp_path / "up.git", cwd=tmp_path)
    commits = history.repository.text("rev-list", "--all")
    newer = git("rev-parse", "HEAD", cwd=tmp_path / "up.git")
    for n in range(3):
        newer = git("commit-tree", "HEAD^{tree}", "-p", newer, "-m", f"newer {n}", cwd=tmp_path / "up.git")
    git("update-ref", "refs/heads/master", newer, cwd=tmp_path / "up.git")
    git("tag", "v8.0", newer, cwd=tmp_path / "up.git")
    moved = replace(line, upstream=tmp_path / "up.git")
    unconnected = shallow(moved, tmp_path / "two", "--depth=1", "--no-single-branch", "--branch", line.lock.pin.tag)
    git("fetch", "-q", "--depth=1", "origin", "tag", "v8.0", cwd=unconnected)
    other = elsewhere(line, str(unconnected))
    with pytest.raises(EnvironmentFailed, match=r"commit v8\.0 of .* is not in the cache") as error:
        other.resolve("v8.0")
    assert "a shallow clone that begins with" in error.value.why and "--unshallow" in error.value.hint
    assert not other.cut and other.repository.text("rev-list", "--all") == commits
    # one that begins with a commit that is here with all that is before it is whole enough
    reaching = shallow(moved, tmp_path / "reaching", f"--depth={len(COMMITS) + 5}")
    assert git("rev-parse", "--is-shallow-repository", cwd=reaching) == "true"
    assert elsewhere(line, str(reaching)).resolve("v8.0") == newer
    assert not other.cut and len(other.first_parents(line.lock.pin.commit, newer)) == len(COMMITS) + 4


def test_where_the_history_is_cut_no_descent_is_denied(line: Line, tmp_path: Path) -> None:
    clone = shallow(line, tmp_path / "clone", "--depth=1", "--branch", line.lock.pin.tag)
    git("fetch", "-q", "--depth=1", "origin", "tag", "v7.0", cwd=clone)
    history = elsewhere(line, str(clone))
    with pytest.raises(WrongUsage, match="it cannot be told whether") as error:
        history.first_parents(line.lock.pin.commit, history.resolve("v7.0"))
    assert f"git -C {clone} fetch --unshallow" in error.value.hint


def test_over_http(line: Line, tmp_path: Path) -> None:
    git("clone", "-q", "--bare", line.upstream, tmp_path / "up.git", cwd=tmp_path)
    with serving(git_server(tmp_path)) as url:
        assert elsewhere(line, f"{url}/up.git").resolve("v7.0")


def test_a_connection_that_breaks_leaves_nothing(line: Line, tmp_path: Path, own_home: Path) -> None:
    git("clone", "-q", "--bare", line.upstream, tmp_path / "up.git", cwd=tmp_path)
    with serving(git_server(tmp_path, cut_after=900)) as url, pytest.raises(EnvironmentFailed) as error:
        elsewhere(line, f"{url}/up.git").resolve("v7.0")
    assert url in error.value.why
    assert os.listdir(own_home / "cache") == ["lock"]


def only_pack(history: History) -> Path:
    (pack,) = (history.repository.path / "objects/pack").glob("*.pack")
    pack.chmod(0o644)
    return pack


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: (path / "HEAD").unlink(),
        lambda path: (path / "HEAD").write_bytes(b"\0"),
        lambda path: (path / "config").write_bytes(b"[core\n"),
        lambda path: shutil.rmtree(path / "objects"),
        lambda path: (path / "packed-refs").write_text("nonsense\n"),
        lambda path: next(path.glob("objects/pack/*.pack")).unlink(),
    ],
)
def test_a_damaged_history_is_fetched_anew_and_said(damage: object, line: Line, history: History) -> None:
    assert callable(damage)
    damage(history.repository.path)
    heard = Notes()
    again = History(line.lock, progress=heard)
    assert again.resolve("v7.0") == git("rev-parse", "v7.0", cwd=line.upstream)
    assert [note for note in heard.notes if "damaged" in note]
    assert len(again.steps(line.lock.pin.commit, again.resolve("v7.0"))) == len(COMMITS) + 1


def test_altered_bytes_are_noticed(line: Line, history: History) -> None:
    pack = only_pack(history)
    data = pack.read_bytes()
    until, right, noticed = history.resolve("v7.0"), history.snapshots(history.resolve("v7.0")), 0
    for at in range(12, len(data) - 20, len(data) // 25):
        pack.write_bytes(data[:at] + bytes([data[at] ^ 0x41]) + data[at + 1 :])
        try:
            assert history.snapshots(until) == right
        except (Damaged, EnvironmentFailed):
            noticed += 1
    assert noticed > 2


def test_a_blob_that_is_not_there_is_damage(history: History) -> None:
    with pytest.raises(Damaged, match=r"lacks train.py") as error:
        history.blobs(["1" * 40], {"1" * 40: "train.py"})
    assert "history.git" in error.value.hint
    assert history.blobs([]) == {}
    (found,) = history.blobs([history.repository.files("v7.0")["val.py"].id]).values()
    assert isinstance(found, Object)


KILLED = """
    import os, sys
    from pathlib import Path
    from porter import process
    from porter.sources.history import History
    from porter.lockfile import Lock
    left = int(sys.argv[2])
    def counted(real):
        def step(*args, **kwargs):
            global left
            left -= 1
            if left < 0:
                os.kill(os.getpid(), 9)
            return real(*args, **kwargs)
        return step
    process.started = counted(process.started)
    os.replace = counted(os.replace)
    print(History(Lock.load(Path(sys.argv[1])), sys.argv[3]).resolve(sys.argv[4]))
"""


def test_killed_at_any_step_it_is_as_before_or_whole(line: Line, tmp_path: Path, own_home: Path) -> None:
    """The first fetch, and one that adds to what is there."""
    git("clone", "-q", "--bare", line.upstream, tmp_path / "up.git", cwd=tmp_path)
    newer = git("commit-tree", "HEAD^{tree}", "-p", "HEAD", "-m", "newer", cwd=tmp_path / "up.git")
    env = {**os.environ, "PYTHONPATH": str(REPO)}
    for rev in ("v7.0", "v8.0"):
        deaths = 0
        kept = tmp_path / f"kept-{rev}"
        if Cache().folder.exists():
            shutil.copytree(Cache().folder, kept)
        for steps in range(4, 40, 5):
            shutil.rmtree(Cache().folder, ignore_errors=True)
            if kept.exists():
                shutil.copytree(kept, Cache().folder)
            words = [line.project.lock_path, steps, tmp_path / "up.git", rev]
            command = [sys.executable, "-c", textwrap.dedent(KILLED), *map(str, words)]
            done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
            if done.returncode == 0:
                break
            assert done.returncode == -signal.SIGKILL, done.stderr
            deaths += 1
            if rev == "v8.0":
                assert elsewhere(line).resolve("v7.0")  # what was there counts as before
            history = elsewhere(line, str(tmp_path / "up.git"))
            assert history.resolve(rev)
            assert sorted(os.listdir(Cache().folder)) == ["history.git", "lock"]
        assert deaths > 1
        git("update-ref", "refs/heads/master", newer, cwd=tmp_path / "up.git")
        git("tag", "-f", "v8.0", newer, cwd=tmp_path / "up.git")


def test_ctrl_c_while_it_fetches_leaves_nothing(line: Line, tmp_path: Path, own_home: Path) -> None:
    with mute_server() as (port, called):
        words = [line.project.lock_path, 999, f"http://127.0.0.1:{port}/up.git", "v7.0"]
        command = [sys.executable, "-c", textwrap.dedent(KILLED), *map(str, words)]
        process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(REPO)}, stderr=subprocess.PIPE)
        called()  # by git, which waits for an answer from now on
        assert list((own_home / "cache").glob("staging-*"))
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert b"KeyboardInterrupt" in said
    assert os.listdir(own_home / "cache") == ["lock"]
