"""porter report: records in, one page out; what it refuses; and the page that porter verify writes itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from reports import made
from reports.reading import Page
from stacks import porter

from porter.project import Project

pytestmark = pytest.mark.usefixtures("warm")


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    return made.write(tmp_path, made.everything())


def test_a_page(files: list[Path], tmp_path: Path) -> None:
    output = tmp_path / "out" / "report.html"
    output.parent.mkdir()
    done = porter("report", *files, "--output", output, cwd=Path.cwd())
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert done.stdout.startswith(f"{output}: 6 records, ")
    text = output.read_text(encoding="utf-8")
    page = Page(text)
    assert "7 patches as the stacks are now" in page.text and "Register the TPU" in page.text
    again = porter("report", "--output", output, *reversed(files), cwd=Path.cwd())
    assert again.returncode == 0 and output.read_text(encoding="utf-8") == text
    assert [path.name for path in output.parent.iterdir()] == ["report.html"]


def test_whose_patches(files: list[Path], tmp_path: Path) -> None:
    output = tmp_path / "report.html"
    done = porter("report", files[0], "--output", output, "--target", "tpu", cwd=Path.cwd())
    assert done.returncode == 0 and "1 record," in done.stdout, done.stderr
    text = Page(output.read_text(encoding="utf-8")).text
    assert "Register the TPU" in text and "Register the MLU" not in text
    assert porter("report", files[0], "--output", output, cwd=Path.cwd()).returncode == 0
    text = Page(output.read_text(encoding="utf-8")).text
    assert "Register the TPU" not in text and "Register the MLU (寒武纪)" in text


def test_a_record_of_a_target_that_is_not_here(tmp_path: Path) -> None:
    (path,) = made.write(tmp_path, [made.verify("xpu")])
    done = porter("report", path, "--output", tmp_path / "report.html", cwd=Path.cwd())
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--output", "{out}"), "Missing argument"),
        (("{file}",), "Missing option '--output'"),
        (("{file}", "nowhere.json", "--output", "{out}"), "there is no nowhere.json"),
        (("{file}", ".", "--output", "{out}"), ". is a folder"),
        (("{file}", "upstream.lock", "--output", "{out}"), "upstream.lock is not JSON"),
        (("{file}", "--output", "{out}", "--target", "xpu"), "there is no target 'xpu'"),
        (("{file}", "--output", "{file}"), "is one of the records"),
    ],
)
def test_wrong_usage(words: tuple[str, ...], says: str, files: list[Path], tmp_path: Path) -> None:
    before = files[0].read_bytes()
    output = tmp_path / "report.html"
    done = porter("report", *(word.format(out=output, file=files[0]) for word in words), cwd=Path.cwd())
    assert done.returncode == 2 and says in done.stderr, done.stderr
    assert "Traceback" not in done.stderr and not output.exists()
    assert files[0].read_bytes() == before


def test_a_damaged_record_is_named(files: list[Path], tmp_path: Path) -> None:
    value = json.loads(files[0].read_text(encoding="utf-8"))
    value["checks"][1]["state"] = "perhaps"
    files[0].write_text(json.dumps(value))
    (tmp_path / "report.html").write_text("the old page")
    done = porter("report", *files, "--output", tmp_path / "report.html", cwd=Path.cwd())
    assert done.returncode == 2
    assert f"{files[0]}: checks[1].state should be one of passed, failed, not shown" in done.stderr
    assert 'found "perhaps"' in done.stderr
    assert (tmp_path / "report.html").read_text() == "the old page"


@pytest.mark.root
def test_a_full_disk(files: list[Path], small_disk: Path) -> None:
    (small_disk / "filler").write_bytes(bytes((2 << 20) - 8192))
    done = porter("report", *files, "--output", small_disk / "report.html", cwd=Path.cwd())
    assert done.returncode == 3 and "No space left on device" in done.stderr, done.stderr
    assert [path.name for path in small_disk.iterdir()] == ["filler"]


def test_verify_writes_the_page_of_its_record(project: Project, tmp_path: Path) -> None:
    record, own, made_later = tmp_path / "verify.json", tmp_path / "own.html", tmp_path / "later.html"
    words = ("--target", "mlu", "--level", "static", "--json", record, "--html", own)
    done = porter("verify", *words, cwd=Path.cwd())
    assert json.loads(record.read_text(encoding="utf-8"))["kind"] == "verify", done.stderr
    assert porter("report", record, "--output", made_later, cwd=Path.cwd()).returncode == 0
    assert own.read_bytes() == made_later.read_bytes()
    assert "5 patches as the stacks are now" in Page(own.read_text(encoding="utf-8")).text
