"""Each card is data, with a source for every line."""

from __future__ import annotations

import json

import pytest

from porter.emulator import load_profile, profiles
from porter.errors import WrongUsage

from .conftest import PROFILES


def test_the_cards_that_can_be_emulated() -> None:
    assert profiles() == sorted(PROFILES)


@pytest.mark.parametrize("name", PROFILES)
def test_every_limit_and_every_figure_has_a_source(name: str) -> None:
    path = load_profile(name).path
    assert path is not None
    data = json.loads(path.read_text())
    facts = [value for value in data.values() if isinstance(value, dict)] + data["limits"]
    assert len(facts) > 5
    assert all(fact["source"].strip() for fact in facts)
    assert not any("vendors.md" in fact["source"] for fact in facts), "no fact cites a file that is not there"


@pytest.mark.parametrize("name", PROFILES)
def test_a_card_has_its_vendors_operators(name: str) -> None:
    profile = load_profile(name)
    assert profile.device.startswith("EMULATED ")
    assert profile.operators is not None
    assert {"aten::add.out", "aten::silu.out", "aten::_local_scalar_dense"} <= profile.operators
    assert ("aten::silu_backward" in profile.operators) == (name != "bm1684x")


def test_a_card_that_is_not_there() -> None:
    with pytest.raises(WrongUsage, match="no profile gpu of an emulated device"):
        load_profile("gpu")
