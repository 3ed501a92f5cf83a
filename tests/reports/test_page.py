"""The page: what it says, that it is whole, and that nothing in a record can become markup or break it."""

from __future__ import annotations

import copy
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from porter.errors import WrongUsage
from porter.patch import Patch
from porter.reports import records
from porter.reports.page import page, targets_of

from . import made
from .made import EVIL
from .reading import Page


def patch(number: int, subject: str, stack: str = "common", **trailers: str) -> Patch:
    body = f"Why it is there.\n\n{EVIL if subject == EVIL else 'More.'}"
    said = tuple({"Reason": "device", "Upstream": "no", "Check": "train", **trailers}.items())
    return Patch(stack, f"{number:04d}-x.patch", subject, body, said, "A <a@b>", "0 +0000", (), b"", 1)


STACK = (
    patch(1, "Plain"),
    patch(2, EVIL, Check="train, parity"),
    patch(1, "Ours", "mlu", Reason="speed", Needs="torch>=2"),
)


def shown(*values: dict[str, Any], stack: tuple[Patch, ...] = STACK) -> str:
    return page([records.of(value, Path(f"{n}.json")) for n, value in enumerate(values)], stack)


@pytest.fixture(scope="module")
def everything() -> Page:
    return Page(shown(*made.everything()))


def test_it_needs_nothing_from_elsewhere(everything: Page) -> None:
    text = shown(*made.everything())
    assert "script" not in {tag for tag, _ in everything.tags}
    for tag, attributes in everything.tags:
        assert not {name for name in attributes if name.startswith("on")}
        for name in set(attributes) & {"src", "href", "xlink:href", "action", "poster", "data", "srcset"}:
            assert attributes[name].startswith(("#", "data:image/jpeg;base64,")), (tag, attributes)
    assert not re.search(r"@import|url\(", text)
    (policy,) = [each["content"] for each in everything.all("meta") if each.get("http-equiv")]
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    assert text.index("Content-Security-Policy") < text.index("<style>")
    assert everything.all("html") == [{"lang": "en"}]
    assert len(text) < 3_000_000


def test_links_lead_to_parts_of_the_page(everything: Page) -> None:
    ids = [attributes["id"] for _, attributes in everything.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [each["href"][1:] for each in everything.all("a")]
    assert set(links) <= set(ids) and {"verify-1", "verify-2", "bench-1", "patches", "drift-1"} <= set(links)


def test_what_was_emulated_is_in_plain_sight(everything: Page) -> None:
    assert "Of the 2 devices here 1 was EMULATED: no card was in it." in everything.text
    text = everything.text
    assert text.index("EMULATED") < text.index("mlu on MLU370")
    only_card = Page(shown(made.verify(emulated=False), stack=()))
    assert "EMULATED" not in only_card.text
    assert "Every device here was EMULATED" in Page(shown(made.verify(), stack=())).text


def test_a_vendors_simulator_is_no_card_either() -> None:
    record = made.verify("tpu", emulated=False, simulator=True)
    record["device"] = "SIMULATOR Sophgo TPU (SC7 cards, BM1684X), Python 3.10.13, torch 2.1.0"
    text = Page(shown(record, made.verify(), stack=())).text
    assert "Of the 2 devices here 1 was the vendor's SIMULATOR: no card was in it." in text
    assert "Of the 2 devices here 1 was EMULATED: no card was in it." in text
    assert "the vendor's own simulator of the chip" in text
    assert text.index("tpu on Sophgo TPU") < text.index("the vendor's own simulator of the chip")


def test_pictures_can_be_heard(everything: Page) -> None:
    for svg in everything.all("svg"):
        assert svg.get("aria-hidden") == "true" or (svg["role"] == "img" and len(svg["aria-label"]) > 10)


def test_curves_say_what_they_show(everything: Page) -> None:
    assert "Loss of 20 iterations from the same start: equal, bit for bit." in everything.text
    other = made.verify(emulated=False)
    other["checks"][1]["figures"]["device"]["losses"] = made.losses(20, drift=1e-5)
    said = Page(shown(other)).text
    assert re.search(r"Box loss of 20 iterations from the same start: 1 equal, 0\.00\d+ apart at most", said)


def test_the_long_run_is_drawn_of_both_sides_and_compared() -> None:
    record = made.verify()
    (figures,) = (found["figures"] for found in record["checks"] if found["check"] == "learns")
    assert "Cpu and device are equal." in Page(shown(record)).text
    figures["cpu"] = made.epochs(14)
    assert "Cpu and device are not equal." in Page(shown(record)).text
    del figures["cpu"]
    assert "Cpu and device are" not in Page(shown(record)).text


def test_boxes_are_drawn_and_tabled(everything: Page) -> None:
    boxes = [each for each in everything.all("rect") if each.get("class") == "box cpu" and each["x"] != "3"]
    assert boxes[0] == {"class": "box cpu", "x": "24.0", "y": "72.0", "width": "432.0", "height": "180.0"}
    assert "bus.jpg: 1 bus, 2 person on the cpu, the same on the device." in everything.text
    assert "bus 0.91" in everything.text and "24, 72, 432, 180" in everything.text
    value = made.verify()
    value["checks"][4]["figures"]["seen"]["pictures"][0]["device"][0][5] = 0.5
    assert "device: bus 0.50" in Page(shown(value)).text, "what differs is labelled on its own"
    value["checks"][4]["figures"]["seen"] = made.seen(device=False)
    assert "There was only the cpu." in Page(shown(value)).text


def test_operators_and_transfers(everything: Page) -> None:
    text = everything.text
    assert "used 59 operators. The list has 700: codegen/functions.yaml of vendor/plugin. Every one used" in text
    assert "Of 1 it is known what their kernels demand; 1 are assumed to take" in text
    assert "aten::op_7" in text and "models/common.py:7" in text
    assert "Off the scale: 90 in step 0, 60 in step 10" in text
    value = made.verify()
    figures = value["checks"][5]["figures"]
    figures["missing"] = {"aten::lost": "utils/loss.py:9"}
    assert "1 of those used are refused." in Page(shown(value)).text
    assert "utils/loss.py:9" in Page(shown(value)).text
    figures["listed"] = None
    assert "No list of the vendor's is known" in Page(shown(value)).text


def test_a_failure_shows_its_log_and_how_to_repeat_it() -> None:
    value = made.verify()
    failed = made.check(
        "train",
        "failed",
        "it died of SIGSEGV",
        log="line 1\nlast words",
        command="python train.py",
        repeat="porter verify --keep",
    )
    value["checks"].append(failed)
    text = Page(shown(value)).text
    assert "1 check failed." in text and "last words" in text and "porter verify --keep" in text
    assert "What was run: python train.py" in text
    assert "✗ failed" in text


def test_patches_and_who_notices() -> None:
    names = [each.id for each in STACK]
    judged = made.necessity([*names[:2], "common/gone.patch"])
    judged["verdicts"][1]["state"] = "unnoticed"
    text = Page(shown(made.verify(), judged)).text
    assert "3 patches as the stacks are now; their reasons: 2 device, 1 speed." in text
    assert "✓ noticed: train: it ended with status 1" in text and "✗ unnoticed" in text
    assert "mlu: not in the record" in text and "Shows with torch>=2." in text
    assert "no patch of these stacks now: common/gone.patch" in text


def test_the_order_of_the_records_does_not_matter() -> None:
    values = made.everything()
    pages = {shown(*each) for each in itertools.islice(itertools.permutations(values), 0, 120, 17)}
    assert len(pages) == 1


def test_the_targets_of_records() -> None:
    found = [
        records.of(value, Path("x.json")) for value in [{**made.drift([]), "stack": "mlu+npu"}, made.verify("tpu")]
    ]
    assert targets_of(found) == ["mlu", "npu", "tpu"]


def test_where_git_was_asked_of_a_drift() -> None:
    value = made.drift([("common/0001-A.patch", "A"), ("common/0002-B.patch", "B")])
    assert "git was asked at 10 of the commits: at tags, and around each change." in Page(shown(value)).text
    value["patches"][0]["asked"] = [1, 61]
    with pytest.raises(WrongUsage, match=r"patches\[0\]\.asked should be numbers of commits, 1 to 60"):
        shown(value)
    for patch in value["patches"]:
        del patch["asked"]  # as porter wrote it when git was asked everywhere
    assert "git was asked at each commit. 2 patches stand" in Page(shown(value)).text


# -- whatever a record holds --------------------------------------------------------------------------


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where a record holds something, of a list's items the first two (they are alike)."""
    if isinstance(value, dict):
        for name in list(value)[:12] if len(value) > 30 else value:
            yield (*path, name)
            yield from leaves(value[name], (*path, name))
    elif isinstance(value, list):
        for n in range(min(2, len(value)) if len(path) < 1 or path[-1] != "checks" else len(value)):
            yield (*path, n)
            yield from leaves(value[n], (*path, n))


def put(value: dict[str, Any], path: tuple[Any, ...], new: Any) -> dict[str, Any]:
    changed = copy.deepcopy(value)
    at: Any = changed
    for step in path[:-1]:
        at = at[step]
    if new is KeyError:
        del at[path[-1]]
    else:
        at[path[-1]] = new
    return changed


RECORDS = {value["kind"]: value for value in made.everything()}


@pytest.mark.parametrize("kind", RECORDS)
def test_text_never_becomes_markup(kind: str) -> None:
    value, tried = RECORDS[kind], 0
    for path in leaves(value):
        try:
            text = shown(put(value, path, EVIL), stack=STACK[:2])
        except WrongUsage:
            continue  # it holds no free text
        tried += 1
        assert "<script" not in text and "<img" not in text, path
        assert Page(text).all("html") == [{"lang": "en"}], path
    assert tried > 5


def test_names_in_records_never_become_markup() -> None:
    value = made.verify()
    value["checks"][5]["figures"]["operators"] = {EVIL: {"calls": 1, "line": "x"}}
    value["checks"][5]["figures"]["missing"] = {EVIL: "y"}
    value["checks"][6]["figures"]["most"][EVIL] = 4
    value["checks"][6]["figures"]["steps"][EVIL] = [1, 2]
    text = shown(value)
    assert "<script" not in text and "<img" not in text
    assert Page(text).text.count(EVIL) >= 4


@pytest.mark.parametrize("kind", RECORDS)
def test_damage_is_named_or_does_not_matter(kind: str) -> None:
    """Fields missing, null, of another type: a page all the same, or an error that names file and field."""
    value, refused = RECORDS[kind], 0
    damages = (KeyError, None, "x", -1, 1e400, [], {}, [[]], True)
    for n, path in enumerate(leaves(value)):
        for new in damages[n % 3 :: 3]:  # a third of them each, since neighbours are of one kind
            try:
                shown(put(value, path, new), stack=())
            except WrongUsage as error:
                refused += 1
                assert error.what.startswith("0.json"), (path, new)
    assert refused > 30


def test_numbers_that_are_none() -> None:
    value = made.verify()
    for side in "cpu", "device":
        for row in value["checks"][1]["figures"][side]["losses"]:
            row[0] = float("nan")
    assert "no finite number" in Page(shown(value)).text


@pytest.mark.parametrize(
    "value", [{**made.drift([]), "commits": []}, {**made.verify(), "checks": []}, made.necessity([])]
)
def test_nothing_to_show_is_shown_too(value: dict[str, Any]) -> None:
    Page(shown(value, stack=()))


def test_a_comparison_names_what_left_its_band_first() -> None:
    text = Page(shown(made.compare(), stack=())).text
    assert "The first to leave its band: model.3, forward: " in text
    assert "The operator: aten::silu, in model.3.act." in text
    assert "models/yolov5n.yaml:18  [-1, 1, Conv, [256, 3, 2]]" in text
    assert "108 of 120 are outside" in text and "NaN, Inf" in text
    whole = Page(shown(made.compare(parted=False), stack=())).text
    assert "Nothing is further off than it may be." in whole and "0 of 120 are outside" in whole
    later = {**made.compare(parted=False), "parted": 2}
    assert "The two part in step 2 (from 0): the first step agrees." in Page(shown(later, stack=())).text
    damaged = made.compare()
    damaged["rows"][7]["allowed"] = "much"
    with pytest.raises(WrongUsage, match=r"rows\[7\]\.allowed should be a number"):
        shown(damaged, stack=())
