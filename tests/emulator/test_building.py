"""The device is built once for an interpreter; what goes wrong is one line, and leaves nothing that would be used."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from processes import none_left
from stacks import CHECKOUT

from porter.emulator import build, environment, load_profile
from porter.errors import EnvironmentFailed

from .conftest import Run, clean_environment

PYTHON = Path(sys.executable)


def compiler(folder: Path, body: str) -> str:
    """A compiler that answers to --version, writes down that it was asked to compile, and does ``body`` for that."""
    path = folder / "compiler"
    path.write_text(
        f'#!/bin/sh\nif [ "$1" = --version ]; then echo one 1.0; exit; fi\necho x >> {folder}/asked\n{body}\n'
    )
    path.chmod(0o755)
    return str(path)


WRITES = 'while [ "$1" != -o ]; do shift; done; sleep 1; echo built > "$2"'


@pytest.mark.too_old
def test_an_old_torch_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFailed) as caught:
        build(PYTHON, tmp_path)
    assert str(caught.value) == f"no emulated device: torch {torch.__version__} is too old, it takes 2.1 or later"


@pytest.mark.too_old
def test_a_program_is_refused_in_one_line_too(tmp_path: Path) -> None:
    env = {**clean_environment(), **environment(load_profile("mlu370"), cache=tmp_path, base={})}
    done = subprocess.run([PYTHON, "-c", "import torch_mlu"], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.endswith(f"no emulated device: torch {torch.__version__} is too old, it takes 2.1 or later")


@pytest.mark.device
def test_the_built_device_is_found_again(built: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    assert build(PYTHON, cache, lambda: pytest.fail("nothing has to be built")) == built
    assert built.parent == cache
    assert run("mlu370", "-c", "import torch_mlu").status == 0


@pytest.mark.device
def test_a_build_is_found_again_without_importing_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", compiler(tmp_path, WRITES))
    python, imports, cache = tmp_path / "python", tmp_path / "imports", tmp_path / "cache"
    python.write_text(f'#!/bin/sh\nexec {PYTHON} -X importtime "$@" 2>{imports}\n')
    python.chmod(0o755)
    made = build(python, cache)
    assert re.search(r"\| +torch$", imports.read_text(), re.MULTILINE)
    assert build(python, cache) == made
    assert "porter_emulated" in imports.read_text()
    assert not re.search(r"\| +torch$", imports.read_text(), re.MULTILINE)


@pytest.mark.device
def test_no_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(EnvironmentFailed) as caught:
        build(PYTHON, tmp_path)
    assert str(caught.value) == "no emulated device: no C++ compiler (no-such-compiler); CXX names one"


@pytest.mark.device
def test_a_build_that_fails_shows_the_end_of_its_log_and_does_not_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", compiler(tmp_path, "for i in $(seq 99); do echo error $i; done; exit 1"))
    cache = tmp_path / "cache"
    begun: list[bool] = []
    with pytest.raises(EnvironmentFailed) as caught:
        build(PYTHON, cache, lambda: begun.append((tmp_path / "asked").exists()))
    assert begun == [False], "it is said once, before the compiler is asked"
    assert caught.value.what.endswith("failed with status 1")
    assert caught.value.why.splitlines()[-1] == "error 99"
    assert [path.name for path in cache.iterdir()] == ["lock"]


@pytest.mark.device
def test_two_builds_at_once_compile_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", compiler(tmp_path, WRITES))
    cache = tmp_path / "cache"
    (cache / "staging-of-a-killed-build").mkdir(parents=True)
    folders: list[Path] = []
    threads = [threading.Thread(target=lambda: folders.append(build(PYTHON, cache))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(folders) == 2
    assert folders[0] == folders[1]
    assert (tmp_path / "asked").read_text() == "x\n"
    assert sorted(path.name for path in cache.iterdir()) == ["lock", folders[0].name]


@pytest.mark.device
def test_another_compiler_builds_another_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = []
    for number in range(2):
        (tmp_path / str(number)).mkdir()
        monkeypatch.setenv("CXX", compiler(tmp_path / str(number), WRITES))
        folders.append(build(PYTHON, tmp_path / "cache"))
    assert folders[0] != folders[1]


@pytest.mark.device
def test_a_cache_that_cannot_be_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", compiler(tmp_path, WRITES))
    (tmp_path / "file").touch()
    with pytest.raises(EnvironmentFailed, match="no emulated device: cannot write to"):
        build(PYTHON, tmp_path / "file" / "cache")


@pytest.mark.device
def test_a_build_that_does_not_load_is_one_line(tmp_path: Path, run: Run) -> None:
    (tmp_path / "_device.so").write_text("not a library")
    done = run("mlu370", "-c", "import torch_mlu", env={"X": "1"}, memory=1)
    assert done.status == 0, done.error  # the control: with what was built it loads
    env = {**clean_environment(), **environment(load_profile("mlu370"), cache=tmp_path, built=tmp_path, base={})}
    broken = subprocess.run([PYTHON, "-c", "import torch_mlu"], env=env, capture_output=True, text=True, check=False)
    assert "no emulated device" in broken.stderr.splitlines()[-1]
    assert "does not load" in broken.stderr.splitlines()[-1]


def test_an_interpreter_that_does_not_run(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFailed, match="cannot run"):
        build(tmp_path / "python", tmp_path)


def test_an_interpreter_that_fails(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho it broke >&2\nexit 7\n")
    python.chmod(0o755)
    with pytest.raises(EnvironmentFailed, match="it broke"):
        build(python, tmp_path)


@pytest.mark.device
@pytest.mark.parametrize(
    ("who", "number"),
    [("porter", signal.SIGTERM), ("porter", signal.SIGKILL), ("a program", signal.SIGTERM)],
    ids=["porter", "porter, which is killed", "a program that has the device built"],
)
def test_no_compiler_outlives_who_asked_for_it(tmp_path: Path, who: str, number: signal.Signals) -> None:
    """Nor does a program that it starts, as g++ starts cc1plus, or what either wrote."""
    body = 'cd "$(dirname "$0")/place"; echo half > "$TMPDIR/half.s"; (sleep 600 & wait) & touch began; wait'
    (tmp_path / "place").mkdir()
    cache = tmp_path / "cache"
    env = {**clean_environment(), "CXX": compiler(tmp_path, body), "PYTHONPATH": str(CHECKOUT)}
    if who == "porter":
        code = (
            "import sys\nfrom pathlib import Path\nfrom porter import process\nfrom porter.emulator import build\n"
            f"process.handle_signals()\nbuild(Path(sys.executable), Path({str(cache)!r}))\n"
        )
        command = [PYTHON, "-c", code]
    else:
        env.update(environment(load_profile("mlu370"), cache=cache, base={}))
        command = [PYTHON, "-c", "import torch_mlu"]
    asked = subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL)
    while not (tmp_path / "place" / "began").exists():
        assert asked.poll() is None
        time.sleep(0.02)
    asked.send_signal(number)
    assert asked.wait(60) != 0
    assert none_left(tmp_path / "place")
    if who == "porter":  # it asks its child to clean up; what a killed program leaves the next build removes
        until = time.monotonic() + 60
        while number == signal.SIGKILL and len(list(cache.iterdir())) > 1 and time.monotonic() < until:
            time.sleep(0.02)
        assert [path.name for path in cache.iterdir()] == ["lock"]
