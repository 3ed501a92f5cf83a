"""``porter audit`` on a small upstream: what it is given, the list of allowed places, and what it writes."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import sources
from sources import git
from stacks import porter

from porter.auditing.rules import RULES
from porter.commands.audit import audit
from porter.errors import WrongUsage
from porter.project import Project

pytestmark = pytest.mark.usefixtures("warm")

PLACE = "import torch\n\n\ndef main(opt):\n    print(torch.cuda.device_count())  # how many\n"
ENTRY = """\
- path: train.py
  function: main
  rule: device-api
  code: print(torch.cuda.device_count())
  reason: Only a line to read.
"""


def run(*words: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return porter("audit", *words, cwd=cwd or Path.cwd())


def listed(project: Project, text: str) -> Project:
    (project.patches / "audit.yaml").write_text(text)
    return project


def test_a_clean_tree(tree: Path) -> None:
    done = run(tree)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{tree}: 0 places: 0 routed, 0 allowed, 0 not ported\n"


def test_an_unported_place(tree: Path) -> None:
    (tree / "train.py").write_text(PLACE)
    done = run(tree)
    assert done.returncode == 1
    assert done.stdout.splitlines()[0] == "train.py:5: device-api: torch.cuda.device_count(): not ported"
    assert "porter audit --rules" in done.stderr and "patches/audit.yaml" in done.stderr


def test_an_entry_allows_a_place_wherever_it_moves(tree: Path, project: Project) -> None:
    listed(project, ENTRY)
    (tree / "train.py").write_text("# a line more\n" + PLACE.replace("# how many", "# that many"))
    done = run("--all", tree)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "train.py:6: device-api: torch.cuda.device_count(): allowed (Only a line to read.)" in done.stdout


@pytest.mark.parametrize(
    "text",
    [
        PLACE.replace("print(", "print(1 + "),  # the line is another
        PLACE.replace("def main(", "def other("),  # the function is
        PLACE.replace("torch.cuda.device_count()", "0"),  # the place is gone
    ],
)
def test_an_entry_that_matches_nothing_is_stale(tree: Path, project: Project, text: str) -> None:
    listed(project, "# the list\n" + ENTRY)
    (tree / "train.py").write_text(text)
    done = run(tree)
    assert done.returncode == 1
    assert "patches/audit.yaml:2: stale: train.py, main: device-api: 'print(torch.cuda.device_count())'" in done.stdout
    assert "1 stale in patches/audit.yaml" in done.stdout
    assert ("not ported\n" in done.stdout.partition(f"{tree}:")[0]) == ("torch.cuda" in text)


def test_a_second_place_of_the_kind_is_not_allowed(tree: Path, project: Project) -> None:
    listed(project, ENTRY)
    (tree / "train.py").write_text(PLACE + "    print(torch.cuda.device_count())\n")
    assert [place.line for place in audit(tree, project=project).unported] == [6]
    assert not audit(tree, project=listed(project, ENTRY + "  times: 2\n")).failed
    (stale,) = audit(tree, project=listed(project, ENTRY + "  times: 3\n")).stale
    assert str(stale).endswith("is there 2 times, not 3")


def test_entries_for_some_trees_only(project: Project) -> None:
    def stale() -> list[int]:
        return [len(audit(targets=targets, project=project).stale) for targets in (["mlu"], ["tpu"], ["mlu", "tpu"])]

    listed(project, ENTRY + "  with: tpu\n")
    assert stale() == [0, 1, 1]
    listed(project, ENTRY + "  without: tpu\n")
    assert stale() == [1, 0, 0]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("path: train.py\n", "line 1: the file should be a list of allowed places"),
        ("- path: train.py\n", "line 1: [0] should be a mapping with the field 'function'"),
        (ENTRY.replace("device-api", "no-rule"), "a rule that `porter audit --rules` lists"),
        (ENTRY.replace("Only a line to read.", "'...'"), "should be a reason"),
        (ENTRY + "  line: 3\n", "the fields here are path, function, rule, code, reason, times, with, without"),
        (ENTRY + "  times: 0\n", "a number of places"),
        (ENTRY.replace("train.py", "/train.py"), "a Python file's path in the tree"),
        (ENTRY + ENTRY, "line 6: [1] should be a place that is listed once"),
        ("- [\n", "not YAML"),
    ],
)
def test_a_list_that_cannot_be_read(tree: Path, project: Project, text: str, says: str) -> None:
    with pytest.raises(WrongUsage) as caught:
        audit(tree, project=listed(project, text))
    assert says in str(caught.value) and "audit.yaml" in str(caught.value)


def test_upstream_at_any_commit_is_no_ported_tree(clone: Path, project: Project) -> None:
    """Without accelerators no entry counts and none is stale; the pin is not needed."""
    listed(project, ENTRY)
    git("switch", "-q", "--detach", "v6.0~1", cwd=clone)
    assert run(clone).returncode == 0
    (clone / "train.py").write_text(PLACE)
    done = run(clone)
    assert done.returncode == 1 and "train.py:5: device-api" in done.stdout and "stale" not in done.stdout


def test_without_a_tree_the_stacks_are_looked_at_in_memory(project: Project) -> None:
    done = run("--target", "mlu", "--target", "tpu")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("mlu+tpu, made in memory: ")


def test_what_git_ignores_is_not_looked_at(tree: Path, tmp_path: Path) -> None:
    (tree / "__pycache__").mkdir()
    (tree / "__pycache__" / "x.py").write_text(PLACE)
    (tree / "dangling.py").symlink_to(tmp_path / "nowhere")
    assert run(tree).returncode == 0
    (tree / "mine.py").write_text(PLACE)
    done = run(tree)
    assert done.returncode == 1 and "mine.py:5" in done.stdout


def test_a_plain_folder(tmp_path: Path) -> None:
    (tmp_path / "plain" / ".hidden").mkdir(parents=True)
    for name in ("train.py", ".hidden/other.py"):
        (tmp_path / "plain" / name).write_text(PLACE)
    done = run(tmp_path / "plain")
    assert done.returncode == 1 and done.stdout.count("not ported\n") == 2


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "neither a tree nor a target named"),
        (("nowhere",), "there is no nowhere"),
        (("upstream.lock",), "upstream.lock is a file"),
        (("patches",), "there is no Python file in patches"),
        (("--target", "npu"), "there is no target 'npu'"),
        (("--nonsense",), "--nonsense"),
    ],
)
def test_wrong_usage(words: tuple[str, ...], says: str) -> None:
    done = run(*words)
    assert done.returncode == 2 and says in done.stderr and done.stdout == "", done.stderr


def test_a_tree_without_the_target_that_is_named(tree: Path) -> None:
    assert run("--target", "mlu", tree).returncode == 0
    done = run("--target", "tpu", tree)
    assert done.returncode == 2 and f"{tree} holds mlu, not tpu" in done.stderr


def test_a_file_that_is_not_python(tree: Path) -> None:
    (tree / "train.py").write_text("def broken(:\n")
    done = run(tree)
    assert done.returncode == 1 and "train.py:1: not Python" in done.stderr and "Traceback" not in done.stderr


def test_a_report_that_cannot_be_written(tree: Path, tmp_path: Path) -> None:
    done = run("--json", tmp_path / "nowhere" / "x.json", tree)
    assert done.returncode == 3 and "cannot write" in done.stderr


def test_rules() -> None:
    done = run("--rules")
    assert done.returncode == 0
    assert re.findall(r"(?m)^([a-z-]+): ", done.stdout) == list(RULES)
    assert done.stdout.count("  why: ") == done.stdout.count("  instead: ") == len(RULES)


def test_imports_nothing_of_the_tree(tree: Path) -> None:
    (tree / "train.py").write_text("raise SystemExit(open('ran', 'w'))\n" + PLACE)
    assert run(tree, cwd=tree.parent / "project").returncode == 1
    assert not list(tree.parent.rglob("ran"))


# -- beside upstream --------------------------------------------------------------------------------------


UPSTREAM = """\
import torch


def main(opt, device, model):
    n = torch.cuda.device_count()
    model.half()
    return n


def other(f):
    return torch.load(f)
"""


@pytest.fixture
def devices(project: Project, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The project, after its tree was made, with another pin: an upstream that names devices in train.py."""
    monkeypatch.setitem(sources.FILES, "train.py", UPSTREAM.encode())
    sources.make_upstream(tmp_path / "other").lock.write(project.lock_path)
    monkeypatch.setenv("PORTER_CACHE", str(tmp_path / "own-cache"))
    return project


def beside(project: Project, tree: Path, text: str) -> dict[str, Any]:
    (tree / "train.py").write_text(text)
    found = json.loads(audit(tree, baseline=True, project=project).json())["baseline"]
    return {
        "was": [(place["line"], place["rule"], place["state"]) for place in found["was"]],
        "new": [(place["line"], place["rule"], place["state"]) for place in found["new"]],
    }


def test_what_became_of_upstreams_places(devices: Project, tree: Path) -> None:
    found = beside(devices, tree, UPSTREAM)
    assert found["was"] == [(5, "device-api", "not ported"), (6, "half-precision", "not ported"),
                            (11, "checkpoint-load", "not ported"), (11, "stored-code", "not ported")]  # fmt: skip
    assert found["new"] == []
    ported = UPSTREAM.replace("import torch\n", "import torch\nfrom utils import accelerator\n")
    ported = ported.replace("torch.cuda.", "accelerator.get(device).").replace("model.half()", "x.half().cpu()")
    found = beside(devices, tree, ported.replace("torch.load(f)", "read(f)") + "\n\ny = torch.cuda.current_device()\n")
    assert found["was"] == [(5, "device-api", "routed"), (6, "half-precision", "not ported"),
                            (11, "checkpoint-load", "gone"), (11, "stored-code", "gone")]  # fmt: skip
    assert found["new"] == [(15, "device-api", "not ported")]
    done = run("--baseline", tree)
    assert done.returncode == 1
    assert "train.py:5: device-api: torch.cuda.device_count(): routed\n" in done.stdout
    assert "new: train.py:15: device-api: torch.cuda.current_device(): not ported\n" in done.stdout
    assert "upstream's 4 places to port: 1 routed, 0 allowed, 2 gone, 1 not ported; 1 new\n" in done.stdout


def test_upstream_alone(devices: Project) -> None:
    done = run("--baseline")
    assert done.returncode == 0, done.stderr
    assert "train.py:5: device-api: torch.cuda.device_count(): not ported\n" in done.stdout
    assert done.stdout.endswith("upstream at the pin: 4 places: 0 routed, 0 allowed, 4 not ported\n")


# -- files for programs -------------------------------------------------------------------------------------


def test_json(tree: Path, project: Project, tmp_path: Path) -> None:
    listed(project, ENTRY + ENTRY.replace("main", "gone"))
    (tree / "train.py").write_text(PLACE + "    x.cuda()\n")
    assert run("--json", tmp_path / "a.json", tree).returncode == 1
    found = json.loads((tmp_path / "a.json").read_text())
    assert (found["tree"], found["targets"]) == (str(tree), ["mlu"])
    assert found["counts"] == {"allowed": 1, "not ported": 1}
    assert found["places"][0] == {
        "rule": "device-api",
        "path": "train.py",
        "line": 5,
        "column": 11,
        "end_line": 5,
        "end_column": 34,
        "function": "main",
        "code": "print(torch.cuda.device_count())",
        "what": "torch.cuda.device_count()",
        "state": "allowed",
        "reason": "Only a line to read.",
    }
    (stale,) = found["stale"]
    assert (stale["function"], stale["line"], stale["found"]) == ("gone", 6, 0)


def test_sarif(tree: Path, project: Project, tmp_path: Path) -> None:
    """The shape that SARIF 2.1.0 asks for; the schema itself is not on the package index."""
    listed(project, ENTRY + ENTRY.replace("main", "gone"))
    code = "    x.cuda()\n" * 2 + "    accelerator.current().synchronize()\n"
    (tree / "train.py").write_text("from utils import accelerator\n" + PLACE + code)
    assert run("--sarif", tmp_path / "a.sarif", tree).returncode == 1
    log = json.loads((tmp_path / "a.sarif").read_text())
    assert set(log) == {"$schema", "version", "runs"} and log["version"] == "2.1.0"
    (single,) = log["runs"]
    driver = single["tool"]["driver"]
    ids = [rule["id"] for rule in driver["rules"]]
    assert ids == [*RULES, "stale-allowance"]
    for rule in driver["rules"]:
        assert {"shortDescription", "fullDescription", "help"} < set(rule)
        assert all(rule[key]["text"] for key in ("shortDescription", "fullDescription", "help"))
        assert rule["defaultConfiguration"]["level"] in ("error", "note")
    results = single["results"]
    for result in results:
        assert ids[result["ruleIndex"]] == result["ruleId"]
        assert result["kind"] in ("pass", "fail")
        assert result["level"] in (("none",) if result["kind"] == "pass" else ("error", "note"))
        assert result["message"]["text"]
        (location,) = result["locations"]
        region = location["physicalLocation"]["region"]
        assert all(isinstance(value, int) and value >= 1 for value in region.values())
    kinds = [(r["ruleId"], r["kind"], r["level"], "suppressions" in r) for r in results]
    assert kinds == [
        ("device-api", "fail", "note", True),
        ("device-method", "fail", "error", False),
        ("device-method", "fail", "error", False),
        ("device-api", "pass", "none", False),
        ("stale-allowance", "fail", "error", False),
    ]
    assert results[0]["suppressions"][0]["justification"] == "Only a line to read."
    assert results[0]["locations"][0]["physicalLocation"]["artifactLocation"] == {
        "uri": "train.py", "uriBaseId": "TREE"}  # fmt: skip
    prints = [r["partialFingerprints"]["porterAudit/v1"] for r in results[:-1]]
    assert len(set(prints)) == len(prints)
    assert single["originalUriBaseIds"]["TREE"]["uri"] == tree.as_uri() + "/"


def test_fingerprints_outlive_moved_lines(tree: Path, project: Project) -> None:
    def prints() -> list[str]:
        results = json.loads(audit(tree, project=project).sarif())["runs"][0]["results"]
        return [result["partialFingerprints"]["porterAudit/v1"] for result in results]

    (tree / "train.py").write_text(PLACE)
    before = prints()
    (tree / "train.py").write_text("\n\n" + PLACE)
    assert before and prints() == before


def test_sarif_beside_upstream(devices: Project, tree: Path) -> None:
    (tree / "train.py").write_text(UPSTREAM + "\n\ntorch.cuda.synchronize()\n")
    results = json.loads(audit(tree, baseline=True, project=devices).sarif())["runs"][0]["results"]
    assert [result["baselineState"] for result in results] == ["unchanged"] * 4 + ["new"]


def test_verify_makes_the_check(tree: Path, tmp_path: Path) -> None:
    git("config", "user.name", "A", cwd=tree)
    (tree / "train.py").write_text(PLACE)
    done = porter("verify", "--target", "mlu", "--check", "audit", tree, cwd=Path.cwd())
    assert done.returncode == 1
    assert "failed    audit        train.py:5: device-api: torch.cuda.device_count(): not ported" in done.stdout


def test_the_api_says_what_is_wrong(project: Project) -> None:
    with pytest.raises(WrongUsage):
        audit(project=project)


def test_a_folder_called_like_a_file_is_none(tree: Path) -> None:
    (tree / "train.py").unlink()
    (tree / "train.py").mkdir()
    assert run(tree).returncode == 0
