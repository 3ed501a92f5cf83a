"""A real Chromium over the DevTools protocol, through its pipe: no driver and no package beside the browser.

Environment: PORTER_TEST_BROWSER, the browser to use instead of the ``chromium`` or ``google-chrome`` on PATH.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import select
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

PATIENCE = 60  # seconds for any answer: a browser's first start on a busy machine takes ten
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-component-update",
    "--disable-background-networking", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars",
    "--remote-debugging-pipe", "--force-color-profile=srgb",
)  # fmt: skip


def find() -> str | None:
    """The browser's path; None if there is none."""
    given = os.environ.get("PORTER_TEST_BROWSER")
    return given or next((found for found in map(shutil.which, NAMES) if found), None)


class Browser:
    """A browser with one page.

    Attributes:
        events: everything that it reported, in order: method and parameters.
    """

    def __init__(self, program: str, profile: Path) -> None:
        to_read, self._out = os.pipe()
        self._in, to_write = os.pipe()
        # the browser reads from 3 and writes to 4: ours must not be those while a shell puts them there
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 20) for end in (to_read, to_write)]
        words = shlex.join([program, *FLAGS, f"--user-data-dir={profile}", "about:blank"])
        self._process = subprocess.Popen(
            ["bash", "-c", f"exec {words} 3<&{ends[0]} 4>&{ends[1]}"],
            pass_fds=ends,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=open(profile.parent / "browser.log", "wb"),  # noqa: SIM115  the child's
            start_new_session=True,
        )
        for end in (to_read, to_write, *ends):
            os.close(end)
        self._buffer, self._number, self._session = b"", 0, ""
        self.events: list[tuple[str, dict[str, Any]]] = []
        targets = self.call("Target.getTargets")["targetInfos"]
        (page,) = [each for each in targets if each["type"] == "page"]
        self._session = self.call("Target.attachToTarget", targetId=page["targetId"], flatten=True)["sessionId"]
        for domain in "Page", "Runtime", "Log", "Network", "DOM", "Accessibility", "Audits":
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The answer to a command; events that come before it are kept."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            found = self._next()
            if found.get("id") == self._number:
                assert "error" not in found, (method, found["error"])
                answer: dict[str, Any] = found["result"]
                return answer

    def wait(self, event: str) -> None:
        """Until an event of this name has come, since the last :meth:`open`."""
        while not any(name == event for name, _ in self.events):
            self._next()

    def _next(self) -> dict[str, Any]:
        until = time.monotonic() + PATIENCE
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], max(0.0, until - time.monotonic()))
            data = os.read(self._in, 1 << 20) if ready else b""
            assert data, f"the browser did not answer within {PATIENCE} s, or ended"
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\0")
        found: dict[str, Any] = json.loads(line)
        if "method" in found:
            self.events.append((found["method"], found["params"]))
        return found

    # -- what tests do -------------------------------------------------------------------------------

    def look(self, width: int = 1280, height: int = 900, *, scheme: str = "light", scale: float = 1.0) -> None:
        """The size of the window, and light or dark."""
        size = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": width < 500}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def open(self, url: str) -> None:
        """Load a page, until all of it is there."""
        self.events.clear()
        found = self.call("Page.navigate", url=url)
        assert "errorText" not in found, found
        self.wait("Page.loadEventFired")
        self.evaluate("new Promise(done => setTimeout(done, 200))")  # what it would do afterwards

    def evaluate(self, expression: str) -> Any:
        """The value of an expression of JavaScript."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def screenshot(self, path: Path) -> None:
        """The whole page as a picture."""
        data = self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        path.write_bytes(base64.b64decode(data))

    def pdf(self) -> bytes:
        """The page as it is printed."""
        return base64.b64decode(self.call("Page.printToPDF", preferCSSPageSize=True, printBackground=False)["data"])

    @property
    def requests(self) -> list[str]:
        """The addresses that were asked for since the page was opened."""
        return [event["request"]["url"] for name, event in self.events if name == "Network.requestWillBeSent"]

    @property
    def complaints(self) -> list[str]:
        """Errors of scripts, entries of the log, what the policy forbade, and issues, since the page was opened."""
        kinds = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded", "Audits.issueAdded")
        return [json.dumps(event) for name, event in self.events if name in kinds]

    def close(self) -> None:
        """End it, with all its processes."""
        os.close(self._out)
        os.close(self._in)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
