"""Files from the network: whole and right under their own name, or not at all.

:func:`fetch` is the one way to download a file in porter (pip and git do their own).  It tries mirrors in turn,
goes on after a cut and after Ctrl-C, holds the file to its digest, and lets two porters that want one file share
the work of one.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from porter.downloads.digests import Digest, Digests, sha256_of
from porter.downloads.http import Refused, shown
from porter.downloads.partial import NoRoom, Partial, Transfer, amount, claim
from porter.downloads.retry import RetryPolicy
from porter.errors import CheckFailed, EnvironmentFailed, PorterError, WrongUsage, os_errors
from porter.output import Progress

VARIABLE = "PORTER_MIRROR"
_log = logging.getLogger(__name__)
_COPY = 4 << 20  # bytes of a local file copied at a time


@dataclass(frozen=True)
class Downloaded:
    """A file that is there now.

    Attributes:
        path: where.
        sha256: its digest in hexadecimal digits.
        source: the URL or path it came from; empty if it was there already.
        trust: in words, what its digest was held to.
    """

    path: Path
    sha256: str
    source: str
    trust: str

    def record(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        how = "fetched" if self.source else "there already"
        fields = {"how": how, "sha256": self.sha256, "source": self.source, "trust": self.trust}
        return {"path": str(self.path), **fields}


@dataclass(frozen=True)
class Wanted:
    """A file to have.

    Attributes:
        url: upstream's own, by which its digest is known.
        mirrors: where else it may be had; these are tried first, in order.  Each is the URL or path of a folder
            that holds the file by its name, or has ``{url}`` or ``{name}`` in it.  Those that ``PORTER_MIRROR``
            names, separated by blanks, come after them.
        check: raises CheckFailed if a file's content is not of the right kind; asked before the digest is believed
            for the first time.
        vouched: if ``check`` knows every byte that is used, the words for it; then no digest of the file itself is
            asked for or kept, so that it may be packed anew.
    """

    url: str
    mirrors: Sequence[str] = ()
    check: Callable[[Path], None] = field(default=lambda path: None)
    vouched: str = ""

    @property
    def name(self) -> str:
        """The file's name."""
        return PurePosixPath(urlsplit(self.url).path).name

    @property
    def sources(self) -> list[str]:
        """URLs and paths to try, in order.

        Raises:
            WrongUsage: a mirror is neither.
        """
        mirrors = (*self.mirrors, *os.environ.get(VARIABLE, "").split())
        return [_mirrored(self.url, self.name, mirror) for mirror in mirrors] + [self.url]


def fetch(
    wanted: Wanted,
    destination: Path,
    progress: Progress,
    *,
    digests: Digests | None = None,
    policy: RetryPolicy | None = None,
) -> Downloaded:
    """Make sure that a file is at ``destination``: check what is there, or download it.

    Args:
        digests: what the file is held to, and where a first digest is kept.
        policy: when a failing server is tried again, and when it is given up.

    Raises:
        CheckFailed: what every source has is not the file it should be, or what is at ``destination`` is not.
        EnvironmentFailed: no source can be reached, or the disk is full.
        WrongUsage: a mirror is no URL and no folder, or a folder is at ``destination``.
    """
    destination = Path(os.path.abspath(destination))
    if destination.is_dir():
        raise WrongUsage(f"{destination} is a folder", hint=f"Name a file, as {destination / wanted.name}.")
    digests, policy = digests or Digests(), policy or RetryPolicy()
    sources = wanted.sources
    known = None if wanted.vouched else digests.find(wanted.url)
    with claim(destination, progress) as partial:
        if partial is None:
            return _there(wanted, destination, known)
        try:
            return _Fetch(wanted, partial, progress, digests, known, policy).run(sources)
        except BaseException:
            if partial.lasting and partial.length:
                progress.note(
                    f"{amount(partial.length)} are kept in {partial.path}; the same command goes on from there"
                )
            raise


@dataclass
class _Fetch:
    wanted: Wanted
    partial: Partial
    progress: Progress
    digests: Digests
    known: Digest | None
    policy: RetryPolicy

    def run(self, sources: Sequence[str]) -> Downloaded:
        """Download from the first source that has the right file."""
        failures: list[tuple[str, str]] = []
        wrong: PorterError | None = None
        no_room: list[NoRoom] = []
        for source in sources:
            _log.info("%s: trying %s", self.wanted.name, shown(source))
            try:
                return self._from(source)
            except Refused as error:
                failures.append((shown(source), str(error)))
            except CheckFailed as error:
                wrong = wrong or error
                failures.append((shown(source), error.what))
            except NoRoom as error:  # or a source that claims too much
                no_room.append(error)
                failures.append((shown(source), error.why))
            if source != sources[-1]:
                self.progress.note(f"{failures[-1][0]}: {failures[-1][1]}; trying the next source")
        if wrong is not None and len(sources) == 1:
            raise wrong
        if len(no_room) == len(sources):
            raise no_room[0]
        why = "\n".join(f"{source}: {reason}" for source, reason in failures)
        what = f"cannot download {self.wanted.name}"
        if wrong is not None:
            raise CheckFailed(what, f"{why}\n{wrong.why}".rstrip(), wrong.hint)
        raise EnvironmentFailed(what, why, "Check the network, or name another source: --mirror URL|DIR.")

    def _from(self, source: str) -> Downloaded:
        self.progress.transfer(f"downloading {self.wanted.name}", 0, None)
        started, had = time.monotonic(), self.partial.length
        resumed = had > 0 and self.partial.source == shown(source)
        if _is_url(source):
            Transfer(source, self.partial, self.policy, self._report).run()
        else:
            self._copy(Path(source))
        sha256, came = self.partial.sha256(), self.partial.length - had
        took = time.monotonic() - started
        _log.debug("%s came in %.3f s; %s was there; sha256 %s", amount(came), took, amount(had), sha256)
        try:
            trust = self._judge(sha256, source)
        except CheckFailed as error:
            if not resumed:
                raise
            self.progress.note(f"{error.what}; what an earlier run left is thrown away")
            return self._from(source)
        self.partial.finish()
        return Downloaded(self.partial.destination, sha256, shown(source), trust)

    def _copy(self, file: Path) -> None:
        """Copy from a mirror that is a folder."""
        try:
            with open(file, "rb") as stream:
                self.partial.begin(str(file), "", os.fstat(stream.fileno()).st_size)
                while piece := stream.read(_COPY):
                    self.partial.append(piece)
                    self._report(self.partial.length, self.partial.size)
        except OSError as error:
            raise Refused(error.strerror or str(error)) from error
        if not self.partial.whole:
            raise Refused("it changed while it was read")

    def _report(self, done: int, total: int | None) -> None:
        self.progress.transfer(f"downloading {self.wanted.name}", done, total)

    def _judge(self, sha256: str, source: str) -> str:
        """Compare the digest with what it has to be, and say in words what that was.  Wrong bytes are removed."""
        try:
            if self.known is None:
                self.wanted.check(self.partial.path)
                if self.wanted.vouched:
                    return self.wanted.vouched
                self.known = self.digests.keep(self.wanted.url, sha256, shown(source))
                if self.known.sha256 == sha256:
                    return f"first download here, only its structure checked; {self.known.origin}"
            if self.known.sha256 != sha256:
                raise _other(self.wanted.name, f"what {shown(source)} has", sha256, self.known)
        except CheckFailed:
            self.partial.discard()
            raise
        return self.known.origin


def _there(wanted: Wanted, destination: Path, known: Digest | None) -> Downloaded:
    """Check the file that is there already."""
    with os_errors(f"cannot read {destination}"):
        found = sha256_of(destination)
    if known is None:
        wanted.check(destination)
        return Downloaded(destination, found, "", wanted.vouched or "there already, only its structure checked")
    if known.sha256 != found:
        raise _other(wanted.name, str(destination), found, known)
    return Downloaded(destination, found, "", known.origin)


def _other(name: str, what: str, sha256: str, known: Digest) -> CheckFailed:
    """The error for a file that has another digest than it should have."""
    hint = "Ask another source, or remove the file and run the same command again."
    if known.file is not None:
        hint = f"If upstream changed it on purpose, remove its entry from {known.file} and run the same command again."
    return CheckFailed(
        f"{what} is another {name} than it should be",
        f"expected sha256 {known.sha256} ({known.origin})\nfound    sha256 {sha256}",
        hint,
    )


def _is_url(source: str) -> bool:
    try:
        return urlsplit(source).scheme in ("http", "https") and bool(urlsplit(source).hostname)
    except ValueError:  # urlsplit's word for brackets that do not match
        return False


def _mirrored(url: str, name: str, mirror: str) -> str:
    """Where a mirror has a file."""
    if "{url}" in mirror or "{name}" in mirror:
        found = mirror.replace("{url}", url).replace("{name}", name)
    elif _is_url(mirror):
        found = f"{mirror.rstrip('/')}/{name}"
    else:
        folder = Path(os.path.expanduser(mirror))
        found = str(folder / name) if mirror and folder.is_dir() else "://"
    if not _is_url(found) and "://" in found:
        raise WrongUsage(
            f"{mirror!r} is no mirror: neither an http or https URL nor a folder",
            hint="Name what holds the file by its name, as https://example.com/yolov5/ or /mnt/usb;"
            " or put {url} or {name} where they belong.",
        )
    return found
