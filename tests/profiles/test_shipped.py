"""The facts that porter ships are what a scan of the plugins' sources prints, byte for byte, where those are at hand.

PORTER_PLUGINS names a folder with the plugins as git repositories, bare or not, each under OWNER+NAME (or with its git
directory in a folder `repo` of it): sophgo+torch-tpu, Cambricon+torch_mlu, Ascend+pytorch, Ascend+op-plugin,
MooreThreads+torch_musa.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from sources import git

import porter
from porter.commands.profile import SOURCES
from porter.emulator import load_profile
from porter.emulator.profiles import profiles

pytest.importorskip("tree_sitter")
pytest.importorskip("tree_sitter_cpp")

REPOSITORIES = {
    "torch_tpu": "sophgo+torch-tpu",
    "torch_mlu": "Cambricon+torch_mlu",
    "torch_npu": "Ascend+pytorch",
    "torch_musa": "MooreThreads+torch_musa",
}
SECOND = ("Ascend+op-plugin", "738effc0fe0d004af0f9c54ef7d781e08b095551")  # branch 7.2.0


def repository(name: str) -> Path:
    place = Path(os.environ["PORTER_PLUGINS"])
    for path in (place / name / "repo", place / name):
        if (path / "HEAD").is_file() or (path / ".git").exists():
            return path
    raise AssertionError(f"{name} is not in {place}")


def checkout(name: str, commit: str, folder: Path) -> Path:
    """A clone of the repository at a commit; large files that are kept elsewhere stay pointers."""
    git("clone", "-q", "-n", "--shared", repository(name), folder, cwd=folder.parent)
    git("checkout", "-q", commit, cwd=folder)
    return folder


@pytest.mark.plugins
@pytest.mark.parametrize("file", sorted(SOURCES.glob("*.json")), ids=lambda path: path.stem)
def test_the_shipped_file_is_what_a_scan_prints(file: Path, tmp_path: Path) -> None:
    said = json.loads(file.read_text(encoding="utf-8"))
    plugin = checkout(REPOSITORIES[said["plugin"]], said["commit"], tmp_path / "plugin")
    also = checkout(*SECOND, tmp_path / "second") if "also" in said else None
    found = porter.profile.scan(said["target"], plugin, card=said["card"], also=also)
    assert found.json() == file.read_text(encoding="utf-8")


# a place in the plugin's source, as the profiles cite it: path:7, path:7-9 or path:7, 12
CITED = re.compile(r"(torch_(?:tpu|mlu|npu|musa)/[\w/.-]+):(\d+(?:(?:-|, )\d+)*)")


@pytest.mark.plugins
@pytest.mark.parametrize("card", profiles())
def test_every_line_that_a_profile_cites_is_there(card: str) -> None:
    profile = load_profile(card)
    said = json.dumps(profile.data)
    assert profile.facts is not None
    commit = profile.facts["commit"]
    assert set(re.findall(r"\b(?=\w*\d)[0-9a-f]{7}\b", said)) == {commit[:7]}
    places = CITED.findall(said)
    assert places
    for path, numbers in places:
        found = git("grep", "-n", "[^ ]", commit, "--", path, cwd=repository(REPOSITORIES[profile.plugin]))
        written = {line.split(":")[2] for line in found.splitlines()}
        assert written.issuperset(re.findall(r"\d+", numbers)), f"{path}:{numbers}"


@pytest.mark.parametrize("card", profiles())
def test_every_fact_of_a_profile_has_a_source(card: str) -> None:
    for fact in porter.profile.show(card).facts:
        assert fact.source or fact.name in ("type", "plugin", "label", "device", "source"), fact.name


@pytest.mark.parametrize("file", sorted(SOURCES.glob("*.json")), ids=lambda path: path.stem)
def test_the_shipped_file_is_well_formed(file: Path) -> None:
    """What the emulation reads: positions, rules, atoms."""
    said = json.loads(file.read_text(encoding="utf-8"))
    assert len(said["commit"]) == 40 and said["kind"] == "profile scan"
    rules = {"contiguous", "dtype", "dimensions", "neighbours", "same_dtype"}
    whats = {"dim", "numel", "length", "dtype", "contiguous", "device", "value"}
    atoms = 0
    for name, one in said["operators"].items():
        assert "::" in name and one["at"].rpartition(":")[2].isdigit(), name
        for demand in one["demands"]:
            assert demand["rule"] in rules and isinstance(demand["argument"], int), name
        for fact in [*one["demands"], *one["host"], *one.get("raises", ())]:
            for atom in (fact["when"] or {}).get("test") or ():
                atoms += 1
                assert atom["what"] in whats and set(atom) == {"argument", "what", "is", "value"}, name
    assert atoms > 50
