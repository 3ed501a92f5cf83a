"""Runs pip, and gives up a server that sends too little: ``python metered_pip.py SECONDS WORDS...``.

pip's own time-out begins anew with each byte.  This runs under any interpreter that has pip, on Python 3.6 and later;
it stands in a folder of its own, which that interpreter looks for modules in.
"""

import http.client
import io
import os
import sys
import time
from typing import Any, Optional

SLOWEST = 1000.0  # bytes a second


class TooSlow(TimeoutError):
    """The server sends, but so little that the file would never come.

    Attributes:
        hopeless: it was never faster.
    """

    def __init__(self, words: str, hopeless: bool) -> None:
        super().__init__(words)
        self.hopeless = hopeless


class Metered(io.RawIOBase):
    """What a server sends, headers and all, as long as it comes fast enough; only time spent waiting for it counts.

    Args:
        slowest: bytes a second, over ``window`` seconds of waiting, that are fast enough.
    """

    def __init__(self, raw: Any, slowest: float, window: float) -> None:
        self._raw, self._slowest, self._window = raw, slowest, window
        self._waited, self._came, self._was_faster = 0.0, 0, False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> Optional[int]:
        started = time.monotonic()
        count = self._raw.readinto(buffer)  # type: Optional[int]
        self._waited += time.monotonic() - started
        self._came += count or 0
        enough = self._came >= self._slowest * self._window
        if enough or not count:
            self._was_faster |= enough
            self._waited, self._came = 0.0, 0
        elif self._waited > self._window:
            words = f"it sent {self._came} bytes in {self._waited:.3g} s, less than {self._slowest:g} a second"
            raise TooSlow(words, not self._was_faster)
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Ending(Metered):
    """Ends the program at once: pip would ask again, and it reports every exception as a bug of its own.

    pip downloads all before it installs any, and what it leaves lies in the caller's folder for temporary files.
    """

    def readinto(self, buffer: Any) -> Optional[int]:
        try:
            return super().readinto(buffer)
        except TooSlow as error:
            print(f"ERROR: the package index is too slow: {error}", file=sys.stderr, flush=True)
            os._exit(1)


def main() -> None:
    """See above."""
    import runpy

    window = float(sys.argv[1])

    class Response(http.client.HTTPResponse):
        def __init__(self, sock: Any, *rest: Any, **more: Any) -> None:
            super().__init__(sock, *rest, **more)
            self.fp = io.BufferedReader(_Ending(self.fp.detach(), SLOWEST, window))

    http.client.HTTPConnection.response_class = Response
    sys.argv = ["pip", *sys.argv[2:]]
    runpy.run_module("pip", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
