from __future__ import annotations

import email.utils
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fileserver import Asked, Shelf, shelf
from sources import closed_port, mute_port, small_file_system

import porter
from porter.downloads import partial
from porter.downloads.digests import Digests
from porter.downloads.download import Downloaded, Wanted, fetch
from porter.downloads.retry import RetryPolicy, pause
from porter.errors import CheckFailed, EnvironmentFailed, PorterError, WrongUsage
from porter.output import Progress

DATA = random.Random(1).randbytes(2_000_000)
CUT = 900_000  # bytes after which a server breaks off
QUICK = RetryPolicy(timeout=5, tries=3)


@pytest.fixture(autouse=True)
def alone(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits of hundredths of a second; nothing leaves this machine."""
    monkeypatch.setattr(partial, "pause", lambda failures: 0.01)
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{closed_port()}")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


class Heard(Progress):
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.steps: list[tuple[int, int | None]] = []

    def note(self, line: str) -> None:
        self.notes.append(line)

    def transfer(self, what: str, done: int, total: int | None) -> None:
        self.steps.append((done, total))


def get(server: Shelf | str, folder: Path, heard: Progress | None = None, **options: object) -> Downloaded:
    url = server if isinstance(server, str) else f"{server.url}/file.bin"
    wanted = Wanted(url, options.pop("mirrors", ()), options.pop("check", lambda path: None))  # type: ignore[arg-type]
    options.setdefault("policy", QUICK)
    return fetch(wanted, folder / "file.bin", heard or Progress(), **options)  # type: ignore[arg-type]


def right(made: Downloaded, data: bytes = DATA) -> None:
    """The file is whole, and nothing is beside it."""
    expected = hashlib.sha256(data).hexdigest()  # pytest would compare the bytes themselves for an hour
    assert hashlib.sha256(made.path.read_bytes()).hexdigest() == expected
    assert made.sha256 == expected
    assert os.listdir(made.path.parent) == [made.path.name]


def fails(kind: type[PorterError], server: Shelf | str, folder: Path, left: int = 0, **options: object) -> PorterError:
    """Nothing is under the file's name afterwards."""
    with pytest.raises(kind) as caught:
        get(server, folder, **options)
    assert not (folder / "file.bin").exists()
    assert len(os.listdir(folder)) == left if folder.exists() else left == 0
    return caught.value


# -- servers that work ------------------------------------------------------------------------------------------


def test_a_small_file_is_one_request(tmp_path: Path) -> None:
    with shelf({"/file.bin": DATA[:1000]}) as server:
        right(get(server, tmp_path / "new" / "folder"), DATA[:1000])
        assert len(server.log) == 1


def test_a_large_file_is_one_request_too(tmp_path: Path) -> None:
    heard = Heard()
    with shelf({"/file.bin": DATA}) as server:
        right(get(server, tmp_path, heard))
        assert [asked.headers.get("range") for asked in server.log] == [None]
    assert all(total in (None, len(DATA)) for _, total in heard.steps)
    assert [done for done, _ in heard.steps] == sorted(done for done, _ in heard.steps)


@pytest.mark.parametrize(
    ("unusual", "starts"),
    [
        ({}, [None, CUT]),
        ({"ranges": False}, [None, None]),
        ({"etag": None}, [None, None]),  # with no word on the edition nothing holds the parts together
        ({"etag": 'W/"weak"'}, [None, None]),
        ({"etag": 'W/"weak"', "date": "Tue, 12 Oct 2021 00:00:00 GMT"}, [None, CUT]),
        ({"etag": None, "date": "Tue, 12 Oct 2021 00:00:00 GMT"}, [None, CUT]),
    ],
)
def test_what_a_server_can_do_decides(tmp_path: Path, unusual: dict[str, object], starts: list[int | None]) -> None:
    """The first answer is cut short, without a word."""
    with shelf({"/file.bin": DATA}, cut=lambda number, _: None if number else CUT, reset=False, **unusual) as server:
        right(get(server, tmp_path))
        assert [asked.start for asked in server.log] == starts


def test_the_end_of_the_connection_is_the_end_of_the_file(tmp_path: Path) -> None:
    with shelf({"/file.bin": DATA}, length=lambda true: None) as server:
        right(get(server, tmp_path))
        assert len(server.log) == 1


def test_an_empty_file(tmp_path: Path) -> None:
    with shelf({"/file.bin": b""}) as server:
        right(get(server, tmp_path), b"")


# -- cuts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reset", [True, False], ids=["reset", "silent end"])
@pytest.mark.parametrize("cut", [0, 1, 200_000])
def test_after_a_cut_only_the_rest_is_fetched(tmp_path: Path, cut: int, reset: bool) -> None:
    with shelf({"/file.bin": DATA}, cut=lambda number, _: cut if number < 8 else None, reset=reset) as server:
        right(get(server, tmp_path, policy=RetryPolicy(timeout=5, tries=10)))
        # a reset may take what was under way with it, on a busy machine all of an answer; a silent end takes nothing
        assert server.sent <= len(DATA) + 8 * cut if reset else server.sent == len(DATA)


def test_a_server_without_ranges_that_cuts_begins_again(tmp_path: Path) -> None:
    with shelf({"/file.bin": DATA}, ranges=False, cut=lambda number, _: CUT if number < 2 else None) as server:
        right(get(server, tmp_path))
        assert len(server.log) == 3


def test_a_server_that_always_cuts_at_the_same_place(tmp_path: Path) -> None:
    with shelf({"/file.bin": DATA}, ranges=False, cut=lambda *_: CUT, reset=False) as server:
        error = fails(EnvironmentFailed, server, tmp_path)
        # once for getting there, then as often as policy says
        assert len(server.log) == 3
    assert "ended" in error.why and "3 times in a row" in error.why


def broken_off(number: int, _: Asked) -> int:
    """A server that gives the beginning and nothing more."""
    return 0 if number else CUT


def test_what_came_before_a_failure_is_kept_and_gone_on_with(tmp_path: Path) -> None:
    heard = Heard()
    with shelf({"/file.bin": DATA}, cut=broken_off, reset=False) as server:
        error = fails(EnvironmentFailed, server, tmp_path, left=2, heard=heard)
        assert "cannot download file.bin" in error.what
        assert "the connection ended" in error.why
        assert any("900.0 kB are kept in" in note and "the same command goes on" in note for note in heard.notes)
        server.cut = lambda *_: None
        before = server.sent
        right(get(server, tmp_path))
        assert server.sent - before == len(DATA) - CUT
        assert server.log[-1].headers["if-range"] == '"one"'


def test_what_an_earlier_run_left_is_thrown_away_where_it_is_wrong(tmp_path: Path) -> None:
    heard = Heard()
    with shelf({"/file.bin": DATA}) as server:
        get(server, tmp_path / "first")  # its digest is known now
        server.cut = lambda number, _: 0 if number > 1 else CUT
        server.reset = False
        fails(EnvironmentFailed, server, tmp_path / "again", left=2)
        with open(tmp_path / "again" / "file.bin.part", "r+b") as part:
            part.write(b"rotten")
        server.cut = lambda *_: None
        right(get(server, tmp_path / "again", heard))
        assert [asked.start for asked in server.log[-2:]] == [CUT, None]
    assert any("what an earlier run left is thrown away" in note for note in heard.notes)


@pytest.mark.parametrize("etag", ['"two"', '"one"'], ids=["another edition", "the same name"])
def test_a_file_that_changes_meanwhile_is_never_mixed(tmp_path: Path, etag: str) -> None:
    """A server that gives two files one name says at least how long they are."""
    other = DATA[::-1] + b"."
    with shelf({"/file.bin": DATA}, reset=False) as server:

        def change(number: int, _: Asked) -> int | None:
            if number:
                return None
            server.files["/file.bin"], server.etag = other, etag
            return CUT

        server.cut = change
        right(get(server, tmp_path), other)


def test_a_file_that_changed_between_two_runs(tmp_path: Path) -> None:
    with shelf({"/file.bin": DATA}, cut=broken_off) as server:
        fails(EnvironmentFailed, server, tmp_path, left=2)
        server.cut, server.etag, server.files["/file.bin"] = (lambda *_: None), '"two"', DATA[:1_500_000]
        right(get(server, tmp_path), DATA[:1_500_000])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda state: "no JSON",
        lambda state: json.dumps({**state, "format": 1}),
        lambda state: json.dumps({**state, "version": ""}),
        lambda state: json.dumps({**state, "size": "large"}),
        lambda state: json.dumps({**state, "source": "https://example.com/other"}),
        lambda state: json.dumps({**state, "size": 5}),
        lambda state: json.dumps([state]),
    ],
)
def test_a_state_that_makes_no_sense_is_not_believed(tmp_path: Path, spoil: Callable[[object], str]) -> None:
    with shelf({"/file.bin": DATA}, cut=broken_off) as server:
        fails(EnvironmentFailed, server, tmp_path, left=2)
        state = tmp_path / "file.bin.part.json"
        state.write_text(spoil(json.loads(state.read_text())))
        server.cut, server.sent = (lambda *_: None), 0
        right(get(server, tmp_path))
        assert server.sent == len(DATA)


def test_a_server_that_falls_silent(tmp_path: Path) -> None:
    with mute_port() as port:
        started = time.monotonic()
        error = fails(EnvironmentFailed, f"http://127.0.0.1:{port}/x", tmp_path, policy=RetryPolicy(0.3, tries=2))
        assert time.monotonic() - started < 50  # it would wait 60 s each time
    assert "it said nothing for 0.3 s (2 times in a row)" in error.why


def test_a_time_for_everything(tmp_path: Path) -> None:
    with shelf({"/file.bin": DATA}, rate=20_000) as server:  # 100 s
        started = time.monotonic()
        fails(EnvironmentFailed, server, tmp_path, left=2, policy=RetryPolicy(5, total=0.5))
        assert time.monotonic() - started < 50


# -- lies -------------------------------------------------------------------------------------------------------


def test_a_length_that_is_too_long(tmp_path: Path) -> None:
    with shelf({"/file.bin": DATA}, ranges=False, length=lambda true: true + 5) as server:
        error = fails(EnvironmentFailed, server, tmp_path)
    assert "ended" in error.why


def test_a_length_that_is_too_short_fails_the_check(tmp_path: Path) -> None:
    def whole(path: Path) -> None:
        if path.stat().st_size != len(DATA):
            raise CheckFailed("what came is too short")

    with shelf({"/file.bin": DATA}, ranges=False, length=lambda true: true - 5) as server:
        error = fails(CheckFailed, server, tmp_path, check=whole)
    assert error.what == "what came is too short"
    assert not Digests().path.exists()  # and its digest is not kept


@pytest.mark.parametrize(
    "lie",
    [
        lambda h: h.update({"Content-Range": "bytes 7-1999999/2000000"}),
        lambda h: h.update({"Content-Range": "bytes 900000-1999999/3000000"}),
        lambda h: h.update({"Content-Range": "bytes 900000-2000000/2000000"}),
        lambda h: h.update({"Content-Range": "bytes 900000-1999999/*"}),
        lambda h: h.update({"Content-Range": "nonsense"}),
        lambda h: h.pop("Content-Range"),
    ],
    ids=["another range", "another size", "too long", "no size", "nonsense", "none"],
)
def test_a_range_that_was_not_asked_for_is_not_believed(tmp_path: Path, lie: Callable[[dict[str, str]], None]) -> None:
    """Such a server is asked for the file as a whole."""
    with shelf({"/file.bin": DATA}, alter=lie, cut=lambda number, _: None if number else CUT, reset=False) as server:
        right(get(server, tmp_path))
        assert [asked.start for asked in server.log] == [None, CUT, None]


def test_a_server_that_lies_each_time(tmp_path: Path) -> None:
    def lie(headers: dict[str, str]) -> None:
        headers["Content-Range"] = "nonsense"

    # a little more each time: what gets further is borne, whatever came between
    with shelf({"/file.bin": DATA}, alter=lie, cut=lambda number, _: CUT + number, reset=False) as server:
        error = fails(EnvironmentFailed, server, tmp_path)
    assert "another file each time it is asked" in error.why


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({"Content-Type": "text/html; charset=utf-8"}, "a web page came instead of the file"),
        ({"Content-Encoding": "gzip"}, "it sends the file encoded (gzip)"),
    ],
)
def test_a_body_that_cannot_be_the_file(tmp_path: Path, headers: dict[str, str], said: str) -> None:
    with shelf({"/file.bin": DATA}, headers=headers) as server:
        assert said in fails(EnvironmentFailed, server, tmp_path).why


# -- what a server says -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [401, 403, 404, 410, 451, 501])
def test_a_no_is_a_no(tmp_path: Path, status: int) -> None:
    with shelf({"/file.bin": DATA}, answers=[(status, {})]) as server:
        error = fails(EnvironmentFailed, server, tmp_path)
        assert len(server.log) == 1
    assert f"it answers {status} " in error.why
    assert "--mirror" in error.hint


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_busy_server_is_asked_again(tmp_path: Path, status: int) -> None:
    with shelf({"/file.bin": DATA}, answers=[(status, {})] * 2) as server:
        right(get(server, tmp_path))
    with shelf({"/file.bin": DATA}, answers=[(status, {})] * 3) as server:
        error = fails(EnvironmentFailed, server, tmp_path / "other")
        assert f"it answers {status} " in error.why and "(3 times in a row)" in error.why


@pytest.mark.parametrize("status", [403, 429, 503])
@pytest.mark.parametrize("dated", [True, False])
def test_a_server_that_says_when_to_come_back(tmp_path: Path, status: int, dated: bool) -> None:
    when = email.utils.formatdate(time.time() + 2, usegmt=True) if dated else "1"
    with shelf({"/file.bin": DATA}, answers=[(status, {"Retry-After": when})]) as server:
        started = time.monotonic()
        right(get(server, tmp_path))
        assert time.monotonic() - started > 0.9
    with shelf({"/file.bin": DATA}, answers=[(status, {"Retry-After": "3600"})]) as server:
        assert "asks to come back in 3600 s" in fails(EnvironmentFailed, server, tmp_path / "other").why


def test_the_pause_doubles_and_varies() -> None:
    for failures, longest in ((1, 0.5), (2, 1.0), (3, 2.0), (10, 30.0)):
        some = {pause(failures) for _ in range(50)}
        assert all(longest / 2 <= seconds <= longest for seconds in some)
        assert len(some) > 10


def test_nobody_there(tmp_path: Path) -> None:
    error = fails(EnvironmentFailed, f"http://127.0.0.1:{closed_port()}/x", tmp_path)
    assert "cannot reach 127.0.0.1: Connection refused" in error.why
    error = fails(EnvironmentFailed, "https://example.com/x", tmp_path)
    assert "cannot reach example.com through the proxy https_proxy http://127.0.0.1:" in error.why


# -- what is there already --------------------------------------------------------------------------------------


def test_a_file_that_is_there_is_not_fetched_again(tmp_path: Path) -> None:
    with shelf({"/file.bin": DATA}) as server:
        get(server, tmp_path)
        before = len(server.log)
        again = get(server, tmp_path)
        assert (again.source, len(server.log)) == ("", before)
        (tmp_path / "file.bin").write_bytes(b"mine")
        with pytest.raises(CheckFailed, match="is another file"):
            get(server, tmp_path)
        assert (tmp_path / "file.bin").read_bytes() == b"mine"


def test_a_folder_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file.bin").mkdir()
    with pytest.raises(WrongUsage, match="is a folder"):
        get("https://example.com/file.bin", tmp_path)


# -- disks ------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MB."""
    with small_file_system(tmp_path / "disk", "24m") as disk:
        yield disk


def test_a_disk_that_is_too_small_is_asked_first(small_disk: Path) -> None:
    with shelf({"/file.bin": bytes(30_000_000)}) as server:
        error = fails(EnvironmentFailed, server, small_disk)
        assert len(server.log) == 1
    assert "has no room for file.bin" in error.what
    assert "30.0 MB to download, " in error.why


def test_a_disk_that_fills_up(small_disk: Path) -> None:
    """The server does not say how much will come."""
    with shelf({"/file.bin": bytes(30_000_000)}, ranges=False, length=lambda true: None) as server:
        error = fails(EnvironmentFailed, server, small_disk)
    assert error.why in ("No space left on device", f"{error.why[:6]} free, and more to come")
    assert shutil.disk_usage(small_disk).used == 0


def test_a_disk_that_fills_up_meanwhile(small_disk: Path) -> None:
    """Somebody else takes the room; what came is kept, and with room again it is gone on with."""
    filler = small_disk / "filler"
    with shelf({"/file.bin": DATA}, cut=lambda number, _: CUT, reset=False) as server:

        def fill(number: int, _: Asked) -> int | None:
            if number:
                filler.write_bytes(bytes(shutil.disk_usage(small_disk).free - CUT // 2))
            return None if number else CUT

        server.cut = fill
        with pytest.raises(EnvironmentFailed, match="No space left on device"):
            get(server, small_disk)
        assert not (small_disk / "file.bin").exists()
        filler.unlink()
        server.cut, server.sent = (lambda *_: None), 0
        right(get(server, small_disk))
        assert server.sent < len(DATA) - CUT


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentFailed, match=r"cannot write .*\nNot a directory"):
        get("https://example.com/file.bin", tmp_path / "file" / "below")


# -- processes --------------------------------------------------------------------------------------------------

CHILD = """
import sys
from pathlib import Path
from porter.downloads.download import Wanted, fetch
from porter.downloads.retry import RetryPolicy
from porter.output import Terminal
from porter.process import handle_signals
handle_signals()
made = fetch(Wanted(sys.argv[1]), Path(sys.argv[2]), Terminal(), policy=RetryPolicy(timeout=5))
print(made.source or "there")
"""


def child(server: Shelf, folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CHILD, f"{server.url}/file.bin", str(folder / "file.bin")]
    return subprocess.Popen(
        command, cwd=Path(porter.__file__).parents[1], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def until(met: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not met():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_two_at_once_share_the_work(tmp_path: Path) -> None:
    with shelf({"/file.bin": DATA}, rate=500_000) as server:
        one, two = child(server, tmp_path), child(server, tmp_path)
        said = sorted(process.communicate(timeout=60)[0].strip() for process in (one, two))
        assert (one.returncode, two.returncode) == (0, 0)
        assert said == [f"{server.url}/file.bin", "there"]
        assert server.sent == len(DATA)
    assert os.listdir(tmp_path) == ["file.bin"]
    assert (tmp_path / "file.bin").read_bytes() == DATA


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_next_one_goes_on_where_one_was_ended(tmp_path: Path, number: int) -> None:
    """The second waits for the first, which dies: it takes over."""
    with shelf({"/file.bin": DATA}, rate=250_000) as server:
        one = child(server, tmp_path)
        part = tmp_path / "file.bin.part"
        until(lambda: part.exists() and part.stat().st_size > CUT)
        two = child(server, tmp_path)
        assert two.stderr is not None
        assert "another porter is downloading" in two.stderr.readline()
        one.send_signal(number)
        _, said = one.communicate(timeout=30)
        assert one.returncode != 0
        if number != signal.SIGKILL:  # which leaves no time to say so
            assert "are kept in" in said
        server.rate = 0
        assert two.communicate(timeout=60)[0].strip() == f"{server.url}/file.bin"
        assert [asked.start is not None and asked.start > CUT for asked in server.log] == [False, True]
    assert (tmp_path / "file.bin").read_bytes() == DATA
    assert os.listdir(tmp_path) == ["file.bin"]
