"""The data sets that v6.0's yaml files name, from where v6.0 has them, laid out as v6.0 expects them.

v6.0 looks for ``../datasets/NAME``, seen from the tree.  A set is built in a staging directory and gets its name
when it is whole and its pictures are counted.  Archives are kept until then: what was downloaded is not lost.
"""

from __future__ import annotations

import os
import re
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path, PurePosixPath

from porter import process
from porter.datasets.generate import YAML, data_yaml
from porter.downloads import archive
from porter.downloads.digests import Digests, sha256_of
from porter.downloads.download import Wanted, fetch
from porter.downloads.retry import RetryPolicy, timeout
from porter.errors import CheckFailed, WrongUsage, refused
from porter.files import Staging, Taken, cache_folder, staged
from porter.output import Progress, command_line

_LOCK = ".porter-lock"
_RELEASE = "https://github.com/ultralytics/yolov5/releases/download/v1.0"
_PICTURES = "http://images.cocodataset.org/zips"


@dataclass(frozen=True)
class Archive:
    """A zip file of a data set.

    Attributes:
        below: the folder inside it that is meant.
        into: the folder of the data set that it goes into.
        members: a regular expression of the files that belong to the data set beside those of ``sums``; what is
            neither is not unpacked.
        pictures: folder in it -> how many pictures it has.
        lists: file in it -> how many pictures it names.
        sums: a file with the SHA-256 of each picture and label, as sha256sum writes it; None where they are not known.
    """

    url: str
    below: str
    members: str
    into: str = "."
    pictures: Mapping[str, int] = field(default_factory=dict)
    lists: Mapping[str, int] = field(default_factory=dict)
    sums: Path | None = None

    def known(self) -> Mapping[str, str]:
        """The SHA-256 of each picture and label, by its name in the archive; none where they are not known."""
        return _sums(self.sums) if self.sums else {}

    def belongs(self, name: str) -> bool:
        """Whether a file of it is part of the data set."""
        return name in self.known() or re.fullmatch(self.members, name) is not None


@lru_cache
def _sums(file: Path) -> Mapping[str, str]:
    lines = file.read_text(encoding="ascii").splitlines()
    return {name: digest for digest, name in (line.split("  ", 1) for line in lines)}


@dataclass(frozen=True)
class Published:
    """A data set that somebody publishes.

    Attributes:
        archives: what it is made of.
        pictures: folder below ``images/`` -> how many pictures it has.
        splits: what v6.0's yaml names: ``train`` and ``val``.
    """

    name: str
    archives: tuple[Archive, ...]
    pictures: Mapping[str, int]
    splits: Mapping[str, str]


_TRAIN, _VAL = 118_287, 5_000
_WORDS = r"LICENSE|README\.txt"
_COCO = "|".join(
    (
        _WORDS,
        r"(train|val|test-dev)2017\.txt",
        r"labels/(train|val)2017/[0-9]{12}\.txt",
        r"annotations/instances_val2017\.json",
    )
)
# coco128 holds two pictures without labels, and the labels of two pictures that it does not hold
_COCO128 = Archive(
    f"{_RELEASE}/coco128.zip",
    "coco128",
    _WORDS,
    pictures={"images/train2017": 128},
    sums=Path(__file__).with_name("coco128.sha256"),
)
SETS = {
    "coco128": Published(
        "coco128",
        (_COCO128,),
        {"train2017": 128},
        {"train": "images/train2017", "val": "images/train2017"},
    ),
    "coco": Published(
        "coco",
        (
            Archive(
                f"{_RELEASE}/coco2017labels.zip", "coco", _COCO, lists={"train2017.txt": _TRAIN, "val2017.txt": _VAL}
            ),
            Archive(f"{_PICTURES}/train2017.zip", "train2017", r"[0-9]{12}\.jpg", "images/train2017", {".": _TRAIN}),
            Archive(f"{_PICTURES}/val2017.zip", "val2017", r"[0-9]{12}\.jpg", "images/val2017", {".": _VAL}),
        ),
        {"train2017": _TRAIN, "val2017": _VAL},
        {"train": "train2017.txt", "val": "val2017.txt"},
    ),
}


@dataclass(frozen=True)
class Fetched:
    """A data set that is there now.

    Attributes:
        path: its folder.
        how: ``fetched`` or ``there already``.
        trust: of each archive, in words, what its digest was held to.
    """

    path: Path
    how: str
    trust: tuple[str, ...]


def default_folder(current: Path) -> Path:
    """Where v6.0 looks for data sets: ``datasets`` beside the tree, whether ``current`` is a tree or holds trees."""
    in_tree = (current / "train.py").is_file() and (current / "data" / "coco128.yaml").is_file()
    return (current.parent if in_tree else current) / "datasets"


def obtain(
    published: Published,
    folder: Path,
    progress: Progress,
    *,
    mirrors: Sequence[str] = (),
    digests: Digests | None = None,
    policy: RetryPolicy | None = None,
) -> Fetched:
    """Make sure that a data set is at ``folder/NAME``: examine what is there, or download it.

    Raises:
        CheckFailed: what came, or what is there, is not the data set.
        EnvironmentFailed: it cannot be downloaded or written.
        WrongUsage: a mirror makes no sense.
    """
    path = Path(os.path.abspath(folder)) / published.name
    if digests and digests.strict:  # refused before hours of downloads, and whatever is there already
        for part in published.archives:
            _ = part.sums or digests.find(part.url)
    if path.exists():
        return _there(published, path)
    store = path.with_name(f".{published.name}.downloads")
    try:
        return _make(published, path, store, progress, mirrors, digests, policy)
    except Taken:  # another porter was faster
        return _there(published, path)
    except OSError as error:
        raise refused(f"cannot make {path}", error) from error


def link(path: Path, folder: Path) -> Path:
    """Make ``folder/NAME``, where v6.0's yaml looks, a link to a data set elsewhere; return the link's path.

    Raises:
        WrongUsage: something else is there.
        EnvironmentFailed: it cannot be made.
    """
    link_path = Path(os.path.abspath(folder)) / path.name
    if link_path.exists() and link_path.samefile(path):
        return link_path
    try:
        link_path.parent.mkdir(parents=True, exist_ok=True)
        link_path.symlink_to(path)
    except FileExistsError as error:
        raise WrongUsage(
            f"{link_path} is there already, and is not {path}",
            hint=f"Move it away: {command_line('mv', link_path)} ...",
        ) from error
    except OSError as error:
        raise refused(f"cannot make {link_path}", error) from error
    return link_path


def _there(published: Published, path: Path) -> Fetched:
    lacking = examine(published, path)
    if lacking:
        raise CheckFailed(
            f"{path} is there, but it is not the whole of {published.name}",
            lacking,
            f"Move it away and run the same command again: {command_line('mv', path, Path(f'{path}.old'))}",
        )
    return Fetched(path, "there already", ())


def _make(
    published: Published,
    path: Path,
    store: Path,
    progress: Progress,
    mirrors: Sequence[str],
    digests: Digests | None,
    policy: RetryPolicy | None,
) -> Fetched:
    had = []
    for part in published.archives:
        vouched = f"its {len(part.known())} pictures and labels have the digests that porter knows" if part.sums else ""
        wanted = Wanted(part.url, mirrors, partial(_check, part), vouched)
        had.append(fetch(wanted, store / wanted.name, progress, digests=digests, policy=policy))
    with staged(path, _LOCK) as made:
        for part, file in zip(published.archives, had):
            into = made.path / part.into
            into.mkdir(parents=True, exist_ok=True)
            archive.unpack(file.path, into, progress, below=part.below, belongs=part.belongs)
        progress.step(f"counting the pictures of {published.name}")
        lacking = examine(published, made.path)
        if lacking:
            raise CheckFailed(
                f"what was downloaded is not {published.name}",
                lacking,
                f"Ask another source: {command_line('rm', '-r', store)}, then name it with --mirror.",
            )
        _finish(made, yaml(published, path), store)
    return Fetched(path, "fetched", tuple(f"{file.path.name}: {file.trust}" for file in had))


def _check(part: Archive, file: Path) -> None:
    """What a file has to be before its digest is believed for the first time."""
    with archive.contents(file, below=part.below) as held:
        found = Counter(str(PurePosixPath(name).parent) for name in held.members if _picture(name))
        for folder, count in part.pictures.items():
            if found[folder] != count:
                raise CheckFailed(f"it has {found[folder]} pictures in {part.below}/{folder}, not {count}")
        for name, count in part.lists.items():
            lines = set(held.read(name).split())
            if len(lines) != count:
                raise CheckFailed(f"its {part.below}/{name} names {len(lines)} pictures, not {count}")
        known = part.known()
        differs = _differ(known, held.digests(known))
        if differs:
            raise CheckFailed(f"in it {part.below}/{differs}")


def _differ(known: Mapping[str, str], found: Mapping[str, str]) -> str:
    """A sentence on the files that are missing or have a wrong digest; empty if there are none."""
    wrong = [name for name, digest in known.items() if found.get(name) != digest]
    if not wrong:
        return ""
    how = "is another than was published" if wrong[0] in found else "is missing"
    return f"{wrong[0]} {how}" + (f", and {len(wrong) - 1} more files" if wrong[1:] else "")


def _picture(name: str) -> bool:
    return name.endswith(".jpg")


def _finish(made: Staging, text: str, store: Path) -> None:
    """Give the data set its name and remove the archives that it was made of."""
    (made.path / YAML).write_bytes(text.encode("ascii"))
    with process.held():
        made.finish()
        (made.destination / _LOCK).unlink()
    shutil.rmtree(store, ignore_errors=True)


def examine(published: Published, path: Path) -> str:
    """A sentence on what a folder lacks to be the data set; empty if it is whole.

    Raises:
        EnvironmentFailed: it cannot be read.
    """
    try:
        return next(filter(None, _lacks(published, path)), "")
    except OSError as error:
        raise refused(f"cannot read {error.filename or path}", error) from error


def _lacks(published: Published, path: Path) -> Iterator[str]:
    """Each thing that may be wrong, in turn: a sentence, or an empty text if it is right."""
    for name, count in published.pictures.items():
        images, labels = path / "images" / name, path / "labels" / name
        if not images.is_dir() or not labels.is_dir():
            yield f"there is no {images if not images.is_dir() else labels}"
            return
        pictures = {entry.name[: -len(".jpg")] for entry in os.scandir(images) if _picture(entry.name)}
        if len(pictures) != count:
            yield f"{images} has {len(pictures)} pictures, not {count}"
        texts = {entry.name[: -len(".txt")] for entry in os.scandir(labels) if entry.name.endswith(".txt")}
        if not texts:
            yield f"{labels} has no labels"
        if texts - pictures and not any(part.sums for part in published.archives):
            yield f"{labels}/{min(texts - pictures)}.txt belongs to no picture"
    for split in published.splits.values():
        if split.endswith(".txt"):
            yield _lacks_of_list(path / split, published.pictures[split[: -len(".txt")]])
    for part in published.archives:
        known, into = part.known(), path / part.into
        found = {name: sha256_of(into / name) for name in known if (into / name).is_file()}
        differs = _differ(known, found)
        yield differs and f"{into}/{differs}"


def _lacks_of_list(file: Path, count: int) -> str:
    """v6.0 reads such a list of pictures, one ``./images/…`` a line."""
    with suppress(FileNotFoundError):
        lines = file.read_text(encoding="utf-8", errors="replace").split()
        if len(set(lines)) != count:
            return f"{file} names {len(set(lines))} pictures, not {count}"
        folder = file.parent / "images" / file.stem
        names = {entry.name for entry in os.scandir(folder)}
        for line in lines:
            if line != f"./images/{file.stem}/{Path(line).name}" or Path(line).name not in names:
                return f"{file} names {line}, which is not there"
        return ""
    return f"there is no {file}"


def yaml(published: Published, path: Path) -> str:
    """The data set's yaml, as v6.0 reads it.

    v6.0's own names ``../datasets/NAME``, seen from the current folder; this one works from everywhere.
    """
    return data_yaml(f"# {published.name}, as porter data fetch laid it out\n", path, published.splits)


# coco128 for porter's own programs: found where people keep it, or downloaded if that is quick.
#
# ``porter data fetch coco128`` is for people.

DATA_VARIABLE = "PORTER_DATA"
_TIMEOUT, _TOTAL = 5.0, 60.0  # seconds that a download may take which nobody asked for


@dataclass(frozen=True)
class Found:
    """Pictures and labels in coco128's layout: ``images/train2017`` and ``labels/train2017``, COCO's 80 classes.

    Attributes:
        path: the folder, absolute.
        word: for the report: what it is and where it comes from.
    """

    path: Path
    word: str

    @property
    def yaml(self) -> str:
        """The text of a yaml for ``train.py --data``.  The folder may be the user's: write the yaml elsewhere."""
        return data_yaml(
            f"# {self.word}\n".encode("ascii", "backslashreplace").decode(), self.path, SETS["coco128"].splits
        )


def find_coco128(*folders: Path) -> Found | None:
    """Look for coco128 in the usual folders; a folder that lacks pictures does not count.

    It is looked for in ``PORTER_DATA`` (the folder itself, or one that holds it), then in ``datasets/coco128``
    in and beside each of ``folders`` (trees, mostly), then the same at the current folder, then in porter's cache.

    Raises:
        WrongUsage: ``PORTER_DATA`` names a folder without coco128: who set it wants to know.
        EnvironmentFailed: a folder cannot be read.
    """
    coco128, named = SETS["coco128"], os.environ.get(DATA_VARIABLE)
    if named:
        root = Path(os.path.abspath(os.path.expanduser(named)))
        for path in (root, root / coco128.name, root / "datasets" / coco128.name):
            if not examine(coco128, path):
                return Found(path, f"coco128 ({DATA_VARIABLE})")
        raise WrongUsage(f"{DATA_VARIABLE} is {named}, and no coco128 is there", examine(coco128, root))
    for folder in (*folders, Path.cwd()):
        for holder in (folder, folder.parent):
            path = Path(os.path.abspath(holder)) / "datasets" / coco128.name
            if not examine(coco128, path):
                return Found(path, f"coco128 ({path})")
    path = _store() / coco128.name
    return None if examine(coco128, path) else Found(path, "coco128 (porter's cache)")


def fetch_coco128(progress: Progress) -> Found:
    """Download coco128 into porter's cache.  The user did not ask for it, so it is given up after seconds.

    Raises:
        EnvironmentFailed: it is not to be had, or not that quickly.
        CheckFailed: what came is not coco128.
    """
    policy = RetryPolicy(min(timeout(), _TIMEOUT), tries=1, longest_wait=0.0, total=_TOTAL)
    return Found(
        obtain(SETS["coco128"], _store(), progress, policy=policy).path, "coco128 (downloaded into porter's cache)"
    )


def _store() -> Path:
    return cache_folder().absolute() / "data"
