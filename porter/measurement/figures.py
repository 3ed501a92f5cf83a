"""The figures of one run and of several, under the names of Cambricon's BENCHMARK_LOG where it has one."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from porter.measurement.turns import percentile

# what the emulated device counts -> as target.yaml's budget calls it
_COUNTED = {
    "synchronisations": "synchronisations",
    "host_to_device": "uploads",
    "device_to_host": "downloads",
    "inside_kernels": "inside",
}


@dataclass(frozen=True)
class Figures:
    """What one run, or several together, came to.  Times are seconds of one iteration.

    Attributes:
        throughput: images per second.
        iterations: how many were counted.
        batch_time_avg, batch_time_var, batch_time_p50, batch_time_p95: wall time, the wait for data in it.
        hardware_time_avg, hardware_time_var: of the same iterations by the device's own clock, what the card was busy
            on mlu, else the time between two events; None where it has none.
        data_time_avg: the wait for the batch.
        memory_device, memory_host: the most that was held, bytes; of the device 0 where it does not tell.
        per_step: name -> calls in a usual iteration (the median); None where nothing counts them.
    """

    throughput: float
    iterations: int
    batch_time_avg: float
    batch_time_var: float
    batch_time_p50: float
    batch_time_p95: float
    hardware_time_avg: float | None
    hardware_time_var: float | None
    data_time_avg: float
    memory_device: int
    memory_host: int
    per_step: Mapping[str, int] | None

    def record(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def figures(runs: Sequence[Mapping[str, Any]], batch: int) -> Figures:
    """The figures of what drivers/bench.py wrote, of one run or of all together."""
    times = [float(t) for run in runs for t in run["batch_time"]]
    hardware = [float(t) for run in runs for t in run["hardware_time"]]
    waits = [float(t) for run in runs for t in run["data_time"]]
    steps = [step for run in runs for step in run["steps"]]
    mean = statistics.fmean(times)
    return Figures(
        throughput=batch / mean,
        iterations=len(times),
        batch_time_avg=mean,
        batch_time_var=statistics.pvariance(times),
        batch_time_p50=percentile(times, 50),
        batch_time_p95=percentile(times, 95),
        hardware_time_avg=statistics.fmean(hardware) if hardware else None,
        hardware_time_var=statistics.pvariance(hardware) if hardware else None,
        data_time_avg=statistics.fmean(waits) if waits else 0.0,
        memory_device=max(int(run["memory"]["device"]) for run in runs),
        memory_host=max(int(run["memory"]["host"]) for run in runs),
        per_step=_steady(steps),
    )


def _steady(steps: Sequence[Mapping[str, int]]) -> Mapping[str, int] | None:
    """Of the steps of a run; the few at the end of an epoch do more."""
    if not steps:
        return None
    return {name: int(statistics.median_low([step[kind] for step in steps])) for name, kind in _COUNTED.items()}
