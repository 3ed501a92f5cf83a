"""Train; at every torch.save a forked copy of the process dies of SIGKILL, once half-way and once with nothing written.

``deaths.py TREE OUT.json -- ARGS``.  After each death the checkpoints that are on disk are read as their
own archive format checks them (every member's CRC), and then the real save goes on.
"""

import io
import json
import os
import signal
import zipfile
from pathlib import Path

from entry import enter

(out,) = enter()

import torch
import train  # the tree's

save, deaths = torch.save, []
FOLDER = Path("runs").resolve()


def broken(path):
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip()
    except (zipfile.BadZipFile, OSError) as error:
        return repr(error)


def die(work):
    """Do ``work`` in a copy of this process that is then killed."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def write(target, data):
    if hasattr(target, "write"):
        target.write(data)
        target.flush()
    else:
        Path(target).write_bytes(data)


def saving(obj, f, *args, **kwargs):
    buffer = io.BytesIO()
    save(obj, buffer, *args, **kwargs)
    data = buffer.getvalue()
    for name, part in ("half", data[: len(data) // 2]), ("nothing", b""):
        die(lambda part=part: write(f, part))
        present = sorted(FOLDER.rglob("*.pt"))
        deaths.append(
            {
                "save": len(deaths) // 2,
                "written": name,
                "target": str(getattr(f, "name", f)),
                "present": [p.name for p in present],
                "broken": {p.name: str(b) for p in present for b in [broken(p)] if b},
            }
        )
    save(obj, f, *args, **kwargs)


torch.save = saving
train.main(train.parse_opt())
with open(out, "w", encoding="utf-8") as file:
    json.dump(deaths, file, indent=1)
