from __future__ import annotations

import os
from pathlib import Path

import pytest

from porter import yamlfile
from porter.errors import EnvironmentFailed, PorterError, WrongUsage
from porter.files import write_file

HERE = Path("some.yaml")


def test_values_are_text_and_know_their_line() -> None:
    top = yamlfile.parse(b"# head\none: 0123\ntwo:\n- yes\n- 1e5\n", HERE)
    fields = top.fields(("one", "two"))
    assert fields["one"].text() == "0123"
    assert [item.text() for item in fields["two"].sequence()] == ["yes", "1e5"]
    assert fields["two"].sequence()[1].line == 5
    assert fields["two"].sequence()[1].field == "two[1]"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"one: 1\none: 2\n", "line 1: the file should be a mapping that names a field once"),
        (b"other: 1\none: 1\n", "line 1: other should be absent"),
        (b"{}\n", "the field 'one'"),
        (b"- one\n", "line 1: the file should be a mapping"),
        (b"one: [1]\n", "line 1: one should be text\nfound 'a sequence'"),
        (b"? [a]\n: 1\n", "should be a name"),
        (b"", "is empty"),
        (b"one: [1\n", "line 2: not YAML"),
        (b"one: \xff\n", "not YAML"),
        (b"one: 1\n<<<<<<< ours\none: 2\n=======\n>>>>>>> theirs\n", "unfinished merge"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: bytes, says: str) -> None:
    with pytest.raises(WrongUsage) as caught:
        yamlfile.parse(text, HERE).fields(("one",))["one"].text()
    assert says in str(caught.value)
    assert "some.yaml" in str(caught.value)


def test_read_tells_an_absent_file_from_an_unreadable_one(tmp_path: Path) -> None:
    with pytest.raises(WrongUsage, match="there is no"):
        yamlfile.read(tmp_path / "absent.yaml")
    with pytest.raises(WrongUsage, match="is a folder"):
        yamlfile.read(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentFailed, match="cannot read"):
        yamlfile.read(tmp_path / "file" / "some.yaml")


def test_write_replaces_a_file_and_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    write_file(path, b"one")
    mask = os.umask(0)
    os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~mask
    path.chmod(0o640)
    write_file(path, b"two")
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"two", 0o640)
    assert os.listdir(tmp_path) == ["a.lock"]


def test_write_follows_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    write_file(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


def test_a_write_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.lock"
    path.write_bytes(b"old")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)  # the moment at which a full disk shows at the latest
    with pytest.raises(PorterError, match=r"cannot write .*a\.lock") as caught:
        write_file(path, b"new")
    assert caught.value.exit_code == 3
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.lock"]
    with pytest.raises(EnvironmentFailed, match="cannot write"):
        write_file(tmp_path / "no-folder" / "a.lock", b"new")
