"""Letters for pictures that have no font: every printable ASCII character, five pixels wide and seven high.

Drawn for porter.  A letter is a row of base 32 digits, one a line of pixels from the top, bit 4 the leftmost;
letters that reach below the line have nine.
"""

from __future__ import annotations

WIDTH, HEIGHT = 6, 10  # of a letter with the space around it
_DIGITS = "0123456789abcdefghijklmnopqrstuv"
_DRAWN = """
! 4444404    " aaa0000    # aavavaa    $ 4fke5u4    % op248j3    & cik8lid    ' c480000    ( 2488842    ) 8422248
* 04lel40    + 044v440    , 00000cc48  - 000e000    . 00000cc    / 01248g0    0 ehjlphe    1 4c4444e    2 eh1248v
3 v2421he    4 26aiv22    5 vgu11he    6 68guhhe    7 v124888    8 ehhehhe    9 ehhf12c    : 0cc0cc0    ; 0cc0cc48
< 248g842    = 00v0v00    > 8421248    ? eh12404    @ ehnlnge    A ehhvhhh    B uhhuhhu    C ehggghe    D uhhhhhu
E vgguggv    F vgguggg    G ehgnhhf    H hhhvhhh    I e44444e    J 72222ic    K hikokih    L ggggggv    M hrllhhh
N hhpljhh    O ehhhhhe    P uhhuggg    Q ehhhlid    R uhhukih    S fgge11u    T v444444    U hhhhhhe    V hhhhha4
W hhhllla    X hha4ahh    Y hha4444    Z v1248gv    [ e88888e    \\ 0g84210    ] e22222e    ^ 4ah0000    _ 000000v
` 8420000    a 00e1fhf    b ggmphhu    c 00egghe    d 11djhhf    e 00ehvge    f 698s888    g 00fhhhf1e  h ggmphhh
i 40c444e    j 2062222ic  k ggikoki    l c44444e    m 00qllll    n 00mphhh    o 00ehhhe    p 00uhhhugg  q 00fhhhf11
r 00mpggg    s 00fge1u    t 88s8896    u 00hhhjd    v 00hhha4    w 00hhlla    x 00ha4ah    y 00hhhhf1e  z 00v248v
{ 6448446    | 4444444    } c44244c    ~ 008l200
"""
_words = _DRAWN.split()
_LETTERS = {" ": [0] * 7, **{name: [_DIGITS.index(d) for d in drawn] for name, drawn in zip(_words[::2], _words[1::2])}}


def width(text: str, scale: int = 1) -> int:
    """How many pixels wide a text is."""
    return len(text) * WIDTH * scale


def write(rows: list[bytearray], text: str, x: int, y: int, colour: int, scale: int = 1) -> None:
    """Write a text into rows of pixels; what has no letter here becomes ``?``, what lies outside is not drawn.

    Args:
        x, y: the top left corner.
        colour: the pixels' value.
        scale: pixels a pixel of the letters.
    """
    for number, character in enumerate(text):
        left = x + number * WIDTH * scale
        for line, bits in enumerate(_LETTERS.get(character, _LETTERS["?"])):
            for column in range(5):
                if bits >> (4 - column) & 1:
                    box(rows, left + column * scale, y + line * scale, scale, scale, colour)


def box(rows: list[bytearray], x: int, y: int, wide: int, high: int, colour: int) -> None:
    """Fill a rectangle of pixels, as far as it lies in the picture."""
    for row in rows[max(0, y) : max(0, y + high)]:
        left, right = max(0, x), min(len(row), x + wide)
        if left < right:
            row[left:right] = bytes([colour]) * (right - left)
