"""pip of an interpreter, which asks the index, proxy and certificates that its user has set."""

from __future__ import annotations

import os
import re
from pathlib import Path

from porter.downloads.retry import timeout

_PROGRAM = Path(__file__).parent / "drivers/metered_pip.py"


def pip(python: str) -> list[str]:
    """The words that ``python -m pip`` is run with, but given up where a server sends less than 1000 bytes a second.

    That is counted over ``PORTER_TIMEOUT`` seconds of waiting, or over those that pip's own variable allows for a
    server's silence, if they are more; pip's own time-out and retries stay what the user has set.

    Raises:
        WrongUsage: ``PORTER_TIMEOUT`` is no number of seconds.
    """
    own = [os.environ.get(name, "") for name in ("PIP_TIMEOUT", "PIP_DEFAULT_TIMEOUT")]
    seconds = max([timeout(), *(float(text) for text in own if re.fullmatch(r"\d{1,6}(\.\d*)?", text))])
    return [python, str(_PROGRAM), f"{seconds:g}"]
