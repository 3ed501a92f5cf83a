"""What a download costs beside curl's, on the loopback interface.

    python benchmarks/download.py [--megabytes 512] [--repeats 7] [--folder /dev/shm]

porter hashes while it downloads, so curl is measured alone and with ``sha256sum`` after it.  porter's time is
:func:`porter.downloads.download.fetch`'s, curl's the whole program's.  The server is a process of its own that sends
files with ``sendfile``.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from measure import in_turn, machine, ratios, spread

from porter.datasets.generate import make
from porter.downloads.digests import Digests
from porter.downloads.download import Wanted, fetch
from porter.output import Progress


class Server(BaseHTTPRequestHandler):
    """Files of the current folder."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = Path(self.path.rpartition("/")[2])
        size = path.stat().st_size
        self.send_response(200)
        self.send_header("ETag", f'"{size}"')
        self.send_header("Content-Length", str(size))
        self.end_headers()
        self.wfile.flush()
        with open(path, "rb") as file:
            self.connection.sendfile(file, 0, size)

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


def porter(url: str, file: Path) -> None:
    """The same with porter, to a file that is not there and of a digest that is not known."""
    for path in (file, file.with_suffix(".json")):
        path.unlink(missing_ok=True)
    fetch(Wanted(url), file, Progress(), digests=Digests(file.with_suffix(".json")))


def compare(name: str, url: str, folder: Path, repeats: int) -> None:
    """One table: curl, curl with a digest, porter."""
    file = folder / "copy"

    def checked() -> None:
        curl(url, file)
        subprocess.run(["sha256sum", file], check=True, stdout=subprocess.DEVNULL)

    found = in_turn(
        repeats,
        {
            "curl": lambda: timed(lambda: curl(url, file)),
            "curl, then sha256sum": lambda: timed(checked),
            "porter": lambda: timed(lambda: porter(url, file)),
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
        with open(folder / "large", "wb") as stream:
            for _ in range(options.megabytes):
                stream.write(os.urandom(1_000_000))
        command = [sys.executable, os.path.abspath(__file__), "--serve"]
        child = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        url = f"http://127.0.0.1:{int(child.stdout.readline())}"
        try:
            compare(f"{options.megabytes} MB, loopback", f"{url}/large", folder, options.repeats)
        finally:
            child.terminate()
            child.wait()
        scenes = [
            timed(lambda n=n: make(folder / f"scenes-{n}", images=128, size=(640, 640)))  # type: ignore[misc]
            for n in range(3)
        ]
        print(f"\ndata make, 128 pictures of 640 x 640 and 32 to validate: {spread(scenes, 's')}")


if __name__ == "__main__":
    main()
