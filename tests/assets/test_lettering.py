from __future__ import annotations

import string

from porter.assets import lettering

PRINTABLE = [c for c in string.printable if c.isprintable()]


def drawn(text: str, scale: int = 1) -> list[str]:
    rows = [bytearray(lettering.width(text, scale)) for _ in range(lettering.HEIGHT * scale)]
    lettering.write(rows, text, 0, 0, 1, scale)
    return ["".join(" #"[value] for value in row) for row in rows]


def test_every_printable_character_has_a_letter_of_its_own() -> None:
    shapes = {character: "\n".join(drawn(character)) for character in PRINTABLE}
    assert len(set(shapes.values())) == len(PRINTABLE)
    assert {character for character, shape in shapes.items() if not shape.strip()} == {" "}


def test_letters_keep_to_their_box() -> None:
    for character in PRINTABLE:
        rows = drawn(character)
        assert all(row[5] == " " for row in rows), character
        assert rows[-1].strip() == "", character


def test_how_one_looks() -> None:
    assert [row.rstrip() for row in drawn("g")] == [
        "",
        "",
        " ####",
        "#   #",
        "#   #",
        "#   #",
        " ####",
        "    #",
        " ###",
        "",
    ]


def test_larger_letters_are_the_same_letters() -> None:
    twice = drawn("Ab9", 2)
    assert [row[::2] for row in twice[::2]] == drawn("Ab9")


def test_what_there_is_no_letter_for_is_a_question_mark() -> None:
    assert drawn("寒") == drawn("?")


def test_what_is_outside_is_not_drawn() -> None:
    rows = [bytearray(8) for _ in range(8)]
    for x, y in ((-3, -3), (6, 6), (100, 100), (-100, -100)):
        lettering.write(rows, "W", x, y, 1)
        lettering.box(rows, x, y, 4, 4, 1)
    assert [len(row) for row in rows] == [8] * 8
