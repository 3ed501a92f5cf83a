"""A git repository that somebody else keeps: the objects of a commit, read out of it and hashed again."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from porter import git
from porter.downloads.retry import WHY, is_offline, timeout
from porter.errors import CheckFailed, EnvironmentFailed, Unreachable, WrongUsage
from porter.git import GitFailed, Repository
from porter.git.objects import Object, parse_tree
from porter.output import Progress, command_line
from porter.sources.cache import Cache
from porter.sources.snapshot import Extent

# What git says when a server gives no commit by its id; the tag may still do.
_NO_BARE_ID = re.compile("not our ref|unadvertised object|find remote ref|no such ref|no matching remote", re.I)
_NO_DEPTH = re.compile("does not support shallow|dumb http", re.I)


_NAME_ONE = "Name a clone or a mirror of upstream, by path or URL."


def read(url: str, extent: Extent, cache: Cache, progress: Progress) -> dict[str, Object]:
    """The objects of ``extent``, a whole one, from a clone on this machine or from anything ``git fetch`` takes.

    Args:
        cache: whose disk a fetch works on; locked by the caller.

    Raises:
        CheckFailed: something there is not the pin's; names the file and both ids.
        EnvironmentFailed: it cannot be reached, or does not have the pin's commit.
        WrongUsage: ``url`` is no URL, and no repository is at that path.
    """
    where = location(url)
    if Path(where).is_dir():
        progress.step(f"reading {where}")
        return _checked(Repository(_git_dir(Path(where)), exact=True, user_config=True), extent, where)
    with cache.staging() as folder:
        inbox = Repository(folder / "inbox.git", exact=True)
        git.run("init", "--quiet", "--bare", "--template=", str(inbox.path))
        _fetch(where, extent, inbox, progress)
        return _checked(inbox, extent, url)


def location(url: str) -> str:
    """What git is to be given for a source: a path on this machine with ``~`` spelt out, or the URL as it is.

    Raises:
        WrongUsage: ``url`` is no URL, and there is nothing at that path.
    """
    if not url or url.startswith("-"):
        raise WrongUsage(f"{url!r} is not the path or URL of a git repository")
    path = Path(os.path.expanduser(url))
    if path.exists():
        return str(path)
    if not re.match(r"[^/]*:", url):
        raise WrongUsage(f"there is no {path}", hint=_NAME_ONE)
    return url


def must_be_a_source(url: str) -> None:
    """Refuse a source that was named and cannot be one, whether or not it would be asked; a URL is not asked here.

    Raises:
        WrongUsage: ``url`` is no URL, and no repository is at that path.
    """
    path = Path(location(url))
    if path.is_dir():
        _git_dir(path)
    elif path.is_file() and not path.read_bytes()[:16].startswith(b"# v"):  # a bundle, which git fetches from as well
        raise WrongUsage(f"{path} is a file, and no bundle of git's", hint=_NAME_ONE)


def _git_dir(path: Path) -> Path:
    """Where a local repository's objects are; it may be bare, shallow or a linked worktree."""
    try:
        return Path(Repository(path, user_config=True).text("rev-parse", "--absolute-git-dir"))
    except GitFailed as error:
        raise WrongUsage(f"{path} is not a git repository that can be read", error.stderr, _NAME_ONE) from error


def _checked(repository: Repository, extent: Extent, url: str) -> dict[str, Object]:
    """All objects of ``extent`` in ``repository``, each hashed again."""
    try:
        found = repository.find(extent.ids, extent.labels)
    except CheckFailed as error:
        raise CheckFailed(f"{url}: {error.what}", error.why, _SUSPECT) from error
    for i in extent.ids:
        if i not in found:
            _explain(repository, i, extent, url)
    return found


def _explain(repository: Repository, i: str, extent: Extent, url: str) -> NoReturn:
    """Why an object could not be read: damaged, absent by itself, or absent with everything else."""
    pin, name = extent.pin, extent.labels[i]
    try:
        repository.run("cat-file", "blob", i)
    except GitFailed as error:
        # about an object that was never there git complains in one line, called fatal
        if any(line.startswith("error: ") for line in error.stderr.splitlines()):
            raise CheckFailed(
                f"{url}: {name} is not what it should be", f"expected {i}\nfound    {_unreadable(error)}", _SUSPECT
            ) from error
    if i == pin.commit:
        tag = ["tag"] if pin.tagged else []
        raise EnvironmentFailed(
            f"{url} does not have {pin.name} {pin.tag}",
            f"commit {pin.commit} is not in it",
            f"In a clone: {command_line('git', 'fetch', f'https://github.com/{pin.name}', *tag, pin.rev)}",
        )
    raise EnvironmentFailed(
        f"{url} has the commit of {pin.name} {pin.tag}, but not {name}",
        f"object {i} is not in it",
        "The repository is incomplete; name another.",
    )


def _unreadable(error: GitFailed) -> str:
    return f"what git cannot read: {reason(error)}"


_SUSPECT = "Somebody, or a failing disk, changed it there. Ask another source, and tell whoever keeps this one."


def _fetch(url: str, extent: Extent, inbox: Repository, progress: Progress) -> None:
    """``git fetch`` the pin's commit alone, or what comes nearest to that at this server."""
    pin = extent.pin
    depth, wanted = ["--depth=1"], pin.commit
    while True:
        try:
            fetch(url, [wanted], inbox, progress, (*depth, "--no-tags"))
            break
        except GitFailed as error:
            _diagnose(url, extent, inbox, error)
            if depth and _NO_DEPTH.search(error.stderr):
                depth = []
            elif wanted == pin.commit and pin.tagged and _NO_BARE_ID.search(error.stderr):
                wanted = f"refs/tags/{pin.tag}"
            elif _NO_BARE_ID.search(error.stderr):
                raise EnvironmentFailed(
                    f"{url} does not have {pin.name} {pin.tag}", f"neither commit {pin.commit} nor a tag of it"
                ) from error
            else:
                raise Unreachable(
                    f"cannot fetch from {url}",
                    reason(error),
                    "Check the network, or name another source: --upstream PATH|URL.",
                ) from error
    got = inbox.text("rev-parse", "FETCH_HEAD^{commit}")
    if got != pin.commit:
        raise EnvironmentFailed(
            f"{url} does not have {pin.name} {pin.tag}", f"its tag {pin.tag} is commit {got}, not {pin.commit}"
        )


def fetch(url: str, refs: Sequence[str], inbox: Repository, progress: Progress, options: Sequence[str] = ()) -> None:
    """``git fetch OPTIONS url REFS`` into a bare repository, with the user's own way of reaching a remote.

    Raises:
        GitFailed: git could not; see :func:`reason`.
        EnvironmentFailed: git is not installed, or said nothing for ``PORTER_TIMEOUT`` seconds.
    """
    from git.remote import RemoteProgress

    is_here = Path(url).exists() or url.startswith("file://")
    if is_offline() and not is_here:
        raise Unreachable(f"cannot fetch {url}", WHY)

    class Follower(RemoteProgress):
        def update(
            self, op_code: int, cur_count: str | float, max_count: str | float | None = None, message: str = ""
        ) -> None:
            if op_code & self.OP_MASK == self.RECEIVING:
                progress.step(f"fetching {url}", int(cur_count), int(max_count) if max_count else None)

    progress.step(f"fetching {url}")
    git.follow(
        # so few objects are unpacked otherwise, and then git reports no progress
        *(f"--git-dir={inbox.path}", "-c", "fetch.unpackLimit=1"),
        *("-c", "http.lowSpeedLimit=1000", "-c", f"http.lowSpeedTime={max(1, int(timeout()))}"),
        *("fetch", *options, "--progress", "--no-recurse-submodules", url, *refs),
        line=Follower().new_message_handler(),
        silence=timeout(),
        user_config=True,
        remote=True,
        env={"GIT_ALLOW_PROTOCOL": "file"} if Path(url).exists() else None,
    )


def _diagnose(url: str, extent: Extent, inbox: Repository, error: GitFailed) -> None:
    """Tell wrong bytes from an unreachable server.

    A server with an altered object sends it under the id that it now hashes to, so the objects that
    arrived and the ids that did not are what was changed.  A server that notices by itself names the id.

    Raises:
        CheckFailed: something was changed there; names it and both ids.
    """
    for i in re.findall("[0-9a-f]{40}", error.stderr):
        if i in extent.labels and re.search("corrupt|inflate|mismatch|unpack", error.stderr):
            raise CheckFailed(
                f"{url}: {extent.labels[i]} is not what it should be",
                f"expected {i}\nfound    {_unreadable(error)}",
                _SUSPECT,
            ) from error
    listing = inbox.text("cat-file", "--batch-all-objects", "--batch-check=%(objectname) %(objecttype)")
    arrived = dict(line.split(" ") for line in listing.splitlines())
    strays = {i: kind for i, kind in arrived.items() if i not in extent.labels}
    lacking = [i for i in extent.ids if i not in arrived]
    if not strays or not lacking:
        return
    changed = _changed_entries(extent, inbox, lacking, strays)
    if not changed:
        found = ", ".join(f"{kind} {i}" for i, kind in strays.items())
        changed = [(extent.labels[i], i, found) for i in lacking]
    names = ", ".join(name for name, _, _ in changed)
    raise CheckFailed(
        f"{url}: {names} {'is' if len(changed) == 1 else 'are'} not what it should be",
        "\n".join(f"expected {expected}\nfound    {found}" for _, expected, found in changed),
        _SUSPECT,
    ) from error


def _changed_entries(
    extent: Extent, inbox: Repository, lacking: list[str], strays: dict[str, str]
) -> list[tuple[str, str, str]]:
    """What differs, as (name, expected id, found id), where altered folders show it entry by entry."""
    folders = [parse_tree(o.data) for o in inbox.find([i for i, kind in strays.items() if kind == "tree"]).values()]
    changed = []
    for tree in extent.trees:
        if tree.id not in lacking:
            continue
        entries = parse_tree(tree.data)
        for other in folders:
            if len(entries.keys() & other.keys()) * 2 > len(entries):
                changed += [
                    (extent.labels[entry.id], entry.id, other[name].id)
                    for name, entry in entries.items()
                    if name in other and other[name].id != entry.id
                ]
    return changed


def reason(error: GitFailed) -> str:
    """Git's complaint on one line: the first that it calls fatal, else an error, else its last words."""
    lines = [line for line in error.stderr.splitlines() if line.strip()] or [error.what]
    for mark in ("fatal: ", "error: ", ""):
        for line in lines if mark else reversed(lines):
            if line.startswith(mark):
                return line[len(mark) :]
    return lines[-1]
