"""The message that a new patch begins with: what is known, and a place for what only its author can say."""

from __future__ import annotations

import re
from collections.abc import Iterable

from porter.errors import WrongUsage
from porter.patch import TRAILER, quoted, tidy, trailers

TODO = "TODO"  # porter lint refuses a line that begins with it, and each of these trailers with that value
KEYS = ("Reason", "Upstream", "Check", "Stack")


def proposed(subject: str, stack: str, why: str = "", given: Iterable[str] = ()) -> str:
    """A whole message.

    Args:
        why: the paragraph that says why the patch exists.
        given: trailers that are known, as ``Reason: device``.

    Raises:
        WrongUsage: one of them is no trailer, or the subject is none.
    """
    if not subject.strip() or "\n" in subject.strip():
        raise WrongUsage("a patch's subject is one line of text", f"found {subject!r}")
    known = {"Upstream": "no", "Stack": stack}
    for trailer in given:
        match = TRAILER.fullmatch(trailer.strip())
        if not match:
            raise WrongUsage(f"not a trailer: {trailer!r}", hint="As in --trailer 'Reason: device'.")
        known[match[1]] = match[2]
    rows = [f"{key}: {known.pop(key, TODO)}" for key in KEYS[:3]]
    rows += [f"{key}: {value}" for key, value in known.items() if key != "Stack"]
    rows.append(f"Stack: {stack}")
    why = why.strip() or f"{TODO}: what goes wrong without it?"
    return f"{subject.strip()}\n\n{why}\n\n" + "".join(f"{row}\n" for row in rows)


def completed(subject: str, body: str, stack: str) -> str:
    """The message of a patch that others wrote, with the trailers that it lacks."""
    body = quoted(tidy(body))
    found = trailers(body)
    if "\n\n" not in body and not any(key in KEYS or "-" in key for key, _ in found):
        found = ()  # "Why: it fails without." is all that they say
    if found:
        body = body.rpartition("\n\n")[0]
    keys = {key for key, _ in found}
    rows = [f"{key}: {value}" for key, value in found if key != "Stack"]
    rows += [f"{key}: {'no' if key == 'Upstream' else TODO}" for key in KEYS[:3] if key not in keys]
    body = body or f"{TODO}: what goes wrong without it?"
    subject = re.sub(r"(?i)^(\s*(\[[^]]*\]?|re:|:))+\s*", "", " ".join(subject.split())).rstrip(".")
    subject = subject or "Import what others changed"  # git am keeps no other beginning
    return f"{subject}\n\n{body}\n\n" + "".join(f"{row}\n" for row in (*rows, f"Stack: {stack}"))
