from __future__ import annotations

import re
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from fileserver import raw
from sources import (
    FILES,
    IN_WHEELS,
    MISSING,
    Heard,
    Upstream,
    closed_port,
    make_index,
    make_wheel,
    mute_port,
    package_index,
    sha256,
)

from porter.errors import CheckFailed, EnvironmentFailed
from porter.git.objects import blob
from porter.lockfile import IndexSource, Part, Wheel, WheelEdit
from porter.output import Progress
from porter.sources import index
from porter.sources.obtain import fetch as fetch_upstream
from porter.sources.obtain import obtain, some, verify

pytestmark = pytest.mark.usefixtures("own_home")


@pytest.fixture
def served(small: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> IndexSource:
    """Two good wheels on an index that pip is set up for, as a user would, by configuration."""
    source = make_index(tmp_path / "wheels")
    with package_index(tmp_path / "wheels", tmp_path / "index") as url:
        config = tmp_path / "pip.conf"
        config.write_text(f"[global]\nindex-url = {url}\n")
        monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
        yield source


def fetch(small: Upstream, source: IndexSource, tmp_path: Path) -> dict[str, bytes]:
    folder = tmp_path / "downloads"
    folder.mkdir()
    return {path: o.data for path, o in index.fetch(source, small.pin, folder, Progress()).items()}


def test_the_wheels_files_become_upstreams(small: Upstream, served: IndexSource, tmp_path: Path) -> None:
    found = fetch(small, served, tmp_path)
    assert found == {path: data for path, data in FILES.items() if path not in MISSING}
    assert not (tmp_path / "downloads/small").exists()  # nothing is unpacked


def test_no_setting_of_the_user_makes_pip_take_another_file(
    small: Upstream, served: IndexSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_BINARY", ":all:")
    assert set(fetch(small, served, tmp_path)) == set(FILES) - set(MISSING)


def test_outside_a_virtual_environment_nothing_is_installed_so_none_is_needed(
    small: Upstream, served: IndexSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "python"
    code = (
        "import runpy, sys; sys.base_prefix = sys.prefix; runpy.run_module('pip', run_name='__main__', alter_sys=True)"
    )
    python.write_text(f'#!/bin/sh\nshift 2\nexec {sys.executable} -c "{code}" "$@"\n')
    python.chmod(0o755)
    monkeypatch.setattr(index.sys, "executable", str(python))
    monkeypatch.setenv("PIP_REQUIRE_VIRTUALENV", "1")
    assert set(fetch(small, served, tmp_path)) == set(FILES) - set(MISSING)


def test_a_wheel_with_another_sum_is_refused(small: Upstream, served: IndexSource, tmp_path: Path) -> None:
    first, second = served.wheels
    lied = IndexSource((first, replace(second, sha256="0" * 64)))
    with pytest.raises(CheckFailed) as caught:
        fetch(small, lied, tmp_path)
    assert "another other-wheel==1.0 than the lock" in caught.value.what
    assert caught.value.why == f"expected sha256 {'0' * 64}\nfound    sha256 {second.sha256}"


def test_a_changed_file_is_refused_by_name_and_both_ids(
    small: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock names the changed wheel's sum, and still the file's bytes are not believed."""
    changed = FILES["data/images/bus.jpg"][:-1] + b"!"
    source = make_index(tmp_path / "wheels", {**IN_WHEELS, "small/data/images/bus.jpg": changed})
    with package_index(tmp_path / "wheels", tmp_path / "index") as url:
        monkeypatch.setenv("PIP_INDEX_URL", url)
        with pytest.raises(CheckFailed) as caught:
            fetch(small, source, tmp_path)
    assert "data/images/bus.jpg from small-wheel==6.0.0" in caught.value.what
    assert small.pin.files["data/images/bus.jpg"].id in caught.value.why
    assert blob(changed).id in caught.value.why


def test_an_index_without_the_wheels(small: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = make_index(tmp_path / "wheels")
    (tmp_path / "empty").mkdir()
    with package_index(tmp_path / "empty", tmp_path / "index") as url:
        monkeypatch.setenv("PIP_INDEX_URL", url)
        with pytest.raises(EnvironmentFailed) as caught:
            fetch(small, source, tmp_path)
    assert caught.value.what == "pip cannot download small-wheel==6.0.0, other-wheel==1.0"
    assert "No matching distribution found" in caught.value.why
    assert "\n" not in caught.value.why


def test_no_network(small: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{closed_port()}/simple/")
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(EnvironmentFailed) as caught:
        fetch(small, make_index(tmp_path / "wheels"), tmp_path)
    assert caught.value.why.startswith("No matching distribution found for small-wheel==6.0.0 (")
    assert "Connection refused" in caught.value.why
    assert "\n" not in caught.value.why


def test_an_index_that_never_answers(small: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pip's time-out and retries are the user's; porter ends pip only after its own patience."""
    with mute_port() as port:
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{port}/simple/")
        monkeypatch.setenv("PIP_RETRIES", "0")
        monkeypatch.setenv("PIP_DEFAULT_TIMEOUT", "0.5")
        with pytest.raises(EnvironmentFailed, match="pip cannot download"):
            fetch(small, make_index(tmp_path / "wheels"), tmp_path)
        monkeypatch.setenv("PIP_DEFAULT_TIMEOUT", "60")
        monkeypatch.setattr(index, "_TIMEOUT", 1.5)
        with pytest.raises(
            EnvironmentFailed, match=r"more than 1\.5 s for small-wheel==6\.0\.0, other-wheel==1\.0, given up"
        ):
            index.download(make_index(tmp_path / "wheels").wheels, tmp_path)


TRICKLE = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 100000\r\n\r\n"


@pytest.mark.parametrize("what", ["page", "wheel"])
def test_an_index_that_trickles(what: str, small: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte begins pip's own time-out anew: of such a page it would wait for a year."""
    monkeypatch.setenv("PORTER_TIMEOUT", "0.5")
    monkeypatch.setenv("PIP_DEFAULT_TIMEOUT", "0.4")
    with raw(TRICKLE, drip=b"x" * 5000) as url:
        monkeypatch.setenv("PIP_INDEX_URL", f"{url}/simple/")
        if what == "wheel":
            page = tmp_path / "links.html"
            page.write_text(f'<a href="{url}/small_wheel-6.0.0-py3-none-any.whl">small</a>')
            monkeypatch.setenv("PIP_NO_INDEX", "1")
            monkeypatch.setenv("PIP_FIND_LINKS", str(page))
        started = time.monotonic()
        with pytest.raises(EnvironmentFailed, match="pip cannot download small-wheel") as caught:
            fetch(small, make_index(tmp_path / "wheels"), tmp_path)
    assert time.monotonic() - started < 20
    assert re.match(r"the package index is too slow: it sent \d+ bytes in 0.\d+ s, less than 1000 a", caught.value.why)


def test_a_python_without_pip(small: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import venv

    venv.create(tmp_path / "bare", with_pip=False)
    monkeypatch.setattr(index.sys, "executable", str(tmp_path / "bare/bin/python"))
    with pytest.raises(EnvironmentFailed, match="has no pip to download small-wheel==6") as caught:
        fetch(small, make_index(tmp_path / "wheels"), tmp_path)
    assert "ensurepip" in caught.value.hint


def read(wheel_file: Path, members: dict[str, bytes], *, part: Part) -> list[tuple[str, bytes]]:
    with zipfile.ZipFile(wheel_file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return list(index._files(Wheel("w==1", sha256(wheel_file), (part,)), wheel_file.read_bytes()))


def test_a_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "_LARGEST", 1 << 20)
    part = Part("{path}", (), ("a",))
    assert read(tmp_path / "w.whl", {"a": b"x" * (1 << 20)}, part=part)
    with pytest.raises(CheckFailed, match="a in w==1 is larger than 1 MiB"):
        read(tmp_path / "w.whl", {"a": b"x" * (5 << 20)}, part=part)


def test_a_wheel_that_lacks_a_file_or_is_none(tmp_path: Path) -> None:
    part = Part("x/{path}", (), ("a",))
    with pytest.raises(CheckFailed, match="w==1 has no x/a"):
        read(tmp_path / "w.whl", {"a": b""}, part=part)
    with pytest.raises(CheckFailed, match="w==1 is not a wheel that can be read"):
        list(index._files(Wheel("w==1", "", (part,)), b"not a zip file"))


def test_every_broken_byte_of_a_wheel_is_an_error_or_harmless(tmp_path: Path) -> None:
    """Damage anywhere in the zip file ends in a PorterError or in the right bytes, never in a traceback."""
    good = make_wheel(tmp_path, "small-wheel", "6.0.0", IN_WHEELS)
    data = good.read_bytes()
    part = Part("small/{path}", (), ("train.py", "models/yolo.py"))
    failed = 0
    for at in range(len(data)):
        bad = data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]
        try:
            assert [d for _, d in index._files(Wheel("w==1", "", (part,)), bad)] == [
                IN_WHEELS["small/train.py"],
                IN_WHEELS["small/models/yolo.py"],
            ]
        except CheckFailed:
            failed += 1
    assert failed > 10


@pytest.mark.parametrize(
    ("edit", "before", "after"),
    [
        (WheelEdit("newlines", "lf"), b"a\r\nb\rc\n", b"a\nb\rc\n"),
        (WheelEdit("replace", "x.a", "a"), b"x.a x.ax x,a", b"a ax x,a"),
        (WheelEdit("drop", "stray"), b"a\n  stray 1\nb\nno stray\n", b"a\nb\n"),
        (WheelEdit("drop", "stray"), b"a\nstray", b"a\n"),
        (WheelEdit("after", "\n\n"), b"head: 1\n\nbody\n\nmore", b"body\n\nmore"),
        (WheelEdit("after", "\n\n"), b"no head", b""),
        (WheelEdit("end", "\n"), b"a\n\n\n", b"a\n"),
        (WheelEdit("end", ""), b"a\r\n", b"a"),
    ],
)
def test_edits(edit: WheelEdit, before: bytes, after: bytes) -> None:
    assert index.apply(edit, before) == after


# -- as a source of upstream ------------------------------------------------------------------------------


def test_a_partial_snapshot_has_one_id_everywhere(
    small: Upstream, served: IndexSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = Heard()
    lock = small.locked(f"http://127.0.0.1:{closed_port()}/small.git", served)
    first = obtain(lock, cache=tmp_path / "one", progress=heard)
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    monkeypatch.setenv("USER", "somebody-else")
    time.tzset()
    second = obtain(lock, cache=tmp_path / "two")
    monkeypatch.undo()
    time.tzset()
    assert first == second
    assert first.partial
    assert not first.shallow
    assert first.missing == MISSING
    text = first.objects[first.base].data.decode()
    assert "parent" not in text
    assert "author porter <porter@example.invalid> 1634021238 -0700" in text
    assert f"commit {small.pin.commit}" in text
    assert all(f"    {path}\n" in text for path in MISSING)
    assert [line for line in heard.notes if "efused" in line or "onnect" in line]
    (missing,) = [line for line in heard.notes if "not in the package index" in line]
    assert missing.startswith("3 of 11 files")
    assert all(path in missing for path in MISSING)


def test_a_few_of_the_missing_files_are_named() -> None:
    assert some(["a", "b", "c"]) == "a, b, c"
    assert some(["a", "b", "c", "d"]) == "a, b, 2 more"


def test_a_partial_snapshot_is_kept_and_later_made_whole(
    small: Upstream, served: IndexSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = small.locked(f"http://127.0.0.1:{closed_port()}/small.git", served)
    partial = obtain(nowhere)
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{closed_port()}/simple/")
    reachable = small.locked(str(small.path), served)
    assert obtain(reachable) == partial  # asks nobody
    heard = Heard()
    assert fetch_upstream(nowhere, progress=heard) == partial  # asks in vain, says so, keeps what it has
    assert len(heard.notes) == 1
    assert verify(nowhere) == (len(partial.objects), [])
    whole = fetch_upstream(reachable)
    assert not whole.partial
    assert whole.base == small.pin.commit
    assert obtain(nowhere) == whole
    assert verify(nowhere)[1] == []


def test_a_named_source_makes_a_partial_snapshot_whole(small: Upstream, served: IndexSource) -> None:
    lock = small.locked(served)
    assert obtain(lock).partial
    assert obtain(lock, upstream=str(small.path)).base == small.pin.commit
