"""Each outcome on the synthetic history, and the whole of it against git am -3."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from histories import Applier, Bench, Line, agree, sample
from sources import git

from porter import objects
from porter.objects import step
from porter.patch import FORMAT, Patch
from porter.rebase.merge import APPLIES, CONFLICT, MERGED, OFFSET, TAKEN, Original, Placer
from porter.sources.history import History
from porter.stack import Contents


@pytest.fixture(scope="module")
def bench(synthetic_line: Line, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(synthetic_line, tmp_path_factory.mktemp("cache"))


def test_where_nothing_of_it_changed_it_applies(bench: Bench) -> None:
    found = bench.place("Train on any device", "Write more in the README")
    assert found.outcome == APPLIES
    assert found.stands
    assert list(found.files) == ["train.py"]
    assert "train line 40, on a device\n" in bench.text(found.files["train.py"])


def test_lines_that_moved(bench: Bench) -> None:
    found = bench.place("Train on any device", "Import more")
    assert found.outcome == OFFSET
    ((path, moved),) = found.moved
    assert (path, moved.offset) == ("train.py", 2)
    assert "train line 40, on a device\n" in bench.text(found.files["train.py"])


def test_a_change_beside_it_merges(bench: Bench) -> None:
    found = bench.place("Train on any device", "Change a line beside the patch's")
    assert found.outcome == MERGED
    text = bench.text(found.files["train.py"])
    assert "train line 40, on a device\n" in text
    assert "train line 43, changed\n" in text


@pytest.mark.parametrize(
    ("patch", "tree", "old", "new"),
    [
        ("Load on the host", "Rename datasets to dataloaders", "utils/datasets.py", "utils/dataloaders.py"),
        (
            "Set a hyperparameter",
            "Say hyp.scratch-low",
            "data/hyps/hyp.scratch.yaml",
            "data/hyps/hyp.scratch-low.yaml",
        ),
    ],
)
def test_a_file_that_was_renamed_is_followed(bench: Bench, patch: str, tree: str, old: str, new: str) -> None:
    found = bench.place(patch, tree)
    assert (found.outcome, found.renamed, list(found.files)) == (MERGED, ((old, new),), [new])
    before = bench.text(bench.tree(tree)[new])
    assert len(set(bench.text(found.files[new]).splitlines()) - set(before.splitlines())) == 1


def test_what_upstream_made_as_well_is_taken(bench: Bench) -> None:
    found = bench.place("Fix a bug", "Fix the same bug")
    assert (found.outcome, dict(found.files), found.conflicts) == (TAKEN, {}, ())
    assert found.stands


def test_what_upstream_made_and_changed_beside_it_is_taken_too(bench: Bench) -> None:
    """Three-way that is a conflict or nothing at all; that the patch can be taken back says which."""
    tree = bench.tree("Fix the same bug")
    text = (
        bench.text(tree["utils/general.py"]).replace("# general line 16\n", "").replace("line 25\n", "line 25, more\n")
    )
    assert (
        bench.placer.place(bench.patch("Fix a bug"), bench.with_text(tree, "utils/general.py", text)).outcome == TAKEN
    )


def test_what_upstream_made_and_moved_elsewhere_is_taken_too(bench: Bench) -> None:
    """Three-way that is a conflict, of a change with a removal: that the patch can be taken back says otherwise."""
    tree = bench.tree("Fix the same bug")
    lines = bench.text(tree["utils/general.py"]).splitlines(keepends=True)
    moved = "".join([*lines[:14], *lines[27:], *lines[14:27], "the end\n"])
    tree = bench.with_text(tree, "utils/general.py", moved)
    assert bench.placer.place(bench.patch("Fix a bug"), tree).outcome == TAKEN
    without = bench.with_text(tree, "utils/general.py", moved.replace("20, fixed", "20, otherwise"))
    assert bench.placer.place(bench.patch("Fix a bug"), without).outcome == CONFLICT


def test_a_conflict_has_all_sides_and_the_markers(bench: Bench) -> None:
    tree = bench.tree("Change what the patch changes")
    found = bench.placer.place(bench.patch("Validate on any device"), tree)
    assert found.outcome == CONFLICT
    assert not found.stands
    (conflict,) = found.conflicts
    assert (conflict.path, conflict.kind, conflict.mode) == ("val.py", "content", "100644")
    assert conflict.ours == tree["val.py"]
    assert conflict.base == bench.patch("Validate on any device").before["val.py"]
    assert conflict.theirs == bench.patch("Validate on any device").after["val.py"]
    marked = bench.contents[conflict.marked].decode()
    sides = "<<<<<<< upstream\n# val line 15, otherwise\n=======\n# val line 15, on a device\n>>>>>>> "
    assert f"{sides}Validate on any device\n" in marked


@pytest.mark.parametrize(
    ("patch", "tree", "path", "kind"),
    [
        ("Change what will be removed", "Remove old.py", "old.py", "modify/delete"),
        ("Add utils/accelerator", "Add an accelerator of our own", "utils/accelerator/__init__.py", "add/add"),
        ("Add the mlu", "Put a file where a folder was", "utils/accelerator/mlu.py", "file/folder"),
    ],
)
def test_conflicts_of_files_as_wholes(bench: Bench, patch: str, tree: str, path: str, kind: str) -> None:
    found = bench.place(patch, tree)
    assert found.outcome == CONFLICT
    assert [(c.path, c.kind, c.marked) for c in found.conflicts] == [(path, kind, "")]


def test_a_file_that_is_added_where_it_is_already_is_taken(bench: Bench) -> None:
    patch = bench.patch("Add the mlu")
    tree = {**bench.pin.files, **patch.after}
    assert bench.placer.place(patch, tree).outcome == TAKEN


def test_a_patch_that_renames_takes_upstreams_mode_along(bench: Bench) -> None:
    found = bench.place("Move the script", "Make the script executable")
    assert found.outcome in (APPLIES, MERGED)
    assert found.files["data/scripts/get.sh"] is None
    entry = found.files["data/get.sh"]
    assert entry is not None
    assert entry.mode == "100755"


def test_it_agrees_with_git_am_on_a_sample(line_of_the_session: Line, tmp_path: Path) -> None:
    """The trees, of the real history where it can be had; PORTER_TEST_SAMPLE says of how many commits."""
    bench = Bench(line_of_the_session, tmp_path / "cache")
    files = [line_of_the_session.project.patches / patch.id for patch in bench.stack.patches]
    places = sample(int(os.environ.get("PORTER_TEST_SAMPLE", "4")), len(bench.steps))
    agree(bench, [bench.steps[n].id for n in places], Applier(line_of_the_session, tmp_path, files))


# -- what no line above has: single cases, each against git am -3 ----------------------------------------


Edit = Callable[[Path], object]


def write(name: str, text: str, mode: int = 0o644) -> Edit:
    def do(root: Path) -> None:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
        (root / name).chmod(mode)

    return do


def move(old: str, new: str) -> Edit:
    def do(root: Path) -> None:
        (root / new).parent.mkdir(parents=True, exist_ok=True)
        (root / old).rename(root / new)

    return do


def both(*edits: Edit) -> Edit:
    return lambda root: [edit(root) for edit in edits]


def drop(name: str) -> Edit:
    return lambda root: (root / name).unlink()


TEXT = "".join(f"line {n}\n" for n in range(30))
FIRST, LAST = TEXT.replace("line 3\n", "line three\n"), TEXT.replace("line 25\n", "line twenty-five\n")
NEAR = TEXT.replace("line 5\n", "line five\n")
CASES = {
    "patch deletes, unchanged": (drop("a.py"), write("b.py", "b\n")),
    "patch deletes, changed": (drop("a.py"), write("a.py", FIRST)),
    "patch deletes, deleted": (drop("a.py"), drop("a.py")),
    "patch deletes, renamed": (drop("a.py"), move("a.py", "c.py")),
    "patch deletes, renamed and changed": (drop("a.py"), both(move("a.py", "c.py"), write("c.py", FIRST))),
    "patch renames, changed": (move("a.py", "c.py"), write("a.py", FIRST)),
    "patch renames and changes, changed": (both(move("a.py", "c.py"), write("c.py", LAST)), write("a.py", FIRST)),
    "patch renames and changes, changed there": (both(move("a.py", "c.py"), write("c.py", NEAR)), write("a.py", FIRST)),
    "patch renames, deleted": (move("a.py", "c.py"), drop("a.py")),
    "both rename alike": (move("a.py", "c.py"), move("a.py", "c.py")),
    "both rename alike, both change": (
        both(move("a.py", "c.py"), write("c.py", LAST)),
        both(move("a.py", "c.py"), write("c.py", FIRST)),
    ),
    "both rename apart": (move("a.py", "c.py"), move("a.py", "d.py")),
    "patch renames onto a new file": (move("a.py", "c.py"), write("c.py", "other\n")),
    "patch changes, renamed and another in its place": (
        write("a.py", LAST),
        both(move("a.py", "c.py"), write("a.py", "all new\n" * 9)),
    ),
    "patch changes, renamed to a folder": (
        write("a.py", LAST),
        both(move("a.py", "sub/a.py"), write("sub/a.py", FIRST)),
    ),
    "patch changes and adds where it was renamed to": (
        both(write("a.py", LAST), write("c.py", "new\n")),
        move("a.py", "c.py"),
    ),
    "patch changes the mode": (lambda root: (root / "a.py").chmod(0o755), write("a.py", FIRST)),
    "patch changes the mode, renamed": (lambda root: (root / "a.py").chmod(0o755), move("a.py", "c.py")),
    "both change the mode": (
        both(write("a.py", LAST), lambda root: (root / "a.py").chmod(0o755)),
        both(write("a.py", NEAR), lambda root: (root / "a.py").chmod(0o755)),
    ),
    "upstream changes the mode": (write("a.py", NEAR), write("a.py", FIRST, 0o755)),
    "a link in its place": (
        write("a.py", LAST),
        both(drop("a.py"), lambda root: (root / "a.py").symlink_to("z.py")),
    ),
    "a folder in its place": (write("new", "x\n"), write("new/file", "y\n")),
    "a file in its folder's place": (write("new/file", "y\n"), write("new", "x\n")),
    "added alike": (write("new", "x\n"), write("new", "x\n")),
    "added alike with another mode": (write("new", "x\n"), write("new", "x\n", 0o755)),
    "added otherwise": (write("new", "x\n"), write("new", "y\n")),
    "two files, one of them conflicts": (
        both(write("a.py", NEAR), write("z.py", "z\n" * 9)),
        write("a.py", TEXT.replace("line 5\n", "line FIVE\n")),
    ),
    "no newline at the end": (write("a.py", TEXT + "end"), write("a.py", FIRST)),
    "no newline at the end of ours": (write("a.py", FIRST), write("a.py", LAST[:-1])),
    "emptied": (write("a.py", NEAR), write("a.py", "")),
}


KINDS = {
    "patch deletes, changed": "delete/modify",
    "patch deletes, renamed": "rename/delete",
    "patch renames, deleted": "rename/delete",
    "both rename apart": "rename/rename",
    "patch renames onto a new file": "rename/add",
    "patch changes the mode, renamed": "no index",
    "a link in its place": "type",
    "a folder in its place": "file/folder",
    "added otherwise": "add/add",
    "two files, one of them conflicts": "content",
}


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with the base of CASES."""
    root = tmp_path_factory.mktemp("cases") / "clone"
    root.mkdir()
    git("init", "-q", cwd=root)
    write("a.py", TEXT)(root)
    write("z.py", "z\n")(root)
    git("add", "-A", cwd=root)
    git("commit", "-q", "-m", "base", cwd=root)
    git("tag", "base", cwd=root)
    return root


def commit_of(clone: Path, edit: Edit, start: str) -> str:
    git("checkout", "-q", "-f", "--detach", start, cwd=clone)
    git("clean", "-ffdqx", cwd=clone)
    edit(clone)
    git("add", "-A", cwd=clone)
    git("commit", "-q", "-m", "Do it", cwd=clone)
    return git("rev-parse", "HEAD", cwd=clone)


@pytest.mark.parametrize("name", CASES)
def test_single_cases_are_what_git_am_makes_of_them(name: str, cases: Path, bench: Bench, tmp_path: Path) -> None:
    theirs, ours = (commit_of(cases, edit, "base") for edit in CASES[name])
    git("format-patch", "-q", "-1", *FORMAT, "-o", tmp_path, theirs, cwd=cases)
    (file,) = tmp_path.glob("*.patch")
    expected = Applier.on(cases, [file]).apply(ours)
    history = replace_repository(bench, cases)
    trees = {rev: history.entries(rev) for rev in ("base", theirs, ours)}
    blobs = history.blobs({entry.id for tree in trees.values() for entry in tree.values()})
    patch = Patch.read(file, "common")
    paths = {path for change in patch.changes for path in (change.old, change.new)}
    before, after = ({p: e for p, e in trees[rev].items() if p in paths} for rev in ("base", theirs))
    found = Placer(Contents(blobs)).place(Original(patch, before, after), trees[ours])
    tree = dict(trees[ours])
    if found.stands:
        step(tree, found.files)
    assert objects.trees(tree)[-1].id == expected.tree, found
    # git finds no way to merge some of what is there already; either way nothing changes
    assert (found.outcome == CONFLICT) == bool(expected.skipped) or found.outcome == TAKEN, found
    assert bool(found.conflicts) == (found.outcome == CONFLICT)
    if name in KINDS:
        assert {conflict.kind for conflict in found.conflicts} == {KINDS[name]}


def replace_repository(bench: Bench, clone: Path) -> History:
    """A history that reads another repository."""
    from porter.git import Repository

    made = History(replace(bench.line.lock), None, bench.history.cache.folder)
    made.repository = Repository(clone / ".git", exact=True)
    return made
