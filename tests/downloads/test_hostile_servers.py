"""Servers that send too little, too much or nonsense; certificates and proxies that cannot be used."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from pathlib import Path

import pytest
from fileserver import raw, shelf
from sources import Heard, small_file_system

from porter.downloads import partial
from porter.downloads.download import Wanted, fetch
from porter.downloads.partial import claim
from porter.downloads.retry import RetryPolicy
from porter.errors import EnvironmentFailed
from porter.output import Progress

GOOD = b"the file\n"
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(autouse=True)
def alone(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partial, "pause", lambda failures: 0.01)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)


SERVERS = {
    "a trickle of a body": (OK + b"Content-Length: 100000\r\n\r\n", b"x" * 5000, b"", "less than 1000 a second"),
    "a trickle of headers": (OK, b"X: " + b"y" * 5000, b"", "less than 1000 a second"),
    "a trickle of a status": (b"", b"H" * 5000, b"", "less than 1000 a second"),
    "2^60 bytes": (OK + b"Content-Length: %d\r\n\r\n" % 2**60, b"", b"x" * 65536, "1152921.5 TB to download"),
    "a length of 5000 digits": (OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n", b"", b"x", "bytes long"),
    "a negative length": (OK + b"Content-Length: -5\r\n\r\n", b"", b"x", "'-5' bytes long"),
    "two lengths": (OK + b"Content-Length: 5\r\nContent-Length: 7\r\n\r\n", b"", b"x", "(5, 7)"),
    "a negative chunk": (CHUNKED + b"-5\r\nhello", b"", b"x", "the size of a chunk is negative"),
    "a chunk of -1": (CHUNKED + b"-1\r\nhello", b"", b"x" * 65536, "the size of a chunk is negative"),
    "a chunk of no number": (CHUNKED + b"zz\r\nhello\r\n", b"", b"", "the connection ended early"),
    "a chunk that is cut": (CHUNKED + b"5\r\nhe", b"", b"", "the connection ended early"),
    "a chunk's size without end": (CHUNKED, b"", b"5" * 65536, "more than 65536 bytes when reading chunk size"),
    "a gzip bomb": (OK + b"Content-Encoding: gzip\r\n\r\n", b"", b"\x1f\x8b", "it sends the file encoded (gzip)"),
    "no HTTP": (b"\x00\xff\x1b]0;x\x07\r\n\r\n", b"", b"", "its answer makes no sense: \\x00\xff\\x1b]0;x\\x07"),
    "headers without end": (OK, b"", b"A: b\r\n" * 100, "more than 100 headers"),
    "a header without end": (OK, b"", b"A" * 65536, "more than 65536 bytes when reading header line"),
    "100 Continue without end": (b"", b"", b"HTTP/1.1 100 Continue\r\n\r\n", "100 Continue without end"),
    "a redirect to no URL": (b"HTTP/1.1 302 F\r\nLocation: http://[::1\r\n\r\n", b"", b"", "IPv6"),
    "to come back in 10^5000 s": (b"HTTP/1.1 503 N\r\nRetry-After: %s\r\n\r\n" % (b"9" * 5000), b"", b"", "inf s"),
}


@pytest.mark.parametrize("kind", SERVERS)
def test_such_a_mirror_is_given_up_and_the_next_one_asked(kind: str, tmp_path: Path) -> None:
    answer, drip, forever, said = SERVERS[kind]
    heard = Heard()
    with raw(answer, drip, forever) as mirror, shelf({"/file.bin": GOOD}) as server:
        started = time.monotonic()
        wanted = Wanted(f"{server.url}/file.bin", (mirror,))
        made = fetch(wanted, tmp_path / "file.bin", heard, policy=RetryPolicy(timeout=0.5, tries=2))
        assert time.monotonic() - started < 10
        assert (made.source, made.path.read_bytes()) == (wanted.url, GOOD)
    notes = "\n".join(heard.notes)
    assert said in notes and notes.count("trying the next source") == 1
    assert os.listdir(tmp_path) == ["file.bin"]


def test_a_server_that_is_slow_but_not_that_slow(tmp_path: Path) -> None:
    with shelf({"/file.bin": GOOD * 1000}, rate=4000) as server:
        policy = RetryPolicy(timeout=0.5, tries=1, slowest=1000)
        made = fetch(Wanted(f"{server.url}/file.bin"), tmp_path / "file.bin", Progress(), policy=policy)
    assert made.sha256 == hashlib.sha256(GOOD * 1000).hexdigest()


def test_a_server_that_becomes_slow_is_asked_again(tmp_path: Path) -> None:
    """It was of use: what it gave is kept, and the rest asked for."""
    data = bytes(300_000)
    with shelf({"/file.bin": data}) as server:

        def slow_down(number: int, _: object) -> None:
            server.rate = 0 if number else 400_000
            if not number:
                threading.Timer(0.3, setattr, (server, "rate", 40)).start()

        server.cut = slow_down  # type: ignore[assignment]
        policy = RetryPolicy(timeout=0.5, tries=2)
        made = fetch(Wanted(f"{server.url}/file.bin"), tmp_path / "file.bin", Progress(), policy=policy)
    assert made.path.read_bytes() == data


def test_a_file_is_never_written_beyond_its_size(tmp_path: Path) -> None:
    with claim(tmp_path / "file.bin", Progress()) as partial:
        assert partial is not None
        partial.begin("https://example.com/file.bin", '"one"', 5)
        partial.append(b"1234")
        with pytest.raises(ValueError, match="more than the 5 bytes"):
            partial.append(b"56")
        assert partial.path.read_bytes() == b"1234"


@pytest.mark.disk
@pytest.mark.parametrize("size", ["2m", "24m"])  # no room from the first byte on, and after 16 MB
def test_a_file_without_a_size_does_not_fill_the_disk(size: str, tmp_path: Path) -> None:
    with small_file_system(tmp_path / "disk", size) as disk, raw(OK + b"\r\n", forever=bytes(65536)) as url:
        with pytest.raises(EnvironmentFailed) as caught:
            fetch(Wanted(f"{url}/file.bin"), disk / "file.bin", Progress())
        assert "no room" in str(caught.value) and "No space left" not in str(caught.value)
        assert os.listdir(disk) == []


# -- passwords --------------------------------------------------------------------------------------------------


def test_a_password_is_in_no_file_beside_the_download(tmp_path: Path) -> None:
    with shelf({"/file.bin": bytes(500_000)}, cut=lambda number, _: 0 if number else 200_000, reset=False) as server:
        url = server.url.replace("://", "://me:s3cret@") + "/file.bin?token=s3cret"
        policy = RetryPolicy(timeout=5, tries=1)
        with pytest.raises(EnvironmentFailed) as caught:
            fetch(Wanted(url), tmp_path / "file.bin", Progress(), policy=policy)
        assert "s3cret" not in str(caught.value)
        left = list(tmp_path.iterdir())
        assert len(left) == 2 and not any(b"s3cret" in path.read_bytes() for path in left)
        server.cut = lambda *_: None
        fetch(Wanted(url.replace("token=s3cret", "token=other")), tmp_path / "file.bin", Progress(), policy=policy)
        assert server.log[-1].start == 200_000  # another token is the same file


# -- certificates and proxies -----------------------------------------------------------------------------------


def why(tmp_path: Path, url: str = "https://127.0.0.1:9/file.bin") -> str:
    """Why a file cannot be had."""
    with pytest.raises(EnvironmentFailed) as caught:
        fetch(Wanted(url), tmp_path / "file.bin", Progress(), policy=RetryPolicy(timeout=2, tries=1))
    assert "s3cret" not in str(caught.value)
    return caught.value.why


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_certificates_that_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "/nowhere/ca.pem")
    assert f"{name} names /nowhere/ca.pem, which is not there" in why(tmp_path)


@pytest.mark.parametrize(
    ("proxy", "said"),
    [
        ("socks5://me:s3cret@127.0.0.1:9", "socks5://127.0.0.1:9 is a SOCKS proxy, for which the package PySocks"),
        ("http://me:s3cret@127.0.0.1:9", "through the proxy https_proxy http://127.0.0.1:9: Connection refused"),
        ("http://me:s3cret@host:abc", "https_proxy http://host:abc is no proxy's URL"),
        ("me:s3cret@host:99999", "https_proxy host:99999 is no proxy's URL"),
        ("http://[::1", "https_proxy http://[::1 is no proxy's URL"),
        ("http://", "https_proxy http:// is no proxy's URL"),
        ("http://a b c", "https_proxy http://a b c is no proxy's URL"),
        ("ftp://x", "https_proxy ftp://x is no proxy's URL"),
    ],
)
def test_proxies_that_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proxy: str, said: str) -> None:
    monkeypatch.setenv("https_proxy", proxy)
    assert said in why(tmp_path)
