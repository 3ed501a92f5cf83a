"""Patches of a bump that apply and should be looked at again."""

from __future__ import annotations

from porter.patch import Patch
from porter.rebase.outcome import suspects

HEAD = """From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001
From: Ann <ann@example.org>
Date: Mon, 1 Jan 2024 00:00:00 +0000
Subject: [PATCH] Do it

Why.

diff --git a/a.py b/a.py
index 1111111111111111111111111111111111111111..2222222222222222222222222222222222222222 100644
--- a/a.py
+++ b/a.py
"""


def patch(*rows: str) -> Patch:
    old, new = (sum(row[:1] in (" ", sign) for row in rows) for sign in "-+")
    body = "".join(f"{row}\n" for row in rows)
    return Patch.parse(f"{HEAD}@@ -1,{old} +1,{new} @@\n{body}".encode(), "common", "do-it.patch")


def found(was: Patch, now: Patch, before: str = "x\n", after: str = "x\n") -> list[str]:
    return suspects({was.id: was}, [now], lambda _: before.encode(), lambda _: after.encode())


def test_a_patch_that_is_as_it_was() -> None:
    one = patch(" x", "-y", "+z")
    assert found(one, one) == []


def test_a_patch_that_grew_out_of_proportion() -> None:
    """More than three times as many lines, and a hundred more at least; a small one may grow."""
    small = patch(" x", "-y", "+z")
    assert found(small, patch(" x", *["+new"] * 101)) == []  # 101 lines are 99 more
    assert found(small, patch(" x", *["+new"] * 102)) == ["common/do-it.patch changes 102 lines, and changed 2 before"]
    big = patch(" x", *["+z"] * 60)
    assert found(big, patch(" x", *["+z"] * 180)) == []  # three times
    assert len(found(big, patch(" x", *["+z"] * 181))) == 1


def test_a_resolution_that_drops_upstreams_side() -> None:
    was = patch(" x", "-y", "+z")
    now = patch(" x", "-upstream new", "-y", "+z")
    said = "common/do-it.patch takes away 1 line that upstream added to a.py: upstream new"
    assert found(was, now, "x\ny\n", "x\nupstream new\ny\n") == [said]
    assert found(was, now, "x\nupstream new\ny\n", "x\nupstream new\ny\n") == []  # it was there before
    assert found(was, was, "x\n", "x\ny\n") == []  # the patch has always taken it away
