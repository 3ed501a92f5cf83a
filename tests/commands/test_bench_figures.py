"""What porter bench makes of its runs: taken in turn, their figures, and the file that keeps those over commits."""

from __future__ import annotations

import random
import statistics
from pathlib import Path

import pytest

from porter.commands.bench import figures, in_turn, percentile, ratios, spread
from porter.errors import EnvironmentFailed
from porter.files import append_line


def test_rounds_go_forwards_and_backwards() -> None:
    order: list[str] = []

    def noted(name: str) -> int:
        order.append(name)
        return len(order)

    found = in_turn(3, {"a": lambda: noted("a"), "b": lambda: noted("b")})
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert found == {"a": [1, 4, 5], "b": [2, 3, 6]}


def test_ratios_are_of_each_round() -> None:
    assert ratios([2.0, 9.0], [1.0, 3.0]) == [2.0, 3.0]
    assert spread([2.0, 3.0, 10.0], "ms") == "3 ms (2 to 10)"
    assert spread([1.5], "") == "1.5 (1.5 to 1.5)"


@pytest.mark.parametrize("count", [1, 2, 9, 100])
def test_percentiles(count: int) -> None:
    values = [random.Random(count).random() for _ in range(count)]
    assert percentile(values, 50) == pytest.approx(statistics.median(values))
    assert (percentile(values, 0), percentile(values, 100)) == (min(values), max(values))
    if count > 1:
        assert percentile(values, 95) == pytest.approx(statistics.quantiles(values, n=20, method="inclusive")[-1])


def test_figures_of_runs() -> None:
    steady = {"uploads": 7, "downloads": 1, "synchronisations": 1, "inside": 2}
    first = {
        "batch_time": [0.1, 0.3],
        "hardware_time": [0.05, 0.05],
        "data_time": [0.01, 0.03],
        "steps": [{**steady, "synchronisations": 9}, steady, steady],
        "memory": {"device": 10, "host": 5},
    }
    second = {**first, "batch_time": [0.2, 0.2], "steps": [], "memory": {"device": 7, "host": 8}}
    one, both = figures([first], 4), figures([first, second], 4)
    assert (one.throughput, one.iterations, one.batch_time_var) == pytest.approx((20.0, 2, 0.01))
    assert (both.throughput, both.iterations, both.data_time_avg) == pytest.approx((20.0, 4, 0.02))
    assert both.batch_time_var == pytest.approx(0.005) and both.hardware_time_var == pytest.approx(0.0)
    assert (both.memory_device, both.memory_host) == (10, 8)
    usual = {"host_to_device": 7, "device_to_host": 1, "synchronisations": 1, "inside_kernels": 2}
    assert one.per_step == usual
    bare = figures([{**second, "hardware_time": [], "data_time": []}], 4)
    assert (bare.hardware_time_avg, bare.per_step, bare.data_time_avg) == (None, None, 0.0)


def test_lines_are_added(tmp_path: Path) -> None:
    file = tmp_path / "trend.jsonl"
    for number in range(3):
        append_line(file, b'{"commit": "c%d"}' % number)
    assert file.read_text() == '{"commit": "c0"}\n{"commit": "c1"}\n{"commit": "c2"}\n'


def test_after_a_line_that_was_cut_off(tmp_path: Path) -> None:
    file = tmp_path / "trend.jsonl"
    file.write_text('{"commit": "c0", "thr')
    append_line(file, b'{"commit": "c1"}')
    assert file.read_text().splitlines()[1] == '{"commit": "c1"}'


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFailed, match="cannot write"):
        append_line(tmp_path, b"{}")
