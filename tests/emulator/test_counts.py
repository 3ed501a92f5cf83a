"""What ran is counted, by step, and put down to the line that made it run."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest

from porter.emulator import read_counts

from .conftest import Run

pytestmark = pytest.mark.device

PROGRAM = """
import torch, torch_mlu
from helper import wait
layer = torch.nn.Linear(4, 3).to("mlu")
optimizer = torch.optim.SGD(layer.parameters(), 0.1)
for number in range(2):
    images = torch.rand(2, 4).to("mlu")
    output = layer(images)
    chosen = output[output > 0]
    output.exp().sum().backward()
    output.masked_select(output > 9)
    wait(output.sum())
    optimizer.step()
torch.zeros(8).to("mlu")
"""
HELPER = """
def wait(value):
    return value.item()
"""


@pytest.fixture(scope="module")
def counted(run: Run, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("program")
    (folder / "program.py").write_text(PROGRAM.lstrip())
    (folder / "helper.py").write_text(HELPER.lstrip())
    done = run("mlu370", "program.py", cwd=folder, counts=folder / "counts-%p.json", root=folder)
    assert done.status == 0, done.error
    (counts,) = read_counts(folder / "counts-%p.json")
    return counts


def lines(entries: list[dict[str, Any]]) -> dict[tuple[str, str], int]:
    return {(entry["operator"], entry["line"]): entry["count"] for entry in entries}


def test_it_says_what_was_emulated(counted: dict[str, Any]) -> None:
    assert (counted["profile"], counted["device"], counted["mode"]) == ("mlu370", "EMULATED MLU370", "strict")


def test_each_step_of_an_optimizer_ends_a_step(counted: dict[str, Any]) -> None:
    assert len(counted["steps"]) == 2
    assert [entry["line"] for entry in counted["rest"]["uploads"]] == ["program.py:13"]


def test_copies_have_their_bytes_and_lines(counted: dict[str, Any]) -> None:
    (upload,) = counted["steps"][1]["uploads"]
    assert upload == {"operator": "aten::_copy_from", "line": "program.py:6", "count": 1, "bytes": 32}


def test_synchronisations_are_found_where_the_program_waits(counted: dict[str, Any]) -> None:
    assert lines(counted["steps"][1]["synchronisations"]) == {
        ("aten::nonzero", "program.py:8"): 1,
        ("aten::masked_select", "program.py:10"): 1,
        ("aten::_local_scalar_dense", "helper.py:2"): 1,
    }


def test_operators_are_counted_and_the_backward_pass_is_told_apart(counted: dict[str, Any]) -> None:
    operators = counted["steps"][0]["operators"]
    assert operators["aten::exp.out"] == {"count": 1, "line": "program.py:9"}
    assert operators["aten::addmm.out"]["line"] == "program.py:7"
    assert operators["aten::mm.out"]["line"] == "backward"
    assert counted["steps"][0]["refused"] == []


def test_each_line_of_an_operator_is_known_when_traced(run: Run, tmp_path: Path) -> None:
    program = """
        import torch, torch_mlu
        from porter_emulated import counts
        x = torch.rand(3, device="mlu")
        x.exp()
        x.exp(); x.exp()
        assert counts.step()["operators"]["aten::exp.out"]["lines"] == {"it.py:4": 1, "it.py:5": 2}
    """
    (tmp_path / "it.py").write_text(textwrap.dedent(program).lstrip())
    done = run("mlu370", "it.py", cwd=tmp_path, root=tmp_path, trace=True)
    assert done.status == 0, done.error


def test_no_file_is_read_where_there_is_none(tmp_path: Path) -> None:
    assert read_counts(tmp_path / "counts-%p.json") == read_counts(tmp_path / "counts.json") == []
