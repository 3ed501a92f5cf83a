from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from porter.diagnosis.interpreter import Interpreter, Package, has_wheel, lacking, torch_wanted, way_to_pip

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


@pytest.mark.parametrize(
    ("torch", "python", "there"),
    [
        ("1.9.1", "3.9.18", True),
        ("1.9.1", "3.10.4", False),
        ("1.9.1", "3.11.2", False),
        ("2.1.0", "3.7.9", False),
        ("2.1.0", "3.11.2", True),
        ("2.1.0", "3.12.1", False),
        ("2.13.0", "3.11.2", True),
        ("99.0", "3.30.0", True),  # not known: nothing is claimed
    ],
)
def test_a_torch_that_has_no_wheel_for_this_python_is_not_named(torch: str, python: str, there: bool) -> None:
    assert has_wheel(torch, python) is there
    assert torch_wanted({"torch": torch}, python) == (f"torch=={torch}" if there else "torch")


def test_nor_are_the_pins_that_go_with_it() -> None:
    """NumPy 1.23.4 has no wheel for a Python that torch 1.9.1 has none for, either."""
    bare = Interpreter("python", "3.12.1", True, {}, {}, {})
    assert lacking(bare, PINNED) == ["numpy", "opencv-python-headless", "pandas", "tqdm"]
    assert lacking(replace(bare, version="3.9.2"), PINNED)[0] == "numpy==1.23.4"


def test_what_makes_pip_work() -> None:
    here = Interpreter("python", "3.11.7", True, {}, {}, {})
    place = Path("/home/me/my env")
    made = "/usr/bin/python3 -m venv --system-site-packages '/home/me/my env'"
    inside = f"{place}/bin/python"
    ways: dict[tuple[bool, bool, bool], tuple[list[str], str]] = {
        (True, True, False): ([], "/usr/bin/python3"),
        (False, True, False): (["/usr/bin/python3 -m ensurepip"], "/usr/bin/python3"),
        (False, False, False): (["apt-get install python3-venv", made], inside),
        (True, True, True): ([made], inside),
        (True, False, True): (["apt-get install python3-venv", made], inside),
    }
    for (pip, ensurepip, managed), way in ways.items():
        found = replace(here, pip=pip, ensurepip=ensurepip, managed=managed)
        assert way_to_pip(found, "/usr/bin/python3", place) == way
