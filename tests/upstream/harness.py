"""What the tests on v6.0 share: trees, data, and child processes that cannot reach the network."""

from __future__ import annotations

import csv
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from porter.verification import child, session
from porter.verification.session import newest

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parents[1]
DRIVERS = HERE / "drivers"
OURS = Path(session.__file__).resolve().parent / "drivers"
TIMEOUT = 300  # seconds that one child may take; the longest needs about 20 on an idle machine


@dataclass(frozen=True)
class Tree:
    """v6.0's files, patched (``name`` is the stack's, such as ``mlu+tpu``) or not (``pristine``)."""

    name: str
    path: Path

    @property
    def targets(self) -> list[str]:
        """The targets whose stacks are applied."""
        return [] if self.name == "pristine" else self.name.split("+")


class Run(child.Run):
    """A child process that has ended."""

    def story(self) -> str:
        """What a person needs to understand a failure."""
        return (
            f"$ {self.shown()}\n(in {self.folder}, it {self.ending})\n"
            f"--- stdout\n{self.out[-3000:]}\n--- stderr\n{self.tail(60)[-5000:]}\n"
            + "".join(f"--- forbidden: {line}\n" for line in self.forbidden)
        )

    def ok(self) -> Run:
        """This run, if it ended well: status 0, no thread died (v6.0 draws in threads), nothing forbidden tried."""
        assert self.status == 0, self.story()
        assert "Traceback (most recent call last)" not in self.text, self.story()
        return self.offline()

    def offline(self) -> Run:
        """This run, if it tried neither the network nor an installation."""
        assert not self.forbidden, self.story()
        return self


@dataclass(frozen=True)
class Training:
    """A folder that train.py wrote, and the run that wrote it."""

    run: Run
    folder: Path

    @cached_property
    def rows(self) -> list[dict[str, float]]:
        """results.csv, one dictionary per line."""
        with open(self.folder / "results.csv", newline="") as file:
            lines = [[cell.strip() for cell in line] for line in csv.reader(file)]
        return [dict(zip(lines[0], map(float, line))) for line in lines[1:]]

    @property
    def last(self) -> Path:
        return self.folder / "weights" / "last.pt"

    @property
    def best(self) -> Path:
        return self.folder / "weights" / "best.pt"


class Lab:
    """The children of a test session, the folder they work in and what they share.

    Args:
        root: an empty folder of this session.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        cores = max(1, min(4, os.cpu_count() or 1))
        self.children = child.Children(root, sys.executable, 2 * cores, TIMEOUT)
        self._lock = threading.Lock()
        self._jobs: dict[tuple[Any, ...], Future[Any]] = {}
        self._pool = ThreadPoolExecutor(max_workers=cores)

    # -- processes -----------------------------------------------------------------------------------

    def folder(self, name: str) -> Path:
        """A new empty folder to work in."""
        return self.children.folder(name)

    def run(self, *command: object, cwd: Path, env: Mapping[str, str] | None = None) -> Run:
        """Run ``python COMMAND...`` to its end, without a network."""
        extra = {"PYTHONWARNINGS": "default", "CUDA_VISIBLE_DEVICES": "", **(env or {})}
        return Run(**vars(self.children.run(*command, cwd=cwd, env=extra)))

    def close(self) -> None:
        """End every child and every job."""
        for future in self._jobs.values():
            future.cancel()
        self.children.stop()
        self._pool.shutdown()

    # -- jobs: done once, ahead of the tests that look at them ----------------------------------------

    def ahead(self, key: tuple[Any, ...], work: Callable[[], Any]) -> None:
        """Queue ``work``; two or more children run while tests look at what others left."""
        with self._lock:
            if key not in self._jobs:
                self._jobs[key] = self._pool.submit(work)

    def done(self, key: tuple[Any, ...], work: Callable[[], Any]) -> Any:
        """What ``work`` returns, from the queue if it is there, else done here and kept."""
        with self._lock:
            future = self._jobs.get(key)
            mine = future is None or future.cancel()  # a job still waiting is done here: no worker waits for another
            if mine:
                future = self._jobs[key] = Future()
                future.set_running_or_notify_cancel()  # so that nobody else can cancel it
        assert future is not None
        if mine:
            try:
                future.set_result(work())
            except BaseException as error:
                future.set_exception(error)
        return future.result()

    # -- the tree's programs -------------------------------------------------------------------------

    def script(
        self,
        tree: Tree,
        name: str,
        *args: object,
        cwd: Path,
        env: Mapping[str, str] | None = None,
        charts: bool = True,
    ) -> Run:
        """``python TREE/NAME ARGS``; charts are half of a short training, and left out where nobody looks at them."""
        if not charts:
            return self.driver(tree, "program.py", name, "--", *args, cwd=cwd, env=env)
        return self.run(tree.path / name, *args, cwd=cwd, env=self.pristine_env(tree, env))

    def driver(self, tree: Tree, name: str, *args: object, cwd: Path, env: Mapping[str, str] | None = None) -> Run:
        """``python NAME TREE ARGS``: one of our scripts (the tests' or `porter verify`'s), inside a tree."""
        folder = DRIVERS if (DRIVERS / name).is_file() else OURS
        path = os.pathsep.join(filter(None, (str(OURS), (env or {}).get("PYTHONPATH"))))  # entry.py is there
        return self.run(
            folder / name, tree.path, *args, cwd=cwd, env=self.pristine_env(tree, {**(env or {}), "PYTHONPATH": path})
        )

    def pristine_env(self, tree: Tree, env: Mapping[str, str] | None) -> dict[str, str]:
        """Unpatched v6.0 downloads a font when it is imported; it gets one, the ported trees do not."""
        if tree.name != "pristine":
            return dict(env or {})
        config = self.root / "pristine-config"
        if not config.exists():
            spec = importlib.util.find_spec("matplotlib")
            assert spec is not None and spec.origin is not None, "matplotlib is not installed"
            aside = self.folder("font")
            shutil.copy(Path(spec.origin).parent / "mpl-data/fonts/ttf/DejaVuSans.ttf", aside / "Arial.ttf")
            try:
                aside.rename(config)
            except OSError:  # another thread was first
                assert config.exists()
        return {"YOLOV5_CONFIG_DIR": str(config), "PIP_NO_INDEX": "1", **(env or {})}

    def train(
        self,
        tree: Tree,
        data: Path,
        *args: object,
        cwd: Path | None = None,
        script: str = "train.py",
        env: Mapping[str, str] | None = None,
        driver: Sequence[object] = (),
        charts: bool = False,
    ) -> Training:
        """A short training on a copy of ``data`` in a new folder; ``driver`` runs it through one of our scripts."""
        cwd = cwd or self.folder("train")
        own = own_data(data, cwd)
        words = ["--data", own, "--img", 96, "--device", "cpu", "--workers", 0, "--project", "runs/train", *args]
        if driver:
            run = self.driver(tree, str(driver[0]), *driver[1:], "--", *words, cwd=cwd, env=env)
        else:
            run = self.script(tree, script, *words, cwd=cwd, env=env, charts=charts)
        return Training(run, newest(cwd / "runs" / "train"))


def porter(*args: object, env: Mapping[str, str], cwd: Path = CHECKOUT) -> subprocess.CompletedProcess[str]:
    """Run porter as a user in the checkout, or in a copy of its stacks, would."""
    command = [sys.executable, "-m", "porter", *map(str, args)]
    where = {**env, "PYTHONPATH": str(CHECKOUT)}
    return subprocess.run(command, cwd=cwd, env=where, capture_output=True, text=True, check=False)


def own_data(data: Path, cwd: Path) -> Path:
    """A copy of a data set for one run (v6.0 writes caches beside the labels); returns its data.yaml."""
    own = cwd / "data"
    if not own.exists():
        shutil.copytree(data, own)
        text = (data / "data.yaml").read_text()
        (own / "data.yaml").write_text(re.sub(r"(?m)^path:.*$", f"path: {own}", text))
    return own / "data.yaml"
