"""Trees whose commits a test makes up: written by one git process, as quick as a tree of porter's own."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sources import git

from porter.commands.apply import apply
from porter.commands.export import export
from porter.commands.lint import lint
from porter.commands.lock import lock as write_lock
from porter.project import Project

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


def undisturbed(made: Path, root: Path) -> Project:
    """A project whose tpu is another's business: its stack fits whatever common does.  There is a tree for mlu."""
    shutil.copytree(made / "project", root / "project", symlinks=True)
    project = Project(root / "project")
    (project.patches / "tpu/know-the-tpu-at-the-bottom.patch").unlink()
    (project.patches / "tpu/series").write_text("register-the-tpu.patch\n")
    write_lock(project=project)
    apply(["mlu"], root / "tree", project=project)
    return project


def gives_back(project: Project, root: Path) -> None:
    """That an exported project is in order, gives the tree that it came from, and is what either tree exports."""
    complaints = [finding.what for finding in lint(project=project)]
    assert not [what for what in complaints if "canonical" in what or "lock" in what or "off" in what or "fit" in what]
    apply(["mlu"], root / "fresh", project=project)
    trees = (root / "tree", root / "fresh")
    assert len({git("rev-parse", "HEAD^{tree}", cwd=tree) for tree in trees}) == 1
    for tree in trees:
        assert export(tree, project=project).rewrite.edits == ()
