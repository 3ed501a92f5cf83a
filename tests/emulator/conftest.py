"""Fixtures of the tests of the emulated device: child processes that find the one that tests/conftest.py builds."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from porter.emulator import Profile, environment, load_profile

DRIVERS = Path(__file__).with_name("drivers")
PROFILES = ["mlu370", "bm1684x", "sg2260", "ascend910b", "s4000"]


@dataclass
class Done:
    """A child process that ended."""

    status: int
    out: str
    error: str

    @property
    def json(self) -> Any:
        """What a driver printed; with its standard error where it failed."""
        assert self.status == 0, self.error
        return json.loads(self.out.splitlines()[-1])


@pytest.fixture(scope="session")
def cache(emulator_cache: Path) -> Path:
    return emulator_cache


@pytest.fixture(scope="session")
def built(built_emulator: Path) -> Path:
    return built_emulator


def clean_environment() -> dict[str, str]:
    """This process's, without what would change how a device is found; half the threads, so that tests can share."""
    prefixes = ("PORTER_", "MLU_", "CN_", "TPU_", "ASCEND_", "MUSA_", "CHIP_", "ENABLE_FALLBACK", "PYTHONPATH")
    env = {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}
    return {**env, "OMP_NUM_THREADS": "1"}


Run = Callable[..., Done]


@pytest.fixture(scope="session")
def fresh(built: Path, cache: Path) -> Run:
    """Run ``python ARGUMENTS`` where the card of that profile is emulated; further keywords are environment()'s."""

    def call(
        profile: str | Profile, *arguments: Any, env: dict[str, str] | None = None, cwd: Any = None, **asked: Any
    ) -> Done:
        done = subprocess.run(
            [sys.executable, *map(str, arguments)],
            env=_environment(profile, built, cache, env, asked),
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    return call


def _environment(
    profile: str | Profile, built: Path, cache: Path, env: dict[str, str] | None, asked: dict[str, Any]
) -> dict[str, str]:
    base = {**clean_environment(), **(env or {})}
    card = load_profile(profile) if isinstance(profile, str) else profile
    return {**base, **environment(card, cache=cache, built=built, base=base, **asked)}


@pytest.fixture(scope="session")
def run(built: Path, cache: Path, fresh: Run, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """The same in a copy of a process that has imported torch; ``python -m ...`` in a process of its own."""
    folder = tmp_path_factory.mktemp("forks")
    numbers = itertools.count()
    with subprocess.Popen(
        [sys.executable, DRIVERS / "forks.py"],
        env={**clean_environment(), "TORCH_DEVICE_BACKEND_AUTOLOAD": "0"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as forks:
        assert forks.stdin and forks.stdout

        def call(
            profile: str | Profile, *arguments: Any, env: dict[str, str] | None = None, cwd: Any = None, **asked: Any
        ) -> Done:
            if arguments[0] == "-m":
                return fresh(profile, *arguments, env=env, cwd=cwd, **asked)
            number = next(numbers)
            out, error = (folder / f"{number}.{name}" for name in ("out", "error"))
            out.touch()
            error.touch()
            variables = _environment(profile, built, cache, env, asked)
            program = [[*map(str, arguments)], variables, str(cwd or Path.cwd()), str(out), str(error)]
            print(json.dumps(program), file=forks.stdin, flush=True)
            return Done(int(forks.stdout.readline()), out.read_text(), error.read_text())

        yield call
        forks.stdin.close()


@pytest.fixture(scope="session")
def checked(run: Run) -> Callable[[str], dict[str, Any]]:
    """What drivers/checks.py finds on a card, by check: all of them run in one process, once a session."""
    found: dict[str, dict[str, Any]] = {}

    def results(profile: str) -> dict[str, Any]:
        if profile not in found:
            found[profile] = run(profile, DRIVERS / "checks.py", load_profile(profile).type).json
        return found[profile]

    return results
