"""Upstream's files out of wheels from a Python package index, where no git server can be reached.

People published upstream's files in wheels, some of them changed a little.  ``upstream.lock`` names the
wheels by SHA-256 and says which edits undo the changes.  Neither has to be trusted: a file counts only if
its bytes hash to the pin's blob id.  pip downloads, so that the user's own index, proxy, certificates and
credentials hold; nothing is installed and nothing of a wheel is run or unpacked to disk.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from porter import process
from porter.downloads.archive import UNREADABLE
from porter.downloads.retry import WHY, is_offline, pip
from porter.errors import CheckFailed, EnvironmentFailed
from porter.git.objects import Object, blob
from porter.lockfile import IndexSource, Pin, Wheel, WheelEdit
from porter.output import Progress, command_line

# The largest file of v6.0 has half a megabyte.  A wheel that unpacks to more is none of ours.
_LARGEST = 32 << 20
# A server's silence is pip's own time-out, as the user set it, and its trickle porter's; this ends what hangs still.
_TIMEOUT = 900.0


def fetch(source: IndexSource, pin: Pin, folder: Path, progress: Progress) -> dict[str, Object]:
    """Download the wheels into ``folder`` and take the pin's files out of them: path -> blob.

    Raises:
        CheckFailed: a wheel, or a file once its edits are made, is not what the lock says.
        EnvironmentFailed: pip is missing, or cannot reach an index that has the wheels.
    """
    names = ", ".join(wheel.requirement for wheel in source.wheels)
    progress.step(f"downloading {names}")
    download(source.wheels, folder)
    found: dict[str, Object] = {}
    for wheel in source.wheels:
        for path, data in _files(wheel, _find(wheel, folder)):
            found[path] = blob(data).checked(pin.files[path].id, f"{path} from {wheel.requirement}")
    return found


def download(wheels: Sequence[Wheel], folder: Path) -> None:
    """Have pip put wheels into ``folder``; pip itself checks their SHA-256.

    Raises:
        CheckFailed: the index has a file with another SHA-256.
        EnvironmentFailed: pip is missing or failed.
    """
    names = ", ".join(wheel.requirement for wheel in wheels)
    if is_offline():
        raise EnvironmentFailed(f"pip may not download {names}", WHY)
    wanted = folder / "requirements.txt"
    wanted.write_text(
        "".join(f"{wheel.requirement} --hash=sha256:{wheel.sha256}\n" for wheel in wheels), encoding="utf-8"
    )
    command = [*pip(sys.executable), "download", "--no-deps", "--only-binary=:all:", "--require-hashes"]
    command += ["--no-input", "--disable-pip-version-check", "--quiet", "--progress-bar=off"]
    command += ["--dest", str(folder), "--requirement", str(wanted)]
    # a download needs no virtual environment, whatever the user wants of installations
    env = {**os.environ, "PIP_REQUIRE_VIRTUALENV": "0", "PYTHONIOENCODING": "utf-8", "NO_COLOR": "1"}
    env["TMPDIR"] = str(folder)  # where nobody looks for what a pip that was killed leaves
    try:
        done = process.run(command, env=env, timeout=_TIMEOUT)
    except subprocess.TimeoutExpired as error:
        raise EnvironmentFailed(f"pip needed more than {_TIMEOUT:g} s for {names}, given up") from error
    if done.returncode == 0:
        return
    said = (done.stderr + done.stdout).decode(errors="replace")
    if re.search(r"No module named '?pip\b", said):
        raise EnvironmentFailed(
            f"{sys.executable} has no pip to download {names} with",
            hint=f"Install it: {command_line(sys.executable, '-m', 'ensurepip')}",
        )
    for expected, got in re.findall(r"Expected sha256 ([0-9a-f]{64})\s+Got\s+([0-9a-f]{64})", said):
        for wheel in wheels:
            if wheel.sha256 == expected:
                raise _wrong_sum(wheel, got)
    raise EnvironmentFailed(f"pip cannot download {names}", _reason(said))


def _reason(said: str) -> str:
    """What pip complains about, on one line: its last error, or its last words."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line[len("ERROR:") :].strip() for line in lines if line.startswith("ERROR:")]
    reason = (errors or lines or ["pip gave no reason"])[-1]
    # that there is no such version is the end of the story; that no index could be reached is its beginning
    broken = re.findall(r"connection broken by '(.*)': /", said)
    if broken:
        reason += f" ({re.sub('<[^>]*>:? ?', '', broken[-1])})"
    return reason


def _wrong_sum(wheel: Wheel, found: str) -> CheckFailed:
    return CheckFailed(
        f"the package index has another {wheel.requirement} than the lock",
        f"expected sha256 {wheel.sha256}\nfound    sha256 {found}",
    )


def _find(wheel: Wheel, folder: Path) -> bytes:
    """The content of the downloaded file with the wheel's sum; pip chose its name."""
    sums = {}
    for file in sorted(folder.glob("*.whl")):
        data = file.read_bytes()
        sums[hashlib.sha256(data).hexdigest()] = data
    if wheel.sha256 not in sums:
        raise _wrong_sum(wheel, ", ".join(sums) or "no file")
    return sums[wheel.sha256]


def _files(wheel: Wheel, data: bytes) -> Iterator[tuple[str, bytes]]:
    """Every file that the lock expects of a wheel, its edits made.

    Raises:
        CheckFailed: the wheel is no zip file, lacks a file, or holds one too large or damaged.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for part in wheel.parts:
                for path in part.files:
                    content = _member(archive, part.member.replace("{path}", path), wheel)
                    for edit in part.edits:
                        content = apply(edit, content)
                    yield path, content
    except UNREADABLE as error:
        raise CheckFailed(f"{wheel.requirement} is not a wheel that can be read", str(error)) from error


def _member(archive: zipfile.ZipFile, name: str, wheel: Wheel) -> bytes:
    """One file's bytes, by its name; a size that the archive only claims is not believed."""
    try:
        info = archive.getinfo(name)
    except KeyError as error:
        raise CheckFailed(f"{wheel.requirement} has no {name}") from error
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise CheckFailed(f"{name} in {wheel.requirement} is packed in a way that wheels are not")
    with archive.open(info) as stream:
        data = stream.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise CheckFailed(f"{name} in {wheel.requirement} is larger than {_LARGEST >> 20} MiB")
    return data


def apply(edit: WheelEdit, data: bytes) -> bytes:
    """Make one edit of the lock; see :class:`porter.lockfile.WheelEdit`."""
    text = edit.text.encode()
    if edit.kind == "newlines":
        return data.replace(b"\r\n", b"\n")
    if edit.kind == "replace":
        return data.replace(text, edit.by.encode())
    if edit.kind == "drop":
        return b"".join(line for line in data.splitlines(keepends=True) if text not in line)
    if edit.kind == "after":
        return data.partition(text)[2]
    if edit.kind == "end":
        return data.rstrip(b"\r\n") + text
    raise ValueError(f"no such edit: {edit.kind}")
