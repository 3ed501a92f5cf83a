"""Lines of upstream history for the tests: ultralytics/yolov5's own where git can reach it, and one made here.

The made one has in 16 commits what a stack meets in years: lines that move, files that are renamed and deleted, a
fix that upstream made as well, conflicts that come and go, a merge, a change of licence.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sources import git
from stacks import CHECKOUT, commit, export, message, replace, write

from porter.commands.lock import lock as write_lock
from porter.git.objects import Entry
from porter.lockfile import GitSource, Lock, Pin
from porter.project import Project

REACH_SECONDS = 120  # for a clone of 20 MB; without a network git says so at once


@dataclass(frozen=True)
class Line:
    """A history, and stacks for its tag ``v6.0``.

    Attributes:
        name: ``real`` or ``synthetic``.
        upstream: a repository that has the whole history.
        project: the stacks and their lock; the lock's git source is ``upstream`` or, for the real one, GitHub.
        until: a tag that comes after the pin.
    """

    name: str
    upstream: Path
    project: Project
    until: str

    @property
    def lock(self) -> Lock:
        return Lock.load(self.project.lock_path)


def real(folder: Path) -> Line | None:
    """The history of upstream.lock's git source with this project's own stacks, or None where git cannot reach it.

    git is the user's here, with whatever leads it to a mirror.
    """
    project = Project(CHECKOUT)
    (source,) = (s for s in Lock.load(project.lock_path).sources if isinstance(s, GitSource))
    env = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
    command = ["git", "clone", "--quiet", "--bare", source.url, str(folder / "yolov5.git")]
    try:
        done = subprocess.run(command, env=env, capture_output=True, check=False, timeout=REACH_SECONDS)
    except subprocess.TimeoutExpired:
        done = None
    if done is None or done.returncode:
        shutil.rmtree(folder / "yolov5.git", ignore_errors=True)
        return None
    return Line("real", folder / "yolov5.git", project, "v7.0")


# -- the history made here -------------------------------------------------------------------------------


def _text(name: str, count: int) -> str:
    return "".join(f"# {name} line {n}\n" for n in range(1, count + 1))  # a comment: porter verify compiles it


FILES: Mapping[str, str] = {
    "LICENSE": "GNU GENERAL PUBLIC LICENSE\nVersion 3\n",
    "README.md": "# A detector\n",
    "data/hyps/hyp.scratch.yaml": _text("hyp", 20),
    "data/scripts/get.sh": "#!/bin/sh\nexit 0\n",
    "old.py": _text("old", 12),
    "train.py": _text("train", 80),
    "utils/__init__.py": "",
    "utils/datasets.py": _text("datasets", 60),
    "utils/general.py": _text("general", 40),
    "val.py": _text("val", 30),
}


def _all(*steps: Callable[[Path], None]) -> Callable[[Path], None]:
    def do(root: Path) -> None:
        for each in steps:
            each(root)

    return do


def _rename(old: str, new: str) -> Callable[[Path], None]:
    return lambda root: (root / old).rename(root / new) and None


# after the pin; a subject, what it does, a tag
COMMITS: tuple[tuple[str, Callable[[Path], None], str], ...] = (
    ("Write more in the README", write("README.md", "# A detector\n\nMore.\n"), ""),
    ("Import more", replace("train.py", "train line 2\n", "train line 2\nimport glob\nimport math\n"), ""),
    ("Change a line beside the patch's", replace("train.py", "train line 43\n", "train line 43, changed\n"), ""),
    (
        "Rename datasets to dataloaders",
        _all(
            _rename("utils/datasets.py", "utils/dataloaders.py"),
            replace("utils/dataloaders.py", "datasets line 55\n", "dataloaders line 55\n"),
        ),
        "",
    ),
    ("Fix the same bug", replace("utils/general.py", "general line 20\n", "general line 20, fixed\n"), "v6.1"),
    ("Change what the patch changes", replace("val.py", "val line 15\n", "val line 15, otherwise\n"), ""),
    ("Say hyp.scratch-low", _rename("data/hyps/hyp.scratch.yaml", "data/hyps/hyp.scratch-low.yaml"), ""),
    ("Remove old.py", lambda root: (root / "old.py").unlink(), ""),
    ("Change it back", replace("val.py", "val line 15, otherwise\n", "val line 15\n"), ""),
    ("Add an accelerator of our own", write("utils/accelerator/__init__.py", "OURS = True\n"), ""),
    ("Take it away again", lambda root: shutil.rmtree(root / "utils/accelerator"), "v6.2"),
    ("Make the script executable", lambda root: (root / "data/scripts/get.sh").chmod(0o755), ""),
    ("Put a file where a folder was", write("utils/accelerator", "a file\n"), ""),
    ("Use the AGPL", write("LICENSE", "GNU AFFERO GENERAL PUBLIC LICENSE\nVersion 3\n"), ""),
    (
        "Make it a folder again",
        _all(lambda root: (root / "utils/accelerator").unlink(), write("utils/more.py", _text("more", 5))),
        "",
    ),
)
LAST = "v7.0"  # the merge of a side branch, after COMMITS

STEPS: tuple[tuple[str, str, Callable[[Path], None]], ...] = (
    ("common", "Train on any device", replace("train.py", "train line 40\n", "train line 40, on a device\n")),
    ("common", "Fix a bug", replace("utils/general.py", "general line 20\n", "general line 20, fixed\n")),
    ("common", "Load on the host", replace("utils/datasets.py", "datasets line 30\n", "datasets line 30, host\n")),
    ("common", "Validate on any device", replace("val.py", "val line 15\n", "val line 15, on a device\n")),
    ("common", "Change what will be removed", replace("old.py", "old line 6\n", "old line 6, new\n")),
    ("common", "Add utils/accelerator", write("utils/accelerator/__init__.py", "REGISTRY = {}\n")),
    ("common", "Set a hyperparameter", replace("data/hyps/hyp.scratch.yaml", "hyp line 10\n", "hyp line 10: 1\n")),
    ("common", "Train twice", replace("train.py", "train line 40, on a device\n", "train line 40, twice\n")),
    ("common", "Move the script", _rename("data/scripts/get.sh", "data/get.sh")),
    ("mlu", "Add the mlu", write("utils/accelerator/mlu.py", "NAME = 'mlu'\n")),
    ("mlu", "Time the MLU", replace("utils/datasets.py", "datasets line 50\n", "datasets line 50\ntime()\n")),
    ("tpu", "Add the tpu", write("utils/accelerator/tpu.py", "NAME = 'tpu'\n")),
)


def synthetic(folder: Path) -> Line:
    """The history of COMMITS, and the stacks of STEPS on its pin."""
    upstream = folder / "upstream"
    upstream.mkdir(parents=True)
    git("-c", "init.defaultBranch=master", "init", "-q", cwd=upstream)
    for name, text in {**FILES, "train.py": "older\n"}.items():
        write(name, text)(upstream)
    commit(upstream, "Older", 1630000000)
    write("train.py", FILES["train.py"])(upstream)
    commit(upstream, "Release", 1634021238)
    git("tag", "v6.0", cwd=upstream)
    for number, (subject, do, tag) in enumerate(COMMITS):
        do(upstream)
        commit(upstream, f"{subject}\n", 1634100000 + 86400 * number)
        if tag:
            git("tag", tag, cwd=upstream)
    _merge_a_side_branch(upstream)
    git("tag", LAST, cwd=upstream)
    return Line("synthetic", upstream, _project(folder, upstream), LAST)


def _merge_a_side_branch(upstream: Path) -> None:
    git("switch", "-q", "-c", "side", "HEAD~2", cwd=upstream)
    write("utils/side.py", "side\n")(upstream)
    commit(upstream, "On a side branch\n", 1636000000)
    git("switch", "-q", "master", cwd=upstream)
    git("merge", "-q", "--no-ff", "-m", "Merge the side branch", "side", cwd=upstream)
    git("branch", "-q", "-D", "side", cwd=upstream)


def _project(folder: Path, upstream: Path) -> Project:
    clone, project = folder / "work", Project(folder / "project")
    git("clone", "-q", upstream, clone, cwd=folder)
    git("switch", "-q", "-c", "common", "v6.0", cwd=clone)
    base = "v6.0"
    for name in ("common", "mlu", "tpu"):
        if name != "common":
            git("switch", "-q", "-c", name, "common", cwd=clone)
            base = "common"
        for number, (stack, subject, do) in enumerate(STEPS):
            if stack == name:
                do(clone)
                commit(clone, message(subject, name), 1700000000 + 60 * number)
        export(clone, base, project.patches / name)
        if name != "common":
            for file in ("target.yaml", "requirements.txt"):
                shutil.copy(CHECKOUT / "patches" / name / file, project.patches / name)
    Lock(_pin(upstream), (GitSource(str(upstream)),)).write(project.lock_path)
    write_lock(project=project)
    return project


def _pin(upstream: Path) -> Pin:
    files = {}
    for line in git("ls-tree", "-r", "v6.0", cwd=upstream).splitlines():
        head, name = line.split("\t")
        mode, _, blob = head.split()
        files[name] = Entry(mode, blob)
    ids = git("rev-parse", "v6.0^{commit}", "v6.0^{tree}", cwd=upstream).split()
    return Pin("example/detector", "v6.0", ids[0], ids[1], "2021-10-12T14:47:18+08:00", "GPL-3.0-only", files)


# -- what git itself makes of a stack there --------------------------------------------------------------


@dataclass(frozen=True)
class Applied:
    """What ``git am -3`` with ``--skip`` at each conflict made: the tree, and the numbers of the patches skipped."""

    tree: str
    skipped: tuple[int, ...]


class Applier:
    """A clone of a line in which git really applies a stack, on any commit.

    It holds the stack's own objects, which ``git am -3`` needs.
    """

    def __init__(self, line: Line, folder: Path, files: list[Path]) -> None:
        self.clone, self.files = folder / "am", files
        self._known: dict[str, Applied] = {}
        git("clone", "-q", "--shared", "--no-checkout", line.upstream, self.clone, cwd=folder)
        git("checkout", "-q", "--detach", line.lock.pin.commit, cwd=self.clone)
        git("am", "-q", *files, cwd=self.clone)

    def apply(self, commit: str) -> Applied:
        """The whole stack on one commit."""
        if commit not in self._known:
            self._known[commit] = self._apply(commit)
        return self._known[commit]

    def _apply(self, commit: str) -> Applied:
        git("checkout", "-q", "-f", "--detach", commit, cwd=self.clone)
        git("clean", "-ffdqx", cwd=self.clone)
        skipped = []
        words = ["am", "-3", "-q", *map(str, self.files)]
        while self._run(words):
            skipped.append(int((self.clone / ".git/rebase-apply/next").read_text()) - 1)
            words = ["am", "--skip"]
        return Applied(git("rev-parse", "HEAD^{tree}", cwd=self.clone), tuple(skipped))

    def _run(self, words: list[str]) -> int:
        env = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
        env.update(GIT_CONFIG_GLOBAL=os.devnull, GIT_CONFIG_NOSYSTEM="1")
        env.update(GIT_COMMITTER_NAME="A", GIT_COMMITTER_EMAIL="a@example.com")
        done = subprocess.run(["git", *words], cwd=self.clone, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0 or (self.clone / ".git/rebase-apply/next").is_file(), done.stdout + done.stderr
        return done.returncode


def sample(count: int, size: int) -> list[int]:
    """``count`` places of a line of ``size`` commits, spread evenly, the last one among them."""
    return sorted({size - 1 - (n * size) // count for n in range(min(count, size))})
