from __future__ import annotations

import errno
import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from stacks import CHECKOUT, commit, inventory, message, porter

from porter.commands.arguments import find
from porter.commands.export import export
from porter.commands.lint import lint
from porter.errors import CheckFailed, EnvironmentFailed, WrongUsage
from porter.lockfile import GitSource, Lock
from porter.project import Project
from porter.rebase import write_stacks
from porter.sources.obtain import obtain
from porter.sources.snapshot import Extent, Snapshot
from porter.stack import COMMON, load_part, load_parts

pytestmark = pytest.mark.usefixtures("warm")

# between the places that mlu and tpu change, and long enough to move tpu's
MIDDLE = "".join(f"inserted_{n} = {n}\n" for n in range(4))


@pytest.fixture
def snapshot(project: Project) -> Snapshot:
    return obtain(Lock.load(project.lock_path))


def changed(project: Project, tree: Path, name: str, old: str, new: str) -> write_stacks.Rewrite:
    """What becomes of a project when common's patches are followed by one that changes a file; nothing is written."""
    text = (tree / name).read_text()
    assert text.count(old) == 1
    (tree / name).write_text(text.replace(old, new))
    commit(tree, message("Change more", "common"), 1700001000)
    return export(tree, check=True, project=project).rewrite


def longer(project: Project, tree: Path) -> write_stacks.Rewrite:
    return changed(project, tree, "utils/long.py", "line_30 = 30\n", MIDDLE + "line_30 = 30\n")


def state(project: Project) -> dict[str, bytes]:
    """The files that count."""
    places = [project.lock_path, *project.patches.rglob("*")]
    return {str(path.relative_to(project.root)): path.read_bytes() for path in sorted(places) if path.is_file()}


def test_unchanged_input_touches_nothing(project: Project, snapshot: Snapshot) -> None:
    before = inventory(project.root)
    for parts in ({}, {"common": load_part(project.patches / "common")}, load_parts(project)):
        planned = write_stacks.plan(project, parts, snapshot)
        assert planned.edits == ()
        write_stacks.write(planned)
    assert inventory(project.root) == before


def test_a_change_of_common_renders_every_targets_patches_anew(
    project: Project, snapshot: Snapshot, tree: Path
) -> None:
    tpu = (project.patches / "tpu/know-the-tpu-at-the-bottom.patch").read_bytes()
    mlu = inventory(project.patches / "mlu")
    before = inventory(project.root)
    planned = longer(project, tree)
    assert inventory(project.root) == before, "a plan writes nothing"
    assert [edit.path for edit in planned.edits] == [
        "patches/common/change-more.patch",
        "patches/common/series",
        "patches/mlu/know-the-mlu-at-the-top.patch",  # the ids in its index line
        "patches/tpu/know-the-tpu-at-the-bottom.patch",
        "upstream.lock",
    ]
    write_stacks.write(planned)
    assert lint(project=project) == []
    new = (project.patches / "tpu/know-the-tpu-at-the-bottom.patch").read_bytes()
    assert (b"@@ -47,7 +47,7 @@" in tpu, b"@@ -51,7 +51,7 @@" in new) == (True, True)
    after = inventory(project.patches / "mlu")
    assert {name for name in mlu if mlu[name] != after[name]} == {".", "know-the-mlu-at-the-top.patch"}
    assert (project.patches / "common/series").read_text().startswith("# the order\nimport-the-accelerator.patch\n")
    assert porter("lock", "--check", cwd=project.root).returncode == 0


def test_a_stack_that_does_not_fit_stops_all(project: Project, snapshot: Snapshot, tree: Path) -> None:
    before = inventory(project.root)
    with pytest.raises(CheckFailed, match=r"tpu/\S+, on the new common, does not fit") as error:
        changed(project, tree, "utils/long.py", "line_50 = 50\n", "line_50 = 'x'\n")
    assert "Nothing was written" in error.value.hint
    assert "utils/long.py: both change the same lines" in error.value.why
    assert "  line_50 = 'x'\n  =======\n  line_50 = 'tpu'" in error.value.why
    assert inventory(project.root) == before


def test_a_change_next_to_a_targets_lines_is_merged(project: Project, snapshot: Snapshot, tree: Path) -> None:
    """line_47 is context of tpu's patch, which does not apply any more, and no line that it changes."""
    write_stacks.write(changed(project, tree, "utils/long.py", "line_47 = 47\n", "line_47 = 'common'\n"))
    assert b" line_47 = 'common'\n" in (project.patches / "tpu/know-the-tpu-at-the-bottom.patch").read_bytes()
    assert lint(project=project) == []


def test_a_place_that_is_not_the_only_one_stops_all(project: Project, tree: Path) -> None:
    """Alone tpu's patch is put where its lines went; below mlu's, which move them, it would fit at two places."""
    copied = "".join(f"line_{n} = {n}\n" for n in range(47, 54))
    with pytest.raises(CheckFailed, match=r"^in a tree for mlu\+tpu, tpu/\S+ would fit at 2 places in utils/long.py"):
        changed(project, tree, "utils/long.py", "line_1 = 1\n", copied + "line_1 = 1\n")


def test_targets_that_do_not_go_together_stop_all(project: Project, tree: Path) -> None:
    (tree / "utils/long.py").write_text((tree / "utils/long.py").read_text().replace("line_50 = 50\n", "line_50 = 1\n"))
    commit(tree, message("Change more", "mlu"), 1700001000)
    before = inventory(project.root)
    with pytest.raises(CheckFailed, match=r"in a tree for mlu\+tpu, tpu/know"):
        export(tree, project=project)
    assert inventory(project.root) == before


def test_dropped_reordered_and_renamed_patches(project: Project, snapshot: Snapshot) -> None:
    first, second, third = load_part(project.patches / COMMON)
    keep = (project.patches / "mlu/target.yaml").stat().st_mtime_ns
    mlu = load_part(project.patches / "mlu")
    write_stacks.write(write_stacks.plan(project, {COMMON: [second, first], "mlu": mlu[1:]}, snapshot))
    names = {name: sorted(path.name for path in (project.patches / name).iterdir()) for name in (COMMON, "mlu")}
    assert names == {
        COMMON: [
            "add-utils-accelerator-a-registry-of-devices.patch",
            "import-the-accelerator.patch",
            "series",
        ],
        "mlu": ["know-the-mlu-at-the-top.patch", "requirements.txt", "series", "target.yaml"],
    }
    assert (project.patches / COMMON / third.name).exists() is False
    assert (project.patches / "mlu/target.yaml").stat().st_mtime_ns == keep
    assert lint(project=project) == []
    write_stacks.write(write_stacks.plan(project, {"mlu": []}, snapshot))
    assert (project.patches / "mlu/series").read_text() == "# the order\n"
    assert lint(project=project) == []


def test_another_pin_and_other_sources(project: Project, snapshot: Snapshot) -> None:
    lock = Lock.load(project.lock_path)
    files = {**lock.pin.files, "NEWS": lock.pin.files["LICENSE"]}
    tree = Extent(replace(lock.pin, files=files), files).trees[-1].id
    pin = replace(lock.pin, tag="v6.1", commit="1" * 40, tree=tree, files=files)
    other = Snapshot(pin.commit, files, {**snapshot.objects, pin.commit: snapshot.objects[snapshot.base]})
    sources = (*lock.sources, GitSource("https://example.org/mirror"))
    # the made-up commit cannot be rendered on: every part is known to be canonical already
    planned = write_stacks.plan(project, {}, replace(other, base=lock.pin.commit), replace(lock, sources=sources))
    assert [edit.path for edit in planned.edits] == ["upstream.lock"]
    assert planned.lock.sources == sources
    assert planned.lock.pin == lock.pin
    write_stacks.write(planned)
    assert Lock.load(project.lock_path) == planned.lock


def test_only_a_part_of_upstream_at_hand(project: Project, tree: Path) -> None:
    """The ids in the lock need no content of files that no patch changes."""
    lock = Lock.load(project.lock_path)
    whole = obtain(lock)
    expected = longer(project, tree)
    parts = expected.parts
    assert write_stacks.plan(project, parts, whole).edits == expected.edits
    extent = Extent(lock.pin, {path: entry for path, entry in lock.pin.files.items() if path != "LICENSE"})
    assert extent.made_base is not None
    objects = {i: whole.objects[i] for i in extent.blobs}
    partial = extent.snapshot({**objects, extent.base: extent.made_base})
    assert write_stacks.plan(project, parts, partial).edits == expected.edits
    lacking = Extent(lock.pin, {path: entry for path, entry in lock.pin.files.items() if path != "train.py"})
    assert lacking.made_base is not None
    with pytest.raises(CheckFailed, match="had not this file"):
        write_stacks.plan(project, parts, lacking.snapshot({**whole.objects, lacking.base: lacking.made_base}))


def test_what_is_refused(project: Project, snapshot: Snapshot, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = longer(project, tree).parts
    with pytest.raises(WrongUsage, match="no stack 'npu'"):
        write_stacks.plan(project, {"npu": []}, snapshot)
    stray = project.patches / "common/change-more.patch"
    stray.write_text("mine")
    with pytest.raises(WrongUsage, match="in the way"):
        write_stacks.plan(project, parts, snapshot)
    stray.unlink()
    monkeypatch.setattr("porter.project._PACKAGE", project.root)
    shutil.copytree(project.root, project.root / "_data", ignore=shutil.ignore_patterns("_data"))
    packaged = Project(project.root / "_data")
    before = inventory(packaged.root)
    planned = write_stacks.plan(packaged, parts, snapshot)  # `porter export --check` asks no more
    with pytest.raises(WrongUsage, match="came with the installed porter"):
        write_stacks.write(planned)
    assert inventory(packaged.root) == before


def test_a_file_changed_between_plan_and_write(project: Project, snapshot: Snapshot, tree: Path) -> None:
    planned = longer(project, tree)
    path = project.patches / "tpu/know-the-tpu-at-the-bottom.patch"
    path.write_text(path.read_text().replace("The test", "My test"))
    before = state(project)
    with pytest.raises(WrongUsage, match="was changed just now"):
        write_stacks.write(planned)
    assert state(project) == before


# -- cut off ----------------------------------------------------------------------------------------------

_STEPS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "shutil.rmtree")


def dies(planned: write_stacks.Rewrite, step: int) -> bool:
    """Write in a child that kills itself before its step-th change of a file; whether it came to that."""
    child = os.fork()
    if child == 0:
        count = 0

        def hook(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal count
            reads = event == "open" and not int(str(arguments[2])) & (os.O_WRONLY | os.O_RDWR)
            if event in _STEPS and not reads:
                count += 1
                if count == step:
                    os.kill(os.getpid(), signal.SIGKILL)

        try:
            sys.addaudithook(hook)
            write_stacks.write(planned)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def test_killed_at_every_step_the_stacks_are_old_or_new(
    project: Project, snapshot: Snapshot, tree: Path, tmp_path: Path
) -> None:
    found = longer(project, tree).parts
    parts = {**found, COMMON: found[COMMON][1:], "mlu": found["mlu"][1:]}
    (project.patches / "common/series").chmod(0o640)
    old, planned = state(project), write_stacks.plan(project, parts, snapshot)
    final = Project(tmp_path / "new")
    shutil.copytree(project.root, final.root, symlinks=True)
    write_stacks.write(replace(planned, project=final))
    new = state(final)
    assert len(old.keys() ^ new.keys()) > 2
    assert lint(project=final) == []
    seen = set()
    step = 0
    died = True
    while died:
        step += 1
        place = tmp_path / "at" / str(step)
        shutil.copytree(project.root, place, symlinks=True)
        died = dies(replace(planned, project=Project(place)), step)
        left = inventory(place)
        found = Project.find(place)
        assert inventory(place) == left
        assert find(place) == found
        seen.add("old" if state(found) == old else "new" if state(found) == new else "torn")
        assert not (place / ".porter/rewrite").exists()
        if state(found) == old:
            write_stacks.write(replace(planned, project=found))
        assert state(found) == new
        assert not (place / ".porter/rewrite.new").exists()
        assert (place / "patches/common/series").stat().st_mode & 0o777 == 0o640
    assert seen == {"old", "new"}
    assert step > 30


def test_an_edit_after_the_kill_is_not_lost(project: Project, snapshot: Snapshot, tree: Path) -> None:
    planned = longer(project, tree)
    step = 1
    while dies(planned, step) and not (project.state / "rewrite").exists():
        step += 1
    assert (project.state / "rewrite").exists()
    path = project.patches / "tpu/know-the-tpu-at-the-bottom.patch"
    old = path.read_text()
    path.write_text("mine")
    done = porter("targets", cwd=project.root)
    assert (done.returncode, str(path) in done.stderr, "Traceback" in done.stderr) == (2, True, False)
    assert path.read_text() == "mine"
    path.write_text(old)
    assert porter("targets", cwd=project.root).returncode == 0
    assert state(project) == {**state(project), **{e.path: e.after for e in planned.edits if e.after is not None}}
    assert lint(project=project) == []


def test_a_signal_waits_until_all_is_written(project: Project, snapshot: Snapshot, tree: Path) -> None:
    planned = longer(project, tree)
    came = []
    real = write_stacks._move_into_place

    def interrupted(aside: Path, path: Path, after: str | None) -> None:
        if not came:
            came.append(1)
            signal.raise_signal(signal.SIGINT)
        real(aside, path, after)

    with pytest.MonkeyPatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(write_stacks, "_move_into_place", interrupted)
        write_stacks.write(planned)
    assert came
    assert all((project.root / e.path).read_bytes() == e.after for e in planned.edits if e.after is not None)
    assert not (project.state / "rewrite").exists()


def test_two_at_once(project: Project, snapshot: Snapshot, tree: Path) -> None:
    """The second waits until the first has let go, and readers are not in its way."""
    planned = longer(project, tree)
    with write_stacks._locked(project):
        thread = threading.Thread(target=write_stacks.write, args=(planned,))
        thread.start()
        thread.join(0.2)
        assert thread.is_alive()
        assert lint(project=project) == []
    thread.join(20)
    assert lint(project=project) == []
    assert (project.patches / "common/change-more.patch").exists()


def test_no_room_and_no_permission(
    project: Project, snapshot: Snapshot, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = longer(project, tree)
    before = state(project)
    with pytest.MonkeyPatch.context() as patched:
        # as root nothing is forbidden, so the answer that anybody else gets is given here
        patched.setattr(os, "access", lambda path, mode: Path(path).name != "tpu")
        with pytest.raises(EnvironmentFailed, match=r"cannot write .*tpu"):
            write_stacks.write(planned)
    code = (
        "import resource, sys; from pathlib import Path; from porter.project import Project; import pickle\n"
        "from porter.rebase import write_stacks; planned = pickle.load(open(sys.argv[1], 'rb'))\n"
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600))\n"
        "write_stacks.write(planned)\n"
    )
    (project.root.parent / "plan").write_bytes(pickle.dumps(planned))
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    command = [sys.executable, "-c", code, str(project.root.parent / "plan")]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert "EnvironmentFailed" in done.stderr
    assert os.strerror(errno.EFBIG) in done.stderr
    assert state(project) == before
    assert not (project.state / "rewrite.new").exists()
    assert lint(project=project) == []
