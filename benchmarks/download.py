"""What a download costs beside curl's, on the loopback interface; and what parts bring with a slow server.

    python benchmarks/download.py [--megabytes 512] [--repeats 7] [--folder /dev/shm]

porter hashes while it downloads, so curl is measured alone and with ``sha256sum`` after it.  porter's time is
:func:`porter.assets.download.fetch`'s, curl's the whole program's.  The server is a process of its own that sends
files with ``sendfile``; the limited one sleeps, so that each connection gets so many megabytes a second and no more.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from measure import in_turn, machine, ratios, spread

from porter.assets.dataset import Recipe, make
from porter.assets.digests import Digests
from porter.assets.download import Wanted, fetch
from porter.progress import Progress

_LIMIT = 20  # megabytes a second of each connection
_LIMITED = 64  # megabytes, of the file that comes from the limited server


class Server(BaseHTTPRequestHandler):
    """Files of the current folder, by ranges; below ``/slow/`` at a limited rate."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = Path(self.path.rpartition("/")[2])
        size = path.stat().st_size
        span = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        start, end = (int(span[1]), min(int(span[2]) + 1, size)) if span else (0, size)
        self.send_response(206 if span else 200)
        self.send_header("ETag", f'"{size}"')
        self.send_header("Content-Length", str(end - start))
        if span:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{size}")
        self.end_headers()
        self.wfile.flush()
        limited = self.path.startswith("/slow/")
        step = _LIMIT * 50_000 if limited else end - start
        with open(path, "rb") as file:
            while start < end:
                began = time.monotonic()
                start += self.connection.sendfile(file, start, min(step, end - start)) or 0
                if limited:
                    time.sleep(max(0.05 - (time.monotonic() - began), 0))

    def log_message(self, *args: object) -> None:
        pass


def timed(work: Callable[[], object]) -> float:
    """Seconds that a piece of work takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def curl(url: str, file: Path) -> None:
    """A download as people do it."""
    file.unlink(missing_ok=True)
    subprocess.run(["curl", "-sSf", "-o", file, url], check=True)


def porter(url: str, file: Path, parts: int) -> None:
    """The same with porter, to a file that is not there and of a digest that is not known."""
    for path in (file, file.with_suffix(".json")):
        path.unlink(missing_ok=True)
    fetch(Wanted(url), file, Progress(), digests=Digests(file.with_suffix(".json")), parts=parts)


def compare(name: str, url: str, folder: Path, repeats: int) -> None:
    """One table: curl, curl with a digest, porter with one connection and with four."""
    file = folder / "copy"

    def checked() -> None:
        curl(url, file)
        subprocess.run(["sha256sum", file], check=True, stdout=subprocess.DEVNULL)

    found = in_turn(
        repeats,
        {
            "curl": lambda: timed(lambda: curl(url, file)),
            "curl, then sha256sum": lambda: timed(checked),
            "porter, one connection": lambda: timed(lambda: porter(url, file, 1)),
            "porter, four": lambda: timed(lambda: porter(url, file, 4)),
        },
    )
    print(f"\n{name}\n")
    for subject, values in found.items():
        against = ", ".join(
            f"/ {other} {spread(ratios(values, found[other]), '')}" for other in ("curl", "curl, then sha256sum")
        )
        print(f"{subject:24} {spread(values, 's')}   {against}")
    file.unlink()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--folder", type=Path, default=Path("/dev/shm"))
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
        print(server.server_address[1], flush=True)
        server.serve_forever()
    print(machine())
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        for file, megabytes in (("large", options.megabytes), ("small", _LIMITED)):
            with open(folder / file, "wb") as stream:
                for _ in range(megabytes):
                    stream.write(os.urandom(1_000_000))
        command = [sys.executable, os.path.abspath(__file__), "--serve"]
        child = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        url = f"http://127.0.0.1:{int(child.stdout.readline())}"
        try:
            compare(f"{options.megabytes} MB, loopback", f"{url}/large", folder, options.repeats)
            compare(f"{_LIMITED} MB, {_LIMIT} MB/s a connection", f"{url}/slow/small", folder, 3)
        finally:
            child.terminate()
            child.wait()
        scenes = [
            timed(lambda n=n: make(folder / f"scenes-{n}", Recipe(128, width=640, height=640)))  # type: ignore[misc]
            for n in range(3)
        ]
        print(f"\ndata make, 128 pictures of 640 x 640 and 32 to validate: {spread(scenes, 's')}")


if __name__ == "__main__":
    main()
