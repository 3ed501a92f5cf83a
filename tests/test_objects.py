from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sources import git

from porter.errors import CheckFailed
from porter.git import Repository, objects
from porter.git.objects import Entry, Files, Object, blob, commit, pack, parse_tree, trees

DATA = blob(b"x\n")
NAME = st.sampled_from(["a", "b", "a.b", "a-b", "ab", "寒", "z z"])
PATHS = st.lists(st.lists(NAME, min_size=1, max_size=3).map("/".join), max_size=12)


def entries(paths: list[str]) -> dict[str, Entry]:
    """Files at those paths that can be together: none is a folder of another."""
    kept: dict[str, Entry] = {}
    for path in paths:
        if not any(other.startswith(f"{path}/") or path.startswith(f"{other}/") for other in kept):
            kept[path] = Entry("100644", DATA.id)
    return kept


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("objects")
    git("init", "-q", "--bare", cwd=path)
    subprocess.run(["git", "hash-object", "-w", "--stdin"], cwd=path, input=DATA.data, check=True, capture_output=True)
    return path


def test_ids_are_gits(repository: Path) -> None:
    done = subprocess.run(
        ["git", "hash-object", "--stdin"], cwd=repository, input=b"x\n", capture_output=True, check=True
    )
    assert done.stdout.decode().strip() == DATA.id


def test_a_wrong_id_is_named_with_the_right_one() -> None:
    assert DATA.checked(DATA.id) is DATA
    with pytest.raises(CheckFailed, match=r"train\.py") as error:
        DATA.checked("0" * 40, "train.py")
    assert "0" * 40 in error.value.why and DATA.id in error.value.why


@settings(max_examples=25, deadline=None)
@given(PATHS)
def test_trees_are_gits(repository: Path, paths: list[str]) -> None:
    files = entries(paths)
    made = trees(files)
    Repository(repository).write(pack([DATA, *made]))
    listed = git("ls-tree", "-r", "-z", made[-1].id, cwd=repository).split("\0")
    assert {row.split("\t")[1] for row in listed if row} == set(files)
    if files:  # git fsck knows how names have to be sorted
        git("fsck", "--strict", made[-1].id, cwd=repository)


@given(PATHS, PATHS, PATHS)
def test_changing_a_tree_gives_what_making_it_anew_gives(start: list[str], add: list[str], gone: list[str]) -> None:
    files = entries(start)
    tree = Files(files)
    tree.write()
    for path in gone:
        if path in files:
            del tree[path]
            del files[path]
    for path, entry in entries([*files, *add]).items():
        tree[path] = entry
        files[path] = entry
    root, made = tree.write()
    assert root == trees(files)[-1].id
    assert tree.write() == (root, [])
    assert all(tree.get(path) == entry for path, entry in files.items())
    assert {item.id for item in made} <= {item.id for item in trees(files)}


def test_a_file_and_a_folder_cannot_have_one_name() -> None:
    tree = Files({"a/b": Entry("100644", DATA.id)})
    with pytest.raises(IsADirectoryError):
        tree["a"] = Entry("100644", DATA.id)
    with pytest.raises(NotADirectoryError):
        tree["a/b/c"] = Entry("100644", DATA.id)
    assert tree.get("a") is None
    assert tree.get("a/b/c") is None
    with pytest.raises(KeyError):
        del tree["a/b/c"]


def test_only_folders_on_the_way_are_made_again() -> None:
    tree = Files({f"{folder}/{name}": Entry("100644", DATA.id) for folder in "abc" for name in "xyz"})
    assert len(tree.write()[1]) == 4
    tree["a/x"] = Entry("100755", DATA.id)
    assert len(tree.write()[1]) == 2


def test_reading_a_tree_back() -> None:
    made = trees({"a.b": Entry("100755", DATA.id), "a/c": Entry("100644", DATA.id)})
    assert parse_tree(made[-1].data) == {"a.b": Entry("100755", DATA.id), "a": Entry("40000", made[0].id)}


@settings(max_examples=25, deadline=None)
@given(st.lists(st.binary(max_size=5000), max_size=5))
def test_a_pack_holds_each_object_once(repository: Path, data: list[bytes]) -> None:
    made = [blob(one) for one in [*data, *data, b"at least one"]]
    Repository(repository).write(pack(made))
    assert [item.data for item in Repository(repository).read(item.id for item in made)] == [item.data for item in made]


def test_a_commit_is_gits(repository: Path) -> None:
    tree = trees({"f": Entry("100644", DATA.id)})[-1]
    made = commit(tree.id, (), "Zoë <z@example.org> 1634021238 -0700", "A <a@example.org> 1634021239 +0000", "S\n\nB\n")
    Repository(repository).write(pack([DATA, tree, made]))
    shown = git("log", "-1", "--format=%an|%ae|%at|%ai|%cn|%ct|%s|%b", made.id, cwd=repository)
    assert shown == "Zoë|z@example.org|1634021238|2021-10-11 23:47:18 -0700|A|1634021239|S|B"


def test_an_object_is_not_equal_to_one_of_another_kind() -> None:
    assert Object("blob", b"") != Object("tree", b"")
    assert objects.blob(b"").id != Object("tree", b"").id
