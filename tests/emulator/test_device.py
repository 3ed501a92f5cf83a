"""What a program finds on an emulated device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from porter.emulator import load_profile

from .conftest import PROFILES

pytestmark = pytest.mark.device
Checked = Callable[[str], dict[str, Any]]


@pytest.fixture(scope="module", params=PROFILES)
def profile(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def found(checked: Checked, profile: str) -> dict[str, Any]:
    return checked(profile)


def test_every_check_ran(found: dict[str, Any]) -> None:
    assert {name: result["failed"] for name, result in found.items() if result and "failed" in result} == {}


def test_it_is_never_taken_for_hardware(found: dict[str, Any], profile: str) -> None:
    expected = load_profile(profile)
    surface = found["surface"]
    assert surface["name"] == expected.device
    assert surface["name"].startswith("EMULATED ")
    assert surface["version"].endswith("emulated")
    assert (surface["registered"], surface["count"]) == (expected.type, 2)
    assert surface["total"] == (0 if expected.type == "tpu" else expected.memory)  # Sophgo's plugin does not tell


def test_float32_training_is_the_cpus_bit_for_bit(found: dict[str, Any]) -> None:
    one, other = found["losses_and_weights"]["losses"]
    assert one == other
    assert found["losses_and_weights"]["weights"]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_rounds_as_the_dtype_does(found: dict[str, Any], dtype: str) -> None:
    result = found["rounding"][dtype]
    assert [result[name] for name in ("product", "convolution", "exponential", "in place")] == [True] * 4
    assert result["dtypes"] == [f"torch.{dtype}", "torch.float32", f"torch.{dtype}"]


def test_a_half_model_trains_with_a_scaler_that_allows_it(found: dict[str, Any]) -> None:
    losses = found["half_model"]["losses"]
    assert losses[0] > losses[-1] > 0
    assert found["half_model"]["dtypes"] == ["torch.float16", "torch.int64"]
    assert found["half_model"]["statistics"] < 2**-11  # half of float16's last place below 1


def test_autocast_casts_where_the_vendors_does(found: dict[str, Any], profile: str) -> None:
    result = found["autocast"]
    # of Sophgo's two states that of 2024 casts products of matrices, that of 2025 nothing; neither a convolution
    assert result["product"] == ("torch.float32" if profile == "sg2260" else "torch.bfloat16")
    convolutions = load_profile(profile).type != "tpu"
    assert (result["losses"][0] != found["losses_and_weights"]["losses"][0][0]) == convolutions
    assert load_profile(profile).casts == convolutions
    assert (result["gradients"], result["outside"]) == ("torch.float32", "torch.float32")


def test_the_gradient_scaler_counts_halves_and_is_restored(found: dict[str, Any]) -> None:
    assert found["autocast"]["scale"] == [65536.0, 65536.0]
    assert found["autocast"]["tracker"] == 3
    assert found["overflow_halves_the_scale"] == {"scale": 4.0, "weight": [1.0, 1.0, 1.0]}


def test_every_optimizer_gives_the_cpus_weights(found: dict[str, Any], profile: str) -> None:
    failed = {name: why for name, why in found["optimizers"].items() if why}
    if profile == "bm1684x":  # in torch 2.1 it resizes, which that list has no kernel for
        assert "aten::resize_" in failed.pop("Rprop", "aten::resize_")
    assert failed == {}


def test_models_are_copied_saved_and_loaded_anywhere(found: dict[str, Any], profile: str) -> None:
    kind = load_profile(profile).type
    places = found["copies_of_a_model"]
    assert places["cpu"] == ["cpu", "cpu"]
    assert places[f"{kind}:1"] == [f"{kind}:1"] * 2
    assert places["None"] == [f"{kind}:0"] * 2
    assert places["equal"]


def test_random_numbers_have_their_own_state_and_the_cpus_values(found: dict[str, Any], profile: str) -> None:
    seeds = found["seeds"]
    assert [seeds[name] for name in ("as the cpu's", "restored", "apart from the cpu's", "own")] == [True] * 4
    assert seeds["initial"] == (9 if profile in ("bm1684x", "sg2260") else 5)  # torch's own does not reach Sophgo's
    assert "device type for generator" in seeds["wrong"]


def test_tensors_of_two_devices_do_not_mix(found: dict[str, Any], profile: str) -> None:
    devices = found["devices"]
    for name in ("host added", "host multiplied", "other device"):
        if (profile, name) == ("bm1684x", "host multiplied"):  # its kernel looks first
            assert "not with mat2 device != tpu" in devices[name]
            continue
        assert "Expected all tensors to be on the same device, but found at least two devices" in devices[name]
    assert devices["host number"] == 8.0
    assert devices["host index"] is None
    assert devices["moved"].endswith(":1")
    assert "invalid device ordinal 7" in devices["too many"]


def test_memory_is_counted_and_runs_out(found: dict[str, Any], profile: str) -> None:
    memory = found["memory"]
    if load_profile(profile).type == "tpu":
        assert memory is None
        return
    size = 4 << 20
    assert (memory["block"], memory["after"]) == (size, 0)
    assert memory["peak"] >= 2 * size
    assert memory["reserved"] >= 2 * size
    assert memory["emptied"]
    assert 0 < memory["free"] <= memory["total"] == load_profile(profile).memory
    assert "out of memory" in memory["exhausted"]
    assert "RuntimeError" in memory["type"]


def test_views_share_memory_and_results_are_resized(found: dict[str, Any]) -> None:
    result = found["out_and_views"]
    assert result["view"][0] == [-1.0, 10.0, 2.0, 3.0]
    assert result["view"][1][1] == 50.0
    assert (result["out"], result["storage"]) == ([3, 4], 48)


@pytest.mark.parametrize("card", ["mlu370", "ascend910b"])
def test_a_loader_pins_and_its_workers_work(checked: Checked, card: str) -> None:
    assert checked(card)["pinned_loader"] == {"pinned": True, "sum": 496.0}


def test_tensors_of_any_dtype_have_the_vendors_method(found: dict[str, Any], profile: str) -> None:
    result, kind = found["int64_method"], load_profile(profile).type
    assert result["int64"] is None  # what Sophgo's plugin leaves out of int64 are the storages' methods
    assert result["to"] == result["float"] == result["module"] == f"{kind}:0"


def test_events_tell_milliseconds_and_microseconds(found: dict[str, Any], profile: str) -> None:
    if profile == "bm1684x":
        assert found["event"] is None  # the plugin has them on SG2260 only
    else:
        elapsed, hardware = found["event"]["elapsed"] * 1000, found["event"]["hardware"]
        if profile == "mlu370":  # Cambricon's alone: what the process worked meanwhile, but never longer than that took
            assert elapsed / 100 < hardware[0] < elapsed * 1.001
            assert hardware[1] == pytest.approx(elapsed)
        else:
            assert hardware == []
        assert "recorded" in found["event"]["early"]
