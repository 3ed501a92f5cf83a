from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from porter.sources import cache
from porter.sources.cache import Memo


@pytest.fixture
def kept(own_home: Path) -> Memo:
    """A memo that another porter left: one result."""
    made = Memo("kind", [b"code"])
    made.put("key", {"places": [1, "ä", None]})
    made.save()
    return made


def test_what_one_finds_the_next_knows(kept: Memo) -> None:
    assert Memo("kind", [b"code"]).get("key") == {"places": [1, "ä", None]}
    assert Memo("kind", [b"code"]).get("other") is None


@pytest.mark.parametrize("depends", [[b"other"], [b"co", b"de"], [b"code", b""], []])
def test_all_that_a_result_depends_on_counts(kept: Memo, depends: list[bytes]) -> None:
    assert Memo("kind", depends).get("key") is None
    assert Memo("other", [b"code"]).get("key") is None


def test_another_version_of_porter_knows_nothing(kept: Memo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "__version__", "0.0.other")
    assert Memo("kind", [b"code"]).get("key") is None


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "a bit": lambda data: data[:-9] + bytes([data[-9] ^ 1]) + data[-8:],
    "a digit of the digest": lambda data: (b"0" if data[:1] != b"0" else b"1") + data[1:],
    "cut off": lambda data: data[:-5],
    "empty": lambda data: b"",
    "zeros": lambda data: bytes(len(data)),
    "no JSON": lambda data: b"{",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_is_not_believed(kept: Memo, damage: str) -> None:
    data = kept.path.read_bytes()
    kept.path.write_bytes(DAMAGES[damage](data))
    again = Memo("kind", [b"code"])
    assert again.get("key") is None
    again.put("key", {"places": [1, "ä", None]})
    again.save()
    assert kept.path.read_bytes() == data


def test_a_cache_that_cannot_be_used_costs_nothing_but_time(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (own_home / "file").write_text("")
    monkeypatch.setenv("PORTER_CACHE", str(own_home / "file"))
    made = Memo("kind", [b"code"])
    assert made.get("key") is None
    made.put("key", 1)
    made.save()
    assert made.get("key") == 1


def test_the_last_that_were_of_use_are_kept(own_home: Path) -> None:
    made = Memo("kind", [b"code"], most=3)
    for n in range(3):
        made.put(str(n), n + 1)
    assert made.get("0") == 1
    made.put("3", 4)
    made.save()
    again = Memo("kind", [b"code"], most=3)
    assert [again.get(str(n)) for n in range(4)] == [1, None, 3, 4]


def test_a_few_memories_of_a_kind_are_kept_and_no_stray_file(own_home: Path) -> None:
    folder = Memo("kind", []).path.parent
    folder.mkdir(parents=True)
    (folder / ".left.json.by-a-kill").write_text("half")
    os.utime(folder / ".left.json.by-a-kill", (0, 0))
    for n in range(12):
        made = Memo("kind", [b"%d" % n])
        made.put("key", n)
        made.save()
        os.utime(made.path, (1000 + n, 1000 + n))
    assert Memo("kind", [b"11"]).get("key") == 11
    assert Memo("kind", [b"0"]).get("key") is None
    assert len(list(folder.iterdir())) == 8


def test_one_for_all_threads(own_home: Path) -> None:
    def work(n: int) -> None:
        made = Memo.shared("kind", [b"code"])
        for m in range(50):
            made.put(f"{n} {m}", m + 1)
            made.get(f"{n} {m}")
        made.save()

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    again = Memo("kind", [b"code"])
    assert all(again.get(f"{n} {m}") == m + 1 for n in range(8) for m in range(50))
