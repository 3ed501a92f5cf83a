"""Small upstreams for the tests: real repositories, wheels, and servers on the loopback interface."""

from __future__ import annotations

import base64
import functools
import hashlib
import os
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from porter.git.objects import Entry
from porter.lockfile import GitSource, IndexSource, Lock, Part, Pin, Source, Wheel, WheelEdit
from porter.output import Progress

# Path -> content; the names cover what v6.0 has: folders in folders, an empty file, a binary one, a script.
FILES = {
    ".gitignore": b"*.pt\n",
    "LICENSE": b"Do what you like.\n",
    "README.md": b"# Small\n\nA small upstream.\n",
    "data/coco.yaml": b"nc: 80\n",
    "data/images/bus.jpg": bytes(range(256)) * 40,
    "data/scripts/get.sh": b"#!/bin/sh\nexit 0\n",
    "models/__init__.py": b"",
    "models/yolo.py": b"from models.common import Conv\nfrom utils.general import log\n",
    "train.py": b"import torch\n\n\ndef main(opt):\n    print('train', opt)\n",
    "utils/__init__.py": b"",
    "utils/general.py": b"def log(text):\n    print(text)\n",
}
SCRIPT = "data/scripts/get.sh"


def git(*args: object, cwd: Path, status: int = 0) -> str:
    """Plain git, as a person runs it in that folder, and which ends with that status; its output."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    env.update(GIT_CONFIG_GLOBAL=os.devnull, GIT_CONFIG_NOSYSTEM="1")
    for who in ("AUTHOR", "COMMITTER"):
        env |= {f"GIT_{who}_NAME": "A", f"GIT_{who}_EMAIL": "a@example.com", f"GIT_{who}_DATE": "1634021238 -0700"}
    done = subprocess.run(["git", *map(str, args)], cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stderr
    return done.stdout.strip()


@dataclass(frozen=True)
class Upstream:
    """A working clone with history before and after the pin, and the lock that pins it."""

    path: Path
    lock: Lock

    @property
    def pin(self) -> Pin:
        return self.lock.pin

    def locked(self, *sources: Source | str) -> Lock:
        """The lock with other sources; a string is a git URL."""
        return replace(self.lock, sources=tuple(GitSource(s) if isinstance(s, str) else s for s in sources))

    def object_file(self, path: str) -> Path:
        """The loose object of a file of the pin."""
        blob = self.pin.files[path].id
        return self.path / ".git/objects" / blob[:2] / blob[2:]


def make_upstream(path: Path) -> Upstream:
    """A repository whose tag ``v6.0`` is the pin, between an older and a newer commit."""
    path.mkdir(parents=True)
    git("-c", "init.defaultBranch=master", "init", "-q", cwd=path)
    _commit(path, {**FILES, "train.py": b"import torch\n"}, "Older")
    commit = _commit(path, FILES, "Release")
    git("tag", "v6.0", cwd=path)
    _commit(path, {**FILES, "train.py": b"import newer\n"}, "Newer")
    listing = git("ls-tree", "-r", commit, cwd=path)
    files = {}
    for line in listing.splitlines():
        head, name = line.split("\t")
        mode, _, blob = head.split()
        files[name] = Entry(mode, blob)
    tree = git("rev-parse", f"{commit}^{{tree}}", cwd=path)
    pin = Pin("example/small", "v6.0", commit, tree, "2021-10-11T23:47:18-07:00", "GPL-3.0-only", files)
    return Upstream(path, Lock(pin, (GitSource(str(path)),)))


def copy_upstream(upstream: Upstream, path: Path) -> Upstream:
    """The same repository at another place."""
    shutil.copytree(upstream.path, path, symlinks=True)
    return Upstream(path, replace(upstream.lock, sources=(GitSource(str(path)),)))


def _commit(path: Path, files: dict[str, bytes], message: str) -> str:
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    git("add", "-A", cwd=path)
    git("update-index", "--chmod=+x", SCRIPT, cwd=path)
    git("commit", "-q", "-m", message, cwd=path)
    return git("rev-parse", "HEAD", cwd=path)


# -- wheels -----------------------------------------------------------------------------------------------


def make_wheel(folder: Path, name: str, version: str, files: dict[str, bytes]) -> Path:
    """A wheel that pip accepts, with ``files`` in it."""
    stem = name.replace("-", "_")
    info = f"{stem}-{version}.dist-info"
    inside = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\n".encode()
        + FILES["README.md"]
        + b"\n\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()},{len(data)}\n"
        for path, data in inside.items()
    )
    inside[f"{info}/RECORD"] = (record + f"{info}/RECORD,,\n").encode()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{stem}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, data in inside.items():
            archive.writestr(member, data)
    return path


def sha256(path: Path) -> str:
    """A file's SHA-256 in hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


# What the wheels have: files as they are, with another import prefix, as text of another system, with words
# changed and lines added, and inside the wheel's own METADATA.
IN_WHEELS = {
    "small/data/coco.yaml": FILES["data/coco.yaml"],
    "small/data/images/bus.jpg": FILES["data/images/bus.jpg"],
    "small/data/scripts/get.sh": FILES["data/scripts/get.sh"],
    "small/models/__init__.py": b"",
    "small/models/yolo.py": b"from small.models.common import Conv\nfrom small.utils.general import log\n",
    "small/train.py": b"raise SystemExit\n",
}
IN_SECOND = {
    "other/utils/general.py": FILES["utils/general.py"].replace(b"\n", b"\r\n"),
    "other/train.py": FILES["train.py"].replace(b"'train'", b"'TRAIN'").replace(b"\n\n\n", b"\n# stray 1\n\n\n"),
}
MISSING = (".gitignore", "LICENSE", "utils/__init__.py")


def make_index(folder: Path, first: dict[str, bytes] | None = None) -> IndexSource:
    """Two wheels in ``folder`` and the source that says how to read them."""
    one = make_wheel(folder, "small-wheel", "6.0.0", first or IN_WHEELS)
    two = make_wheel(folder, "other-wheel", "1.0", IN_SECOND)
    prefix = (WheelEdit("replace", "small.models", "models"), WheelEdit("replace", "small.utils", "utils"))
    as_is = ("data/coco.yaml", "data/images/bus.jpg", "data/scripts/get.sh", "models/__init__.py")
    return IndexSource(
        (
            Wheel(
                "small-wheel==6.0.0",
                sha256(one),
                (
                    Part("small/{path}", (), as_is),
                    Part("small/{path}", prefix, ("models/yolo.py",)),
                    Part(
                        "small_wheel-6.0.0.dist-info/METADATA",
                        (WheelEdit("after", "\n\n"), WheelEdit("end", "\n")),
                        ("README.md",),
                    ),
                ),
            ),
            Wheel(
                "other-wheel==1.0",
                sha256(two),
                (
                    Part("other/{path}", (WheelEdit("newlines", "lf"),), ("utils/general.py",)),
                    Part(
                        "other/{path}",
                        (WheelEdit("replace", "'TRAIN'", "'train'"), WheelEdit("drop", "# stray")),
                        ("train.py",),
                    ),
                ),
            ),
        )
    )


# -- servers ----------------------------------------------------------------------------------------------


class _Server(ThreadingHTTPServer):
    """Hangs up when it closes: a browser keeps connections that it does not use, and their threads would wait on."""

    daemon_threads = True

    def __init__(self, *given: object) -> None:
        self.connections: list[socket.socket] = []
        super().__init__(*given)

    def process_request(self, request: socket.socket, client_address: object) -> None:
        self.connections.append(request)
        super().process_request(request, client_address)

    def server_close(self) -> None:
        super().server_close()
        for connection in self.connections:
            with suppress(OSError):  # it is closed already
                connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def serving(
    handler: type[BaseHTTPRequestHandler] | functools.partial[BaseHTTPRequestHandler],
    tls: ssl.SSLContext | None = None,
) -> Iterator[str]:
    """An HTTP server on a free port of the loopback interface, which may speak TLS; its URL, no slash at the end."""
    server = _Server(("127.0.0.1", 0), handler)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


class Files(SimpleHTTPRequestHandler):
    """Files, and nothing in the test's output."""

    def log_message(self, *args: object) -> None:
        pass


class GitServer(BaseHTTPRequestHandler):
    """git's own HTTP backend.  Subclasses say what is unusual about the server."""

    root = Path()
    old_protocol = False  # then git serves no commit by a bare id
    cut_after = -1  # bytes of a pack, then the connection breaks

    def do_GET(self) -> None:
        self._run()

    def do_POST(self) -> None:
        self._run()

    def _run(self) -> None:
        path, _, query = self.path.partition("?")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        env = {
            **os.environ,
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "REMOTE_ADDR": "127.0.0.1",
        }
        if not self.old_protocol:
            env["GIT_PROTOCOL"] = self.headers.get("Git-Protocol", "")
        done = subprocess.run(["git", "http-backend"], input=body, env=env, capture_output=True, check=False)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if line)
        self.send_response(int(fields.pop("Status", "200").split()[0]))
        for name, value in fields.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.cut_after >= 0 and b"PACK" in content:
            self.wfile.write(content[: content.index(b"PACK") + self.cut_after])
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        pass


def git_server(root: Path, **unusual: object) -> type[GitServer]:
    """A handler that serves the repositories under ``root``."""
    return type("Server", (GitServer,), {"root": root, **unusual})


@contextmanager
def mute_server() -> Iterator[tuple[int, Callable[[], object]]]:
    """A port where somebody listens who never answers, and what waits until somebody has called there."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(8)
        server.settimeout(60)
        calls = []  # kept, or they would be hung up
        yield server.getsockname()[1], lambda: calls.append(server.accept())


@contextmanager
def mute_port() -> Iterator[int]:
    """The port alone."""
    with mute_server() as (port, _):
        yield port


class Heard(Progress):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, line: str) -> None:
        self.notes.append(line)


def closed_port() -> int:
    """A port where nobody listens."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


@contextmanager
def package_index(wheels: Path, folder: Path) -> Iterator[str]:
    """A simple index (PEP 503) of the wheels in a folder; its URL."""
    for wheel in wheels.glob("*.whl"):
        page = folder / "simple" / wheel.name.split("-")[0].replace("_", "-")
        page.mkdir(parents=True, exist_ok=True)
        shutil.copy(wheel, page)
        (page / "index.html").write_text(
            f'<!DOCTYPE html><html><body><a href="{wheel.name}">{wheel.name}</a></body></html>'
        )
    with serving(functools.partial(Files, directory=str(folder))) as url:
        yield f"{url}/simple/"


# -- disks ------------------------------------------------------------------------------------------------


def can_mount() -> bool:
    """Whether a small file system can be mounted here: root can, where no container forbids it."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder]
        done = subprocess.run(command, capture_output=True, check=False) if os.geteuid() == 0 else None
        if done is None or done.returncode:
            return False
        subprocess.run(["umount", folder], check=True)
        return True


@contextmanager
def small_file_system(folder: Path, size: str) -> Iterator[Path]:
    """A file system of so many bytes, as ``2m``; a test that wants one is marked ``disk``."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
