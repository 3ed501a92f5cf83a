"""Fetch and unpack data sets from a server of its own: ``downloads.py TREE RELEASE``; prints JSON."""

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from entry import enter, expect

(release,) = enter()

from utils import downloads as tree_downloads  # the tree's
from utils import general
from utils.general import check_dataset, download

FILES = {}  # path -> bytes, or (bytes, length that the server claims)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        content = FILES.get(self.path)
        if content is None:
            self.send_error(404)
            return
        content, length = content if isinstance(content, tuple) else (content, len(content))
        self.send_response(200)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args):
        pass


server = HTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}"


def zipped(*members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()


def tarred(*members):
    """Members: (name, content), or a TarInfo."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
                continue
            name, content = member
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def special(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def case(name, work):
    """Run ``work`` in a new folder two levels deep: how it ended, None if well, and the files that it left.

    What lies outside of that folder, or ran as a command, no case may leave.
    """
    tried.append(name)
    top = Path("case").resolve()
    inside = top / "a" / "b"
    inside.mkdir(parents=True)
    here = os.getcwd()
    os.chdir(inside)
    if hasattr(general, "DATASETS_DIR"):  # where v7.0 unpacks
        general.DATASETS_DIR = inside
    error = None
    try:
        work()
    except Exception as e:
        error = f"{type(e).__name__}: {e}"
    finally:
        os.chdir(here)
    files = sorted(p for p in top.rglob("*") if p.is_file() or p.is_symlink())
    outside = [str(p) for p in files if inside not in p.parents] + [p for p in EVIL if os.path.lexists(p)]
    expect(not outside, f"{name}: it wrote {outside[:1]}, outside its folder")
    files = [str(p.relative_to(inside)) for p in files if inside in p.parents]
    expect("ran" not in files, "a part of a URL ran as a command")
    shutil.rmtree(top)
    return error, files


def described(**more):
    """A data yaml that may be downloaded for, as a person allows it."""
    # absolute: a relative one is taken from the current folder up to v6.0, later from the tree
    named = {"path": os.path.abspath("coco"), "nc": 80, "names": list(map(str, range(80)))}
    text = json.dumps({**named, "train": "images/val", "val": "images/val", **more})
    DATA.write_text(text, encoding="utf-8")
    os.environ["YOLOV5_ALLOW_DOWNLOAD"] = hashlib.sha256(text.encode()).hexdigest()
    return str(DATA)


DATA = Path("data.yaml").resolve()
EVIL = [str(Path("evil").resolve()), "/tmp/porter-test-evil"]
picture = (Path(sys.path[0]) / "data" / "images" / "zidane.jpg").read_bytes()
tried = []

FILES["/coco.zip"] = zipped(("coco/images/val/1.png", picture), ("coco/labels/val/1.txt", b"0 .5 .5 1 1\n"))
error, files = case("honest", lambda: check_dataset(described(download=f"{url}/coco.zip")))
expect(not error and len(files) == 2, f"an honest archive is not unpacked: {error or files}")

for name, member in {
    "parent": "../evil",
    "absolute": EVIL[0],
    "deep parent": "coco/images/../../../evil",
    "backslash": "..\\evil",
}.items():
    FILES["/evil.zip"] = zipped(("coco/images/val/1.png", picture), (member, b"evil"))
    error, files = case(f"zip {name}", lambda: check_dataset(described(download=f"{url}/evil.zip")))
    files = [file for file in files if not file.endswith(".zip")]
    refused = not files and all(word in (error or "") for word in ("refused", "evil"))
    # a backslash is a character of a name here
    expect(refused or name == "backslash", f"zip {name}: it is not refused by name but leaves {files}, {error}")

tars = {
    "parent": [("../evil", b"evil")],
    "link": [special("out", tarfile.SYMTYPE, "../.."), ("out/evil", b"evil")],
    # each link stays inside when it is looked at alone
    "link in steps": [special("d/up", tarfile.SYMTYPE, ".."), ("d/up/../evil", b"evil")],
    "hard link": [special("h", tarfile.LNKTYPE, "../../evil"), ("h", b"evil")],
    "device": [special("pipe", tarfile.FIFOTYPE)],
}
kept = getattr(tarfile, "data_filter", None)
for has_filter in True, False:
    if not has_filter and kept:
        del tarfile.data_filter
    for name, members in tars.items():
        FILES["/evil.tar.gz"] = tarred(*members)
        error, _ = case(f"tar {name} {has_filter}", lambda: download(f"{url}/evil.tar.gz", dir="."))
        expect(error is not None, f"tar {name}: it is unpacked")
if kept:
    tarfile.data_filter = kept

FILES["/x'; touch ran; '.zip"] = FILES["/x';%20touch%20ran;%20'.zip"] = FILES["/coco.zip"]
case("shell", lambda: download(f"{url}/x'; touch ran; '.zip", dir="in", curl=True))
FILES["/cut.zip"] = (FILES["/coco.zip"][:1000], len(FILES["/coco.zip"]))
tree_downloads.time.sleep = lambda seconds: None  # between tries
for name in "cut", "none":
    error, files = case(name, lambda name=name: check_dataset(described(download=f"{url}/{name}.zip")))
    expect(error is not None and not files, f"{name}: a file that did not come leaves {files}, {error}")
expect("404" in error, f"a server's page that says 404 ends in {error}")
asked = []


def refuse(address, *args, **kwargs):
    asked.append(address)
    raise tree_downloads.requests.ConnectionError("no network here")


tree_downloads.requests.get = refuse
if hasattr(tree_downloads, "torch"):  # v6.0 asks through torch.hub
    tree_downloads.torch.hub.download_url_to_file = refuse
os.system = subprocess.call = refuse
here = os.getcwd()
os.chdir(tempfile.mkdtemp(dir=here))
try:
    tree_downloads.attempt_download("yolov5n.pt")
except Exception as e:  # what it does with a network that is not there is not asked here
    print(e)
# from v6.2 on a second server is asked where the first does not answer
wanted = f"https://github.com/ultralytics/yolov5/releases/download/{release}/yolov5n.pt"
right = wanted in asked and all(address.endswith(f"/{release}/yolov5n.pt") for address in asked)
expect(right, f"for the weights of yolov5n it asks {', '.join(asked) or 'nobody'}")
print("\n" + json.dumps({"archives": len(tried)}))
