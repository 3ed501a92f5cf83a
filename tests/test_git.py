from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest
from sources import git as plain

from porter import git
from porter.errors import CheckFailed, EnvironmentFailed
from porter.git import GitFailed, Repository
from porter.git.objects import blob, pack


@pytest.fixture
def repository(tmp_path: Path, own_home: Path) -> Repository:
    plain("init", "-q", tmp_path / "r", cwd=tmp_path)
    return Repository(tmp_path / "r")


def test_output_and_failure(repository: Repository) -> None:
    assert repository.text("rev-parse", "--is-bare-repository") == "false"
    with pytest.raises(GitFailed) as error:
        repository.run("rev-parse", "--verify", "nothing")
    assert error.value.status == 128
    assert error.value.exit_code == 3
    assert "Needed a single revision" in error.value.stderr
    assert repository.run("rev-parse", "--verify", "--quiet", "nothing", status=(0, 1)) == b""


def test_git_that_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentFailed, match="git is not installed"):
        git.run("version")
    with pytest.raises(EnvironmentFailed, match="git is not installed"):
        git.follow("version", line=print, silence=1)


def test_the_callers_variables_do_not_reach_git(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE", "GIT_NAMESPACE", "GIT_CONFIG_PARAMETERS", "GIT_TRACE"):
        monkeypatch.setenv(name, "/nowhere")
    assert repository.text("rev-parse", "--absolute-git-dir") == str(repository.path / ".git")


def test_the_users_configuration_is_read_only_where_it_is_asked_for(
    repository: Repository, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (own_home / ".gitconfig").write_text("[porter]\n\ttest = file\n[core]\n\tautocrlf = true\n")
    ask = ("config", "--get", "porter.test")
    assert repository.run(*ask, status=(0, 1)) == b""
    assert Repository(repository.path, user_config=True).text(*ask) == "file"
    assert Repository(repository.path, user_config=True).text("config", "--get", "core.autocrlf") == "false"
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "porter.test")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "variable")
    assert repository.run(*ask, status=(0, 1)) == b""
    assert repository.run(*ask, user_config=True) == b"variable\n"


def test_settings_of_one_repository_win(repository: Repository) -> None:
    own = Repository(repository.path, settings={"core.autocrlf": "input"})
    assert own.text("config", "--get", "core.autocrlf") == "input"


def test_what_is_read_is_hashed_again(repository: Repository) -> None:
    good = blob(b"good\n")
    repository.write(pack([good]))
    assert repository.read([good.id, good.id]) == [good, good]
    assert repository.find(["0" * 40, good.id]) == {good.id: good}
    with pytest.raises(KeyError):
        repository.read(["0" * 40])
    bad = blob(b"bad\n")
    loose = repository.path / ".git/objects" / bad.id[:2] / bad.id[2:]
    plain("hash-object", "-w", __file__, cwd=repository.path)
    written = plain("hash-object", __file__, cwd=repository.path)
    loose.parent.mkdir(exist_ok=True)
    (repository.path / ".git/objects" / written[:2] / written[2:]).rename(loose)
    with pytest.raises(CheckFailed, match=r"train\.py"):
        repository.read([bad.id], {bad.id: "train.py"})


def test_a_broken_pack_is_not_kept(repository: Repository) -> None:
    data = bytearray(pack([blob(b"x" * 1000)]))
    data[30] ^= 1
    with pytest.raises(GitFailed):
        repository.write(bytes(data))
    assert list((repository.path / ".git/objects/pack").glob("*.pack")) == []


def test_a_held_call_keeps_the_descriptor_and_leaves_the_terminals_group(repository: Repository) -> None:
    """What ``hold`` promises, seen from inside a git alias."""
    reader, writer = os.pipe()
    try:
        # the child's session, and whether it can write to the descriptor
        alias = f"!ps -o sid= -p $$; echo held >/dev/fd/{writer}"
        out = repository.run("-c", f"alias.look={alias}", "look", hold=writer)
        assert int(out) != os.getsid(0)
        assert os.read(reader, 10) == b"held\n"
        with pytest.raises(GitFailed):
            repository.run("-c", f"alias.look={alias}", "look")
    finally:
        os.close(reader)
        os.close(writer)


def test_follow_hands_on_lines_and_gives_up_on_silence(repository: Repository) -> None:
    said: list[str] = []
    code = "import sys, time; sys.stderr.write('one\\rtwo\\nthree'); sys.stderr.flush(); time.sleep({})"
    talk = ["-C", str(repository.path), "-c", f'alias.talk=!{sys.executable} -c "{code}"', "talk"]
    git.follow(*[word.format(0) for word in talk], line=said.append, silence=20)
    assert said == ["one", "two", "three"]
    begun = time.monotonic()
    with pytest.raises(EnvironmentFailed, match="said nothing"):
        git.follow(*[word.format(300) for word in talk], line=said.append, silence=0.5)
    assert time.monotonic() - begun < 100


def test_files_of_a_fresh_checkout_are_older_than_its_index(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "deep").mkdir()
    for name in (".git/index", "deep/file", "file"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "link").symlink_to(".git/index")
    git.backdate(tmp_path)
    index = (tmp_path / ".git/index").stat().st_mtime
    assert time.time() - index < 5
    assert all(index - (tmp_path / name).lstat().st_mtime > 5 for name in ("deep/file", "file", "link"))
