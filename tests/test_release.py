"""A release: the same bytes, a tag that fits, and a workflow of which nobody else can change a step."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
LINKS = ("Homepage", "Documentation", "Issues", "Changelog")
WORKFLOWS = sorted((ROOT / ".github").rglob("*.yml"))


def release(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "tools" / "release.py"), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def build(folder: Path, *, date: int = 2020, mode: int = 0o644, text: str = "1") -> Path:
    """Two archives as a build leaves them."""
    folder.mkdir()
    with zipfile.ZipFile(folder / "a.whl", "w") as wheel:
        info = zipfile.ZipInfo("porter/a.py", (date, 1, 1, 0, 0, 0))
        info.external_attr = mode << 16
        wheel.writestr(info, text)
    (folder / "a.tar.gz").write_bytes(b"sdist")
    return folder


def test_equal_builds_are_equal(tmp_path: Path) -> None:
    assert release("compare", build(tmp_path / "one"), build(tmp_path / "two")).returncode == 0


@pytest.mark.parametrize("change", [{"date": 2021}, {"mode": 0o600}, {"text": "2"}])
def test_a_date_a_permission_or_a_byte_makes_builds_differ(tmp_path: Path, change: dict[str, Any]) -> None:
    done = release("compare", build(tmp_path / "one"), build(tmp_path / "two", **change))
    assert (done.returncode, done.stderr) == (1, "a.whl: porter/a.py differs\n")


def test_no_builds_are_not_equal_builds(tmp_path: Path) -> None:
    assert release("compare", tmp_path, tmp_path).returncode == 1


def test_digests_are_as_sha256sum_reads_them(tmp_path: Path) -> None:
    folder = build(tmp_path / "dist")
    assert release("digests", folder).returncode == 0
    check = ["sha256sum", "--check", "--strict", "SHA256SUMS"]
    assert subprocess.run(check, cwd=folder, check=False, capture_output=True, text=True).stdout == (
        "a.tar.gz: OK\na.whl: OK\n"
    )


def test_a_tag_fits_the_version_and_the_changelog(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("release_tool", ROOT / "tools" / "release.py")
    assert spec and spec.loader
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    (tmp_path / "porter").mkdir()
    (tmp_path / "porter" / "version.py").write_text('__version__ = "0.1.0"\n')
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## [0.1.0] - 2026-12-01\n")
    assert tool.tag_problems("v0.1.0", tmp_path) == []
    assert len(tool.tag_problems("v0.2.0", tmp_path)) == 2
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## [Unreleased]\n")
    assert len(tool.tag_problems("v0.1.0", tmp_path)) == 1


def wheel(folder: Path, *links: str) -> Path:
    """A wheel whose metadata names these pages."""
    folder.mkdir()
    head = ["Metadata-Version: 2.4", "Name: yolov5-porter", *(f"Project-URL: {link}" for link in links)]
    with zipfile.ZipFile(folder / "a.whl", "w") as packed:
        packed.writestr("a-1.dist-info/METADATA", "\n".join([*head, "", "Project-URL: Issues, of the text", ""]))
    return folder


PAGES = {name: f"https://pages.somewhere.org/porter/{name.lower()}" for name in LINKS}


def test_a_release_names_the_projects_pages(tmp_path: Path) -> None:
    every = wheel(tmp_path / "every", *(f"{name}, {address}" for name, address in PAGES.items()))
    assert (release("links", every).returncode, release("links", every).stderr) == (0, "")


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize(
    "address", ["", "https://example.org/", "https://porter.invalid/", "http://a.org/", "https://code.org/OWNER/porter"]
)
def test_a_missing_or_invented_page_stops_a_release(tmp_path: Path, name: str, address: str) -> None:
    links = {**PAGES, name: address}
    folder = wheel(tmp_path / "dist", *(f"{each}, {where}" for each, where in links.items() if where))
    done = release("links", folder)
    assert done.returncode == 1 and "[project.urls] in pyproject.toml" in done.stderr
    assert done.stderr.startswith(
        f"the link {name} is no address of a page: {address}" if address else f"no link {name}"
    )
    assert len(done.stderr.splitlines()) == 2


def test_release_check_and_a_tag_ask_for_the_pages() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert "tools/release.py links dist" in makefile.partition("\nrelease-check:")[2].partition("\n\n")[0]
    session = (ROOT / "noxfile.py").read_text().partition("def release(")[2].partition("@nox.session")[0]
    assert '"links", str(dist)' in session.partition("if session.posargs:")[2]
    assert "[project.urls]" in (ROOT / "CONTRIBUTING.md").read_text()


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_by_commit(path: Path) -> None:
    """A tag of somebody else's repository can be moved; a commit's id cannot.  The release beside it is for people."""
    used = re.findall(r"^\s*(?:- )?uses: (.+)$", path.read_text(), re.MULTILINE)
    assert used
    for line in used:
        assert line.startswith("./") or re.fullmatch(
            r"[\w-]+/[\w.-]+(/[\w/-]+)?@[0-9a-f]{40} # v\d+\.\d+\.\d+", line
        ), line


def test_the_workflow_tries_every_python_that_is_promised() -> None:
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text())["jobs"]
    tried = jobs["installed"]["strategy"]["matrix"]["python"]
    promised = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', (ROOT / "pyproject.toml").read_text())
    session = re.search(r"^VERSIONS = \((.*?)\)", (ROOT / "noxfile.py").read_text(), re.MULTILINE)
    assert session and tried == promised == re.findall(r"3\.\d+", session[1])


def test_only_the_jobs_that_publish_may_write() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text())
    assert workflow["permissions"] == {"contents": "read"}
    writing = {name for name, job in workflow["jobs"].items() if "permissions" in job}
    assert writing == {"pypi", "github"}
    assert all(workflow["jobs"][name]["if"] == "github.ref_type == 'tag'" for name in writing)
    assert "secrets." not in (ROOT / ".github" / "workflows" / "release.yml").read_text()
