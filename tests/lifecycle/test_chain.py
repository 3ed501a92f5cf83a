from __future__ import annotations

import pytest

from porter.objects import Entry, blob, trees
from porter.rebase.chain import Chain
from porter.rebase.threeway import Sides, merge


def test_a_chain_makes_the_trees_that_its_files_make() -> None:
    one, two = (Entry("100644", blob(data).id) for data in (b"1\n", b"2\n"))
    chain = Chain("0" * 40, {"a/b": one, "c": one})
    chain.add("common", "A <a@b>", "1700000000 +0000", "One\n", {"a/b": None, "a": two})
    root = trees({"a": two, "c": one})[-1].id
    assert chain.made[chain.tip].data.startswith(f"tree {root}\nparent {'0' * 40}\nauthor A <a@b> 1700".encode())
    assert root in chain.made
    with pytest.raises(NotADirectoryError):
        chain.add("mlu", "A <a@b>", "1700000000 +0000", "Three\n", {"c/d": two})


def test_a_merge_that_gives_what_ours_is() -> None:
    """git does not write a file that it would not change; found by a reordering of commits."""
    base, ours = b"1\n2\n3\n4\n5\n6\n7\n", b"1\n2 a\n3\n4\n5\n6 b\n7\n"
    assert merge([Sides(base, ours, b"1\n2\n3\n4\n5\n6 b\n7\n")]) == [(ours, True)]
