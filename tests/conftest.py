"""Fixtures that more than one test module uses.

The emulated device is built once a session, for the interpreter that runs the tests.  Under a torch that is too old
for it, the tests marked ``device`` are deselected, and the one that sees the refusal runs instead (``too_old``).
Environment: PORTER_TEST_EMULATOR_CACHE, a cache to build in that outlives the session.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytest
from browser.devtools import find as find_browser
from histories import Line, real, synthetic
from sources import Upstream, can_mount, copy_upstream, git, make_upstream, small_file_system
from stacks import make_project

from porter.commands.apply import apply
from porter.process import SUPERVISOR
from porter.project import Project

# A shell starts what it puts in the background with Ctrl-C ignored, and every child inherits that: the tests
# that interrupt porter would wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)
# nohup does the same with SIGHUP. A handler, even one that does nothing, is not inherited.
if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)

TORCH = tuple(map(int, version("torch").split(".")[:2]))
# marker -> what it needs, and whether that is here: where it is not, a test is deselected, not skipped
DATA = Path(os.environ.get("PORTER_DATA") or Path(__file__).parents[2] / "shared" / "data")
WEIGHTS = Path(os.environ.get("PORTER_TEST_WEIGHTS") or Path(__file__).parents[2] / "shared" / "data" / "yolov5s.pt")
COCO128 = next((path for path in (DATA / "coco128", DATA) if (path / "images" / "train2017").is_dir()), None)


def confines(way: str) -> bool:
    """Whether this system keeps a process to its own folders in this way: many a container does not."""
    command = [sys.executable, "-I", "-S", str(SUPERVISOR), "--way", way, "--write", os.getcwd(), "true"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


NEEDS = {
    "root": ("root, who can give files away", os.geteuid() == 0),
    "disk": ("leave to mount a small file system", can_mount()),
    "namespaces": ("leave to make mount and PID namespaces", confines("namespaces")),
    "landlock": ("a kernel with Landlock", confines("landlock")),
    "browser": ("Chromium, on PATH or in PORTER_TEST_BROWSER", find_browser() is not None),
    "weights": ("the official yolov5s.pt, in PORTER_TEST_WEIGHTS or beside the checkout", WEIGHTS.is_file()),
    "device": ("a torch that the device can be built for", TORCH >= (2, 1)),
    "samples": ("torch's samples of its operators, which import expecttest", find_spec("expecttest") is not None),
    "too_old": ("a torch that is too old for the device", TORCH < (2, 1)),
    "autoload": ("a torch that loads plugins by itself", TORCH >= (2, 5)),
    "coco128": ("the real coco128, in PORTER_DATA or beside the checkout in ../shared/data", COCO128 is not None),
    "plugins": ("the sources of the vendors' plugins, in PORTER_PLUGINS", bool(os.environ.get("PORTER_PLUGINS"))),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--tree", default="", metavar="NAME", help="of tests/upstream's trees this one alone, such as mlu")


# what takes longer than a person waits: trainings, builds of the device, a browser, every command of the documents
LONG = (
    *("browser", "comparison", "docs", "emulator", "mutants", "plugins", "upstream"),
    *("commands/test_bench.py", "commands/test_data_check.py", "commands/test_necessity.py"),
    *("commands/test_train.py", "commands/test_verify.py", "test_streams.py"),
    *("lifecycle/test_bump_killed.py", "lifecycle/test_bump_releases.py", "lifecycle/test_new_target.py"),
    "lifecycle/test_random_kills.py",
    "recording/test_record.py",
    *("test_packaging.py", "test_workflow.py", "verification/test_device.py"),
)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "long: takes long; `make test` leaves it to `make test-all`")
    for name, (what, _) in NEEDS.items():
        config.addinivalue_line("markers", f"{name}: needs {what}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        path = item.path.relative_to(Path(__file__).parent)
        folder = path.parts[0]
        fixtures = getattr(item, "fixturenames", ())
        if folder in LONG or path.as_posix() in LONG:
            item.add_marker("long")
        if folder == "browser":
            item.add_marker("browser")
        if "small_disk" in fixtures:
            item.add_marker("disk")
        if "weights" in fixtures and folder == "upstream" and item.path.name != "test_ci.py":  # which trains its own
            item.add_marker("weights")
    lacking = [name for name, (_, here) in NEEDS.items() if not here]
    out = [item for item in items if any(item.get_closest_marker(name) for name in lacking)]
    if out:
        config.hook.pytest_deselected(items=out)
        items[:] = [item for item in items if item not in out]


@pytest.fixture(autouse=True)
def no_thread_left() -> Iterator[None]:
    """A thread that outlives its test works on what the next one has: a descriptor, a folder, the environment."""
    before = threading.enumerate()
    yield
    for thread in threading.enumerate():
        if thread not in before:
            thread.join(10)
            assert not thread.is_alive(), f"{thread.name} is still running"


@pytest.fixture(scope="session")
def emulator_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    given = os.environ.get("PORTER_TEST_EMULATOR_CACHE")
    return Path(given) if given else tmp_path_factory.mktemp("emulator")


@pytest.fixture(scope="session")
def built_emulator(emulator_cache: Path) -> Path:
    from porter.emulator import build

    return build(Path(sys.executable), emulator_cache)


@pytest.fixture
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh, empty HOME, porter's cache in it, and no setting of whoever runs the tests for git, pip or porter."""
    home = tmp_path_factory.mktemp("home")
    for name in list(os.environ):
        if name.startswith(("GIT_", "PIP_", "PORTER_", "XDG_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PORTER_CACHE", str(home / "cache"))
    return home


@pytest.fixture(scope="session")
def small_once(tmp_path_factory: pytest.TempPathFactory) -> Upstream:
    """What :func:`small` copies."""
    return make_upstream(tmp_path_factory.mktemp("upstream") / "small")


@pytest.fixture
def small(small_once: Upstream, tmp_path: Path, own_home: Path) -> Upstream:
    """A small upstream and the lock that pins it."""
    return copy_upstream(small_once, tmp_path / "small")


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What :func:`project` and :func:`clone` copy; its upstream stays where it is."""
    root = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PORTER_CACHE", str(root / "cache"))
        make_project(root)
    return root


@pytest.fixture
def project(made: Path, tmp_path: Path, own_home: Path) -> Project:
    """A project with small stacks for mlu and tpu, its lock in step."""
    shutil.copytree(made / "project", tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project")


@pytest.fixture
def clone(made: Path, tmp_path: Path, own_home: Path) -> Path:
    """Somebody's own clean clone of the project's upstream, at the pin."""
    git("clone", "-q", made / "small", tmp_path / "clone", cwd=tmp_path)
    git("switch", "-q", "-c", "mine", "v6.0", cwd=tmp_path / "clone")
    return tmp_path / "clone"


@pytest.fixture
def warm(made: Path, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache holds the project's upstream already, and the current folder is in the project."""
    monkeypatch.setenv("PORTER_CACHE", str(made / "cache"))
    monkeypatch.chdir(project.root)


@pytest.fixture
def tree(warm: None, project: Project, tmp_path: Path) -> Path:
    """A tree for mlu of the project's stacks."""
    apply(["mlu"], tmp_path / "tree", project=project)
    return tmp_path / "tree"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB."""
    with small_file_system(tmp_path / "disk", "2m") as disk:
        yield disk


@pytest.fixture(scope="session")
def synthetic_line(tmp_path_factory: pytest.TempPathFactory) -> Line:
    """The history made by tests/histories.py, with stacks for it."""
    root = tmp_path_factory.mktemp("synthetic")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PORTER_CACHE", str(root / "cache"))
        return synthetic(root)


@pytest.fixture(scope="session")
def line_of_the_session(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, synthetic_line: Line
) -> Line:
    """upstream's real history with this project's stacks where git can reach it, else the synthetic one; says which."""
    found = real(tmp_path_factory.mktemp("real")) or synthetic_line
    manager = request.config.pluginmanager
    reporter, capture = manager.getplugin("terminalreporter"), manager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        reporter.ensure_newline()
        reporter.write_line(f"history: {found.name}, up to {found.until}")
    return found
