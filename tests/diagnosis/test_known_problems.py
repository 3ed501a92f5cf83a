"""What is known to go wrong: each is noticed, with what to do, and is quiet where all is well."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from porter.diagnosis.hints import Hint, catalogue, in_chinese
from porter.diagnosis.interpreter import Interpreter, Package, Plugin
from porter.diagnosis.known_problems import Setup, Trouble, judge
from porter.diagnosis.machine import GIB, Card, Cards, Machine
from porter.project import Project
from porter.target import load_all

CHINESE = catalogue()
TARGETS = {target.name: target for target in load_all(Project.find(Path(__file__).parent))}
MACHINE = Machine("Linux", "a processor", 8, 32 * GIB, 30 * GIB, "/", 100 * GIB, 16 * GIB, "git 2.39", "c++ 12", False)
GOOD = Plugin("/site/torch_x", loads=True, available=True, computes=True, count=1, name="MLU370-X8")
HERE = Interpreter(
    "/usr/bin/python",
    "3.10.13",
    True,
    {
        "numpy": Package("1.26.2"),
        "opencv-python-headless": Package("4.8.1.78"),
        "protobuf": Package("5.29.0"),
        "setuptools": Package("70.0.0"),
        "torch": Package("2.1.0+cpu"),
        "torchvision": Package("0.16.0", ("numpy", "torch (==2.1.0)")),
    },
    {},
    {"version": "2.1.0+cpu", "cuda": "", "hip": "", "folder": "", "why": "", "numpy": "", "tensorboard": ""},
    {"mlu": GOOD, "tpu": GOOD, "npu": GOOD},
)


def found(
    target: str = "mlu",
    *,
    torch: dict[str, str] | None = None,
    packages: dict[str, Package] | None = None,
    plugin: Plugin | None = None,
    broken: dict[str, str] | None = None,
    cards: Cards | None = None,
    pinned: dict[str, str] | None = None,
    python: str = HERE.version,
    **machine: Any,
) -> list[Trouble]:
    """What is wrong with a good setup in which something was changed."""
    plugins = {**HERE.plugins, **({target: plugin} if plugin else {})}
    here = replace(
        HERE,
        version=python,
        torch={**HERE.torch, **(torch or {})},
        packages={**HERE.packages, **(packages or {})},
        broken=broken or {},
        plugins=plugins,
    )
    troubles = judge(Setup(replace(MACHINE, **machine), here, TARGETS.get(target), cards, pinned or {}, "pip"))
    for trouble in troubles:  # words of ours are said in Chinese, too; a bare command has none
        for text in (trouble.what, trouble.do):
            command = re.match(r"(pip|export|unset|apt-get) ", text) and not isinstance(text, Hint)
            assert command or re.search(r"[\u4e00-\u9fff]", in_chinese(text, trouble.trap, CHINESE)), text
    return troubles


def told(troubles: Sequence[Trouble]) -> list[tuple[str, str]]:
    return [(trouble.trap, trouble.level) for trouble in troubles]


@pytest.mark.parametrize("target", ["mlu", "tpu", ""])
def test_nothing_where_all_is_well(target: str) -> None:
    assert found(target) == []


def test_numpy_2_under_an_old_torch_and_who_brought_it() -> None:
    packages = {"numpy": Package("2.2.6"), "opencv-python-headless": Package("4.12.0.88")}
    broken = {"pandas": "ValueError: numpy.dtype size changed, may indicate binary incompatibility."}
    (trouble,) = found(torch={"numpy": "RuntimeError: Numpy is not available"}, packages=packages, broken=broken)
    assert (trouble.trap, trouble.level) == ("numpy-2", "problem")
    assert trouble.what == "torch 2.1.0+cpu cannot use NumPy 2.2.6; opencv-python-headless 4.12.0.88 asks for NumPy 2"
    assert trouble.do == 'pip install "numpy<2" "opencv-python-headless<4.12"'


def test_numpy_2_with_a_pandas_that_asks_for_it() -> None:
    packages = {"numpy": Package("2.4.6"), "opencv-python-headless": Package("4.11.0.86"), "pandas": Package("3.1.1")}
    (trouble,) = found(torch={"numpy": "RuntimeError: Numpy is not available"}, packages=packages)
    assert trouble.do == 'pip install "numpy<2" "opencv-python-headless<4.12" "pandas<3"'


def test_what_is_missing_is_installed_as_it_is_pinned() -> None:
    broken = {name: f"ModuleNotFoundError: No module named '{name}'" for name in ("cv2", "pandas")}
    (trouble,) = found(broken=broken, pinned={"pandas": "2.1.4"})
    assert trouble.what == "not installed: opencv-python-headless, pandas"
    assert trouble.do == 'pip install "opencv-python-headless<4.12" pandas==2.1.4'


def test_a_package_that_does_not_import() -> None:
    (trouble,) = found(broken={"pandas": "ValueError: numpy.dtype size changed"}, pinned={"pandas": "2.1.4"})
    assert trouble.what == "pandas is installed but does not import: ValueError: numpy.dtype size changed"
    assert trouble.do == "pip install --force-reinstall --no-deps pandas==2.1.4"


def test_opencv_with_windows_on_a_machine_without() -> None:
    why = "ImportError: libGL.so.1: cannot open shared object file: No such file or directory"
    (trouble,) = found(broken={"cv2": why})
    assert told([trouble]) == [("opencv", "problem")] and "uninstall opencv-python;" in trouble.do


@pytest.mark.parametrize(
    ("why", "name"),
    [
        ("AttributeError: module 'distutils' has no attribute 'version'", "setuptools"),
        ("TypeError: Descriptors cannot be created directly.", "protobuf"),
        ("ImportError: something else", "tensorboard"),
        ("ModuleNotFoundError: No module named 'tensorboard'", "packages"),
    ],
)
def test_tensorboard(why: str, name: str) -> None:
    assert told(found(torch={"tensorboard": why})) == [(name, "problem")]


def test_pypis_torch_tpu() -> None:
    foreign = Plugin("/site/torch_tpu", foreign=True, why="it is another package of the same name")
    packages = {"torch-tpu": Package("0.2.0")}
    troubles = found("tpu", packages=packages, plugin=foreign)
    assert told(troubles) == [("torch-tpu", "problem"), ("plugin", "problem")]
    assert troubles[0].do.startswith("pip uninstall torch-tpu and install the wheel torch_tpu-2.1.0.post1")
    assert told(found("mlu", packages=packages)) == []  # here tpu's plugin is Sophgo's


def test_a_torch_for_cuda() -> None:
    cuda = {"version": "2.1.0+cu121", "cuda": "12.1"}
    assert found(torch=cuda) == []  # the plugin computes: nobody has to change anything
    missing = told(found(torch=cuda, plugin=Plugin("", why="not installed")))
    assert missing == [("plugin", "problem"), ("cuda-torch", "warning")]
    broken = Plugin("/site/torch_mlu", why="ImportError: undefined symbol")
    assert ("cuda-torch", "problem") in told(found(torch=cuda, plugin=broken))
    for plugin in (broken, Plugin("", why="not installed")):  # that torch works, and nobody is told to replace it
        assert not [each.do for each in found(torch=cuda, plugin=plugin) if "reinstall" in each.do]
    assert found("", torch=cuda) == []


@pytest.mark.parametrize(
    ("target", "package", "version", "name"),
    [
        ("tpu", "torch-tpu", "2.1.0.post1", ""),
        ("tpu", "torch-tpu", "2.4.0.post1", "plugin-torch"),
        ("npu", "torch-npu", "2.1.0.post17", ""),
        ("npu", "torch-npu", "2.6.0", "plugin-torch"),
        ("mlu", "torch-mlu", "1.24.1+torch2.1.0", ""),
        ("mlu", "torch-mlu", "1.33.1+torch2.11.0", "plugin-torch"),
        ("mlu", "torch-mlu", "1.17.0", ""),  # it does not say for which
    ],
)
def test_a_plugin_for_another_torch(target: str, package: str, version: str, name: str) -> None:
    loads_not = Plugin("/site/x", why="OSError: undefined symbol")
    troubles = told(found(target, packages={package: Package(version)}, plugin=loads_not))
    assert troubles == ([(name, "problem")] if name else []) + [("plugin", "problem")]


def test_a_plugin_that_computes_with_another_torch_is_left_alone() -> None:
    (trouble,) = found("npu", packages={"torch-npu": Package("2.6.0")})
    assert (trouble.level, trouble.do) == ("warning", "Leave it: it computes.")


@pytest.mark.parametrize(
    ("target", "first"),
    [
        ("mlu", "export LD_LIBRARY_PATH=/usr/local/neuware/lib64:$LD_LIBRARY_PATH"),
        ("tpu", "source /etc/profile"),
        ("npu", "source /usr/local/Ascend/ascend-toolkit/set_env.sh"),
    ],
)
def test_what_to_load_is_the_vendors_own(target: str, first: str) -> None:
    loads_not = Plugin("/site/x", why="OSError: libx.so: cannot open shared object file")
    (trouble,) = found(target, plugin=loads_not)
    assert trouble.do.startswith(f"In this shell first: {first};")


def test_cambricons_torch_comes_from_cambricon() -> None:
    none = {"version": "", "why": "ModuleNotFoundError: No module named 'torch'"}
    (trouble,) = (each for each in found("mlu", torch=none, pinned={"torch": "1.9.1"}) if each.trap == "torch")
    assert "Cambricon's PyTorch container or SDK" in trouble.do
    assert "torch==1.9.1" not in trouble.do  # which has no wheel for Python 3.10
    other = found("mlu", packages={"torch-mlu": Package("1.33.1+torch2.11.0")}, plugin=Plugin("/site/x", why="no"))
    assert "download.pytorch.org" not in other[0].do


def test_torchvision_for_another_torch_is_a_warning() -> None:
    (trouble,) = found(torch={"version": "2.3.1"})
    assert told([trouble]) == [("torchvision", "warning")]
    assert trouble.what == "torchvision 0.16.0 is built for torch 2.1.0, this is 2.3.1"


def test_a_list_of_devices_that_does_not_ascend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASCEND_RT_VISIBLE_DEVICES", "1,0")
    (trouble,) = found("npu")
    assert told([trouble]) == [("visible-devices", "problem")]
    assert trouble.do == "export ASCEND_RT_VISIBLE_DEVICES=0,1"
    monkeypatch.setenv("ASCEND_RT_VISIBLE_DEVICES", "0,1")
    assert found("npu") == []


def test_the_vendors_simulator_is_no_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TPU_EMULATOR_PATH", "/opt/sophon/libfirmware.so")
    (trouble,) = found("tpu")
    assert told([trouble]) == [("simulator", "warning")] and "SIMULATOR" in trouble.what
    assert trouble.do == "unset TPU_EMULATOR_PATH to train on a card"
    assert found("mlu") == [], "the variable is Sophgo's"


def test_no_torch() -> None:
    none = {"version": "", "why": "ModuleNotFoundError: No module named 'torch'"}
    (trouble,) = found("", torch=none, packages={"torchvision": Package("0.16.0")}, pinned={"torch": "2.1.0"})
    assert trouble.what == "torch is not installed"
    assert trouble.do == "pip install torch==2.1.0 --index-url https://download.pytorch.org/whl/cpu"


def test_a_torch_that_is_too_old() -> None:
    (trouble,) = found("", torch={"version": "1.8.1"}, packages={"torchvision": Package("0.9.1")})
    assert told([trouble]) == [("torch", "problem")]


def test_a_card_that_the_plugin_does_not_see(monkeypatch: pytest.MonkeyPatch) -> None:
    blind = replace(GOOD, available=False, computes=False, why="it finds no device")
    monkeypatch.setenv("MLU_VISIBLE_DEVICES", "")
    (trouble,) = found(plugin=blind)
    assert told([trouble]) == [("device", "problem")] and trouble.do.endswith("unset MLU_VISIBLE_DEVICES")
    monkeypatch.delenv("MLU_VISIBLE_DEVICES")
    assert "docker run --device /dev/cambricon_dev*" in found(plugin=blind, container=True)[0].do
    builtin = found("xpu", plugin=blind, container=True)
    assert told(builtin) == [("device", "problem")] and "It takes a build of torch that has the xpu" in builtin[0].do
    none = Cards("mlu", "cnmon", True, why="cnmon lists no card")
    assert "cnmon lists no card" in found(plugin=blind, cards=none)[0].do


def test_a_card_that_computes_wrong_and_one_that_is_ill() -> None:
    wrong = replace(GOOD, computes=False, why="a linear layer is off by 3")
    assert told(found(plugin=wrong)) == [("probe", "problem")]
    ill = Cards("tpu", "bm-smi", True, "0.4.9", (Card(0, "SC7", 1, 0, "ok"), Card(1, "SC7", 0, 0, "fault")))
    (trouble,) = found("tpu", cards=ill)
    assert trouble.what == "card 1 (SC7): fault, says bm-smi" and trouble.level == "warning"


def test_the_machine() -> None:
    assert told(found("", shared=64 << 20)) == [("shared-memory", "warning")]
    assert found("", shared=None) == []
    assert told(found("", disk=2 * GIB)) == [("disk", "warning")]
    assert told(found("", disk=100 << 20)) == [("disk", "problem")]
    assert told(found("", memory=2 * GIB)) == [("memory", "warning")]
    assert told(found("", git="")) == [("git", "warning")]


def test_a_python_for_which_there_is_no_wheel() -> None:
    gone = Plugin("", why="not installed")
    assert told(found("tpu", python="3.12.1", plugin=gone)) == [("plugin", "problem"), ("python", "warning")]
    assert told(found("", python="3.5.9")) == [("python", "problem")]


def test_two_opencvs() -> None:
    (trouble,) = found("", packages={"opencv-python": Package("4.8.1.78")})
    assert told([trouble]) == [("opencv", "warning")]


def test_a_silent_fallback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENABLE_FALLBACK_TO_CPU", "1")
    assert told(found("mlu")) == [("fallback", "warning")] and found("tpu") == []
