"""What the pages say in figures is compared with what it is about."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
from collections import Counter
from pathlib import Path

import click
import pytest
import yaml
from commandline import commands

from porter.cli import cli
from porter.emulator.profiles import load_profile, profiles
from porter.errors import CheckFailed, EnvironmentFailed, WrongUsage
from porter.lockfile import Lock
from porter.project import Project
from porter.rebase.drift import CHANGED, DROPPED, SAME, ways
from porter.sources.obtain import extents
from porter.stack import COMMON, available, load_parts, series
from porter.target import FEATURES, Target, load_all
from porter.verification.checks import known

from .pages import PAGES, READMES, ROOT, blocks, prose, spans, tables

DOCS = ROOT / "docs"
MEASURED = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")


def text(page: Path) -> str:
    return " ".join(page.read_text(encoding="utf-8").split())


def first_column(page: Path, heading: str) -> set[str]:
    """The words in code type in the first column of the first table under a heading."""
    part = re.split(rf"^#+ {re.escape(heading)}$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)[1]
    return {word for row in tables(part)[0][1:] for word in re.findall(r"`([^`]+)`", row[0])}


def test_every_make_target_is_there() -> None:
    named = {w for page in PAGES for span in spans(page) for w in re.findall(r"^make ([a-z-]+)", span)}
    named |= {
        c.split()[1] for page in PAGES for b in blocks(page, "console") for c in b.commands if c.startswith("make ")
    }
    assert {"demo", "test", "lint", "matrix", "docs"} <= named
    for target in named:
        subprocess.run(["make", "--dry-run", "-C", str(ROOT), target], check=True, capture_output=True)


def test_exit_codes() -> None:
    table = dict(
        re.findall(r"^\| (\d+) \| ([a-z]+)", (DOCS / "exit-codes.md").read_text(encoding="utf-8"), re.MULTILINE)
    )
    assert set(table) == {"0", "1", "2", "3", "70", "130"}
    assert table[str(CheckFailed.exit_code)] == "a"  # a check or a patch failed
    assert table[str(WrongUsage.exit_code)] == "wrong"
    assert table[str(EnvironmentFailed.exit_code)] == "the"


def test_how_many_files_each_source_has(lock: Lock) -> None:
    whole, partial = extents(lock)
    said = text(DOCS / "upstream.md")
    assert f"the id of each of its {len(whole.files)} files" in said
    assert f"{len(partial.files)} of the {len(whole.files)} files are had" in said


def test_versions_named_are_those_that_are_tested() -> None:
    nox = (ROOT / "noxfile.py").read_text()
    found = [pair for page in PAGES for pair in re.findall(r"Python (3\.\d+) (?:with|配) torch ([\d.]+\d)", text(page))]
    assert len(set(found)) >= 3
    for python, torch in found:
        assert f'interpreter("{python}")' in nox
        assert torch in nox
    assert '"2.13.0")' in (ROOT / "Makefile").read_text()


def test_how_many_patches_there_are() -> None:
    """In the tables of both READMEs, and where else a stack's size stands."""
    sizes = {name: len(series(ROOT / "patches" / name)) for name in (COMMON, *available(ROOT / "patches"))}
    for page in READMES:
        said = text(page)
        for name, size in sizes.items():
            assert re.search(rf"\b{size}\D{{0,12}}`{name}`", said), f"{page.name}: {name} has {size} patches"


def test_how_often_a_step_waits() -> None:
    waits = {target.name: target.budget["synchronisations"] for target in load_all(Project(ROOT)) if target.emulated}
    assert set(waits) == {"mlu", "tpu", "npu", "musa"}
    assert {count for name, count in waits.items() if name != "tpu"} == {waits["mlu"]}
    (measured,) = re.findall(r"^\| synchronisations \| (\d+) \| (\d+) \|$", MEASURED, re.MULTILINE)
    said = text(READMES[0])
    most = "`mlu`, `npu` and `musa`"
    assert f"waits for results of the device {waits['mlu']} time on {most} and {waits['tpu']} times on `tpu`" in said
    assert f"a straightforward port to `mlu` waits {measured[0]} times" in said and int(measured[1]) == waits["mlu"]


def test_every_check_named_is_one() -> None:
    for page in READMES:
        (table,) = (t for t in tables(page.read_text(encoding="utf-8")) if "v6.0" in t[0])
        named = {name for row in table[1:] for name in re.findall(r"`([a-z0-9-]+)`", row[-1])}
        assert named <= set(known()) | {"lint"} and {"ddp", "ema", "resume", "schedule"} <= named
    assert first_column(DOCS / "verify.md", "The checks") == set(known())


def test_how_much_is_known_of_the_operators_that_are_used() -> None:
    """operators.json holds those that ran, by card: figures.operators of the check ops in the record of

    porter verify --target TARGET --device emulated --profile CARD --data scenes --check ops --json FILE

    made with torch 2.13.0, for bm1684x and ascend910b with 2.1.0 (--python), which their plugins are for.
    """
    ran = json.loads(Path(__file__).with_name("operators.json").read_text(encoding="utf-8"))
    (table,) = (t for t in tables((DOCS / "emulated.md").read_text(encoding="utf-8")) if t[0][0] == "card")
    found = {row[0].replace(" ", "").lower(): [int(cell) for cell in row[1:]] for row in table[1:]}
    assert found.keys() == ran.keys() == set(profiles())
    for card, names in ran.items():
        standings = [load_profile(card).standing(name) for name in names]
        assert found[card] == [standings.count(each) for each in ("known", "assumed", "refused")], card


def test_what_was_tried_on_what() -> None:
    """Of each card the plugin's state that was read, and the levels that CI makes."""
    ci = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
    first = {target.name: target.emulated[0] for target in load_all(Project(ROOT)) if target.emulated}
    made: dict[tuple[str, str], str] = {}
    for run in ci["jobs"]["verify"]["strategy"]["matrix"]["include"]:
        heading = f"Python {run['python']}, torch {run['torch']}"
        card = run.get("more", "").removeprefix("--profile ") or first.get(run["target"], "")
        if run["device"] == "emulated":
            made[card, heading] = f"emulated, `{run['level']}`"
    (table,) = (t for t in tables(READMES[0].read_text(encoding="utf-8")) if t[0][:2] == ["card", "driver"])
    for row in table[1:]:
        written = row[0].replace(" ", "").lower()
        card = next((name for name in profiles() if written.endswith(name)), "")
        cells = dict(zip(table[0], row))
        assert cells["driver"] == ("–" if row[0] == "CPU" else "no")
        for heading in table[0][3:]:
            otherwise = {"verified on hardware"} if row[0] == "CPU" else {"no", "read in source"}
            assert cells[heading] in ({made.pop((card, heading))} if (card, heading) in made else otherwise), row
        if card:
            facts = load_profile(card).facts
            assert facts is not None
            version, commit = facts["version"].partition("+")[0], facts["commit"][:7]
            assert cells["plugin"] == f"`{facts['plugin']}` {version}, `{commit}`: read in source"
    assert not made, "CI makes more than the table says"


def test_file_formats() -> None:
    page = DOCS / "formats.md"
    fields = {field.name for field in dataclasses.fields(Target)}
    assert first_column(page, "target.yaml") == fields | {"from", "not", "folder", "setup", "torch"}  # the plugin's own
    top = yaml.safe_load((ROOT / "upstream.lock").read_text())
    assert first_column(page, "upstream.lock") == {*(f"pin.{name}" for name in top["pin"]), "sources", "stacks"}
    trailers = {"Reason", "Upstream", "Check", "Needs", "Stack"}
    assert first_column(page, "Patches") == {f"{name}:" for name in trailers}
    entries = yaml.safe_load((ROOT / "patches" / "audit.yaml").read_text())
    assert first_column(page, "audit.yaml") >= {key for entry in entries for key in entry}
    assert all(f"`{feature}`" in page.read_text() for feature in FEATURES)


def test_environment_variables_are_porters() -> None:
    """Each that a page names is read somewhere, and each that is read for users is named."""
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "porter").rglob("*.py"))
    sources += (ROOT / "noxfile.py").read_text() + "".join(p.read_text() for p in (ROOT / "tests").rglob("*.py"))
    pages = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    for name in set(re.findall(r"\bPORTER_[A-Z_]+[A-Z]\b", pages)):
        assert f'"{name}"' in sources or f"{name.removeprefix('PORTER_EMULATED_')}" in sources, name
    for name in ("PORTER_CACHE", "PORTER_UPSTREAM", "PORTER_MIRROR", "PORTER_DATA", "PORTER_TIMEOUT", "NO_COLOR"):
        assert name in pages, name


def test_navigation_names_every_page() -> None:
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text())

    def files(nav: object) -> list[str]:
        if isinstance(nav, str):
            return [nav]
        return [name for part in (nav.values() if isinstance(nav, dict) else nav) for name in files(part)]  # type: ignore[attr-defined]

    listed = files(site["nav"])
    assert sorted(listed) == sorted(page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md"))


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)]+)\)", prose(page)):
        if re.match(r"https?:", link):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), f"{page.name}: {link}"
        if anchor:
            assert anchor in anchors(target), f"{page.name}: {link}"
        if page.is_relative_to(DOCS):
            assert target.is_relative_to(DOCS), f"{page.name}: {link} is not part of the site"


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_help_texts_are_sentences() -> None:
    """Each command's, and each option's."""
    for command in [cli, *(command for _, command in commands())]:
        assert command.help and command.help.strip(), command.name
        for option in command.params:
            if isinstance(option, click.Option):
                said = (option.help or "").partition("  [")[0].rstrip()
                assert said.endswith("."), f"porter {command.name} {option.opts[0]}: {said!r}"


def test_how_patches_came_from_line_to_line() -> None:
    """docs/lines.md's table, counted from the patches; and the stacks of which nothing changed."""
    top = Project(ROOT)
    names = {"v6.0": top, **top.others}
    way = ways({name: [p for part in load_parts(line).values() for p in part] for name, line in names.items()})
    found = Counter((line, each.patch.partition("/")[0], step) for each in way for line, step in each.steps.items())
    sums = {name: sum(each.lines.get(name, 0) for each in way) for name in names}
    page = (DOCS / "lines.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (v\S+) \| (\w+) \| (\d+) \| (\d+) \| (\d+) \|$", page, re.MULTILINE)
    said = {(line, stack): tuple(map(int, counts)) for line, stack, *counts in rows}
    assert said == {
        (line, stack): tuple(found[line, stack, step] for step in (SAME, CHANGED, DROPPED)) for line, stack in said
    }
    assert {line for line, _ in said} == set(top.others)
    assert {stack for _, stack, step in found if step != SAME} == {COMMON, "tpu", "mps"}
    assert f"{sums['v6.0']:,} in v6.0's, {sums['v7.0']:,} in\nv7.0's" in page
