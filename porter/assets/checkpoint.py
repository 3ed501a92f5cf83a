"""What a checkpoint file is, without running anything in it; torch is not needed.

torch wrote three formats: a zip archive (since 1.6), a row of pickles followed by the numbers, and a tar archive
(before 0.1.10).  Which one a file is, is decided as torch decides it, so that a file cannot be one thing to us
and another to ``torch.load``.
"""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from porter.assets import pickles
from porter.assets.archive import UNREADABLE
from porter.assets.pickles import Hostile, Made, Pickle, Storage, Tensor, Unreadable
from porter.errors import CheckFailed, SurroundingsFailed, WrongUsage

_MAGIC = 0x1950A86A20F9469CFC6C  # of the row of pickles
_TAR_MEMBERS = {"sys_info", "pickle", "storages", "tensors"}
_PICKLE = 1 << 28  # bytes of a pickle in an archive at most


@dataclass
class Checkpoint:
    """What a file says about itself.

    Attributes:
        format: ``zip``, ``legacy``, ``tar`` or ``pickle``.
        kind: ``YOLOv5 checkpoint``, ``state dict`` or ``something else``.
        epoch: the last one trained; -1 for a finished training, ``None`` where there is none.
        optimizer: whether the optimizer's state is in it, so that a training can go on.
        anchors: of each scale, width and height in pixels by turns.
        parameters: numbers that are trained.
        layers: modules without modules in them.
        modules: classes of modules -> how many.
        dtypes, devices: of all tensors -> how many.
    """

    path: Path
    format: str
    kind: str
    size: int
    epoch: int | None = None
    date: str | None = None
    best_fitness: float | None = None
    optimizer: bool = False
    ema: bool = False
    updates: int | None = None
    fields: list[str] = field(default_factory=list)
    model: str | None = None
    classes: list[str] = field(default_factory=list)
    anchors: list[list[float]] = field(default_factory=list)
    strides: list[float] = field(default_factory=list)
    parameters: int = 0
    layers: int = 0
    modules: dict[str, int] = field(default_factory=dict)
    dtypes: dict[str, int] = field(default_factory=dict)
    devices: dict[str, int] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """For programs.  Its kind is called ``content`` there: ``kind`` is what kind of record that is."""
        fields = {name: value for name, value in vars(self).items() if name != "kind"}
        return {**fields, "path": str(self.path), "content": self.kind}


def inspect(path: Path) -> Checkpoint:
    """What is in a file.

    Raises:
        CheckFailed: it asks to run something, and what; or it is damaged, or no checkpoint of torch's.
        SurroundingsFailed: it cannot be read.
        WrongUsage: it is no file.
    """
    try:
        with open(path, "rb") as file:
            size = file.seek(0, io.SEEK_END)
            file.seek(0)
            return _describe(path, size, _read(file))
    except FileNotFoundError as error:
        raise WrongUsage(f"there is no {path}", hint="Upstream's own: porter weights fetch yolov5s.pt") from error
    except IsADirectoryError as error:
        raise WrongUsage(f"{path} is a folder", hint="Name a .pt file.") from error
    except Hostile as error:
        raise CheckFailed(
            f"{path} is refused: {error}",
            "Nothing in it was run; torch.load would run it.",
            "Do not load it. Upstream's own: porter weights fetch yolov5s.pt",
        ) from error
    except (Unreadable, tarfile.TarError, LookupError, *UNREADABLE) as error:
        raise CheckFailed(
            f"{path} is damaged, or no checkpoint", str(error), "Upstream's own: porter weights fetch yolov5s.pt"
        ) from error
    except OSError as error:
        raise SurroundingsFailed(f"cannot read {path}", error.strerror or str(error)) from error


# -- the formats ------------------------------------------------------------------------------------------------


@dataclass
class _Content:
    """A file's format, its content's pickle, and how to get a storage's bytes (none where that is not known)."""

    format: str
    pickle: Pickle
    read: Callable[[Storage], bytes] = field(default=lambda storage: b"")


def _read(file: BinaryIO) -> _Content:
    head = file.read(4)
    file.seek(0)
    if not head:
        raise Unreadable("the file is empty")
    if head == b"PK\x03\x04":
        return _read_zip(file)
    try:
        with tarfile.open(fileobj=file, mode="r:") as archive:
            return _read_tar(archive)
    except tarfile.ReadError:
        file.seek(0)
    return _read_row(file)


def _read_zip(file: BinaryIO) -> _Content:
    archive = zipfile.ZipFile(file)
    infos = archive.infolist()
    found = [info for info in infos if info.filename.rpartition("/")[2] == "data.pkl"]
    if len(found) != 1 or len({info.filename for info in infos}) != len(infos):
        raise Unreadable(f"it holds {len(found)} pickles named data.pkl, where torch writes one")
    folder = found[0].filename[: -len("data.pkl")]
    if any(info.filename == f"{folder}constants.pkl" for info in infos):
        raise Unreadable("it is a TorchScript archive: a program, not a checkpoint")
    if found[0].file_size > _PICKLE:
        raise Unreadable(f"its pickle has {found[0].file_size} bytes, more than any checkpoint's")
    pickle = pickles.loads(archive.read(found[0]))
    sizes = {info.filename: info.file_size for info in infos}
    for storage in pickle.storages.values():
        _check_size(storage, sizes.get(f"{folder}data/{storage.key}"))
    damaged = archive.testzip()
    if damaged is not None:
        raise Unreadable(f"the check sum of {damaged} is wrong")
    return _Content("zip", pickle, lambda storage: archive.read(f"{folder}data/{storage.key}"))


def _check_size(storage: Storage, there: int | None) -> None:
    if there is None:
        raise Unreadable(f"a tensor's numbers are missing (data/{storage.key})")
    if there != storage.size:
        raise Unreadable(f"a tensor's numbers have {there} bytes, not {storage.size} (data/{storage.key})")


def _read_tar(archive: tarfile.TarFile) -> _Content:
    """Content, then tensors; those are pickles with numbers between them, which only torch 0.1 wrote."""
    members = {member.name.rpartition("/")[2]: member for member in archive.getmembers()}
    if not members or set(members) - _TAR_MEMBERS or len(members) != len(archive.getmembers()):
        raise Unreadable(f"it is a tar archive of {', '.join(sorted(members)) or 'nothing'}, not torch's")
    content = pickles.load(_member(archive, members, "pickle"))
    for name in ("storages", "tensors"):
        if pickles.load(_member(archive, members, name)).value != 0:
            raise Unreadable("it has tensors in the format of torch 0.1, which is older than YOLOv5")
    return _Content("tar", content)


def _member(archive: tarfile.TarFile, members: dict[str, tarfile.TarInfo], name: str) -> BinaryIO:
    stream = archive.extractfile(members[name]) if name in members else None
    if stream is None:
        raise Unreadable(f"it has no {name}")
    return io.BytesIO(stream.read(_PICKLE))


def _read_row(file: BinaryIO) -> _Content:
    """Magic number, protocol, system, content, the storages' keys, their numbers; or a single pickle."""
    first = pickles.load(file)
    if first.value != _MAGIC:
        return _Content("pickle", first)
    pickles.load(file)
    pickles.load(file)
    content = pickles.load(file)
    keys = pickles.load(file).value
    if not isinstance(keys, list):
        raise Unreadable("it does not list its tensors")
    places: dict[str, int] = {}
    for key in keys:
        storage = content.storages.get(key) if isinstance(key, str) else None
        count = file.read(8)
        if len(count) < 8:
            raise Unreadable("it is cut short")
        if storage is None or int.from_bytes(count, "little") != storage.count:
            raise Unreadable(f"a tensor's numbers are not those that it names ({key!r})")
        places[storage.key] = file.tell()
        file.seek(storage.size, io.SEEK_CUR)
    end = file.tell()
    if file.seek(0, io.SEEK_END) < end or len(places) != len(content.storages):
        raise Unreadable("it is cut short")

    def read(storage: Storage) -> bytes:
        file.seek(places[storage.key])
        return file.read(storage.size)

    return _Content("legacy", content, read)


# -- the content ------------------------------------------------------------------------------------------------


def _describe(path: Path, size: int, content: _Content) -> Checkpoint:
    value = content.pickle.value
    tensors = list(_tensors(value))
    made = Checkpoint(
        path,
        content.format,
        "something else",
        size,
        dtypes=dict(Counter(tensor.storage.dtype for tensor in tensors)),
        devices=dict(Counter(tensor.storage.location for tensor in tensors)),
    )
    model = value
    if isinstance(value, dict):
        made.fields = [str(key) for key in value]
        model = value.get("ema") or value.get("model")
        if value and all(isinstance(part, Tensor) for part in value.values()):
            made.kind = "state dict"
            made.parameters = sum(tensor.count for tensor in value.values())
        made.epoch, made.updates = _whole(value.get("epoch")), _whole(value.get("updates"))
        made.date = value["date"] if isinstance(value.get("date"), str) else None
        made.best_fitness = next(iter(pickles.numbers(value.get("best_fitness")) or ()), None)
        made.optimizer, made.ema = value.get("optimizer") is not None, value.get("ema") is not None
        _check_yaml(value.get("model"))
    if isinstance(model, Made) and isinstance(model.state, dict):
        made.kind = "YOLOv5 checkpoint"
        _check_yaml(model)
        _describe_model(model, made, content)
    return made


def _check_yaml(model: Any) -> None:
    """v6.0 evaluates what the yaml of a model says."""
    code = pickles.code_in(model.get("yaml")) if isinstance(model, Made) else ""
    if code:
        raise Hostile(f"the yaml of its model holds code: {code[:200]!r}")


def _describe_model(model: Made, made: Checkpoint, content: _Content) -> None:
    if isinstance(model.get("yaml_file"), str):
        made.model = model.get("yaml_file")
    names = model.get("names")
    names = list(names.values()) if isinstance(names, dict) else names
    made.classes = [str(name) for name in names] if isinstance(names, list) else []
    modules = list(_modules(model))
    made.parameters = sum(p.count for m in modules for p in _part(m, "_parameters") if isinstance(p, Tensor))
    made.layers = sum(1 for m in modules if not any(isinstance(part, Made) for part in _part(m, "_modules")))
    made.modules = dict(Counter(m.name.name for m in modules).most_common())
    for module in modules:
        if module.name.name == "Detect":
            _describe_detect(module, made, content)


def _describe_detect(detect: Made, made: Checkpoint, content: _Content) -> None:
    """The head's strides and anchors; the model holds the latter in units of the stride."""
    buffers = detect.get("_buffers")
    anchors = buffers.get("anchors") if isinstance(buffers, dict) else None
    strides = detect.get("stride")
    if not (isinstance(anchors, Tensor) and isinstance(strides, Tensor) and len(anchors.shape) == 3):
        return
    made.strides = pickles.floats(content.read(strides.storage), strides)
    flat = pickles.floats(content.read(anchors.storage), anchors)
    row = anchors.shape[1] * 2
    made.anchors = [
        [round(number * stride, 2) for number in flat[at : at + row]]
        for stride, at in zip(made.strides, range(0, len(flat), row or 1))
    ]


def _whole(value: Any) -> int | None:
    return value if type(value) is int else None


def _part(module: Made, name: str) -> list[Any]:
    part = module.get(name)
    return list(part.values()) if isinstance(part, dict) else []


def _modules(model: Made) -> Iterator[Made]:
    """A module and all in it, each once."""
    todo, done = [model], set()
    while todo:
        one = todo.pop()
        if id(one) in done:
            continue
        done.add(id(one))
        yield one
        todo += [part for part in _part(one, "_modules") if isinstance(part, Made)]


def _tensors(value: Any) -> Iterator[Tensor]:
    """Every tensor in a value, each once."""
    todo, done = [value], set()
    while todo:
        one = todo.pop()
        if id(one) in done:
            continue
        done.add(id(one))
        if isinstance(one, Tensor):
            yield one
        elif isinstance(one, Made):
            todo += [one.state, *one.args]
        elif isinstance(one, dict):
            todo += one.values()
        elif isinstance(one, (list, tuple, set, frozenset)):
            todo += one
