from __future__ import annotations

import random
from pathlib import Path

from sources import git

from porter import objects
from porter.git import Repository
from porter.objects import Entry, Object
from porter.rebase.renames import Renames


class World:
    """Trees in memory and in a repository, where git is asked for the same."""

    def __init__(self, folder: Path) -> None:
        git("init", "-q", "--bare", folder / "r.git", cwd=folder)
        self.repository = Repository(folder / "r.git", exact=True)
        self.blobs: dict[str, Object] = {}
        self.found = Renames(lambda i: self.blobs[i].data)

    def tree(self, files: dict[str, bytes]) -> dict[str, Entry]:
        made = {path: objects.blob(data) for path, data in files.items()}
        self.blobs.update((blob.id, blob) for blob in made.values())
        return {path: Entry("100644", blob.id) for path, blob in made.items()}

    def ours(self, before: dict[str, Entry], after: dict[str, Entry]) -> dict[str, str]:
        gone = {path: entry for path, entry in before.items() if path not in after}
        return self.found.find(gone, {path: entry for path, entry in after.items() if path not in before})

    def gits(self, before: dict[str, Entry], after: dict[str, Entry]) -> dict[str, str]:
        trees = [objects.trees(files) for files in (before, after)]
        self.repository.write(objects.pack([*self.blobs.values(), *trees[0], *trees[1]]))
        ids = [made[-1].id for made in trees]
        out = self.repository.text(
            "diff-tree", "-r", "-M50%", "-l0", "--no-rename-empty", "--diff-filter=R", "-z", *ids
        )
        words = out.split("\0")[:-1]
        return dict(zip(words[1::3], words[2::3]))


def text(chance: random.Random, size: int) -> list[bytes]:
    return [b"word %d" % chance.randrange(60) + b" and more" * chance.randrange(12) for _ in range(size)]


def changed(lines: list[bytes], share: float, chance: random.Random) -> bytes:
    return b"\n".join(b"other %d" % chance.randrange(99) if chance.random() < share else line for line in lines)


def test_they_are_the_renames_that_git_finds(tmp_path: Path) -> None:
    """Random trees: files copied, changed by up to two thirds, renamed in their folder and into others."""
    chance, world, renames = random.Random(60), World(tmp_path), 0
    for _ in range(40):
        names = [f"{folder}/{name}" for folder in ("a", "b") for name in ("x.py", "y.py", "z.py")]
        contents = {name: text(chance, chance.randrange(5, 30)) for name in chance.sample(names, 4)}
        before = {name: b"\n".join(lines) for name, lines in contents.items()}
        after = dict(before)
        for name in chance.sample(sorted(before), 2):
            del after[name]
        for name in ("c/x.py", "c/w.py", "b/new.py", "d"):
            after[name] = changed(contents[chance.choice(sorted(contents))], chance.choice([0, 0.1, 0.3, 0.6]), chance)
        one, two = world.tree(before), world.tree(after)
        assert world.ours(one, two) == world.gits(one, two)
        renames += len(world.ours(one, two))
    assert renames > 30


def test_a_file_of_half_its_lines_is_a_rename_and_of_less_is_not(tmp_path: Path) -> None:
    world = World(tmp_path)
    lines = [b"line %02d" % n for n in range(40)]
    for kept, expected in ((20, {"old": "new"}), (19, {})):
        before = world.tree({"old": b"\n".join([*lines, b""])})
        after = world.tree({"new": b"\n".join([*lines[:kept], *(b"otherwi" for _ in range(40 - kept)), b""])})
        assert world.ours(before, after) == world.gits(before, after) == expected


def test_the_only_file_of_that_name_goes_before_a_closer_one(tmp_path: Path) -> None:
    world = World(tmp_path)
    lines = [b"line %02d" % n for n in range(40)]
    before = world.tree({"a/x.py": b"\n".join(lines)})
    after = world.tree({"b/x.py": b"\n".join(lines[:35]), "a/y.py": b"\n".join(lines[:39])})
    assert world.ours(before, after) == world.gits(before, after) == {"a/x.py": "b/x.py"}


def test_empty_files_links_and_bytes_of_any_kind(tmp_path: Path) -> None:
    world = World(tmp_path)
    data = bytes(range(256)) * 20
    before = world.tree({"empty": b"", "crlf": b"a line\r\n" * 9, "binary": data, "link": b"there"})
    after = world.tree({"none": b"", "lf": b"a line\n" * 9, "bytes": data + b"more", "other": b"there"})
    assert world.ours(before, after) == world.gits(before, after)
    before["link"], after["other"] = Entry("120000", before["link"].id), Entry("120000", after["other"].id)
    assert "link" not in world.ours(before, after)
