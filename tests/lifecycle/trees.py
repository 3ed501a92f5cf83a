"""Trees whose commits a test makes up: written by one git process, as quick as a tree of porter's own."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sources import git

WHO = "Zoë Porter <zoe@example.org>"


@dataclass(frozen=True)
class Change:
    """A commit to make: its message, and path -> text of the files it writes, None where it deletes one."""

    message: str
    files: dict[str, str | None]


def rewritten(tree: Path, base: str, changes: Sequence[Change]) -> None:
    """Let the tree's branch be ``base`` and then these commits."""
    branch = git("symbolic-ref", "HEAD", cwd=tree)
    rows = [f"reset {branch}\nfrom {base}\n"]
    for number, change in enumerate(changes):
        text = change.message.encode()
        rows.append(f"commit {branch}\nauthor {WHO} {1700000000 + number} +0800\n")
        rows.append(f"committer Somebody Else <else@example.org> {1800000000 + number} +0000\ndata {len(text)}\n")
        rows.append(change.message + ("" if number else f"\nfrom {base}") + "\n")
        for path, content in change.files.items():
            if content is None:
                rows.append(f"D {path}\n")
            else:
                rows.append(f"M 644 inline {path}\ndata {len(content.encode())}\n{content}\n")
    command = ["git", "-C", str(tree), "fast-import", "--quiet", "--force"]
    subprocess.run(command, input="".join(rows).encode(), check=True)
    git("reset", "-q", "--hard", cwd=tree)
