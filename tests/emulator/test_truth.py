"""What the vendors' public sources say of their plugins, the emulated devices do: each was believed otherwise once."""

from __future__ import annotations

import json
from typing import Any

import pytest

from porter.emulator import Profile, bare_profile, load_profile
from porter.process import free_port

from .conftest import DRIVERS, Run

pytestmark = pytest.mark.device
UNBOUND = "AttributeError: module 'torch_tpu._C' has no attribute '{}'"
BARE = bare_profile("bar", "torch_bar", [])


def outcomes(run: Run, profile: str | Profile, *expressions: str, **asked: Any) -> list[dict[str, Any]]:
    kind = profile.type if isinstance(profile, Profile) else load_profile(profile).type
    found: list[dict[str, Any]] = run(profile, DRIVERS / "facts.py", kind, *expressions, **asked).json
    return found


def errors(run: Run, profile: str | Profile, *expressions: str, **asked: Any) -> list[str | None]:
    return [outcome["error"] for outcome in outcomes(run, profile, *expressions, **asked)]


def results(run: Run, profile: str | Profile, *expressions: str, **asked: Any) -> list[str | None]:
    return [outcome["result"] or outcome["error"] for outcome in outcomes(run, profile, *expressions, **asked)]


MEMORY = ("memory_reserved", "memory_allocated", "max_memory_allocated", "memory_stats", "memory_summary")


def test_bm1684x_binds_nothing_of_memory_streams_and_waiting(run: Run) -> None:
    asked = [f"m.{name}()" for name in (*MEMORY, "empty_cache", "reset_peak_memory_stats", "synchronize")]
    asked += [
        "m.current_stream()",
        "m.get_device_properties(0).total_memory",
        "hasattr(m, 'Stream') or hasattr(m, 'Event')",
    ]
    *memory, cache, peaks, waits, stream, total, streams = outcomes(run, "bm1684x", *asked)
    assert [outcome["error"] for outcome in memory] == [UNBOUND.format("_tpu_memoryStats")] * len(MEMORY)
    assert cache["error"] == UNBOUND.format("_tpu_emptyCache")
    assert peaks["error"] == UNBOUND.format("_tpu_resetPeakMemoryStats")
    assert waits["error"] == UNBOUND.format("_tpu_synchronize")
    assert stream["error"] is not None and stream["error"].startswith("AttributeError: ")
    assert (total["result"], streams["result"]) == ("0", "False")


def test_bm1684x_empties_no_cache_before_the_device_is_used(run: Run) -> None:
    code = "import torch, torch_tpu; torch.tpu.empty_cache(); print(torch.tpu.is_initialized())"
    done = run("bm1684x", "-c", code)
    assert (done.status, done.out) == (0, "False\n"), done.error


def test_sg2260_has_two_figures_of_memory(run: Run) -> None:
    asked = ["sorted(m.memory_stats())", "m.memory_allocated() > 0", "m.memory_reserved()", "m.max_memory_cached()"]
    asked += ["m.empty_cache()", "m.get_device_properties(0).total_memory", "m.mem_get_info()[1] > 0", "m.Event"]
    found = results(run, "sg2260", *asked)
    assert found[0] == "['allocated_bytes.all.current', 'allocated_bytes.all.peak']"
    assert found[1] == "True"
    assert found[2] == "KeyError: 'reserved_bytes.all.current'"
    assert found[3] == "KeyError: 'reserved_bytes.all.peak'"
    assert found[4:7] == ["None", "0", "True"]
    assert found[7] is not None and "Event" in found[7]


def test_strided_arguments_meet_bm1684xs_kernels(run: Run) -> None:
    bce = "torch.nn.functional.binary_cross_entropy_with_logits({0}, torch.zeros_like({0})).backward()"
    inner = (
        "(lambda y: torch.nn.functional.binary_cross_entropy_with_logits(y[..., 4], x[..., 4].contiguous()).backward())"
    )
    asked = ["x[..., 4].sigmoid()", f"{inner}(x.clone().requires_grad_())", bce.format("x.clone().requires_grad_()")]
    for strided in (0, 1):
        assert "not contiguous" in (errors(run, "bm1684x", asked[strided])[0] or "")
    assert errors(run, "bm1684x", "x.sigmoid()", asked[2]) == [None, None]
    assert errors(run, "sg2260", asked[0]) == [None]


def test_bm1684x_expands_four_dimensions_at_most(run: Run) -> None:
    asked = ["x.expand(2, 2, 3, 4, 5).shape", "x.view(2, 1, 3, 4, 5).expand(2, 2, 3, 4, 5)"]
    fine, five = outcomes(run, "bm1684x", *asked)
    assert fine["result"] == "torch.Size([2, 2, 3, 4, 5])"
    assert (five["error"] or "").startswith("RuntimeError: ")
    assert [found["operator"] for found in five["refused"]] == ["aten::expand"]
    assert errors(run, "sg2260", *asked) == [None, None]


@pytest.mark.parametrize("profile", ["bm1684x", "sg2260"])
def test_sophgos_reductions_take_neighbouring_dimensions(run: Run, profile: str) -> None:
    asked = ["x.sum((0, 2, 3))", "x.mean((0, 2, 3))", "x.sum((2, 3))", "x.sum()", "x.mean((3, 2))"]
    split_sum, split_mean, *fine = errors(run, profile, *asked)
    for error in (split_sum, split_mean):
        assert (error or "").startswith("RuntimeError: Reduction only supports contiguous reduction dimension now")
    assert fine == [None] * 3


RANKS = """
import os, torch, torch.distributed as dist
os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="{port}", WORLD_SIZE="2")
for rank in 0, 1:
    if os.fork() == 0:
        os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank))
        import torch_tpu
        try:
            said = work(rank)
        except (TypeError, RuntimeError) as error:
            said = "%s %s" % (type(error).__name__, error)
        os.write(1, said.encode() + b"; ")  # at once: what two processes print in pieces is mixed
        os._exit(0)
for rank in 0, 1:
    os.wait()
"""


def ranks(run: Run, profile: str, work: str) -> str:
    """What two processes say, each of which calls a function ``work(rank)`` on a device of its own."""
    done = run(profile, "-c", work + RANKS.format(port=free_port()))
    return done.out + done.error


SCCL = """
def work(rank):
    torch.tpu.set_device(rank)
    options = None
    if {options}:
        options = torch_tpu.ProcessGroupSCCLOptions()
        options.chip_map = {chips}
    dist.init_process_group("sccl", pg_options=options)
    value = torch.ones(1, device="tpu")
    dist.all_reduce(value)
    return "SUM %s" % value.item()
"""


@pytest.mark.parametrize(
    ("options", "chips", "said"),
    [(False, [], "TypeError"), (True, [0, 1], "SUM 2.0"), (True, [], "SUM 2.0"), (True, [0], "RuntimeError")],
)
def test_sccl_wants_options(run: Run, options: bool, chips: list[int], said: str) -> None:
    found = ranks(run, "sg2260", SCCL.format(options=options, chips=chips))
    assert found.count(said) == 2, found


GLOO = """
def work(rank):
    dist.init_process_group("gloo")
    host = torch.ones(1)
    dist.all_reduce(host)
    os.write(1, b"sum %d; " % host.item())
    dist.all_reduce(host.to("tpu"))
"""


@pytest.mark.parametrize("profile", ["bm1684x", "sg2260"])
def test_gloo_takes_no_tensor_of_the_device(run: Run, profile: str) -> None:
    found = ranks(run, profile, GLOO)
    assert found.count("sum 2; ") == found.count("RuntimeError No backend type associated with device type tpu") == 2


AT = "torch.zeros(1, dtype=torch.int64).to(kind)"
FLOATS = 2 * 3 * 4 * 5 * 4  # bytes of x


@pytest.mark.parametrize(
    ("profile", "expression", "operator", "down", "up"),
    [
        ("bm1684x", f"x[{AT}, {AT}]", "index.Tensor_out", (3, FLOATS + 16), (1, 80)),
        ("sg2260", f"x[{AT}, {AT}]", "index.Tensor_out", (3, FLOATS + 16), (1, 80)),
        ("bm1684x", f"x.index_put_(({AT}, {AT}), x[:1, 0])", "index_put_", (4, FLOATS + 16 + 80), (1, FLOATS)),
        ("bm1684x", "x[0, 0, 0, 0].sigmoid()", "sigmoid.out", (1, 4), (1, 4)),
        (
            "bm1684x",
            "torch.ops.aten.sigmoid_backward(x, x)",
            "sigmoid_backward.grad_input",
            (2, 2 * FLOATS),
            (1, FLOATS),
        ),
        (
            "bm1684x",
            "torch.nn.functional.batch_norm(x, *x[0, 0, :2, :3])",
            "native_batch_norm",
            (3, FLOATS + 2 * 12),
            (3, FLOATS),  # two of its three results are empty
        ),
    ],
)
def test_kernels_that_go_through_the_host_are_counted(
    run: Run, profile: str, expression: str, operator: str, down: tuple[int, int], up: tuple[int, int]
) -> None:
    (outcome,) = outcomes(run, profile, expression)
    assert outcome["error"] is None
    found = [(entry["operator"], entry["direction"], entry["count"], entry["bytes"]) for entry in outcome["inside"]]
    assert found == [(f"aten::{operator}", "down", *down), (f"aten::{operator}", "up", *up)]


BOTH = ("reflection_pad2d", "squeeze", "var.correction")


@pytest.mark.parametrize(
    ("profile", "names"),
    [
        ("bm1684x", ["gather", "remainder.Tensor_out", *BOTH, "permute"]),
        ("sg2260", [*BOTH, "tril_indices"]),
    ],
)
def test_names_in_comments_are_no_operators(profile: str, names: list[str]) -> None:
    operators = load_profile(profile).operators or frozenset()
    assert operators.isdisjoint(f"aten::{name}" for name in names)


COUNT = "import torch, torch_{0}; print(torch.{0}.device_count())"


@pytest.mark.parametrize(
    ("profile", "env", "count"),
    [
        ("ascend910b", {"ASCEND_RT_VISIBLE_DEVICES": "1,0"}, 0),
        ("ascend910b", {"ASCEND_RT_VISIBLE_DEVICES": "0,2"}, 2),
        ("ascend910b", {"ASCEND_RT_VISIBLE_DEVICES": "0,1x,2"}, 2),
        ("ascend910b", {"ASCEND_RT_VISIBLE_DEVICES": "0,7"}, 1),
        ("mlu370", {"MLU_VISIBLE_DEVICES": "2,0"}, 2),
        ("mlu370", {"MLU_VISIBLE_DEVICES": "1,1"}, 0),
        ("mlu370", {"MLU_VISIBLE_DEVICES": "1", "CN_VISIBLE_DEVICES": "0,1"}, 2),
        ("mlu370", {"CUDA_VISIBLE_DEVICES": "1"}, 1),
        ("bm1684x", {"TPU_VISIBLE_DEVICES": "1"}, 3),
        ("bm1684x", {"SG_MAX_DEVICE_COUNT": "2"}, 2),
        ("sg2260", {"TPU_VISIBLE_DEVICES": "1", "CHIP_MAP": "1,0"}, 3),
    ],
)
def test_devices_are_hidden_as_the_vendor_reads_it(run: Run, profile: str, env: dict[str, str], count: int) -> None:
    done = run(profile, "-c", COUNT.format(load_profile(profile).type), env=env, devices=3)
    assert done.out == f"{count}\n", done.error


def test_sg2260_maps_ranks_to_chips(run: Run) -> None:
    code = "import torch, torch_tpu\nfor n in (0, 1): torch.tpu.set_device(n); print(torch.tpu.current_device())"
    assert run("sg2260", "-c", code, env={"CHIP_MAP": "1,0"}).out.split() == ["1", "0"]
    assert run("sg2260", "-c", code).out.split() == ["0", "1"]
    (error,) = errors(run, "sg2260", "m.set_device(torch.device('tpu:0'))")
    assert error is not None and error.startswith("TypeError")


def test_mlu_keeps_float64_as_float32_and_computes_int64_as_int32(run: Run) -> None:
    asked = [
        "(torch.tensor([1 + 1e-12], dtype=torch.float64).to(kind).cpu() - 1).item()",
        "(torch.tensor([1.], dtype=torch.float64).to(kind) / 3).item() - 1 / 3",
        "torch.zeros(1, dtype=torch.float64, device=kind).add_(1e-12).add(1).sub(1).item()",
        "(torch.tensor([1 << 31]).to(kind) + 1).item()",
        "torch.tensor([1 << 31]).to(kind).item()",
        "torch.tensor([1 << 30]).to(kind).mul(4).item()",
    ]
    moved, third, small, wrapped, stored, product = (float(each or "nan") for each in results(run, "mlu370", *asked))
    assert moved == small == 0.0
    assert 1e-10 < abs(third) < 1e-7
    assert (wrapped, stored, product) == (1 - 2.0**31, 2.0**31, 0.0)
    assert float(results(run, "sg2260", asked[4])[0] or "nan") == 2.0**31


def test_versions_are_the_sources(run: Run) -> None:
    for profile, version in (("sg2260", "2.8.0.post1+emulated"), ("bm1684x", "2.1.0.post1+emulated")):
        assert results(run, profile, "p.__version__") == [repr(version)]


def test_torch_does_not_seed_sophgos_devices(run: Run) -> None:
    """torch.manual_seed asks for a function that the plugin calls otherwise; its own seed them."""
    same = "[torch.rand(3, device=kind).tolist() for _ in range(2) if {} or True]"
    by_torch, by_plugin = results(
        run, "sg2260", same.format("torch.manual_seed(3)"), same.format("m.manual_seed_all(3)")
    )
    for found, equal in ((by_torch, False), (by_plugin, True)):
        one, other = json.loads(found or "")
        assert (one == other) == equal


GONE = ("is_available", "device_count", "initial_seed", "memory_reserved", "empty_cache", "synchronize", "Event", "amp")


def test_a_bare_plugin_has_a_device_and_nothing_else(run: Run) -> None:
    asked = [
        f"[name for name in {GONE!r} if hasattr(m, name)]",
        "(x + 1).sum().item() > 0",
        "x.cpu().half().to(kind).dtype",
    ]
    gone, computed, moved, cast, product, amp = results(
        run, BARE, *asked, "x.half()", "x.cpu().half().to(kind) + 1", "torch.autocast('bar')"
    )
    assert (gone, computed, moved) == ("[]", "True", "torch.float16")
    for error in (cast, product):
        assert error is not None and error.startswith("NotImplementedError: Could not run")
        assert "Half" in error
    assert amp is not None and "Error" in amp


@pytest.mark.parametrize("profile", ["ascend910b", "mlu370", "sg2260"])
def test_torchs_tracer_sees_a_convolution(run: Run, profile: str) -> None:
    # torch_npu has a kernel for aten::convolution, which the tracer does not record; it calls aten::_convolution
    traced = "torch.jit.trace(torch.nn.Conv2d(3, 2, 1).to(x.device), x, check_trace=False)"
    asked = f"[node.kind() for node in {traced}.inlined_graph.nodes()][-1]"
    assert results(run, profile, asked) == ["'aten::_convolution'"]
