"""Write requirements/TARGET.txt: what a ported tree needs beside torch, to the last package, with its digests.

python tools/hashes.py [TARGET ...]      asks the package index, through pip under the Python of each target's machines

`patches/TARGET/requirements.txt` pins what the tree imports.  torch and torchvision are left out: on a card they are
the vendor's own, which no index has; without one PyTorch's own index has the build for the CPU, with other digests.
The rest comes from one index, for x86-64 and ARM, and for an old and a new C library where there are wheels for both.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# target -> the Python of its machines, which patches/TARGET/requirements.txt names
PYTHONS = {"mlu": "3.9", "tpu": "3.10", "npu": "3.10", "musa": "3.10", "xpu": "3.11", "mps": "3.11"}
_OLD = ("manylinux1", "manylinux2010", "manylinux2014", "manylinux_2_5", "manylinux_2_12", "manylinux_2_17")
_NEW = tuple(f"manylinux_2_{minor}" for minor in (24, 26, 27, 28, 31, 34))
_LINUX = [
    [f"{name}_{machine}" for name in names] for machine in ("x86_64", "aarch64") for names in ((*_OLD, *_NEW), _OLD)
]
_MACOS = [[f"macosx_{number}_0_arm64" for number in (14, 13, 12, 11)]]
HEAD = """\
# What the tree of {target} needs beside torch and torchvision, to the last package, for Python {python}, with digests:
#   pip install --require-hashes -r requirements/{target}.txt
# Made of patches/{target}/requirements.txt by tools/hashes.py.
"""


def wanted(target: str, root: Path = ROOT) -> list[str]:
    """What a target pins, but for torch and torchvision."""
    lines = (root / "patches" / target / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith(("#", "torch==", "torchvision=="))]


def resolve(
    python: str, version: str, platforms: list[str], pins: list[str], more: tuple[str, ...] = ()
) -> dict[str, str]:
    """``NAME==VERSION`` -> the digest of the wheel that pip would take; without the pins that have none there."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        command = [python, "-m", "pip", "install", "--dry-run", "--quiet", "--ignore-installed", "--only-binary=:all:"]
        command += ["--disable-pip-version-check", "--python-version", version]
        command += ["--target", folder, "--report", str(report)]
        command += [word for platform in (*platforms, "any") for word in ("--platform", platform)]
        # neither a mirror on a disk nor a cap: what everybody gets
        environment = {**os.environ, "PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": "", "PIP_CONSTRAINT": ""}
        done = subprocess.run([*command, *more, *pins], env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            without = re.search(r"No matching distribution found for (\S+)", done.stderr)
            if not without or without[1] not in pins:
                raise SystemExit(done.stderr)
            print(f"  {without[1]} has no wheel for {platforms[0]} to {platforms[-1]}", file=sys.stderr)
            return resolve(python, version, platforms, [pin for pin in pins if pin != without[1]], more)
        found = json.loads(report.read_text(encoding="utf-8"))["install"]
    return {
        f"{_name(each['metadata']['name'])}=={each['metadata']['version']}": each["download_info"]["archive_info"][
            "hashes"
        ]["sha256"]
        for each in found
    }


def _name(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def digests(python: str, version: str, platforms: list[list[str]], pins: list[str]) -> dict[str, set[str]]:
    """``NAME==VERSION`` of all that the pins need -> the digests of its wheels for these machines."""
    chosen = resolve(python, version, platforms[0], pins)
    found = {pin: {digest} for pin, digest in chosen.items()}
    for other in platforms[1:]:
        for pin, digest in resolve(python, version, other, sorted(chosen), ("--no-deps",)).items():
            found[pin].add(digest)
    return found


def text(target: str, found: dict[str, set[str]]) -> str:
    """The file's text."""
    lines = [" \\\n    ".join([pin, *(f"--hash=sha256:{one}" for one in sorted(found[pin]))]) for pin in sorted(found)]
    return HEAD.format(target=target, python=PYTHONS[target]) + "\n".join(lines) + "\n"


def main(words: list[str]) -> int:
    """Write the files of the targets named, or of all."""
    sys.path.insert(0, str(ROOT))
    from noxfile import interpreter

    known: dict[str, dict[str, set[str]]] = {}
    for target in words or PYTHONS:
        version, platforms = PYTHONS[target], _MACOS if target == "mps" else _LINUX
        asked = json.dumps([version, platforms, wanted(target)])  # the same for tpu and npu
        if asked not in known:
            known[asked] = digests(interpreter(version), version, platforms, wanted(target))
        file = ROOT / "requirements" / f"{target}.txt"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text(target, known[asked]), encoding="utf-8")
        print(f"{file.relative_to(ROOT)}: {len(known[asked])} packages", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
