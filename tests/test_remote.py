from __future__ import annotations

import os
import subprocess
import time
import zlib
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from sources import FILES, GitServer, Upstream, closed_port, git, git_server, mute_port, serving

from porter.errors import CheckFailed, EnvironmentFailed, PorterError, WrongUsage
from porter.git import environment
from porter.git.objects import Object, blob, parse_tree
from porter.lockfile import Pin
from porter.output import Progress
from porter.sources.cache import Cache
from porter.sources.history import History
from porter.sources.obtain import cached, obtain

pytestmark = pytest.mark.usefixtures("own_home")


def overwrite(path: Path, data: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(data)


def obtained(small: Upstream, where: object, progress: Progress | None = None) -> None:
    """The whole pin comes from ``where`` and is in the cache afterwards."""
    snapshot = obtain(small.lock, str(where), progress=progress)
    assert snapshot.base == small.pin.commit
    assert snapshot.files == small.pin.files
    assert {path: snapshot.objects[entry.id].data for path, entry in snapshot.files.items()} == FILES
    assert (snapshot.partial, snapshot.shallow) == (False, True)
    assert cached(small.lock, Cache()) == snapshot


def failed(small: Upstream, where: object) -> PorterError:
    """Nothing comes from ``where``, and nothing is left of the attempt."""
    with pytest.raises(PorterError) as caught:
        obtain(small.lock, str(where))
    assert not Cache().repository.path.exists()
    assert not list(Cache().folder.glob("staging-*"))
    return caught.value


# -- clones on this machine -------------------------------------------------------------------------------


def test_a_working_clone(small: Upstream) -> None:
    obtained(small, small.path)


def test_a_folder_inside_a_clone(small: Upstream) -> None:
    obtained(small, small.path / "utils")


def test_a_bare_repository(small: Upstream, tmp_path: Path) -> None:
    git("clone", "-q", "--bare", small.path, tmp_path / "bare.git", cwd=tmp_path)
    git("gc", "-q", cwd=tmp_path / "bare.git")
    obtained(small, tmp_path / "bare.git")


def test_a_linked_worktree(small: Upstream, tmp_path: Path) -> None:
    git("worktree", "add", "-q", "--detach", tmp_path / "tree", cwd=small.path)
    obtained(small, tmp_path / "tree")


def test_a_shallow_clone(small: Upstream, tmp_path: Path) -> None:
    git("clone", "-q", "--depth", "1", "-b", "v6.0", f"file://{small.path}", tmp_path / "flat", cwd=tmp_path)
    obtained(small, tmp_path / "flat")


def test_a_clone_that_borrows_its_objects(small: Upstream, tmp_path: Path) -> None:
    git("clone", "-q", "--shared", small.path, tmp_path / "shared", cwd=tmp_path)
    obtained(small, tmp_path / "shared")


def test_a_bundle(small: Upstream, tmp_path: Path) -> None:
    git("bundle", "create", "-q", tmp_path / "small.bundle", "v6.0", cwd=small.path)
    obtained(small, tmp_path / "small.bundle")


def test_a_clone_under_the_home_folder(small: Upstream, own_home: Path) -> None:
    git("clone", "-q", "--bare", small.path, own_home / "bare.git", cwd=own_home)
    obtained(small, "~/bare.git")


def test_porter_called_from_a_hook(small: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """git sets these while it runs a hook; a child that takes them over works in the wrong repository."""
    git("init", "-q", tmp_path / "other", cwd=tmp_path)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other/.git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "other/.git/index"))
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", str(tmp_path / "other/.git/objects"))
    obtained(small, small.path)
    assert not list((tmp_path / "other/.git/objects").glob("??"))


def test_replaced_objects_are_not_believed(small: Upstream) -> None:
    git("replace", small.pin.files["train.py"].id, small.pin.files["LICENSE"].id, cwd=small.path)
    obtained(small, small.path)


def test_one_wrong_byte_in_a_loose_object(small: Upstream) -> None:
    """The object is sound zlib, so only its hash tells."""
    wrong = FILES["train.py"].replace(b"torch", b"porch")
    overwrite(small.object_file("train.py"), zlib.compress(b"blob %d\0" % len(wrong) + wrong))
    error = failed(small, small.path)
    assert isinstance(error, CheckFailed)
    assert "train.py is not what it should be" in error.what
    assert small.pin.files["train.py"].id in error.why
    assert blob(wrong).id in error.why


def test_a_damaged_loose_object(small: Upstream) -> None:
    path = small.object_file("utils/general.py")
    data = path.read_bytes()
    overwrite(path, data[:10] + bytes([data[10] ^ 0xFF]) + data[11:])
    error = failed(small, small.path)
    assert isinstance(error, CheckFailed)
    assert "utils/general.py is not what it should be" in error.what
    assert f"expected {small.pin.files['utils/general.py'].id}" in error.why


def test_a_lost_object(small: Upstream) -> None:
    small.object_file("train.py").unlink()
    error = failed(small, small.path)
    assert "but not train.py" in error.what


def test_a_repository_without_the_pin(small: Upstream, tmp_path: Path) -> None:
    git("init", "-q", tmp_path / "other", cwd=tmp_path)
    error = failed(small, tmp_path / "other")
    assert isinstance(error, EnvironmentFailed)
    assert "does not have example/small v6.0" in error.what


def test_what_is_no_repository(small: Upstream, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("text")
    for where in (
        tmp_path / "folder",
        tmp_path / "absent",
        "--upload-pack=touch pwned",
        "--upload-pack=touch pwned;x:y",
        "-x",
    ):
        assert failed(small, where).exit_code == 2, where
    assert failed(small, tmp_path / "file").exit_code == 2
    assert not Path("pwned").exists()


def test_a_transport_that_runs_commands_is_refused(small: Upstream, tmp_path: Path) -> None:
    error = failed(small, f"ext::sh -c 'touch {tmp_path}/pwned'")
    assert "not allowed" in error.why
    assert not (tmp_path / "pwned").exists()


# -- servers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("remote", ["ext", "ssh", "http", "file"])
def test_the_configuration_of_a_repository_runs_nothing_and_asks_nothing(
    small: Upstream, tmp_path: Path, remote: str
) -> None:
    """A partial clone that lacks a file of the pin: git would fetch it, as the configuration says, when it is read."""
    small.object_file("train.py").unlink()
    mark, asked = tmp_path / "ran", []

    class Counts(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

    whole = tmp_path / "whole"
    (whole / "objects").mkdir(parents=True)
    with serving(Counts) as url:
        urls = {"ext": f"ext::touch {mark}", "ssh": "ssh://example.invalid/x", "http": url, "file": f"file://{whole}"}
        for name, value in {
            "core.repositoryFormatVersion": "1",
            "extensions.partialClone": "origin",
            "remote.origin.promisor": "true",
            "remote.origin.partialCloneFilter": "blob:none",
            "remote.origin.url": urls[remote],
            "protocol.allow": "always",
            "protocol.ext.allow": "always",
            **dict.fromkeys(("core.sshCommand", "core.fsmonitor", "core.pager", "diff.external"), f"touch {mark} #"),
            **dict.fromkeys(("filter.x.smudge", "filter.x.clean", "core.gitProxy"), f"touch {mark} #"),
            **dict.fromkeys(("uploadpack.packObjectsHook", "core.alternateRefsCommand"), f"touch {mark} #"),
            "credential.helper": f"!touch {mark} #",
        }.items():
            git("config", name, value, cwd=small.path)
        (small.path / ".git/info/attributes").write_text("* filter=x\n")
        small.path.joinpath(".git/objects/info/alternates").write_text(f"{whole / 'objects'}\n")
        with pytest.raises(EnvironmentFailed, match=r"has the commit of .*, but not train\.py"):
            obtain(small.lock, str(small.path), tmp_path / "cache")
        history = History(small.lock, str(small.path), tmp_path / "cache")
        with pytest.raises(EnvironmentFailed):
            history.resolve("v6.0")
        # a git older than 2.39.4 knows of no such variable, and is kept from it by the protocols alone
        env = {name: value for name, value in environment().items() if name != "GIT_NO_LAZY_FETCH"}
        lost = ["git", "-C", small.path, "cat-file", "-p", small.pin.files["train.py"].id]
        assert subprocess.run(lost, env=env, capture_output=True, check=False).returncode
    assert not mark.exists() and asked == []


def test_only_the_pin_is_fetched(small: Upstream, tmp_path: Path) -> None:
    asked: list[str] = []

    class Watched(GitServer):
        root = tmp_path

        def _run(self) -> None:
            asked.append(self.path)
            super()._run()

    with serving(Watched) as url:
        obtained(small, f"{url}/small/.git")
    assert len([path for path in asked if path.endswith("git-upload-pack")]) <= 3
    listing = git("cat-file", "--batch-all-objects", "--batch-check", cwd=Cache().repository.path)
    assert (
        listing.count("\n") + 1 == len({e.id for e in small.pin.files.values()} | {t.id for t in small.pin.trees}) + 1
    )


def test_progress_is_reported(small: Upstream, tmp_path: Path) -> None:
    steps: list[tuple[str, int, int | None]] = []

    class Heard(Progress):
        def step(self, what: str, done: int = 0, total: int | None = None) -> None:
            steps.append((what, done, total))

    with serving(git_server(tmp_path)) as url:
        obtained(small, f"{url}/small/.git", Heard())
    assert steps[0][0].startswith("fetching http")
    assert any(total and done == total for _, done, total in steps)


def test_a_server_that_gives_no_commit_by_its_id(small: Upstream, tmp_path: Path) -> None:
    git("config", "uploadpack.allowAnySHA1InWant", "false", cwd=small.path)
    with serving(git_server(tmp_path, old_protocol=True)) as url:
        obtained(small, f"{url}/small/.git")


def test_such_a_server_whose_tag_is_another_commit(small: Upstream, tmp_path: Path) -> None:
    git("tag", "-f", "v6.0", "master", cwd=small.path)
    with serving(git_server(tmp_path, old_protocol=True)) as url:
        error = failed(small, f"{url}/small/.git")
    assert error.why == f"its tag v6.0 is commit {git('rev-parse', 'master', cwd=small.path)}, not {small.pin.commit}"


def test_a_server_that_has_neither(small: Upstream, tmp_path: Path) -> None:
    git("init", "-q", "--bare", tmp_path / "empty.git", cwd=tmp_path)
    with serving(git_server(tmp_path)) as url:
        error = failed(small, f"{url}/empty.git")
    assert isinstance(error, EnvironmentFailed)
    assert "neither commit" in error.why


def test_an_annotated_tag(small: Upstream, tmp_path: Path) -> None:
    git("tag", "-f", "-a", "-m", "annotated", "v6.0", small.pin.commit, cwd=small.path)
    with serving(git_server(tmp_path, old_protocol=True)) as url:
        obtained(small, f"{url}/small/.git")


def test_a_server_of_plain_files(small: Upstream, tmp_path: Path) -> None:
    import functools

    from sources import Files

    git("update-server-info", cwd=small.path)
    with serving(functools.partial(Files, directory=str(tmp_path))) as url:
        obtained(small, f"{url}/small/.git")


def served_wrong(small: Upstream, tmp_path: Path, change: Callable[[Pin], tuple[str, Object]]) -> CheckFailed:
    """What porter says to a server whose repository holds another object under one of the pin's ids."""
    i, other = change(small.pin)
    data = other.kind.encode() + b" %d\0" % len(other.data) + other.data
    overwrite(small.path / ".git/objects" / i[:2] / i[2:], zlib.compress(data))
    with serving(git_server(tmp_path)) as url:
        error = failed(small, f"{url}/small/.git")
    assert isinstance(error, CheckFailed), error
    return error


def test_a_server_with_an_altered_file(small: Upstream, tmp_path: Path) -> None:
    wrong = blob(FILES["train.py"].replace(b"torch", b"porch"))
    error = served_wrong(small, tmp_path, lambda pin: (pin.files["train.py"].id, wrong))
    assert "train.py is not what it should be" in error.what
    assert error.why == f"expected {small.pin.files['train.py'].id}\nfound    blob {wrong.id}"


def test_a_server_with_an_altered_folder(small: Upstream, tmp_path: Path) -> None:
    """Its utils/ names another file under the same name."""
    ours, theirs = small.pin.files["utils/general.py"].id, small.pin.files["LICENSE"].id

    def change(pin: Pin) -> tuple[str, Object]:
        (folder,) = [tree for tree in pin.trees if "general.py" in parse_tree(tree.data)]
        return folder.id, Object("tree", folder.data.replace(bytes.fromhex(ours), bytes.fromhex(theirs)))

    error = served_wrong(small, tmp_path, change)
    assert "utils/general.py is not what it should be" in error.what
    assert error.why == f"expected {ours}\nfound    {theirs}"


def test_a_server_with_an_altered_commit(small: Upstream, tmp_path: Path) -> None:
    data = git("cat-file", "commit", small.pin.commit, cwd=small.path).encode() + b"\nand more\n"
    error = served_wrong(small, tmp_path, lambda pin: (pin.commit, Object("commit", data)))
    assert "the commit of example/small v6.0 is not what it should be" in error.what
    assert small.pin.commit in error.why


def test_a_server_with_a_damaged_file(small: Upstream, tmp_path: Path) -> None:
    path = small.object_file("train.py")
    overwrite(path, path.read_bytes()[:-6])
    with serving(git_server(tmp_path)) as url:
        error = failed(small, f"{url}/small/.git")
    assert isinstance(error, CheckFailed)
    assert "train.py is not what it should be" in error.what
    assert small.pin.files["train.py"].id in error.why


def test_a_server_that_dies_midway(small: Upstream, tmp_path: Path) -> None:
    for cut in (0, 4, 40, 300):
        with serving(git_server(tmp_path, cut_after=cut)) as url:
            error = failed(small, f"{url}/small/.git")
        assert isinstance(error, EnvironmentFailed)
        assert "cannot fetch from" in error.what


def test_a_server_that_never_answers(small: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTER_TIMEOUT", "1")
    with mute_port() as port:
        started = time.monotonic()
        error = failed(small, f"http://127.0.0.1:{port}/small.git")
        assert time.monotonic() - started < 50  # it would wait 60 s
        assert "said nothing for 1 s" in str(error)
        assert isinstance(error, EnvironmentFailed)
        assert not _processes_that_mention(f"127.0.0.1:{port}")


def _processes_that_mention(text: str) -> list[str]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if text in line and "git" in line:
            found.append(line)
    return found


def test_nobody_there(small: Upstream) -> None:
    error = failed(small, f"http://127.0.0.1:{closed_port()}/small.git")
    assert isinstance(error, EnvironmentFailed)
    assert "127.0.0.1" in str(error)
    error = failed(small, "https://no-such-host.invalid/small.git")
    assert "no-such-host.invalid" in str(error)


def test_a_time_out_that_is_no_number(small: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("soon", "0", "-1", "inf", "nan"):
        monkeypatch.setenv("PORTER_TIMEOUT", text)
        with pytest.raises(WrongUsage, match="PORTER_TIMEOUT should be a number of seconds"):
            obtain(small.lock, "http://127.0.0.1:9/x")


# -- the user's own git configuration ---------------------------------------------------------------------


def test_instead_of_holds(small: Upstream, own_home: Path) -> None:
    (own_home / ".gitconfig").write_text(f'[url "{small.path}"]\n\tinsteadOf = https://example.com/small\n')
    obtained(small, "https://example.com/small")


def test_settings_in_the_environment_hold(small: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", f"url.{small.path}.insteadOf")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "https://example.com/small")
    obtained(small, "https://example.com/small")


def test_a_global_configuration_elsewhere_counts_instead(
    small: Upstream, own_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (own_home / ".gitconfig").write_text(f'[url "{small.path}"]\n\tinsteadOf = https://no-such-host.invalid/small\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    error = failed(small, "https://no-such-host.invalid/small")
    assert isinstance(error, EnvironmentFailed)


def test_a_proxy_is_used(small: Upstream, own_home: Path) -> None:
    asked: list[str] = []

    class Proxy(GitServer):
        root = small.path.parent

        def _run(self) -> None:
            asked.append(self.path)
            self.path = self.path.replace("http://upstream.invalid", "")
            super()._run()

    with serving(Proxy) as url:
        (own_home / ".gitconfig").write_text(f"[http]\n\tproxy = {url}\n")
        obtained(small, "http://upstream.invalid/small/.git")
    assert asked[0].startswith("http://upstream.invalid/small/.git/")


def test_strict_settings_of_the_user_do_no_harm_and_templates_do_not_reach_the_cache(
    small: Upstream, own_home: Path
) -> None:
    (own_home / "template/hooks").mkdir(parents=True)
    (own_home / "template/hooks/post-checkout").write_text("#!/bin/sh\n")
    (own_home / ".gitconfig").write_text(
        f"[init]\n\ttemplateDir = {own_home}/template\n"
        "[transfer]\n\tfsckObjects = true\n[fetch]\n\tprune = true\n\trecurseSubmodules = true\n"
    )
    obtained(small, f"file://{small.path}")
    assert not (Cache().repository.path / "hooks").exists()
