from __future__ import annotations

import hashlib
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from porter.assets.partial import Follower, Partial, claim
from porter.progress import Progress

DATA = random.Random(3).randbytes(3_000_000)
SHA256 = hashlib.sha256(DATA).hexdigest()


class Counting(Partial):
    """Knows how many bytes were read from it."""

    fetched = 0

    def read(self, offset: int, length: int) -> bytes:
        piece = super().read(offset, length)
        self.fetched += len(piece)
        return piece


@pytest.fixture
def partial(tmp_path: Path) -> Iterator[Counting]:
    with claim(tmp_path / "file.bin", Progress()) as one:
        assert one is not None
        one.__class__ = Counting
        one.begin("http://example.com/file.bin", '"one"', len(DATA))
        assert isinstance(one, Counting)
        yield one


def put(partial: Partial, start: int, end: int) -> None:
    partial.write(start, DATA[start:end], partial.generation)


def test_what_comes_in_order_is_not_read_again(partial: Counting) -> None:
    follower = Follower(partial)
    for at in range(0, len(DATA), 100_000):
        put(partial, at, at + 100_000)
        time.sleep(0.001)  # longer than its hash takes
    assert follower.digest() == SHA256
    assert partial.fetched < len(DATA) / 2  # a busy machine may keep it from following


@pytest.mark.parametrize("seed", range(20))
def test_whatever_comes_first(partial: Counting, seed: int) -> None:
    """Pieces of any size in any order, from several threads, some of them again, after a false start."""
    chance = random.Random(seed)
    edges = sorted({0, len(DATA), *chance.choices(range(len(DATA)), k=chance.randrange(40))})
    spans = [*zip(edges, edges[1:]), *([(0, edges[1])] if seed % 2 else [])]
    follower = Follower(partial)
    if seed % 3 == 0:
        partial.write(0, bytes(edges[1]), partial.generation)
        partial.begin("http://example.com/file.bin", '"two"', len(DATA))
    if seed % 5:
        chance.shuffle(spans)
    threads = [
        threading.Thread(target=lambda own=spans[n::3]: [put(partial, *span) for span in own])  # type: ignore[misc]
        for n in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert partial.whole
    assert follower.digest() == SHA256


def test_what_was_there_before(partial: Counting) -> None:
    put(partial, 0, 1_000_000)
    put(partial, 2_900_000, 3_000_000)
    follower = Follower(partial)
    deadline = time.monotonic() + 10
    while partial.fetched < 1_000_000 and time.monotonic() < deadline:
        time.sleep(0.01)
    for at in range(1_000_000, 2_900_000, 100_000):
        put(partial, at, at + 100_000)
        time.sleep(0.001)
    assert follower.digest() == SHA256
    assert partial.fetched < 2_000_000


def test_a_piece_of_another_edition_is_not_hashed(partial: Counting) -> None:
    follower = Follower(partial)
    put(partial, 0, 1_000_000)
    old = partial.generation
    partial.begin("http://example.com/file.bin", '"two"', len(DATA))
    partial.write(1_000_000, DATA[1_000_000:2_000_000], old)  # from a thread that was left behind
    assert partial.covered == 0
    put(partial, 0, len(DATA))
    assert follower.digest() == SHA256
