"""Every command line in both READMEs and in every page of docs/ is run, or parsed where it cannot be run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click
import published
import pytest
from commandline import commands

from porter.git import Repository
from porter.lockfile import Lock
from porter.sources.obtain import extents

from .pages import PAGES, PAIRS, READMES, REASONS, ROOT, blocks, spans
from .parsing import complaint, scripts, scripts_complaint, unknown
from .shell import Session, checkout, environment, type_in

NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]
_LIKE_COMMANDS = ("$ ", "porter ", "git ", "make ", "pip ", "python ", "cd ", "sudo ")


def _media(folder: Path) -> None:
    """What was carried to a machine without a network: a data set's archive."""
    (folder / "media").mkdir()
    (folder / "media" / "coco128.zip").write_bytes(published.coco128())


# page -> what is there before its first command
GIVEN: dict[str, Callable[[Path], None]] = {"docs/containers.md": _media}


def _readme(folder: Path) -> None:
    record = (folder / "doctor.json").read_text(encoding="utf-8")
    assert "~" in record and str(folder.parent / "home") not in record  # sed took the home's name out


def _start(folder: Path) -> None:
    own = Repository(folder / "my-yolov5")
    assert own.text("rev-parse", "HEAD") == own.text("rev-parse", "v6.0^{commit}")
    assert own.text("for-each-ref", "refs/heads/porter") == ""
    assert Repository(folder / "yolov5").text("branch", "--show-current") == "porter/mlu"
    assert (folder / "scenes" / "data.yaml").is_file()


def _patches(folder: Path) -> None:
    patch = next((folder / "patches" / "mlu").glob("add-the-*"))
    assert "+Cambricon MLU, from the MLU370 on\n" in patch.read_text(encoding="utf-8")
    assert len((folder / "patches" / "mlu" / "series").read_text().split()) == 4


def _targets(folder: Path) -> None:
    assert (folder / "patches" / "foo" / "target.yaml").is_file()


def _containers(folder: Path) -> None:
    assert len(list((folder / "datasets" / "coco128" / "images" / "train2017").iterdir())) == 128


# page -> what its text says of what its commands leave
LEFT: dict[str, Callable[[Path], None]] = {
    "README.md": _readme,
    "docs/start.md": _start,
    "docs/patches.md": _patches,
    "docs/targets.md": _targets,
    "docs/containers.md": _containers,
}


# a page in Chinese has the blocks of its page in English, see test_translation.py
@pytest.mark.parametrize("name", [n for n in NAMES if ROOT / n not in [chinese for _, chinese in PAIRS]])
def test_every_command_works(name: str, lock: Lock, upstream: Path, tmp_path: Path) -> None:
    """In the page's order, in one shell, in a checkout, as a new user would type them."""
    commands = [c for block in blocks(ROOT / name, "console") if not block.title for c in block.commands]
    folder = checkout(tmp_path / "porter")
    GIVEN.get(name, lambda folder: None)(folder)
    env = {**environment(tmp_path / "home", lock, upstream), **published.standin(published.coco128(), tmp_path)}
    done = type_in(commands, folder, env) if commands else Session("", "")
    assert not done.failed, f"{name}: $ {done.failed}\n{done.text[-4000:]}"
    LEFT.get(name, lambda folder: None)(folder)


@pytest.mark.parametrize("name", NAMES)
def test_the_others_are_well_formed(name: str) -> None:
    for block in blocks(ROOT / name, "console"):
        assert block.title in ("", *REASONS), f"{block.place}: no reason to leave a block alone: {block.title}"
        for command in block.commands if block.title else ():
            assert not complaint(command), f"{block.place}: $ {command}\n{complaint(command)}"


def test_the_trees_scripts_take_their_arguments(lock: Lock, upstream: Path, tmp_path: Path) -> None:
    """Of those that are only parsed, and of those that porter train would run."""
    found = scripts(c for page in PAGES for block in blocks(page, "console") for c in block.commands)
    assert {name for name, _ in found} >= {"train.py", "train_fp16.py", "val.py", "detect.py", "export.py"}
    folder = checkout(tmp_path / "porter")
    env = environment(tmp_path / "home", lock, upstream)
    made = type_in(["porter apply --target mlu --target tpu tree"], folder, env)
    assert not made.failed, made.text
    assert not scripts_complaint(found, folder / "tree")


def test_a_wrong_argument_is_seen() -> None:
    assert "No such option" in complaint("porter verify --target mlu --levle full")
    assert "Missing option" in complaint("porter prepare ./yolov5")
    assert "No such command" in complaint("porter frobnicate")
    assert "is not one of" in complaint("PORTER_CACHE=x porter verify --target mlu --level fast && true")
    assert complaint("porter show 'common/1")
    assert "nobody knows" in complaint("frobnicate")
    assert not complaint("export PORTER_CACHE=x && porter verify --target mlu | tee log")
    assert not complaint("porter status --json tree > status.json")
    assert unknown("porter bump --skpi") and unknown("porter data mkae") and not unknown("porter data make --seed 1")
    assert scripts(["porter train --target mlu t -- --img 64", "cd t && python val.py --conf 1"]) == [
        ("train.py", ["--img", "64"]),
        ("val.py", ["--conf", "1"]),
    ]


@pytest.mark.parametrize("name", NAMES)
def test_no_command_hides_elsewhere(name: str) -> None:
    """Commands stand in blocks of commands, and what the text quotes of them is right."""
    for block in blocks(ROOT / name):
        if block.language != "console":
            assert not block.text.startswith(_LIKE_COMMANDS), f"{block.place}: a command in a block that nobody reads"
            assert block.language, f"{block.place}: a fence that does not say what it holds"
    for span in spans(ROOT / name):
        if span.startswith("porter "):
            assert not unknown(span), f"{name}: `{span}`: {unknown(span)}"


def test_every_reason_is_used() -> None:
    used = {block.title for page in PAGES for block in blocks(page, "console")}
    assert used == {"", *REASONS}


def test_every_command_is_shown() -> None:
    """In docs/; the READMEs' share is what a new user needs."""
    shown = "\n".join(c for page in PAGES for block in blocks(page, "console") for c in block.commands)
    for path, command in commands():
        if not isinstance(command, click.Group):
            assert " ".join(("porter", *path)) in shown, f"no page shows porter {' '.join(path)}"


@pytest.mark.parametrize("page", READMES, ids=lambda page: page.name)
def test_the_readmes_begin_with_two_commands(page: Path) -> None:
    assert blocks(page, "console")[0].commands[0].split("#")[0].split() == ["make", "demo"]


def test_a_stand_in_has_what_can_be_had(lock: Lock, upstream: Path) -> None:
    found = Repository(upstream).text("rev-parse", f"{lock.pin.tag}^{{commit}}")
    assert found in {extent.base for extent in extents(lock)}
