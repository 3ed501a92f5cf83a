"""Which torch has a wheel for which Python: what porter believes, held to what the package index has.

It is skipped where no index is to be had, unless PORTER_TEST_WHEELS is set, as for tests/plugins.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
import requests

from porter.diagnosis.interpreter import has_wheel

pytestmark = pytest.mark.long
_WHEEL = re.compile(r"torch-(\d+\.\d+\.\d+)-cp3(\d+)-cp3\d+m?-(?:manylinux\w*|linux)_(x86_64|aarch64)\.whl")
PYTHONS = range(6, 17)


def index() -> str:
    """The index that pip asks here: what its user has set, else its own."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "config", "get"]
    for name in ":env:.index-url", "global.index-url":
        found = subprocess.run([*pip, name], capture_output=True, text=True, check=False).stdout.strip()
        if found:
            return found
    code = "from pip._internal.models.index import PyPI; print(PyPI.simple_url)"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_the_index_has_what_is_believed() -> None:
    try:
        page = requests.get(f"{index().rstrip('/')}/torch/", timeout=60)
        page.raise_for_status()
    except requests.RequestException as error:
        if os.environ.get("PORTER_TEST_WHEELS"):
            raise
        pytest.skip(f"no package index: {type(error).__name__}")
    there = {(version, int(minor), machine) for version, minor, machine in _WHEEL.findall(page.text)}
    # 1.9 is the oldest that trees work with, and the newest that porter knows nothing of are not claimed to lack any
    versions = {version for version, _, _ in there if tuple(map(int, version.split(".")[:2])) >= (1, 9)}
    assert {"1.9.1", "2.1.0", "2.13.0"} <= versions
    wrong = [
        (version, f"3.{minor}", machine)
        for version in versions
        for minor in PYTHONS
        for machine in ("x86_64", "aarch64")
        if has_wheel(version, f"3.{minor}.1", machine) != ((version, minor, machine) in there)
        and has_wheel(version, "3.99.1", machine) is False
    ]
    assert sorted(wrong) == []
