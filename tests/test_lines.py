"""Lines: stacks for more than one release of upstream in one checkout, and which of them a command means."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from sources import closed_port, git, make_index
from stacks import CHECKOUT, porter

import porter as api
from porter.commands.lock import lock as write_lock
from porter.errors import EnvironmentFailed, WrongUsage
from porter.git import Repository, objects
from porter.line import lines, name_of, named, of_tree
from porter.lockfile import GitSource, Lock
from porter.patch import Patch, essence
from porter.project import Project
from porter.sources.obtain import obtain
from porter.sources.snapshot import extents
from porter.stack import digest, load_parts


@pytest.fixture
def later(made: Path, tmp_path: Path, own_home: Path) -> Path:
    """The project's upstream, which has gone on: a clone of it, at its next release."""
    path = tmp_path / "later"
    git("clone", "-q", made / "small", path, cwd=tmp_path)
    git("switch", "-q", "-c", "releases", "v6.0", cwd=path)
    (path / "classify.py").write_text("import torch\n")
    git("add", "-A", cwd=path)
    git("commit", "-q", "-m", "Next", cwd=path)
    git("tag", "v6.1", cwd=path)
    return path


@pytest.fixture
def line(project: Project, later: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The line v6.1 of :func:`project`, which is a project with two lines by then; the current folder is in it."""
    monkeypatch.chdir(project.root)
    return add_line(project, later, "v6.1")


def add_line(project: Project, upstream: Path, tag: str) -> Project:
    folder = project.root / "lines" / tag
    shutil.copytree(project.patches, folder / "patches")
    commit, tree = (git("rev-parse", f"{tag}^{{{kind}}}", cwd=upstream) for kind in ("commit", "tree"))
    pin = replace(Lock.load(project.lock_path).pin, tag=tag, commit=commit, tree=tree)
    pin = replace(pin, files=Repository(upstream).files(commit))
    made = Project(folder)
    Lock(pin, (GitSource(str(upstream)),)).write(made.lock_path)
    write_lock(project=made)
    return made


# -- which there are --------------------------------------------------------------------------------------


def test_every_line_has_its_row(line: Project, project: Project) -> None:
    first, second = api.lines()
    assert (first.name, first.default, second.name, second.default) == ("v6.0", True, "v6.1", False)
    assert second.upstream["commit"] == Lock.load(line.lock_path).pin.commit
    assert (Path(first.root), Path(second.root)) == (project.root, line.root)
    assert second.patches == {"common": 3, "mlu": 2, "tpu": 2} and second.targets == ("mlu", "tpu")
    printed = porter("lines", cwd=project.root).stdout.splitlines()
    assert [row.split()[0] for row in printed] == ["line", "v6.0*", "v6.1"]
    assert printed[2].split()[1] == second.upstream["commit"][:12] and printed[2].endswith("git alone")
    rows = json.loads(porter("lines", "--json", cwd=project.root).stdout)
    assert [(row["kind"], row["name"], row["files"]) for row in rows] == [("line", "v6.0", 11), ("line", "v6.1", 12)]


def test_lines_are_in_the_order_of_their_releases(project: Project, later: Path) -> None:
    for tag in "v6.10", "v6.2", "v6.9":
        git("tag", tag, "v6.1", cwd=later)
        add_line(project, later, tag)
    (project.root / "lines" / "notes").mkdir()
    assert list(project.others) == ["v6.2", "v6.9", "v6.10"]


def test_a_folder_in_a_line_is_in_that_line(line: Project, project: Project) -> None:
    found = Project.find(line.patches / "mlu")
    assert found == line and found.top == project and project.top == project
    assert (name_of(found), name_of(project)) == ("v6.1", "v6.0")
    # a line's own state is the checkout's: what is packed is the line's folder
    assert line.state == project.root / ".porter/lines/v6.1" and project.state == project.root / ".porter"


def test_an_unknown_line_is_refused_with_those_that_there_are(line: Project, project: Project) -> None:
    for words in ("apply", "--target", "mlu", "tree"), ("targets",), ("lock", "--check"), ("drift",):
        done = porter(*words, "--line", "v9.9", cwd=project.root)
        assert done.returncode == 2 and "there is no line v9.9" in done.stderr and "v6.0, v6.1" in done.stderr, words


@pytest.mark.parametrize("words", [("--line", "v6.1", "lock", "--check"), ("lock", "--check", "--line", "v6.1")])
def test_a_line_is_named_before_the_command_or_after_it(words: tuple[str, ...], line: Project) -> None:
    assert porter(*words, cwd=line.top.root).returncode == 0
    with (line.patches / "mlu" / "series").open("a") as series:
        series.write("absent.patch\n")
    assert porter(*words, cwd=line.top.root).returncode == 1
    assert porter("lock", "--check", "--line", "v6.0", cwd=line.top.root).returncode == 0


def test_variables_name_a_line_and_a_shell_completes_it(line: Project, project: Project) -> None:
    (line.patches / "tpu" / "series").unlink()
    for variable in "PORTER_LINE", "PORTER_TARGETS_LINE":
        assert "\ntpu" not in porter("targets", cwd=project.root, env={variable: "v6.1"}).stdout
    assert "\ntpu" in porter("targets", cwd=project.root).stdout
    for words, offers in {"porter apply --line ": "v6.0 v6.1", "porter --line v6.1 apply --target ": "mlu"}.items():
        asked = {"_PORTER_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
        answer = porter(cwd=project.root, env=asked).stdout
        assert [row.rpartition(",")[2] for row in answer.split()] == offers.split()


# -- which one a tree is of -------------------------------------------------------------------------------


def test_a_tree_knows_its_line(line: Project, project: Project, tmp_path: Path) -> None:
    """Whoever works in it names the line once, when it is made."""
    tree = tmp_path / "tree"
    assert porter("apply", "--line", "v6.1", "--target", "mlu", tree, cwd=project.root).returncode == 0
    assert (tree / "classify.py").is_file()
    found = api.status(tree)
    assert (found.pin["tag"], found.targets, found.whole) == ("v6.1", ("mlu",), True)
    assert api.apply("mlu", tree).how == "already"
    shown = porter("train", "--target", "mlu", "--dry-run", tree, cwd=project.root)
    assert shown.returncode == 0, shown.stderr
    wrong = porter("status", "--line", "v6.0", tree, cwd=project.root)
    assert wrong.returncode == 2 and "is of the line v6.1, not v6.0" in wrong.stderr
    (tree / "train.py").write_text((tree / "train.py").read_text() + "# mine\n")
    git("-c", "user.name=A", "-c", "user.email=a@b.c", "commit", "-qam", "Import the accelerator", cwd=tree)
    assert [commit.subject for commit in api.status(tree).commits] == ["Import the accelerator"]
    git("reset", "-q", "--hard", "HEAD~", cwd=tree)
    assert api.revert(tree).pristine and api.status(tree).pin["tag"] == "v6.1"


def test_export_writes_into_the_trees_own_line(line: Project, project: Project, tmp_path: Path) -> None:
    tree = api.apply("mlu", tmp_path / "tree", project=line).path
    (tree / "train.py").write_text((tree / "train.py").read_text() + "# mine\n")
    before = (project.patches / "common/import-the-accelerator.patch").read_bytes()
    done = api.export(tree, into="common/1")
    assert {edit.path.split("/")[0] for edit in done.rewrite.edits} == {"patches", "upstream.lock"}
    assert b"+# mine" in (line.patches / "common/import-the-accelerator.patch").read_bytes()
    assert (project.patches / "common/import-the-accelerator.patch").read_bytes() == before


def test_what_to_do_next_is_for_the_line_that_is_meant(line: Project, project: Project, later: Path) -> None:
    """Without it the next command would be about the first line's patches, and find them in order."""
    tree = project.root / "tree"
    api.apply(["mlu"], tree, project=line)
    (tree / "train.py").write_text((tree / "train.py").read_text() + "# mine\n")
    done = porter("export", "--into", "common/1", tree, cwd=project.root)
    assert "Next: porter --line v6.1 lint" in done.stdout, done.stderr

    train = later / "train.py"
    train.write_text(train.read_text().replace("import torch\n", "import torch as pytorch\n"))
    git("commit", "-q", "-a", "-m", "Rename", cwd=later)
    stopped = porter("--line", "v6.1", "bump", "releases", "--upstream", later, cwd=project.root)
    assert stopped.returncode == 1 and "Then: porter --line v6.1 bump --continue" in stopped.stdout, stopped.stderr
    for words, said in {
        ("bump",): "hint: One is open in another line: porter --line v6.1 bump",
        ("bump", "--line", "v6.1", "v6.1"): "hint: porter --line v6.1 bump --continue, --skip or --abort",
    }.items():
        done = porter(*words, cwd=project.root)
        assert done.returncode == 2 and said in done.stderr, done.stderr
    assert porter("bump", "--abort", "--line", "v6.1", cwd=project.root).returncode == 0


def test_a_clone_gets_the_stack_of_the_release_that_it_is_at(line: Project, later: Path) -> None:
    """v6.0 is among its ancestors, too: the nearest release counts."""
    assert api.apply("mlu", later).how == "switched"
    assert api.status(later).pin["tag"] == "v6.1"
    api.revert(later)
    git("switch", "-q", "--detach", "v6.0", cwd=later)
    assert api.apply("mlu", later).how == "switched"
    assert api.status(later).pin["tag"] == "v6.0"


def test_a_named_line_is_not_put_on_another_release(line: Project, later: Path, project: Project) -> None:
    git("switch", "-q", "--detach", "v6.0", cwd=later)
    done = porter("apply", "--line", "v6.1", "--target", "mlu", later, cwd=project.root)
    assert done.returncode == 2 and "is not a clone of example/small at v6.1" in done.stderr
    git("switch", "-q", "--detach", "v6.1", cwd=later)
    done = porter("apply", "--line", "v6.0", "--target", "mlu", later, cwd=project.root)
    assert done.returncode == 2 and "is not at v6.0" in done.stderr


def test_a_tree_of_what_a_package_index_has_knows_its_line(line: Project, later: Path, tmp_path: Path) -> None:
    """Its first commit is porter's own, and no release's."""
    lock = Lock.load(line.lock_path)
    lock = replace(lock, sources=(*lock.sources, make_index(tmp_path / "wheels")))
    lock.write(line.lock_path)
    extent = extents(lock)[1]
    assert extent.missing and extent.made_base
    git("init", "-q", tmp_path / "tree", cwd=tmp_path)
    repository = Repository(tmp_path / "tree")
    content = Repository(later).read(extent.blobs)
    repository.write(objects.pack([*content, *extent.trees, extent.made_base]))
    git("reset", "-q", "--hard", extent.base, cwd=tmp_path / "tree")
    assert of_tree(line.top, tmp_path / "tree") == line
    assert api.status(tmp_path / "tree").pin["tag"] == "v6.1"


def test_what_is_no_tree_of_any_line(line: Project, project: Project, tmp_path: Path) -> None:
    other = tmp_path / "other"
    git("init", "-q", other, cwd=tmp_path)
    assert of_tree(project, other) is of_tree(project, tmp_path / "absent") is None
    (other / "a").write_text("")
    git("add", "a", cwd=other)
    git("-c", "user.name=A", "-c", "user.email=a@b.c", "commit", "-qm", "a", cwd=other)
    assert of_tree(project, other) is None
    with pytest.raises(WrongUsage, match=r"is not a clone of example/small at v6\.0"):
        api.status(other)


def test_a_program_names_a_line_by_its_folder(line: Project, later: Path, tmp_path: Path) -> None:
    assert api.apply("mlu", tmp_path / "a", project=line).build.base == Lock.load(line.lock_path).pin.commit
    assert api.apply("mlu", tmp_path / "b", project=line.root).build.base == Lock.load(line.lock_path).pin.commit
    old = api.apply("mlu", tmp_path / "c", project=line.top).path
    assert api.status(old, project=line.top.root).whole
    for named_line in line, line.root:
        with pytest.raises(WrongUsage, match=r"is of the line v6\.0, not v6\.1"):
            api.status(old, project=named_line)
    assert named(line, "v6.0") == line.top and named(line, "v6.1") == line


def test_a_line_with_git_alone_says_so(line: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = Lock.load(line.lock_path)
    replace(lock, sources=(GitSource(f"http://127.0.0.1:{closed_port()}/x"),)).write(line.lock_path)
    monkeypatch.setenv("PORTER_CACHE", str(line.top.root / "empty"))
    with pytest.raises(EnvironmentFailed) as caught:
        obtain(Lock.load(line.lock_path))
    assert "no wheel there holds the files of v6.1" in caught.value.why


def test_a_page_lists_the_patches_of_the_line_that_its_records_are_of(
    line: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    series = line.patches / "mlu" / "series"
    series.write_text("".join(series.read_text().splitlines(True)[:-1]))
    write_lock(project=line)
    left_out = "Know the MLU at the top"
    record = api.verify("mlu", level="static", project=line)
    assert (record.upstream, json.loads(record.json())["upstream"]) == ("v6.1", "v6.1")
    assert left_out not in api.report([record], project=line.top.root)
    assert left_out in api.report([record], project=line.top)
    assert all("verify --line v6.1 " in outcome.repeat for outcome in record.outcomes)


# -- a change carried to the lines after it -----------------------------------------------------------------

PATCH = "common/import-the-accelerator.patch"


@pytest.fixture
def kept(line: Project) -> Project:
    """The project's line v6.1, in a repository that has both lines as they are."""
    root = line.top.root
    git("init", "-q", cwd=root)
    git("add", "patches", "upstream.lock", "lines", cwd=root)
    git("commit", "-q", "-m", "Lines", cwd=root)
    return line


def mend(project: Project, tree: Path, old: str, new: str, into: str = PATCH) -> None:
    """Change a patch of a line as a person does: in a tree of it, exported."""
    api.apply("mlu", tree, project=project)
    text = (tree / "train.py").read_text()
    assert text.count(old) == 1
    (tree / "train.py").write_text(text.replace(old, new))
    api.export(tree, into=into, project=project)


def test_what_was_mended_is_carried_to_the_lines_after_it(kept: Project, later: Path, tmp_path: Path) -> None:
    """A patch that is the same in three lines stays the same; what only one of them has stays, too."""
    git("tag", "v6.2", "v6.1", cwd=later)
    last = add_line(kept.top, later, "v6.2")
    mend(last, tmp_path / "own", "import torch\n", "import torch  # of v6.2\n")
    git("add", "lines", cwd=kept.top.root)
    git("commit", "-q", "-m", "Another", cwd=kept.top.root)
    mend(kept.top, tmp_path / "mended", "print('train', opt)", "print('trains', opt)")
    done = api.carry(PATCH, project=kept.top)
    assert [(one.line, one.state) for one in done.lines] == [("v6.1", "carried"), ("v6.2", "carried")]
    data = [(each.patches / PATCH).read_bytes() for each in (kept.top, kept, last)]
    assert b"+    print('trains', opt)" in data[0] and data[1] == data[0]
    assert b"+    print('trains', opt)" in data[2] and b"# of v6.2" in data[2]
    for each in kept.top, kept, last:
        assert write_lock(check=True, project=each).stale == ()
    assert [one.state for one in api.carry(PATCH, project=kept.top).lines] == ["same", "same"]


def test_a_message_is_carried_too(kept: Project, tmp_path: Path) -> None:
    tree = api.apply("mlu", tmp_path / "tree", project=kept.top).path
    message = git("log", "-1", "--format=%B", ":/Import the acc", cwd=tree)
    message = message.replace("The test needs it.", "Because it has to be.")
    git("commit", "-q", "--allow-empty", "-m", f"amend! Import the accelerator\n\n{message}", cwd=tree)
    api.export(tree, project=kept.top)
    assert [one.state for one in api.carry(PATCH, project=kept.top).lines] == ["carried"]
    assert b"Because it has to be." in (kept.patches / PATCH).read_bytes()


def test_a_conflict_is_resolved_in_a_tree_of_that_line(
    kept: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mend(kept, tmp_path / "other", "print('train', opt)", "print('another', opt)")
    mend(kept.top, tmp_path / "mended", "print('train', opt)", "print('trains', opt)")
    before = (kept.patches / PATCH).read_bytes()
    monkeypatch.chdir(tmp_path)
    done = porter("--project", kept.top.root, "carry", PATCH, cwd=tmp_path)
    assert (done.returncode, done.stdout.splitlines()[0]) == (1, "v6.1: conflicts in train.py"), done.stderr
    assert (kept.patches / PATCH).read_bytes() == before
    tree = tmp_path / "carry-v6.1"
    text = (tree / "train.py").read_text()
    assert "<<<<<<<" in text and "'another'" in text and "'trains'" in text
    with pytest.raises(WrongUsage, match=r"carry-v6\.1 is in the way"):
        api.carry(PATCH, folder=tmp_path, project=kept.top)
    (tree / "train.py").write_text("from utils import accelerator\nimport torch\n\n\nprint('both')\n")
    git("add", "train.py", cwd=tree)
    git("-c", "core.editor=true", "cherry-pick", "--continue", cwd=tree)
    api.export(tree, project=kept.top.root)
    assert b"+print('both')" in (kept.patches / PATCH).read_bytes()


def test_what_cannot_be_carried_is_said(kept: Project, tmp_path: Path) -> None:
    for words, said in {
        ("carry", PATCH): "has not changed",
        ("carry", "--to", "v6.0", PATCH): "no line v6.0 comes after v6.0",
        ("carry", "--line", "v6.1", PATCH): "no line comes after v6.1",
        ("carry", "--since", "nowhere", PATCH): "nowhere is neither a folder nor a commit",
    }.items():
        done = porter(*words, cwd=kept.top.root)
        assert done.returncode == 2 and said in done.stderr, (words, done.stderr)


def test_a_patch_that_a_line_has_not_is_passed_over(kept: Project, later: Path, tmp_path: Path) -> None:
    git("tag", "v6.2", "v6.1", cwd=later)
    last = add_line(kept.top, later, "v6.2")
    git("add", "lines", cwd=kept.top.root)
    git("commit", "-q", "-m", "Another", cwd=kept.top.root)
    name = "move-delete-add-and-change-modes.patch"
    (kept.patches / "common" / "series").write_text(
        "".join(row for row in (kept.patches / "common" / "series").read_text().splitlines(True) if name not in row)
    )
    write_lock(project=kept)
    api.apply("mlu", tmp_path / "tree", project=kept.top)
    (tmp_path / "tree" / "data" / "get.sh").write_text("#!/bin/sh\nexit 1\n")
    api.export(tmp_path / "tree", into=f"common/{name}", project=kept.top)
    assert [one.state for one in api.carry(f"common/{name}", project=kept.top).lines] == ["absent", "carried"]
    assert b"+exit 1" in (last.patches / "common" / name).read_bytes()


def test_two_lines_are_compared_by_their_names(kept: Project, tmp_path: Path) -> None:
    assert {pair.state for pairs in api.diff("v6.0", "v6.1").parts.values() for pair in pairs} == {"same"}
    mend(kept, tmp_path / "other", "print('train', opt)", "print('another', opt)")
    changed = [pair.subject for pair in api.diff("v6.0", "v6.1").parts["common"] if pair.state == "changed"]
    assert changed == ["Import the accelerator"]


# -- the lines that are shipped -------------------------------------------------------------------------------

SHIPPED = lines(Project(CHECKOUT))
LATER = [name for name in SHIPPED if SHIPPED[name] != Project(CHECKOUT)]


@pytest.mark.parametrize("name", LATER)
def test_a_line_is_called_as_its_release_and_in_step(name: str) -> None:
    line = SHIPPED[name]
    lock = Lock.load(line.lock_path)
    assert (lock.pin.tag, lock.pin.name, lock.pin.license) == (name, "ultralytics/yolov5", "GPL-3.0-only")
    found = {part: digest((patch.id, patch.data) for patch in patches) for part, patches in load_parts(line).items()}
    assert found == {part: stack.digest for part, stack in lock.stacks.items()}
    assert not [path for path in line.root.iterdir() if path.name not in ("patches", "upstream.lock")]


@pytest.mark.parametrize("name", LATER)
def test_a_patch_that_does_the_same_in_two_lines_is_the_same(name: str) -> None:
    """Author, date and message too: what was mended in one was mended in the other.  So are the targets' files."""
    before, line = (SHIPPED[each] for each in list(SHIPPED)[list(SHIPPED).index(name) - 1 :][:2])
    old, new = load_parts(before), load_parts(line)
    assert set(new) <= {*old}
    for part, patches in new.items():
        known = {patch.name: patch for patch in old[part]}
        for patch in patches:
            other = known.get(patch.name)
            if other and essence(other.text) == essence(patch.text):
                assert head(other) == head(patch), patch.id
            if other and other.text == patch.text:
                assert other.data == patch.data, patch.id
        for file in ("target.yaml", "requirements.txt") if part != "common" else ():
            assert (line.patches / part / file).read_bytes() == (before.patches / part / file).read_bytes(), part


def head(patch: Patch) -> bytes:
    """What stands before its diff."""
    return patch.data.partition(b"\ndiff --git ")[0]
