"""Where a download leads: redirects, TLS, passwords, mirrors, and the digests that it is held to."""

from __future__ import annotations

import hashlib
import json
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from fileserver import Handler, Shelf, shelf
from sources import closed_port, serving

from porter.downloads import http
from porter.downloads.digests import Digests
from porter.errors import CheckFailed, EnvironmentFailed, WrongUsage

from .test_download import DATA, QUICK, Heard, alone, fails, get, right  # noqa: F401 for the fixture


def test_redirects_are_followed(tmp_path: Path) -> None:
    with shelf({"/elsewhere": DATA}) as other, shelf({}) as server:
        server.moved = {"/file.bin": "/next?token=x", "/next?token=x": f"{other.url}/elsewhere"}
        right(get(server, tmp_path))
        assert [asked.path for asked in server.log[:2]] == ["/file.bin", "/next?token=x"]


@pytest.mark.parametrize(
    ("location", "said"),
    [
        ("/file.bin", "it redirects in a loop: http://127.0.0.1:PORT/file.bin -> http://127.0.0.1:PORT/file.bin"),
        ("file:///etc/passwd", "it redirects to file:///etc/passwd, which is no http or https"),
        ("ftp://127.0.0.1/x", "it redirects to ftp://127.0.0.1/x, which is no http or https"),
    ],
)
def test_redirects_that_lead_nowhere(tmp_path: Path, location: str, said: str) -> None:
    with shelf({}, answers=[(301, {"Location": location})] * 2) as server:
        error = fails(EnvironmentFailed, server, tmp_path)
        assert said.replace("PORT", server.url.rpartition(":")[2]) in error.why


def test_redirects_without_end(tmp_path: Path) -> None:
    with shelf({}, answers=[(302, {"Location": f"/{n}?secret={n}"}) for n in range(50)]) as server:
        error = fails(EnvironmentFailed, server, tmp_path)
        assert len(server.log) == 11
    assert "it redirects more than 10 times" in error.why
    assert "secret" not in str(error)


@pytest.fixture
def tls(tmp_path: Path) -> Iterator[tuple[Shelf, Path]]:
    """A server that speaks TLS, and its own certificate."""
    made = tmp_path / "certificate.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test -addext subjectAltName=IP:127.0.0.1"
    subprocess.run([*command.split(), "-keyout", made, "-out", tmp_path / "one.pem"], check=True, capture_output=True)
    with open(made, "ab") as file:
        file.write((tmp_path / "one.pem").read_bytes())
    one = Shelf({"/file.bin": DATA})
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made)
    with serving(type("Shop", (Handler,), {"shelf": one}), context) as one.url:
        yield one, tmp_path / "one.pem"


def test_https(tmp_path: Path, tls: tuple[Shelf, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    server, certificate = tls
    error = fails(EnvironmentFailed, server, tmp_path / "untrusted")
    assert "its certificate cannot be trusted" in error.why
    assert "name its file of certificates in REQUESTS_CA_BUNDLE or SSL_CERT_FILE" in error.why
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        with monkeypatch.context() as patched:
            for other in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
                patched.delenv(other, raising=False)
            patched.setenv(name, str(certificate))
            right(get(server, tmp_path / name))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    with shelf({"/file.bin": DATA}) as open_to_all:
        server.answers = [(302, {"Location": f"{open_to_all.url}/file.bin"})]
        error = fails(EnvironmentFailed, server, tmp_path / "downgraded", digests=Digests(tmp_path / "d.json"))
        assert f"it redirects from https to {open_to_all.url}/file.bin" in error.why
        assert open_to_all.log == []


def test_a_password_is_used_and_not_shown(tmp_path: Path) -> None:
    with shelf({"/file.bin": DATA}) as server:
        url = server.url.replace("//", "//me:secret@") + "/file.bin?key=secret"
        get(url, tmp_path)
        assert server.log[0].headers["authorization"].startswith("Basic ")
        server.files.clear()
        error = fails(EnvironmentFailed, url.replace("key", "id"), tmp_path / "other")
    assert "secret" not in str(error)
    assert http.shown(url) == f"{server.url}/file.bin"


# -- mirrors and digests ----------------------------------------------------------------------------------------


def test_mirrors_are_tried_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard = Heard()
    with (
        shelf({}) as first,
        shelf({"/sub/file.bin": DATA[:-1] + b"!"}) as second,
        shelf({"/x/file.bin": DATA}) as third,
    ):
        url = f"http://127.0.0.1:{closed_port()}/file.bin"
        Digests().keep(url, hashlib.sha256(DATA).hexdigest(), url)
        monkeypatch.setenv("PORTER_MIRROR", f"{third.url}/x/ {third.url}/never")
        made = get(url, tmp_path, heard, mirrors=(first.url, f"{second.url}/sub/{{name}}"))
        right(made)
        assert made.source == f"{third.url}/x/file.bin"
        assert "first download here, on " in made.trust
        assert (len(first.log), len(second.log) > 0) == (1, True)
    assert len(heard.notes) == 2
    assert heard.notes[0] == f"{first.url}/file.bin: it answers 404 Not Found; trying the next source"
    assert "is another file.bin than it should be; trying the next source" in heard.notes[1]


def test_a_pattern_with_the_whole_url(tmp_path: Path) -> None:
    with shelf({"/proxy/https://example.com/v1/file.bin": DATA}) as server:
        right(get("https://example.com/v1/file.bin", tmp_path, mirrors=(f"{server.url}/proxy/{{url}}",)))


def test_a_folder_is_a_mirror(tmp_path: Path) -> None:
    (tmp_path / "stick").mkdir()
    (tmp_path / "stick" / "file.bin").write_bytes(DATA)
    made = get("https://example.com/file.bin", tmp_path / "here", mirrors=(str(tmp_path / "stick"),))
    right(made)
    assert made.source == str(tmp_path / "stick" / "file.bin")


@pytest.mark.parametrize(
    "mirror", ["", "example.com", "/no/such/folder", "ftp://example.com/", "http://", "https://[1/"]
)
def test_what_is_no_mirror(tmp_path: Path, mirror: str) -> None:
    error = fails(WrongUsage, "https://example.com/file.bin", tmp_path, mirrors=(mirror,))
    assert f"{mirror!r} is no mirror" in error.what


def test_when_every_source_fails_each_is_named(tmp_path: Path) -> None:
    with shelf({}) as first, shelf({"/file.bin": b"wrong"}) as second:
        url = f"http://127.0.0.1:{closed_port()}/file.bin"
        error = fails(EnvironmentFailed, url, tmp_path, mirrors=(first.url,))
        assert error.why.splitlines()[0] == f"{first.url}/file.bin: it answers 404 Not Found"
        assert error.why.splitlines()[1].startswith(f"{url}: cannot reach 127.0.0.1: Connection refused")
        Digests().keep(url, "0" * 64, "https://example.com")
        error = fails(CheckFailed, url, tmp_path, mirrors=(first.url, second.url))
        assert f"expected sha256 {'0' * 64}" in error.why
        assert f"found    sha256 {hashlib.sha256(b'wrong').hexdigest()}" in error.why


def test_a_later_download_is_held_to_the_first(tmp_path: Path, own_home: Path) -> None:
    with shelf({"/file.bin": DATA}) as server:
        first = get(server, tmp_path / "first")
        assert first.trust.startswith("first download here, only its structure checked")
        kept = own_home / ".local" / "state" / "porter" / "digests.json"
        assert str(kept) in first.trust
        second = get(server, tmp_path / "second")
        assert second.trust.startswith("as the first download here, on 20")
        server.files["/file.bin"], server.etag = DATA[::-1], '"two"'
        error = fails(CheckFailed, server, tmp_path / "third")
        assert first.sha256 in error.why and hashlib.sha256(DATA[::-1]).hexdigest() in error.why
        assert f"remove its entry from {kept}" in error.hint
        entries = json.loads(kept.read_text())
        del entries[f"{server.url}/file.bin"]
        kept.write_text(json.dumps(entries))
        right(get(server, tmp_path / "third"), DATA[::-1])


@pytest.mark.parametrize("text", ["", "[]", '{"a": 1}', '{"a": {"sha256": "x", "date": "y", "from": "z"}}'])
def test_damaged_digests_are_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "digests.json"
    path.write_text(text)
    with pytest.raises(EnvironmentFailed, match="holds no digests that can be read"):
        Digests(path).find("https://example.com/")
