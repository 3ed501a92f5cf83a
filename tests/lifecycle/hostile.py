"""Inputs for `porter import` that nobody means well: real diffs and mails, cut, mixed and spoilt at random."""

from __future__ import annotations

import base64
import random
from collections.abc import Sequence

_ODD = (
    *(b"\0", b"\x1b[31m", b"\r", b"\xff\xfe", b"\xc3", b"\t", b'"', b"\\", b"../", b"/", b".git/", b"a/", b"@@", b"\n"),
    *(b"From ", b"commit 0123456789abcdef\n", b"diff --git ", b"--- /dev/null\n", b"+++ b/x\n", b"rename to "),
    *(b"9" * 5000, b"GIT binary patch\n", b"new file mode 120000\n", b"Subject: ", b"-- \n"),
    *(b"@@ -1,99999 +1,99999 @@\n", b"@@ -0,0 +1 @@\n", b"@@ -5 +5 @@\n", b"diff --cc x\n", b"| " * 900),
    *(b"Only in a: b\n", b"Content-Type: text/x; charset=no\n", b"author <@> 9\n", b"# User <>\n"),
    *(b'"a/\\303\\x"', b"index 1..2 160000\n", b"\\ No newline at end of file\n", b"\n" * 3000),
)  # fmt: skip
HUNK = b"@@ -1,5 +1,5 @@\n-import torch\n+import torch, os\n \n \n def main(opt):\n     print('train', opt)\n"
PLAIN = b"diff --git a/train.py b/train.py\nindex 1234567..89abcde 100644\n--- a/train.py\n+++ b/train.py\n" + HUNK
_ADDED = b"diff --git %s %s\nnew file mode 100644\n--- /dev/null\n+++ %s\n@@ -0,0 +1 @@\n+hi\n"
_HEAD = b"From: Ann <ann@example.org>\nDate: Tue, 12 Oct 2021 10:00:00 +0800\nSubject: [PATCH] Raise it\n"
_PART = b"--B\nContent-Type: text/x-patch\nContent-Transfer-Encoding: base64\n\n" + base64.encodebytes(PLAIN)
SEEDS = (
    PLAIN,
    _ADDED % ((rb'"a/docs \303\274/x.py"',) + (rb'"b/docs \303\274/x.py"',) * 2),
    _ADDED % ((rb'"a/x\377.py"',) + (rb'"b/x\377.py"',) * 2),
    PLAIN + b"diff --git a/bus.jpg b/bus.jpg\nindex 1234..5678 100644\nGIT binary patch\nliteral 2\nJc${}\n\n",
    b"commit 0123456789012345678901234567890123456789\nAuthor: Ann <ann@example.org>\n"
    b"Date:   Tue Oct 12 10:00:00 2021 +0800\n\n    Raise it\n\n    Why.\n\n" + PLAIN,
    b"From 0123456789012345678901234567890123456789 Mon Sep 17 00:00:00 2001\n" + _HEAD + b"\nWhy.\n---\n" + PLAIN,
    _HEAD + b'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="B"\n\n' + _PART + b"--B--\n",
    b"# HG changeset patch\n# User Ann <ann@example.org>\n# Date 1634004000 -28800\nRaise it\n\n" + PLAIN,
    b"Index: train.py\n=====\n--- train.py\t(revision 1)\n+++ train.py\t(working copy)\n" + HUNK,
    b"diff -ru a/train.py b/train.py\n--- a/train.py\t2021-10-12\n+++ b/train.py\t2022-01-01\n" + HUNK,
    b"diff --git a/train.py b/models/t it.py\nsimilarity index 100%\nrename from train.py\nrename to models/t it.py\n",
    b"\xef\xbb\xbf" + PLAIN.replace(b"\n", b"\r\n"),
    PLAIN.decode().encode("utf-16"),
)  # fmt: skip


def hostile(chance: random.Random, seeds: Sequence[bytes] = SEEDS) -> bytes:
    """One input: a seed with up to six things done to it."""
    data = bytearray(chance.choice(seeds))
    for _ in range(chance.randint(1, 6)):
        at, size = chance.randrange(len(data) + 1), chance.choice((1, 1, 4, 40, 400))
        how = chance.randrange(7)
        if how == 0:
            data[at : at + size] = b""
        elif how == 1:
            data[at:at] = chance.choice(_ODD)
        elif how == 2:
            data[at : at + size] = chance.randbytes(size)
        elif how == 3:
            other = chance.choice(seeds)
            data[at:at] = other[chance.randrange(len(other)) :]
        elif how == 4:
            del data[at:]
        elif how == 5:
            rows = bytes(data).split(b"\n")
            chance.shuffle(rows)
            data = bytearray(b"\n".join(rows))
        else:
            data += data[at : at + size] * chance.choice((2, 50))
    return bytes(data)
