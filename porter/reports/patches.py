"""The patches of the stacks: why each exists, and what notices when it is left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from porter.output import counted
from porter.patch import Patch
from porter.reports.markup import Html, code, element, join, paragraph
from porter.reports.records import Field, Record
from porter.stack import COMMON

_STATES = {"noticed": ("good", "✓"), "built on": ("good", "✓"), "unnoticed": ("bad", "✗"), "not shown": ("open", "–")}


@dataclass(frozen=True)
class Verdicts:
    """A record of ``porter verify --necessity``: of each patch its state and what was said of it."""

    target: str
    device: str
    states: Mapping[str, tuple[str, str]]

    @classmethod
    def of(cls, record: Record) -> Verdicts:
        """The verdicts in a record.

        Raises:
            WrongUsage: the record is damaged.
        """
        field = record.field
        states = {each["patch"].text(): _state(each) for each in field["verdicts"].entries()}
        return cls(field["target"].text(), field["device"].text(), states)


def _state(field: Field) -> tuple[str, str]:
    return field["state"].one_of(_STATES), field["said"].text()


def section(patches: Sequence[Patch], judged: Sequence[Verdicts]) -> Html:
    """The part of the page about the patches.

    Args:
        patches: those of the stacks as they are now.
        judged: what necessity records say.
    """
    counts = Counter(patch.trailer("Reason") or "none given" for patch in patches)
    reasons = ", ".join(f"{count} {reason}" for reason, count in counts.most_common())
    parts = [
        element("h2", "Patches"),
        paragraph(f"{counted(len(patches), 'patch')} as the stacks are now; their reasons: {reasons}."),
        *(paragraph(_said(verdicts)) for verdicts in judged),
        element("ul", *(_row(patch, judged) for patch in patches), class_="patches"),
    ]
    known = {patch.id for patch in patches}
    lost = sorted({name for verdicts in judged for name in verdicts.states} - known)
    if lost:
        said = f"Judged in a record, but no patch of these stacks now: {', '.join(lost)}."
        parts.append(paragraph(said, class_="note"))
    return element("section", *parts, id="patches")


def _said(verdicts: Verdicts) -> Html:
    counts = {name: sum(state == name for state, _ in verdicts.states.values()) for name in _STATES}
    shown = join((_mark(name, f"{count} {name}") for name, count in counts.items() if count), ", ")
    return join([f"Left out one at a time, {verdicts.target} on {verdicts.device}: ", shown, "."])


def _row(patch: Patch, judged: Sequence[Verdicts]) -> Html:
    why = patch.body.partition("\n\n")[0].replace("\n", " ")
    upstream = patch.trailer("Upstream")
    what = [code(patch.label), " ", element("strong", patch.subject), element("small", why)]
    if upstream not in ("", "no"):
        what.append(element("small", f"Unnecessary since upstream's {upstream}."))
    return element("li", element("div", *what), element("div", *_notes(patch, judged)))


def _notes(patch: Patch, judged: Sequence[Verdicts]) -> list[Html]:
    """Why the patch exists in a word, and what notices it."""
    checks = [name.strip() for name in patch.trailer("Check").split(",") if name.strip()]
    notes = [
        element("div", "Reason: ", element("strong", patch.trailer("Reason") or "none given")),
        element("div", "Noticed by ", join((code(name) for name in checks), ", ") if checks else "nothing"),
    ]
    if patch.trailer("Needs"):
        notes.append(element("small", f"Shows with {patch.trailer('Needs')}."))
    ours = [verdicts for verdicts in judged if patch.stack in (COMMON, verdicts.target)]
    for verdicts in ours:
        if patch.id in verdicts.states:
            state, said = verdicts.states[patch.id]
            words = f"{verdicts.target}: {state}" if len(ours) > 1 else state
            notes.append(element("small", _mark(state, words), ": ", said))
        else:
            notes.append(element("small", f"{verdicts.target}: not in the record"))
    return notes


def _mark(state: str, words: str) -> Html:
    look, sign = _STATES[state]
    return element("span", f"{sign} {words}", class_=f"state {look}")
