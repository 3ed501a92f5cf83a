"""An HTTP server of files that can do everything wrong that a server can do."""

from __future__ import annotations

import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

from sources import serving


@dataclass
class Asked:
    """One request: its path and headers, names in lower case."""

    path: str
    headers: dict[str, str]

    @property
    def start(self) -> int | None:
        """The first byte asked for, of a range that has no end."""
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("range", ""))
        return int(found[1]) if found else None


@dataclass
class Shelf:
    """What a server does.  Change it while it runs, to have it do something else.

    Attributes:
        files: path -> content.
        ranges: whether ranges are honoured.
        etag: of every file; ``None`` for none.
        date: Last-Modified; ``None`` for none.
        cut: how many bytes of a body come before the connection breaks: a function of the number of the request
            (from 0) and the request; ``None`` for all.
        reset: whether a broken connection says so, instead of ending as if all were there.
        length: Content-Length as a function of the true one; ``None`` leaves it out.
        answers: statuses for the next requests, before any file is given: (status, headers).
        moved: path, query and all -> where it redirects to.
        rate: bytes a second of each connection.
        headers: more headers of an answer with a file.
        alter: changes the headers of a range's answer.
        log: every request, in order.
        sent: bytes of bodies that were given out.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    ranges: bool = True
    etag: str | None = '"one"'
    date: str | None = None
    cut: Callable[[int, Asked], int | None] = lambda number, asked: None
    reset: bool = True
    length: Callable[[int], int | None] = lambda true: true
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    moved: dict[str, str] = field(default_factory=dict)
    rate: float = 0.0
    headers: dict[str, str] = field(default_factory=dict)
    alter: Callable[[dict[str, str]], None] = lambda headers: None
    log: list[Asked] = field(default_factory=list)
    url: str = ""
    serving: int = 0
    sent: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


class Handler(BaseHTTPRequestHandler):
    """Gives out what is on the shelf."""

    protocol_version = "HTTP/1.1"
    shelf: Shelf

    def do_GET(self) -> None:
        one = self.shelf
        asked = Asked(self.path, {key.lower(): value for key, value in self.headers.items()})
        with one.lock:
            number = len(one.log)
            one.log.append(asked)
            special = one.answers.pop(0) if one.answers else None
            one.serving += 1
            if self.path in one.moved:
                special = 302, {"Location": one.moved[self.path]}
        try:
            if special:
                self._answer(special[0], special[1], b"")
            else:
                self._give(number, asked)
        except (ConnectionError, TimeoutError):
            self.close_connection = True
        finally:
            with one.lock:
                one.serving -= 1

    def _give(self, number: int, asked: Asked) -> None:
        one = self.shelf
        data = one.files.get(asked.path.partition("?")[0])
        if data is None:
            self._answer(404, {}, b"")
            return
        headers = {"ETag": one.etag, "Last-Modified": one.date, **one.headers}
        if one.ranges:
            headers["Accept-Ranges"] = "bytes"
        status, start = 200, asked.start
        if one.ranges and start is not None and asked.headers.get("if-range") in (None, one.etag, one.date):
            if start >= len(data):
                self._answer(416, {"Content-Range": f"bytes */{len(data)}"}, b"")
                return
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
            status, data = 206, data[start:]
            one.alter(headers)
        self._answer(status, headers, data, one.cut(number, asked))

    def _answer(self, status: int, headers: dict[str, str | None], data: bytes, cut: int | None = None) -> None:
        one = self.shelf
        self.send_response(status)
        length = one.length(len(data)) if status in (200, 206) else len(data)
        if length is None:
            headers = {**headers, "Connection": "close"}
        for name, value in {"Content-Length": length, **headers}.items():
            if value is not None:
                self.send_header(name, str(value))
        self.end_headers()
        body = data if cut is None else data[:cut]
        one.sent += len(body)
        self._send(body)
        if cut is not None or length != len(data):
            self.close_connection = True
        if cut is not None and one.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def _send(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            rate = self.shelf.rate  # a test may change it meanwhile
            step = max(1, int(rate / 20)) if rate else 1 << 20
            self.wfile.write(view[:step])
            view = view[step:]
            if rate:
                time.sleep(step / rate)

    def handle(self) -> None:
        with suppress(ConnectionError):  # the client left
            super().handle()

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def shelf(files: dict[str, bytes], **unusual: object) -> Iterator[Shelf]:
    """A server of ``files``; its ``url`` has no slash at the end."""
    one = Shelf(files, **unusual)  # type: ignore[arg-type]
    with serving(type("Shop", (Handler,), {"shelf": one})) as url:
        one.url = url
        yield one


@contextmanager
def raw(answer: bytes, drip: bytes = b"", forever: bytes = b"") -> Iterator[str]:
    """A server that sends these bytes whatever it is asked, some of them one by one, some without end; its URL."""
    ended = threading.Event()

    def serve(connection: socket.socket) -> None:
        with connection:
            try:
                connection.recv(65536)
                connection.sendall(answer)
                for each in drip:
                    if ended.wait(0.02):
                        return
                    connection.sendall(bytes([each]))
                while forever and not ended.is_set():
                    connection.sendall(forever)
            except OSError:  # the client left
                pass

    def accept() -> None:
        while not ended.is_set():
            try:
                threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
            except OSError:
                return

    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(8)
        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}"
        finally:
            ended.set()
            # closing does not wake who waits in accept(): it would go on at the next server that has this descriptor
            socket.create_connection(server.getsockname()).close()
            accepting.join()
