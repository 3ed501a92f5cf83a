"""What a release is: sdist and wheel with the same bytes wherever they are built, and their digests.

python tools/release.py compare ONE OTHER     two builds' folders hold the same files, byte for byte
python tools/release.py digests DIST          write DIST/SHA256SUMS, as `sha256sum --check` reads it
python tools/release.py tag v0.1.0            the tag, porter's version and CHANGELOG.md say the same
python tools/release.py links DIST            DIST's wheel names the project's pages, each with an address of its own
"""

from __future__ import annotations

import hashlib
import re
import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SUMS = "SHA256SUMS"
LINKS = ("Homepage", "Documentation", "Issues", "Changelog")
# Hosts that RFC 2606 keeps from everybody, this machine, and what people write where they mean to put something later.
_PLACEHOLDER = re.compile(
    r"example(\.|/|$)|\.(invalid|test|localhost)(/|:|$)|//localhost|OWNER|YOUR|TODO|[<>{}…]", re.IGNORECASE
)


def compare(one: Path, other: Path) -> list[str]:
    """How two folders of builds differ: a line for each file, and for each member of an archive that differs."""
    names = {path.name for folder in (one, other) for path in folder.iterdir()}
    if not any(name.endswith(".whl") for name in names) or not any(name.endswith(".tar.gz") for name in names):
        return ["there is no sdist and wheel to compare"]
    problems = []
    for name in sorted(names):
        first, second = one / name, other / name
        if not (first.is_file() and second.is_file()):
            problems.append(f"{name}: only one of the builds has it")
        elif first.read_bytes() != second.read_bytes():
            here, there = members(first), members(second)
            inside = sorted(member for member in {*here, *there} if here.get(member) != there.get(member))
            problems += [f"{name}: {member} differs" for member in inside] or [f"{name}: its own order or dates differ"]
    return problems


def members(archive: Path) -> dict[str, object]:
    """Name -> mode, date and content of everything in a wheel or an sdist."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as packed:
            infos = packed.infolist()
            return {info.filename: (info.external_attr, info.date_time, packed.read(info)) for info in infos}
    with tarfile.open(archive) as packed:
        return {info.name: (info.mode, info.mtime, _content(packed, info)) for info in packed.getmembers()}


def _content(packed: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    file = packed.extractfile(info)
    return file.read() if file else b""


def digests(folder: Path) -> str:
    """The lines of ``SHA256SUMS`` for a folder's files."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name != SUMS)
    return "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files)


def tag_problems(tag: str, root: Path = ROOT) -> list[str]:
    """What of a checkout does not fit a tag ``v1.2.3``."""
    version = re.search(r'^__version__ = "(.+)"$', (root / "porter" / "version.py").read_text(), re.MULTILINE)
    said = version[1] if version else "nothing"
    problems = [] if tag == f"v{said}" else [f"the tag is {tag}, and porter/version.py says {said}"]
    changes = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    if not re.search(rf"^## \[{re.escape(tag[1:])}\] - \d{{4}}-\d\d-\d\d$", changes, re.MULTILINE):
        problems.append(f"CHANGELOG.md has no heading `## [{tag[1:]}] - YEAR-MONTH-DAY`")
    return problems


def link_problems(folder: Path) -> list[str]:
    """Which of the project's pages the wheel of a folder does not name."""
    wheels = sorted(folder.glob("*.whl"))
    if len(wheels) != 1:
        return [f"{folder} has not one wheel: nox -s release makes it"]
    with zipfile.ZipFile(wheels[0]) as packed:
        (name,) = (each for each in packed.namelist() if each.endswith(".dist-info/METADATA"))
        text = packed.read(name).decode("utf-8")
    said = dict(re.findall(r"^Project-URL: ([^,\n]+), *(.*)$", text.partition("\n\n")[0], re.MULTILINE))
    problems = [f"no link {name}" for name in LINKS if name not in said]
    problems += [
        f"the link {name} is no address of a page: {address}"
        for name, address in said.items()
        if not re.fullmatch(r"https://[^\s/]+\.[^\s/]+\S*", address) or _PLACEHOLDER.search(address)
    ]
    return (
        [*problems, "[project.urls] in pyproject.toml is where they are set: see CONTRIBUTING.md"] if problems else []
    )


def main(words: list[str]) -> int:
    """Run a subcommand; return the exit code."""
    if len(words) == 3 and words[0] == "compare":
        problems = compare(Path(words[1]), Path(words[2]))
    elif len(words) == 2 and words[0] == "digests":
        Path(words[1], SUMS).write_text(digests(Path(words[1])))
        problems = []
    elif len(words) == 2 and words[0] == "tag":
        problems = tag_problems(words[1])
    elif len(words) == 2 and words[0] == "links":
        problems = link_problems(Path(words[1]))
    else:
        print(__doc__, file=sys.stderr)
        return 2
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
