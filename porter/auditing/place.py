"""A place in a tree's Python that names a device, and what is said of it."""

from __future__ import annotations

from dataclasses import dataclass

ROUTED, ALLOWED, UNPORTED = "routed", "allowed", "not ported"
WORST = {ROUTED: 0, ALLOWED: 1, UNPORTED: 2}  # what counts of several on one line: the highest


@dataclass(frozen=True)
class Place:
    """One place: at most one of each rule on a line.

    Attributes:
        rule: its rule's id.
        path: the file in the tree.
        line, column, end_line, end_column: where, from 1; the end is the first column behind it.
        function: the function around it, ``Detect._make_grid``; ``<module>`` outside of any.
        code: the line without its comment, blanks made single: what an allowance is tied to.
        what: the expression.
        state: ``routed``, ``allowed`` or ``not ported``.
        reason: why it is not ``not ported``.
    """

    rule: str
    path: str
    line: int
    column: int
    end_line: int
    end_column: int
    function: str
    code: str
    what: str
    state: str
    reason: str

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What stays the same when lines move: path, function, rule, code."""
        return (self.path, self.function, self.rule, self.code)

    def __str__(self) -> str:
        reason = f" ({self.reason})" if self.state == ALLOWED else ""
        return f"{self.path}:{self.line}: {self.rule}: {self.what}: {self.state}{reason}"
