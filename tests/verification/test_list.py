"""`porter verify --list` and `--explain`: the checks, as docs/verify.md has them."""

from __future__ import annotations

from pathlib import Path

from stacks import porter

from porter.project import Project
from porter.stack import load_parts
from porter.verification.checks import known
from porter.verification.necessity import named_checks

ROOT = Path(__file__).resolve().parents[2]


def test_every_check_is_listed(tmp_path: Path) -> None:
    lines = porter("verify", "--list", cwd=tmp_path).stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [[check.name, check.level] for check in known().values()]
    assert all(check.proves in line for check, line in zip(known().values(), lines))


def test_each_says_what_fails_without_it() -> None:
    said = porter("verify", "--explain", "transfers", cwd=ROOT).stdout
    needed = [
        patch.id.removesuffix(".patch")
        for part in load_parts(Project(ROOT)).values()
        for patch in part
        if "transfers" in named_checks(patch)
    ]
    assert len(needed) > 1 and said.splitlines()[-len(needed) :] == [f"  {name}" for name in needed]
    wrong = porter("verify", "--explain", "transfer", cwd=ROOT)
    assert wrong.returncode == 2 and "there is no check 'transfer'" in wrong.stderr and "transfers" in wrong.stderr
