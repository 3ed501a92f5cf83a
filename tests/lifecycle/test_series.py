from __future__ import annotations

import random

import pytest

from porter.rebase.write_stacks import updated_series

TEXT = """\
# the order
# of common

# what all need
a.patch
b.patch  # slow
# the rest
c.patch

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
        (["a.patch", "b.patch", "c.patch"], TEXT),
        (["b.patch", "c.patch"], swap("a.patch\n", "")),
        (["a.patch", "new.patch", "b.patch", "c.patch"], swap("a.patch\n", "a.patch\nnew.patch\n")),
        (["a.patch", "other.patch", "c.patch"], swap("b.patch  # slow", "other.patch")),
        (["a.patch", "c.patch", "b.patch"], swap("c.patch\n", "", "b.patch", "c.patch\nb.patch")),
        (["n.patch", "a.patch", "b.patch", "c.patch"], swap("# of common\n", "# of common\nn.patch\n")),
        ([], "# the order\n# of common\n\n# what all need\n# the rest\n\n# end\n"),
    ],
)
def test_comments_stay_and_a_comment_behind_a_name_moves_with_it(wanted: list[str], expected: str) -> None:
    assert updated_series(TEXT, wanted) == expected


def test_an_empty_file() -> None:
    assert updated_series("", ["a.patch"]) == "a.patch\n"


def test_whatever_changes_the_names_are_those_and_every_line_without_a_name_stays() -> None:
    rng = random.Random(1)
    for _ in range(2000):
        known = [f"{letter}.patch" for letter in "abcde"]
        lines = []
        for name in known[: rng.randint(0, 5)]:
            lines += rng.sample(["# one", "", "# two"], rng.randint(0, 2))
            lines.append(name + rng.choice(["", "  # why"]))
        text = "".join(f"{line}\n" for line in lines)
        wanted = [f"{letter}.patch" for letter in rng.sample("abcdefg", rng.randint(0, 7))]
        found = updated_series(text, wanted)
        assert names(found) == wanted, text
        assert [line for line in found.split("\n")[:-1] if not names(line)] == [
            line for line in lines if not names(line)
        ]
