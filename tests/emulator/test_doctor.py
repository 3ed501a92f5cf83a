"""porter doctor where a card is emulated: the plugin loads, finds a device and computes, and it says EMULATED."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Run

pytestmark = pytest.mark.device
CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(("target", "profile"), [("mlu", "mlu370"), ("tpu", "sg2260")])
def test_an_emulated_card(run: Run, target: str, profile: str) -> None:
    done = run(profile, "-m", "porter", "doctor", "--target", target, env={"PYTHONPATH": str(CHECKOUT)}, cwd=CHECKOUT)
    assert done.status == 0, done.out + done.error
    assert "a linear layer computes as on the host" in done.out
    assert f"training on the EMULATED {target} can work here (0 problems, " in done.out
