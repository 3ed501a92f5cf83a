from __future__ import annotations

import pytest

from porter.diagnosis.interpreter import Interpreter, Package
from porter.diagnosis.requirements import lacking

PINNED = {
    "torch": "1.9.1",
    "numpy": "1.23.4",
    "opencv-python-headless": "4.6.0.66",
    "pandas": "1.5.0",
    "tqdm": "4.64.1",
}


def wanted(torch: str, **packages: str) -> list[str]:
    """What an interpreter with this torch, and these packages, lacks."""
    found = {"torch": Package(torch), **{name: Package(version) for name, version in packages.items()}}
    return lacking(Interpreter("python", "3.11.7", True, found, {}, {"version": torch}), PINNED)


def test_the_torch_of_the_pins_gets_the_pins() -> None:
    assert wanted("1.9.1+cpu") == [
        "numpy==1.23.4", "opencv-python-headless==4.6.0.66", "pandas==1.5.0", "tqdm==4.64.1",
    ]  # fmt: skip


@pytest.mark.parametrize("torch", ["1.13.1", "2.1.0+cpu", "2.2.2"])
def test_another_old_torch_gets_no_numpy_2(torch: str) -> None:
    """Also where the command is typed by hand, without the constraints that --install gives pip."""
    assert wanted(torch) == ["numpy<2", "opencv-python-headless<4.12", "pandas<3", "tqdm"]
    assert wanted(torch, numpy="1.26.4", pandas="2.1.4") == ["opencv-python-headless<4.12", "tqdm"]


def test_a_torch_that_takes_numpy_2_gets_the_newest() -> None:
    assert wanted("2.13.0") == ["numpy", "opencv-python-headless", "pandas", "tqdm"]
