"""Where a bump leads: an upstream commit as a pin, the sources that have it, and what its licence is."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from porter.errors import WrongUsage
from porter.git import GitFailed, objects
from porter.lockfile import GitSource, Lock, Pin
from porter.sources.history import History, UpstreamCommit
from porter.sources.snapshot import Snapshot

_MODES = ("100644", "100755", "120000")


@dataclass(frozen=True)
class Licences:
    """What the licence file says at both ends.

    Attributes:
        before, after: SPDX identifiers; ``NONE`` where there is no such file.
        file: its path at the new pin, or where it was.
        by: the upstream commit that changed it, where it can be told.
    """

    before: str
    after: str
    file: str
    by: UpstreamCommit | None = None

    @property
    def changed(self) -> bool:
        """Whether the terms are others."""
        return self.before != self.after

    def __str__(self) -> str:
        by = f", by {self.by.id[:9]} of {self.by.date} ({self.by.subject})" if self.by else ""
        return f"the licence changes from {self.before} to {self.after} ({self.file}{by})"


@dataclass(frozen=True)
class NewPin:
    """An upstream commit to move to.

    Attributes:
        lock: the lock for it: pin and sources, the stacks still the old ones.
        snapshot: its files.
        before: the files at the pin.
        commits: how many commits upstream made since the pin; 0 if it is none of the pin's descendants.
        licences: what changes for whoever ships the result.
        dropped: sources of the lock that do not have it.
    """

    lock: Lock
    snapshot: Snapshot
    before: Snapshot
    commits: int
    licences: Licences
    dropped: tuple[str, ...]

    @property
    def pin(self) -> Pin:
        return self.lock.pin

    def record(self) -> dict[str, Any]:
        """As plain data."""
        found = self.licences
        return {
            "tag": self.pin.tag,
            "commit": self.pin.commit,
            "date": self.pin.date,
            "commits": self.commits,
            "licence": {"before": found.before, "after": found.after, "changed": found.changed, "file": found.file},
        }


def find(history: History, commit: str, rev: str) -> NewPin:
    """The pin that a commit makes, which a person called ``rev``.

    Raises:
        WrongUsage: it holds what porter cannot pin, or the lock has no source that has it.
        Damaged: an object of the history is missing or altered.
    """
    lock = history.lock
    snapshot, before = (_with_folders(found) for found in history.snapshots(commit, lock.pin.commit))
    name, tree, date = _named(history, commit, rev)
    if tree not in snapshot.objects or {e.mode for e in snapshot.files.values()} - set(_MODES):
        raise WrongUsage(
            f"{name} ({commit[:12]}) holds other things than files and links",
            "a pin is a list of files; a submodule is none",
            "Name another commit.",
        )
    licences = _licences(history, commit, before, snapshot)
    files = dict(sorted(snapshot.files.items()))
    pin = Pin(lock.pin.name, name, commit, tree, date, licences.after, files)
    sources = tuple(source for source in lock.sources if isinstance(source, GitSource))
    if not sources:
        raise WrongUsage(
            f"upstream.lock names no git repository, and nothing else has {name}",
            hint=f"Add one under sources, such as - git: https://github.com/{pin.name}",
        )
    dropped = tuple(str(source) for source in lock.sources if source not in sources)
    commits = int(history.repository.text("rev-list", "--count", f"{lock.pin.commit}..{commit}"))
    return NewPin(replace(lock, pin=pin, sources=sources), snapshot, before, commits, licences, dropped)


def _with_folders(found: Snapshot) -> Snapshot:
    """A commit's files, with the folders' objects."""
    return replace(found, objects={**found.objects, **{tree.id: tree for tree in objects.trees(found.files)}})


def _named(history: History, commit: str, rev: str) -> tuple[str, str, str]:
    """What to call a commit: its tag, else how far it is from one, else its id; its tree; its date."""
    repository = history.repository
    plain = rev != commit and not set("~^:?*[\\") & set(rev)  # neither an id nor v6.1~2 is a tag's name
    ref = f"refs/tags/{rev}^{{commit}}"
    tagged = repository.text("rev-parse", "--verify", "--quiet", ref, status=(0, 1, 128)) if plain else ""
    tree, date = repository.text("show", "--no-patch", "--format=%T %cI", commit).split(" ")
    date = f"{date[:-1]}+00:00" if date.endswith("Z") else date
    if tagged == commit:
        return rev, tree, date
    try:
        return repository.text("describe", "--tags", "--abbrev=12", commit), tree, date
    except GitFailed:  # no tag is before it
        return commit[:12], tree, date


def _licences(history: History, commit: str, before: Snapshot, after: Snapshot) -> Licences:
    sides = (before, after)
    paths = [license_file(side.files) for side in sides]
    texts = [
        side.objects[side.files[path].id].data.decode("utf-8", "replace") if path else None
        for side, path in zip(sides, paths)
    ]
    names = [license_of(text) if text is not None else NO_LICENSE for text in texts]
    file = paths[1] or paths[0]
    written = history.lock.pin.license
    if texts[0] == texts[1] or (names[0] == names[1] != UNKNOWN_LICENSE):
        return Licences(written, written, file)
    touching = history.touching(before.base, commit, file)
    by = next((step for step in touching if _brought(history, step, file, names[1])), None)
    return Licences(written, names[1], file, by)


def _brought(history: History, step: UpstreamCommit, file: str, name: str) -> bool:
    """Whether a commit is the one that brought the new licence: before it there was another."""
    try:
        text = history.repository.run("cat-file", "blob", f"{step.id}^:{file}").decode("utf-8", "replace")
    except GitFailed:  # there was no such file
        return True
    return license_of(text) != name


# Which licence a project is under, read from its licence file.
#
# The text decides, not what somebody wrote about it: upstream was GPL-3.0 up to and including v7.0 and became
# AGPL-3.0 with one commit in April 2023, and a port that moves across that commit changes its terms.

# SPDX identifier -> what the first lines of that licence's text say, white space squeezed, in small letters.
# The first that is there counts: BSD's three clauses hold the two.
_LICENSES = (
    ("AGPL-3.0-only", "gnu affero general public license version 3"),
    ("LGPL-3.0-only", "gnu lesser general public license version 3"),
    ("GPL-3.0-only", "gnu general public license version 3"),
    ("GPL-2.0-only", "gnu general public license version 2"),
    ("Apache-2.0", "apache license version 2.0"),
    ("MPL-2.0", "mozilla public license version 2.0"),
    ("MIT", "permission is hereby granted, free of charge, to any person obtaining a copy of this software"),
    ("BSD-3-Clause", "neither the name of"),
    ("BSD-2-Clause", "redistribution and use in source and binary forms"),
)
_HEAD = 2000  # characters; a title stands well before, and the GNU texts name each other well after
_LICENSE_NAME = re.compile(r"(licen[cs]e|copying)(\.(md|txt|rst))?", re.IGNORECASE)
UNKNOWN_LICENSE = "LicenseRef-unknown"
NO_LICENSE = "NONE"


def license_file(paths: Iterable[str]) -> str:
    """The licence file among a project's paths, or empty: one in its root folder, ``LICENSE`` before others."""
    found = sorted(path for path in paths if _LICENSE_NAME.fullmatch(path))
    return next(iter(sorted(found, key=lambda path: (not path.upper().startswith("LICEN"), len(path), path))), "")


def license_of(text: str) -> str:
    """The SPDX identifier of a licence's text; :data:`UNKNOWN` if it is none that is known here.

    A text of the GNU licences does not say whether later versions may be chosen: that stands in the files'
    own headers, so the narrower ``-only`` is given.
    """
    head = " ".join(text[:_HEAD].lower().split())
    return next((name for name, title in _LICENSES if title in head), UNKNOWN_LICENSE)
