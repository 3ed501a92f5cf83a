from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from stacks import CHECKOUT

from porter.emulator import load_profile
from porter.errors import WrongUsage
from porter.project import Project
from porter.target import Target, in_order, load_all


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(CHECKOUT / "patches/tpu", tmp_path / "tpu")
    return tmp_path / "tpu"


def test_the_shipped_targets() -> None:
    every = load_all(Project(CHECKOUT))
    mlu, musa, npu, tpu = targets = [target for target in every if not target.plugin.in_tree]
    mps, xpu = (target for target in every if target.plugin.in_tree)
    assert (mlu.name, mlu.plugin.module, mlu.distributed) == ("mlu", "torch_mlu", ("cncl",))
    assert mlu.probe == ("torch.is_mlu_available()", "torch.mlu.is_available()")
    assert mlu.visible_devices[0] == "CN_VISIBLE_DEVICES"  # the stronger first
    assert tpu.visible_devices == (), "no variable hides one of Sophgo's devices from its plugin"
    assert (tpu.plugin.module, tpu.distributed) == ("torch_tpu", ("sccl", "gloo"))
    assert "torch-tpu" in tpu.plugin.confused_with
    assert (npu.plugin.module, npu.distributed, npu.probe) == ("torch_npu", ("hccl",), ("torch.npu.is_available()",))
    assert npu.visible_devices[0] == "ASCEND_RT_VISIBLE_DEVICES"
    assert (musa.plugin.module, musa.distributed, musa.emulated) == ("torch_musa", ("mccl",), ("s4000",))
    assert [target.features for target in targets] == [("hardware-time",), (), ("own-scaler",), ("fp16",)]
    assert [target.plugin.own_torch for target in targets] == [True, True, False, False]
    assert (xpu.distributed, xpu.visible_devices, xpu.emulated) == (("xccl",), ("ZE_AFFINITY_MASK",), ())
    assert (mps.probe, mps.visible_devices, mps.emulated) == (("torch.backends.mps.is_available()",), (), ())
    for target in every:
        assert all(load_profile(card).type == target.name for card in target.emulated)
        assert set(target.title) == {"en", "zh"}
        assert target.documentation
        assert (CHECKOUT / "patches" / target.name / target.requirements).is_file()
        assert target.record()["plugin"]["module"] == target.plugin.module


def test_all_targets_of_a_project(project: Project) -> None:
    assert [target.name for target in load_all(project)] == ["mlu", "tpu"]


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("name: tpu", "name: npu", "'tpu', as its folder"),
        ("name: tpu", "name: tpu\nvendor: Sophgo", "absent"),
        ("distributed: [sccl, gloo]", "distributed: sccl", "a list"),
        ("distributed: [sccl, gloo]", "distributed: []", "at least one"),
        ("distributed: [sccl, gloo]", "distributed: [SCCL!]", "a backend's name"),
        ("visible_devices: []\n", "", "visible_devices"),
        ("visible_devices: []", "visible_devices: [tpu devices]", "environment variable"),
        ("module: torch_tpu", "module: torch-tpu", "a module's name"),
        ("url: https://developer.sophgo.com/site", "url: developer.sophgo.com/site", "a URL"),
        ("setup: source", "torch: source", "vendor, or left out"),
        ("torch.tpu.is_available()", "__import__('os')", "a call of a function of torch's"),
        ("torch.tpu.is_available()", "torch.tpu.is_available", "a call of a function of torch's"),
        ("torch.tpu.is_available()", "torch.tpu.is_available('x')", "a call of a function of torch's"),
        ("torch.tpu.is_available()", "torch.tpu.__class__()", "a call of a function of torch's"),
        ("torch.tpu.is_available()", "torch._C._mps_emptyCache()", "a call of a function of torch's"),
        ("torch.tpu.is_available()", "torch..is_available()", "a call of a function of torch's"),
        ("torch.tpu.is_available()", "torchfoo()", "a call of a function of torch's"),
        ("requirements: requirements.txt", "requirements: ../other.txt", "a file"),
        ("requirements: requirements.txt", "requirements: absent.txt", "a file in tpu/"),
        ("  zh:", "  de:", "zh|absent"),
        ("name: tpu", "name: tpu\nname: tpu", "names a field once|twice"),
        ("features: [fp16]", "features: [fast]", "one of fp16, hardware-time, own-scaler"),
        ("environment: [CHIP_ARCH", "environment: [chip", "an environment variable's name"),
        ("simulator: [TPU_EMULATOR_PATH", "simulator: [cmodel", "an environment variable's name"),
        ("emulated: [sg2260, bm1684x]", "emulated: []", "at least one"),
    ],
)
def test_what_is_wrong_is_named_by_line_and_field(folder: Path, old: str, new: str, what: str) -> None:
    file = folder / "target.yaml"
    text = file.read_text()
    assert text.count(old) >= 1
    file.write_text(text.replace(old, new, 1))
    with pytest.raises(WrongUsage, match=what) as error:
        Target.load(folder)
    assert "target.yaml, line " in error.value.what
    # of a field that is missing, the line is where the mapping begins
    line = text[: text.index(old)].count("\n") + 1 if new else 2
    assert abs(int(error.value.what.split("line ")[1].split(":")[0]) - line) <= 1


def test_a_device_of_torchs_own_needs_no_plugin_and_is_not_emulated(folder: Path) -> None:
    file = folder / "target.yaml"
    head, _, rest = file.read_text().partition("plugin:\n")
    text = f"{head}plugin: torch\n{rest[rest.index('probe:') :]}"
    file.write_text(text.replace("[sg2260, bm1684x]", "[]"))
    target = Target.load(folder)
    assert (target.plugin.module, target.plugin.in_tree) == ("torch", True)
    assert target.emulated == target.visible_devices == ()
    file.write_text(text)
    with pytest.raises(WrongUsage, match="emulated should be empty"):
        Target.load(folder)
    file.write_text(text.replace("plugin: torch", "plugin: torch_tpu"))
    with pytest.raises(WrongUsage, match="plugin should be a mapping, or torch"):
        Target.load(folder)


def test_a_type_that_torch_keeps_for_a_plugin_is_not_emulated(folder: Path) -> None:
    made = folder.rename(folder.parent / "xla")
    text = (made / "target.yaml").read_text().replace("name: tpu", "name: xla")
    (made / "target.yaml").write_text(text)
    with pytest.raises(WrongUsage, match="emulated should be empty: no emulated device can be called xla"):
        Target.load(made)
    (made / "target.yaml").write_text(text.replace("[sg2260, bm1684x]", "[]"))
    assert Target.load(made).emulated == ()


def test_no_description(folder: Path) -> None:
    (folder / "target.yaml").unlink()
    with pytest.raises(WrongUsage, match=r"there is no .*target\.yaml"):
        Target.load(folder)


@pytest.mark.parametrize(
    ("value", "right"),
    [
        ("", ""), ("0", ""), ("0,1", ""), ("2,5,7", ""), ("0,", ""), ("npu0", ""),
        ("1,0", "0,1"), ("0,0", "0"), ("0,32,1", "0,1,32"), ("3,2,1", "1,2,3"),
        ("1, 0", ""),  # read up to the blank: device 1 alone
    ],
)  # fmt: skip
def test_ascends_list_of_devices_ascends(value: str, right: str) -> None:
    """The values are those of Ascend/pytorch's own test (v2.1.0-7.2.0, test/npu/test_torch_npu.py, 346)."""
    assert in_order("ASCEND_RT_VISIBLE_DEVICES", value) == right
    assert in_order("MLU_VISIBLE_DEVICES", value) == "", "only Ascend's has an order"


def test_a_vendors_simulator_is_chosen_by_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    tpu = Target.load(CHECKOUT / "patches" / "tpu")
    monkeypatch.delenv("TPU_EMULATOR_PATH", raising=False)
    monkeypatch.delenv("TPUKERNEL_FIRMWARE_PATH", raising=False)
    assert tpu.simulated == "" and set(tpu.simulator) < set(tpu.inherited)
    monkeypatch.setenv("TPUKERNEL_FIRMWARE_PATH", "/opt/libcmodel.so")
    assert tpu.simulated == "TPUKERNEL_FIRMWARE_PATH"
    monkeypatch.setenv("TPU_EMULATOR_PATH", "/opt/libfirmware.so")
    assert tpu.simulated == "TPU_EMULATOR_PATH"
    assert Target.load(CHECKOUT / "patches" / "mlu").simulated == ""
