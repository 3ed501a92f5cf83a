"""The version matrix: what each target's machines run, and what is current.

    nox -s mlu tpu latest       everything;  nox -s mlu -- tests/upstream -k resume      a part

An environment holds up to 5 GB (torch with its CUDA libraries, where the package index has no smaller one),
so it lies in the user's cache folder (or $PORTER_NOX_ENVDIR), shared by all checkouts, and is made anew only
when what it is made from changes.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

import nox
from filelock import FileLock
from packaging.version import Version
from platformdirs import user_cache_path

ROOT = Path(__file__).parent
# What the tests need beside porter and the tree. pip minds what tensorboard asks of protobuf if it is named, too.
TESTS = ("pytest>=8.0", "hypothesis>=6.100", "onnx>=1.12", "onnxruntime>=1.12", "tensorboard>=2.6")
NOTEBOOK = ("ipykernel>=6.20", "nbclient>=0.8")  # for docs/tutorial.ipynb, which needs torch 2.1
LATEST = ("torch==2.13.0",)
VERSIONS = ("3.9", "3.10", "3.11", "3.12", "3.13")  # of Python, that porter is for
# What a vendor's session runs, in that vendor's tree alone: what depends on torch and its neighbours. The rest is run
# once, by `make test-all`, every tree too.
LEAVES_AS_IT_WAS = "tests/test_packaging.py::test_pip_leaves_a_vendors_environment_as_it_was"
# The oldest torch, where unpatched v6.0 runs and no device can be emulated.
OLDEST = (
    *(
        f"tests/upstream/test_{name}.py"
        for name in (
            "checkpoints",  # how torch pickles and unpickles
            "ci",  # every step of upstream's own CI, ONNX of this age among them
            "infer",  # each tree reads the other's checkpoints, and finds the same
            "lockstep",  # every loss and weight is unpatched v6.0's
            "mlu_builds",  # Cambricon's builds of this age
            "modules",  # what can be imported
            "nms",  # torchvision of this age sorts otherwise
            "options",  # mixed precision and optimizers of this age, and the commands of Cambricon's tutorial
            "parallel",  # torch.distributed.run
            "resume",  # each tree goes on with the other's run
            "train",  # the pictures, with Matplotlib and Pillow of this age
            "untrusted",  # NumPy's files, this Python's names and terminals
        )
    ),
    "--deselect=tests/upstream/test_options.py::test_evolve",
    "--deselect=tests/upstream/test_infer.py::test_all_that_detect_can_write",  # which draws for half a minute
    # what the tree says of a wrong or a missing name is no matter of torch: tests/upstream says it once
    *(
        f"--deselect=tests/upstream/test_{name}"
        for name in (
            "infer.py::test_weights_are_not_looked_up_unasked",
            "options.py::test_the_seeds_commands_are_understood",
            "options.py::test_unknown_optimizer_is_refused",
            "resume.py::test_nothing_to_resume_is_said",
        )
    ),
    # porter itself on this Python: what reads torch's files, and what runs children
    "tests/checkpoints/test_checkpoint.py",
    "tests/verification",
    "tests/comparison/test_trees.py",  # what watches a step, in this torch
    LEAVES_AS_IT_WAS,
)
# Between the oldest and the newest: torch's files bit for bit, torchvision's order, gradients over processes, the
# commands of Sophgo's guide, the vendors' own Python. `porter verify --level full` says the rest under this torch.
BETWEEN = (
    "tests/upstream/test_checkpoints.py::test_checkpoints_load_bit_for_bit",
    "tests/upstream/test_nms.py",
    "tests/upstream/test_options.py::test_the_tpu_seeds_commands_train",
    "tests/upstream/test_parallel.py",
    "tests/plugins",
    "--deselect=tests/plugins/test_broken.py::test_all_of_it_works_on_the_cpu",  # torch loads no plugin by itself here
    LEAVES_AS_IT_WAS,
)

nox.needs_version = ">=2024.4.15"
nox.options.sessions = ["lint", "mlu", "tpu", "latest"]
nox.options.envdir = os.environ.get("PORTER_NOX_ENVDIR") or str(user_cache_path("yolov5-porter") / "nox")
nox.options.reuse_venv = "yes"
nox.options.error_on_missing_interpreters = True
nox.options.stop_on_first_error = False


def interpreter(version: str) -> str:
    """The path of a Python of this version on PATH or among pyenv's; the bare version where there is none.

    A pyenv shim is on PATH for every version that pyenv has but runs only the activated ones, so whatever
    is found has to answer.
    """
    on_path = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    roots = [folder.parent for folder in on_path if folder.name == "shims"]
    roots += [Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")]
    versions = {path for root in roots for path in root.glob(f"versions/{version}.*") if _is_release(path.name)}
    pyenv = sorted(versions, key=lambda path: Version(path.name), reverse=True)
    for folder in [*on_path, *(path / "bin" for path in pyenv)]:
        python = folder / f"python{version}"
        if python.is_file() and _answers(python, version):
            return str(python)
    return version


def _is_release(name: str) -> bool:
    return re.fullmatch(r"\d+\.\d+\.\d+", name) is not None


def _answers(python: Path, version: str) -> bool:
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    done = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=False)
    return done.returncode == 0 and done.stdout.strip() == version


def prepare(session: nox.Session, requirements: tuple[str, ...], made_from: str) -> None:
    """Install the requirements, unless this environment was completely made from the same before.

    ``made_from`` is everything that the environment depends on; where the checkout lies is no part of it.
    """
    location = Path(session.virtualenv.location)
    stamp = location / "porter-made-from"
    digest = hashlib.sha256(f"{session.python}\n{made_from}".encode()).hexdigest()
    if stamp.is_file() and stamp.read_text() == digest:
        session.log(f"{location} is as {session.name} needs it")
        return
    if any(path.name.startswith(("torch", "numpy")) for path in location.glob("lib/python*/site-packages/*")):
        shutil.rmtree(location)  # made from something else: nothing of it may remain
        session.virtualenv.create()
    session.install(*requirements)
    stamp.write_text(digest)


def check(session: nox.Session, torch: str, *, torchvision: bool) -> None:
    """Fail unless torch is the pinned one still, and torchvision there or not as it should be."""
    code = (
        "import importlib.util as u, sys, torch\n"
        f"found = torch.__version__.split('+')[0], u.find_spec('torchvision') is not None\n"
        f"found == {(torch, torchvision)!r} or sys.exit('torch, torchvision: %s, %s' % found)\n"
    )
    session.run("python", "-c", code)


def run_tests(session: nox.Session, constraints: tuple[str, ...], tests: tuple[str, ...] = ("tests",)) -> None:
    """Install this checkout's porter as a wheel, beside what is pinned, and run the tests."""
    session.install("--upgrade", "--force-reinstall", "--no-deps", ".")
    session.install(*constraints, "yolov5-porter", *TESTS)  # its dependencies
    # not `python -m pytest`, which would put the checkout before the installed package; pages are looked at in a
    # browser by `make test` alone, since they are the same everywhere
    session.run("pytest", *(session.posargs or [*tests, "--ignore=tests/browser"]))


def vendor(session: nox.Session, target: str, torch: str, *tests: str) -> None:
    """One target's environment: its requirements.txt as they are, porter beside them."""
    path = ROOT / "patches" / target / "requirements.txt"
    with FileLock(f"{session.virtualenv.location}.lock"):
        prepare(session, ("-r", str(path)), path.read_text())
        check(session, torch, torchvision=True)
        run_tests(session, ("-c", str(path)), tests)
        check(session, torch, torchvision=True)


@nox.session(python=interpreter("3.9"))
def mlu(session: nox.Session) -> None:
    """Python 3.9, torch 1.9.1, torchvision 0.10.1: Cambricon's tutorial. Unpatched v6.0 runs here, to compare with."""
    vendor(session, "mlu", "1.9.1", *OLDEST, "--tree=mlu")


@nox.session(python=interpreter("3.10"))
def tpu(session: nox.Session) -> None:
    """Python 3.10, torch 2.1.0, torchvision 0.16.0: Sophgo's guide; the pins of npu are the same."""
    # torch_npu 2.1, whose own Python tests/plugins runs, is what the emulated Ascend910B is of
    vendor(session, "tpu", "2.1.0", *BETWEEN, "--tree=tpu")


@nox.session(python=interpreter("3.11"))
def latest(session: nox.Session) -> None:
    """Python 3.11, torch 2.13.0, no torchvision, the newest of the rest."""
    with FileLock(f"{session.virtualenv.location}.lock"):
        prepare(session, LATEST, "\n".join(LATEST))
        session.install(".[train,scan]", *NOTEBOOK)
        run_tests(session, ())
        check(session, "2.13.0", torchvision=False)


@nox.session(python=interpreter("3.11"))
def lint(session: nox.Session) -> None:
    """ruff, mypy, import-linter and the site, as `make lint` runs them."""
    with FileLock(f"{session.virtualenv.location}.lock"):
        prepare(session, LATEST, "\n".join(LATEST))
        session.install("-e", ".[dev]")
        session.run("ruff", "check", ".")
        session.run("ruff", "format", "--check", ".")
        session.run("mypy", "--strict", "porter")
        session.run("lint-imports", "--no-cache", "--no-logo")
        session.run("mkdocs", "build", "--strict", "--quiet")


@nox.session(python=interpreter("3.11"))
def release(session: nox.Session) -> None:
    """What is published, into dist/: sdist and wheel, built twice with the same bytes; metadata, SBOM, digests.

    The second build is of a clone, in another folder, with other permissions, time zone and locale: what git does not
    hold, or what depends on the machine, makes it differ.
    """
    session.install("build>=1.2", "cyclonedx-bom>=5", "twine>=6")
    dist, clone, again = ROOT / "dist", Path(session.create_tmp()) / "clone", Path(session.create_tmp()) / "again"
    for folder in (dist, clone, again):
        shutil.rmtree(folder, ignore_errors=True)
    session.run("python", "-m", "build", "--outdir", str(dist), str(ROOT))
    session.run("git", "clone", "--quiet", str(ROOT), str(clone), external=True)
    other = {"TZ": "Asia/Shanghai", "LC_ALL": "C", "PYTHONHASHSEED": "1"}
    command = f"umask 077 && {session.bin}/python -m build --outdir '{again}' '{clone}'"
    session.run("sh", "-c", command, env=other, external=True)
    session.run("python", "tools/release.py", "compare", str(dist), str(again))
    session.run("twine", "check", "--strict", *map(str, sorted(dist.iterdir())))
    # what a user gets: the wheel and what it needs, in an environment without pip
    alone = Path(session.create_tmp()) / "alone"
    session.run("python", "-m", "venv", "--clear", "--without-pip", str(alone))
    (wheel,) = dist.glob("*.whl")
    name = wheel.name.split("-py3")[0]
    # by its name: the SBOM would hold the path of a file
    asked = ("--find-links", str(dist), name.replace("-", "=="))
    session.run("python", "-m", "pip", "--python", str(alone), "install", "--quiet", *asked)
    bom = dist / f"{name}.cdx.json"
    flags = ("--output-reproducible", "--output-file", str(bom))
    session.run("cyclonedx-py", "environment", *flags, str(alone / "bin" / "python"))
    session.run("python", "tools/release.py", "digests", str(dist))
    if session.posargs:  # a tag
        session.run("python", "tools/release.py", "tag", *session.posargs)
        session.run("python", "tools/release.py", "links", str(dist))


@nox.session
@nox.parametrize("python", [nox.param(interpreter(version), id=version) for version in VERSIONS])
@nox.parametrize("torch", [nox.param(False, id="alone"), nox.param(True, id="torch")])
def installed(session: nox.Session, torch: bool) -> None:
    """The wheel of dist/ in an empty environment, used outside of any checkout. Words after -- are for torch's pip."""
    wheels = sorted((ROOT / "dist").glob("*.whl"))
    if len(wheels) != 1:
        session.error("dist/ has not one wheel: nox -s release makes it")
    if torch:
        session.install(*(session.posargs or ["torch"]))
    session.install("--force-reinstall", "--no-deps", str(wheels[0]))
    session.install(f"{wheels[0]}[train]" if torch else str(wheels[0]))
    session.chdir(session.create_tmp())
    shutil.rmtree("tree", ignore_errors=True)
    for words in (
        ["--version"],
        ["apply", "--target", "mlu", "tree"],
        ["status", "tree"],
        ["verify", "--target", "mlu", "--level", "static", "tree"],
        *([["verify", "--target", "mlu", "--device", "cpu", "--check", "train", "tree"]] if torch else []),
    ):
        session.run("porter", *words)
    session.run("yolov5-porter", "revert", "tree")
