"""``python -m porter``, and the command ``porter``."""

from __future__ import annotations

import gc
import signal

TYPE_CHECKING = False  # typing takes longer to import than all else that is needed here
if TYPE_CHECKING:
    from typing import NoReturn


def main() -> NoReturn:
    """Run the command line.  Ctrl-C before it can clean up, or after it did, ends the process without a word."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else the caller has it ignored
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from porter.cli import main  # most of what `porter --help` takes; it puts the handler back

    try:
        main()
    finally:
        gc.freeze()  # Python looks for cycles as it ends: 30 ms after a bump, for nothing
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, signal.SIG_DFL)


if __name__ == "__main__":
    main()
