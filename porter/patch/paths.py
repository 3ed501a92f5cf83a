"""Paths in a tree: which of them a stack, a patch and a lock can hold."""

from __future__ import annotations

import re

# what git's fsck takes for ".git": with what HFS+ does not see in a name, and with what NTFS takes for the same
_UNSEEN = re.compile("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")
_GIT_FOLDER = re.compile(r"(?i)(\.git|git~1)[. ]*(:.*)?", re.DOTALL)


def path_problem(path: str) -> str:
    """Why a path can stand in no stack and in no lock; empty if it can.

    Args:
        path: as it is in a tree, bytes that are not UTF-8 escaped (``surrogateescape``).
    """
    parts = path.split("/")
    if "\0" in path or any(part in ("", ".", "..") for part in parts):
        return f"the path {path!r} leads out of the tree"
    if any(_GIT_FOLDER.fullmatch(_UNSEEN.sub("", part)) for part in parts):
        return f"the path {path!r} leads out of the tree, into git's own folder"
    if "\\" in path:
        return f"the path {path!r} has a backslash, which parts folders on other systems; name the file otherwise"
    if any("\ud800" <= letter <= "\udfff" for letter in path):
        return f"the path {path!r} is not UTF-8; name the file otherwise"
    return ""
