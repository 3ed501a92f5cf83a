"""HTML and SVG out of Python values: whatever is not markup already is escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

_VOID = frozenset(("meta", "br", "image", "line", "rect", "circle", "polyline", "path"))


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


def text(value: object) -> Html:
    """A value as markup: as it is where it is markup, escaped where it is not."""
    return value if isinstance(value, Html) else Html(html.escape(str(value)))


def join(parts: Iterable[object], between: str = "") -> Html:
    """Several values as one piece of markup."""
    return Html(str(text(between)).join(text(part) for part in parts))


def element(name: str, /, *content: object, **attributes: object) -> Html:
    """An element.

    Args:
        content: what is in it, escaped unless it is :class:`Html`.
        attributes: by name, ``_`` for ``-`` and one at the end ignored (``class_``); None leaves one out.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID and not content:
        return Html(f"<{name}{written}/>" if name not in ("meta", "br") else f"<{name}{written}>")
    return Html(f"<{name}{written}>{join(content)}</{name}>")


def key(name: str, sample: Html) -> Html:
    """An entry of a legend.

    Args:
        sample: how it is drawn, in SVG, 28 by 12 units.
    """
    return element("span", element("svg", sample, viewBox="0 0 28 12", aria_hidden="true"), name)


def picture(wide: float, high: float, says: str, *parts: object) -> Html:
    """A drawing in SVG of so many units, with what it shows in words."""
    return element(
        "svg",
        element("title", says),
        *parts,
        viewBox=f"0 0 {wide} {high}",
        role="img",
        aria_label=says,
        xmlns="http://www.w3.org/2000/svg",
    )


def code(value: object) -> Html:
    """A name of a program's."""
    return element("code", value)


def paragraph(*content: object, class_: str | None = None) -> Html:
    return element("p", *content, class_=class_)


def table(
    head: Sequence[object],
    rows: Iterable[Sequence[object]],
    *,
    right: Sequence[int] = (),
    class_: str | None = None,
) -> Html:
    """A table that scrolls by itself where the page is too narrow.

    Args:
        right: numbers of the columns that hold numbers.
    """

    def row(name: str, cells: Sequence[object]) -> Html:
        scope = "col" if name == "th" else None
        looks = ["n" if n in right else None for n in range(len(cells))]
        return element("tr", *(element(name, cell, class_=look, scope=scope) for cell, look in zip(cells, looks)))

    made = element(
        "table",
        element("thead", row("th", head)),
        element("tbody", *(row("td", cells) for cells in rows)),
        class_=class_,
    )
    return element("div", made, class_="wide", tabindex="0")


def details(summary: object, *content: object, open_: bool = False) -> Html:
    """What is there for whoever wants to look: closed on a screen, open on paper."""
    return element("details", element("summary", summary), *content, open="" if open_ else None)


def figure(picture: object, caption: object, *more: object) -> Html:
    """A picture with words under it."""
    return element("figure", picture, element("figcaption", caption), *more)


def number(value: float) -> str:
    """A number for people: four digits at most, a count as it is."""
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
