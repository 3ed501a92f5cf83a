"""``python -m porter``, and the command ``porter``."""

from __future__ import annotations

import gc
import os
import signal
import sys

TYPE_CHECKING = False  # typing takes longer to import than all else that is needed here
if TYPE_CHECKING:
    from typing import NoReturn


def main() -> NoReturn:
    """Run the command line.  Ctrl-C before it can clean up, or after it did, ends the process without a word."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else the caller has it ignored
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    if sys.getfilesystemencoding() != "utf-8":
        _start_in_utf8()
    from porter.cli import main  # most of what `porter --help` takes; it puts the handler back

    try:
        main()
    finally:
        gc.freeze()  # Python looks for cycles as it ends: 30 ms after a bump, for nothing
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, signal.SIG_DFL)


def _start_in_utf8() -> None:
    """Start Python again in its UTF-8 mode, in this process.

    Git and the patches name files in UTF-8; in a locale of another encoding (GBK, C) Python would take the same name
    from git and from the command line for two.
    """
    from porter.output import ENCODING

    stream = sys.stdout or sys.stderr
    options = ["-X", "utf8", "-X", f"{ENCODING}={stream.encoding if stream else 'utf-8'}"]
    # of Python 3.9, which does not keep its own options, the program and its arguments
    module = ["-m", "porter"] if os.path.basename(sys.argv[0]) == "__main__.py" else [sys.argv[0]]
    words = getattr(sys, "orig_argv", ["", *module, *sys.argv[1:]])[1:]
    os.execv(sys.executable, [sys.executable, *options, *words])


if __name__ == "__main__":
    main()
