from __future__ import annotations

import random

import pytest

from porter.rebase.series import updated

TEXT = """\
# the order
# of common

# what all need
0001-a.patch
0002-b.patch  # slow
# the rest
0003-c.patch

# end
"""


def swap(*pairs: str) -> str:
    """TEXT with some of its words replaced."""
    text = TEXT
    for old, new in zip(pairs[::2], pairs[1::2]):
        assert old in text
        text = text.replace(old, new)
    return text


def names(text: str) -> list[str]:
    return [line.partition("#")[0].strip() for line in text.split("\n") if line.partition("#")[0].strip()]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (["0001-a.patch", "0002-b.patch", "0003-c.patch"], TEXT),
        (["0001-b.patch", "0002-c.patch"], swap("0001-a.patch\n", "", "2-b", "1-b", "3-c", "2-c")),
        (
            ["0001-a.patch", "0002-new.patch", "0003-b.patch", "0004-c.patch"],
            swap("3-c", "4-c", "2-b", "3-b", "0001-a.patch\n", "0001-a.patch\n0002-new.patch\n"),
        ),
        (["0001-a.patch", "0002-other.patch", "0003-c.patch"], swap("0002-b.patch  # slow", "0002-other.patch")),
        (
            ["0001-a.patch", "0002-c.patch", "0003-b.patch"],
            swap("0003-c.patch\n", "", "0002-b.patch", "0002-c.patch\n0003-b.patch"),
        ),
        (
            ["0001-n.patch", "0002-a.patch", "0003-b.patch", "0004-c.patch"],
            swap("3-c", "4-c", "2-b", "3-b", "1-a", "2-a", "# of common\n", "# of common\n0001-n.patch\n"),
        ),
        ([], "# the order\n# of common\n\n# what all need\n# the rest\n\n# end\n"),
    ],
)
def test_comments_stay_and_a_comment_behind_a_name_moves_with_it(wanted: list[str], expected: str) -> None:
    assert updated(TEXT, wanted) == expected


def test_an_empty_file() -> None:
    assert updated("", ["0001-a.patch"]) == "0001-a.patch\n"


def test_whatever_changes_the_names_are_those_and_every_line_without_a_name_stays() -> None:
    rng = random.Random(1)
    for _ in range(2000):
        known = [f"{number:04d}-{letter}.patch" for number, letter in enumerate("abcde", 1)]
        lines = []
        for name in known[: rng.randint(0, 5)]:
            lines += rng.sample(["# one", "", "# two"], rng.randint(0, 2))
            lines.append(name + rng.choice(["", "  # why"]))
        text = "".join(f"{line}\n" for line in lines)
        wanted = [f"{n:04d}-{letter}.patch" for n, letter in enumerate(rng.sample("abcdefg", rng.randint(0, 7)), 1)]
        found = updated(text, wanted)
        assert names(found) == wanted, text
        assert [line for line in found.split("\n")[:-1] if not names(line)] == [
            line for line in lines if not names(line)
        ]
