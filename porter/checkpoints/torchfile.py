"""The forms of a checkpoint file, and what the whole of it may hold; see pickles.py, which this file belongs to.

torch wrote a zip archive (since 1.6), or a row of pickles followed by the numbers.  ``torch.load`` also takes a
TorchScript archive for a checkpoint, which is a program, and the tar archives of torch 0.1, which is older than YOLOv5.
Those are refused, by what is in them and not by their name.
"""

import io
import re
import struct
import zipfile
import zlib
from collections import OrderedDict
from typing import Any, BinaryIO, Callable, Dict, List, Set, Tuple

from . import pickles
from .pickles import (
    CLASSES,
    METHODS,
    MODULES,
    Array,
    Bag,
    Hostile,
    Made,
    Ordered,
    Pair,
    Pairs,
    Storage,
    Tensor,
    Unreadable,
    Word,
    check_key,
    clean,
    said,
)

_MAGIC = 0x1950A86A20F9469CFC6C  # of the row of pickles
_LARGEST = 1 << 24  # bytes of one pickle; v6.0's have 0.1 MB
_DEEPEST = 100  # containers in containers; v6.0's have 25
_MOST = 1 << 22  # objects, each counted as often as it is referred to; v6.0's have 40,000
_SPREAD = 1 << 24  # numbers that tensors may have beyond those in the file, as expand() makes them
_REPEATS = 1000  # layers of a model's yaml, each counted as often as it is repeated; v6.0's have 100
_PLAIN = frozenset((type(None), bool, int, float, str, bytes))
# A state's own names with a line in front, beside hooks, of which there may be none; modules stand in the third alone.
_PARTS = ("_parameters", "_buffers", "_modules")
_NEEDED = (*_PARTS, "_backward_hooks", "_forward_hooks")
_PRIVATE = frozenset(
    (
        "_non_persistent_buffers_set",
        "_qkv_same_embed_dim",
        "_padding_repeated_twice",
        "_reversed_padding_repeated_twice",
    )
)


class Content:
    """A file's form ("zip" or "legacy"), its value, its storages by key, and how to get one's bytes."""

    def __init__(self, form: str, value: Any, storages: Dict[str, Storage], part: Callable[[Storage], bytes]) -> None:
        self.form, self.value, self.storages, self.part = form, value, storages, part

    def fetch(self, storage: Storage) -> bytes:
        """A storage's bytes."""
        data = self.part(storage)
        if storage.dtype == "bool" and bytes(data).strip(b"\0\1"):
            raise Hostile("it has truth values that are neither")
        return data


def read(file: BinaryIO, maker: Any = None) -> Content:
    """What an open file holds.

    Args:
        maker: a class that makes something of the notes, as Notes, which leaves them as they are.

    Raises:
        Hostile: it asks for what no checkpoint holds.
        Unreadable: it is damaged, or no checkpoint of torch's.
        OSError: it cannot be read.
    """
    head = file.read(4)
    file.seek(0)
    if not head:
        raise Unreadable("the file is empty")
    content = _read_zip(file) if head == b"PK\x03\x04" else _read_row(file)
    content.value = (maker or Notes)(content).whole(content.value)
    return content


def _members(file: BinaryIO) -> Dict[str, zipfile.ZipInfo]:
    """What an archive holds, by name, once it is one that torch wrote."""
    archive = zipfile.ZipFile(file)
    infos = {info.filename: info for info in archive.infolist()}
    if any(name.rpartition("/")[2] == "constants.pkl" or "code" in name.split("/") for name in infos):
        raise Hostile("it is a TorchScript archive: a program, not a checkpoint")
    if len(infos) != len(archive.infolist()):
        raise Unreadable("two of its parts have one name")
    if any(info.compress_type or info.compress_size != info.file_size for info in infos.values()):
        raise Unreadable("it is compressed, which torch does not do")
    if sum(info.file_size for info in infos.values()) > file.seek(0, io.SEEK_END):
        raise Unreadable("its parts are larger than the file")
    return infos


def _read_zip(file: BinaryIO) -> Content:
    try:
        infos = _members(file)
    except _BROKEN as error:
        raise Unreadable(clean(str(error))) from None

    def part(name: str) -> Any:
        """Bytes or a view of such, as zipfile reads them, in a quarter of the time."""
        info = infos[name]
        file.seek(info.header_offset)
        piece = file.read(info.file_size + 512)  # torch fills up to 64 bytes
        at = 30 + sum(struct.unpack("<HH", piece[26:30].ljust(4)))
        data = memoryview(piece)[at : at + info.file_size]
        if piece[:4] != b"PK\x03\x04" or len(data) != info.file_size or zlib.crc32(data) != info.CRC:
            raise Unreadable(f"the check sum of {clean(name)} is wrong")
        return data

    found = [name for name in infos if name.rpartition("/")[2] == "data.pkl"]
    if len(found) != 1:
        raise Unreadable(f"it holds {len(found)} pickles named data.pkl, where torch writes one")
    if infos[found[0]].file_size > _LARGEST:
        raise Unreadable(f"its pickle has {infos[found[0]].file_size} bytes, more than any checkpoint's")
    value, storages, _ = pickles.load(bytes(part(found[0])))
    folder = found[0][: -len("data.pkl")] + "data/"
    for storage in storages.values():
        info = infos.get(folder + storage.key)
        if info is None:
            raise Unreadable(f"a tensor's numbers are missing (data/{clean(storage.key)})")
        if info.file_size != storage.size:
            raise Unreadable(f"a tensor's numbers have {info.file_size} bytes, not {storage.size}")
    return Content("zip", value, storages, lambda storage: part(folder + storage.key))


_BROKEN = (  # what zipfile raises for an archive that is none
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, KeyError, NotImplementedError, OverflowError),
    *(RuntimeError, ValueError),
)


def _read_row(file: BinaryIO) -> Content:
    """Magic number, protocol, system, content, the storages' keys, and of each the count and the numbers."""
    head = file.read(_LARGEST)
    if head[257:262] == b"ustar":
        raise Hostile("it is a tar archive, as torch wrote before 0.1.10; YOLOv5 never did")
    magic, _, at = pickles.load(head)
    if magic != _MAGIC:
        raise Unreadable("it is a pickle that torch.save did not write")
    for _ in range(2):
        at = pickles.load(head, at)[2]
    value, storages, at = pickles.load(head, at)
    keys, _, at = pickles.load(head, at)
    if type(keys) is not list or len(keys) != len(storages) or {type(key) for key in keys} - {str}:
        raise Unreadable("it does not list its tensors")
    places: Dict[str, int] = {}
    size = file.seek(0, io.SEEK_END)
    for key in keys:
        file.seek(at)
        count = file.read(8)
        storage = storages.get(key)
        if storage is None or key in places or int.from_bytes(count, "little") != storage.count:
            raise Unreadable("it is cut short, or a tensor's numbers are not those that it names")
        places[key] = at + 8
        at += 8 + storage.size
        if at > size:
            raise Unreadable("it is cut short")

    def fetch(storage: Storage) -> bytes:
        file.seek(places[storage.key])
        return file.read(storage.size)

    return Content("legacy", value, storages, fetch)


# -- what the whole may be --------------------------------------------------------------------------------------


class Notes:
    """Goes once through a pickle's value and makes dictionaries of Pairs; a child class makes more of the rest.

    What programs could not go through is refused: an endless value; a module that is no other's part; a state that
    lies in front of a method.
    """

    def __init__(self, content: Content) -> None:
        self.content = content
        self.known: Dict[int, Any] = {}  # id -> (what was made, objects in it, height, whether a module is in it)
        self.spread = self.work = 0
        self.head: Dict[str, Any] = {}  # the state of the last Detect layer
        self.inside: Dict[Any, Callable[[Any, int], Any]] = {
            list: self.row,
            tuple: self.row,
            Pairs: self.pairs,
            Ordered: self.pairs,
            **dict.fromkeys((Tensor, Array, Bag, Word), self.leaf),
        }

    def whole(self, value: Any) -> Any:
        """A checkpoint.  Raises Hostile, or Unreadable where it makes no sense."""
        made = value if type(value) in _PLAIN else self.visit(value, 0)[0]
        if type(made) is dict:
            items = flat(value)
            check_fields(made, dict(zip(items[::2], items[1::2])))
        return made

    # what a child class makes of notes

    def tensor(self, note: Tensor) -> Any:
        return note

    def other(self, note: Any) -> Any:
        """Of an Array, a Bag or a Word."""
        return note

    def module(self, note: Made, state: Dict[str, Any]) -> Any:
        note.state = state
        return note

    # the way

    def charge(self, count: int) -> None:
        """Whoever shares one long thing among many others would keep us busy for years."""
        self.work += count
        if self.work > _MOST:
            raise Hostile("it has containers in containers without end")

    def visit(self, value: Any, depth: int) -> Any:
        known = self.known.get(id(value))
        if known is None:
            if depth > _DEEPEST:
                raise Hostile(f"it has containers in containers, more than {_DEEPEST} deep")
            inside = self.inside.get(type(value))
            if inside is None and not isinstance(value, Made):
                raise Hostile(f"it keeps {said(value)}")
            self.known[id(value)] = ()
            self.known[id(value)] = known = (inside or self.layer)(value, depth + 1)
        elif not known:
            raise Hostile("it has a container that holds itself")
        if known[1] > _MOST or known[2] > _DEEPEST:
            raise Hostile("it has containers in containers without end")
        return known

    def leaf(self, value: Any, depth: int) -> Tuple[Any, int, int, bool]:
        if type(value) is Tensor:
            self.spread += max(value.count - value.storage.count, 0)
            if self.spread > _SPREAD:
                raise Hostile("its tensors have more numbers than are in the file")
            return self.tensor(value), 1, 0, False
        if type(value) is Array:
            self.charge(len(value.data))
            if not value.dtype:
                raise Hostile("it has a NumPy array without numbers")
        elif type(value) is Bag:
            self.charge(len(value.items))
            for item in value.items:
                check_key(item)
        return self.other(value), 1, 0, False

    def row(self, value: Any, depth: int) -> Tuple[Any, int, int, bool]:
        self.charge(len(value))
        made, count, height, module = [], 1 + len(value), 0, False
        for part in value:
            if type(part) not in _PLAIN:
                part, inner, high, holds = self.visit(part, depth)
                count, height, module = count + inner, max(height, high), module or holds
            made.append(part)
        return made if type(value) is list else tuple(made), count, height + 1, module

    def pairs(self, value: Any, depth: int) -> Tuple[Any, int, int, bool]:
        made: Dict[Any, Any] = {} if type(value) is Pairs else OrderedDict()
        if hasattr(value, "metadata"):
            made.__dict__["_metadata"] = self.visit(value.metadata, depth)[0]
        if not value:
            return made, 1, 1, False
        items = flat(value)
        row, count, height, module = self.row(items[1::2], depth)
        for key, part in zip(items[::2], row):
            if type(key) is not str:
                check_key(key)
            made[key] = part
        return made, count, height, module

    def layer(self, note: Made, depth: int) -> Tuple[Any, int, int, bool]:
        if type(note.state) is not Pairs:
            raise Hostile(f"it makes {said(note)} and gives it no state")
        items = flat(note.state)
        self.charge(len(items))
        state, count, height = {}, len(items), 0
        for name, value in zip(items[::2], items[1::2]):
            if type(name) is not str or name in METHODS:
                raise Hostile(f"it gives {said(note)} another {clean(str(name))}")
            if name[:1] == "_" and name not in _PARTS and name not in _PRIVATE:
                value = self.hooks(note, name, value)
            elif type(value) not in _PLAIN:
                if name in _PARTS:
                    self.part(note, name, value)
                value, inner, high, holds = self.visit(value, depth)
                if holds and name != "_modules":
                    raise Hostile(f"it hides a module in {clean(name)} of {said(note)}")
                count, height = count + inner, max(height, high)
            state[name] = value
        if not all(isinstance(state.get(name), dict) for name in _NEEDED):
            raise Hostile(f"it makes {said(note)} without the parts of a module")
        if note.name.name == "Detect":
            self.head = check_head(state)
        elif note.name.name == "Model":
            check_model(state, self.head)
        return self.module(note, state), count, height + 1, True

    def hooks(self, note: Made, name: str, value: Any) -> Any:
        """Empty ones, which come with every module, each its own."""
        if "hook" in name and (value is None or value is False):
            return value
        if "hook" in name and isinstance(value, Pairs) and not value:
            return OrderedDict() if type(value) is Ordered else {}
        raise Hostile(f"it gives {said(note)} its own {clean(name)}")

    def part(self, note: Made, name: str, value: Any) -> None:
        """Whether a module's parameters, buffers or modules are such."""
        if not isinstance(value, Pairs):
            raise Hostile(f"the {name} of {said(note)} are {said(value)}")
        if value:
            kind: Any = Made if name == "_modules" else Tensor
            items = flat(value)
            self.charge(len(items))
            for key, one in zip(items[::2], items[1::2]):
                ours = one is None or (isinstance(one, kind) and (name != "_parameters" or one.parameter))
                if type(key) is not str or not ours:
                    raise Hostile(f"{said(one)} is among the {name} of {said(note)}")


def flat(pairs: Pairs) -> List[Any]:
    """Keys and values by turns."""
    items: List[Any] = []
    for one in pairs:
        items += one.item if type(one) is Pair else (one,)
    if len(items) % 2:
        raise Unreadable("a dictionary has a key without a value")
    return items


def code_in(rows: Any) -> str:
    """Text in the rows of a model's yaml that v6.0 would evaluate and that is more than a name, or none ("")."""
    todo: List[Any] = [rows]
    seen: Set[int] = set()
    while todo:
        one = todo.pop()
        if isinstance(one, str) and (not re.match(r"[\w .,/+\-\[\]]*\Z", one) or "__" in one):
            return one
        if isinstance(one, (dict, list, tuple)) and id(one) not in seen:  # a yaml file's may hold itself
            seen.add(id(one))
            todo += [*one.keys(), *one.values()] if isinstance(one, dict) else one
    return ""


# -- whether it makes sense -------------------------------------------------------------------------------------


def whole(value: Any, least: int = 0) -> bool:
    """Whether it is a number of things that there can be."""
    return type(value) is int and least <= value < 1 << 31


def number(value: Any, most: float = float("inf")) -> bool:
    return type(value) in (int, float) and -most <= value <= most


def told(value: Any) -> str:
    """A value in a refusal, in the same words whether it is a note or what was made of one."""
    if isinstance(value, (list, tuple, dict)):
        return said(value)
    short = value is None or type(value) is float or isinstance(value, str)
    if short or (isinstance(value, int) and value.bit_length() < 99):
        return f"{value!a:.40}"
    return "something else" if sides(value) is None else f"an array of the shape {sides(value)}"


def sides(value: Any) -> Any:
    """The shape of a tensor or an array, or of the note of one; none of anything else."""
    shape = getattr(value, "shape", None)
    return None if shape is None else tuple(shape)


def check_fields(made: Dict[Any, Any], notes: Dict[Any, Any]) -> None:
    """The parts of a checkpoint; those that are None are none."""
    for name, right in _FIELDS.items():
        value = made.get(name)
        if value is not None and not right(value):
            raise Unreadable(f"its {name} is {told(value)}")
    models = {name: notes.get(name) for name in ("model", "ema") if name == "model" or notes.get(name) is not None}
    for name, note in models.items() if any(isinstance(note, Made) for note in models.values()) else ():
        if not isinstance(note, Made) or note.name.name != "Model":
            raise Unreadable(f"its {name} is {told(note) if type(note) in _PLAIN else said(note)}, not a model")


def check_head(state: Dict[str, Any]) -> Dict[str, Any]:
    """A Detect layer, which is returned."""
    classes: Any = state.get("nc")
    scales, buffers = state.get("nl"), state["_buffers"]
    if not whole(classes, 1) or state.get("no") != classes + 5:
        raise Unreadable(f"its head has {told(classes)} classes and {told(state.get('no'))} outputs")
    wanted = (scales, state.get("na"), 2)
    if not whole(scales, 1) or sides(buffers.get("anchors")) != wanted or "anchor_grid" not in {**state, **buffers}:
        raise Unreadable(f"its head has no anchors of the shape {told(scales)} x {told(wanted[1])} x 2")
    if sides(state.get("stride")) != (scales,):
        raise Unreadable("its head has no stride of each scale")
    return state


def check_model(state: Dict[str, Any], head: Dict[str, Any]) -> None:
    """A Model, of what the programs ask beside its layers."""
    check_design(state.get("yaml"))
    names = state.get("names")
    if not head:
        raise Unreadable("its model has no Detect layer")
    if sides(state.get("stride")) != sides(head["stride"]):
        raise Unreadable("its model has no stride of each scale")
    classes = head["nc"]
    if not whole(state.get("nc", classes)):
        raise Unreadable(f"its model has {told(state.get('nc'))} classes")
    if not isinstance(names, (list, tuple, dict)):
        raise Unreadable(f"the names of its classes are {told(names)}")
    if len(names) < classes:
        raise Unreadable(f"it has {len(names)} names for {classes} classes")
    if isinstance(names, dict) and any(key not in names for key in range(classes)):
        raise Unreadable(f"the names of its classes are not numbered from 0 to {classes - 1}")


def check_design(yaml: Any) -> None:
    """A model's yaml, of a checkpoint or a file: that layers can be made of it, those of v6.0 alone, and not no end."""
    if not isinstance(yaml, dict):
        raise Unreadable(f"the yaml of its model is {told(yaml)}")
    code = code_in([yaml.get("backbone"), yaml.get("head")])
    if code:
        raise Hostile(f"the yaml of its model holds code: {code[:200]!a}")
    for name, right in _YAML.items():
        if not right(yaml.get(name)):
            raise Unreadable(f"the {name} in its model's yaml makes no sense: {told(yaml.get(name))}")
    rows = yaml["backbone"] + yaml["head"]
    for row in rows:
        if row[2] not in LAYERS:
            raise Hostile(f"the yaml of its model names {row[2][:200]!a}, which is no layer")
    if sum(max(row[1] * yaml["depth_multiple"], 1) for row in rows) > _REPEATS:
        raise Unreadable(f"the yaml of its model has more than {_REPEATS} layers")


def _anchors(value: Any) -> bool:
    """Of a model's yaml: their number, or widths and heights by turns, a row for each scale."""
    rows = value if isinstance(value, list) and _short(value) else ()
    row = rows[0] if rows and isinstance(rows[0], list) else ()
    same = len(row) > 1 and all(isinstance(one, list) and len(one) == len(row) for one in rows)
    return (_size(value) and value < 1000) or (same and all(number(x) for one in rows for x in one))


def _size(value: Any) -> bool:
    """A number of classes, channels or anchors."""
    return whole(value, 1) and value < 1 << 16


def _short(value: Any) -> bool:
    """Whether it has few parts and letters, however often a yaml file refers to one."""
    todo, count = [value], 0
    while todo and count < 1000:
        one = todo.pop()
        if isinstance(one, (list, tuple)):
            todo += one[:1000]
        elif type(one) not in _PLAIN:
            return False
        count += len(one) if isinstance(one, (list, tuple, str, bytes)) else 0
    return count < 1000


def _layers(value: Any) -> bool:
    """Rows of a model's yaml: from where, how many, which layer, its arguments."""
    for row in value if isinstance(value, list) and 0 < len(value) <= _REPEATS else (None,):
        if not isinstance(row, (list, tuple)) or len(row) != 4 or not _short(row):
            return False
        sources = row[0] if isinstance(row[0], list) else [row[0]]
        if not all(type(source) is int for source in sources) or not whole(row[1], 1) or row[1] > 100:
            return False
        if type(row[2]) is not str or not isinstance(row[3], list):
            return False
    return True


# What a row may name.  No other class: a Model, for one, reads the file that it is told.
LAYERS = {name for module in ("models.common", "models.experimental") for name in MODULES[module].split()}
LAYERS |= {"Detect"} | {"nn." + name for module, name in CLASSES if module.startswith("torch.")}
LAYERS.remove("Ensemble")
_YAML: Dict[str, Callable[[Any], bool]] = {
    "nc": _size,
    "ch": lambda x: x is None or _size(x),
    "depth_multiple": lambda x: number(x, 10),
    "width_multiple": lambda x: number(x, 100),
    "anchors": _anchors,
    "backbone": _layers,
    "head": lambda x: _layers(x) and x[-1][2] == "Detect",
}


def _optimizer(value: Any) -> bool:
    groups = value.get("param_groups") if isinstance(value, dict) and isinstance(value.get("state"), dict) else None
    return isinstance(groups, list) and all(isinstance(group, dict) for group in groups)


def _text(value: Any) -> bool:
    return type(value) is str


_FIELDS: Dict[str, Callable[[Any], bool]] = {
    "epoch": lambda x: whole(x, -1),
    "updates": whole,
    "best_fitness": lambda x: number(x) or sides(x) in ((), (1,)) or (isinstance(x, Array) and x.shape is None),
    "optimizer": _optimizer,
    "scaler": lambda x: isinstance(x, dict) and all(number(one) for one in x.values()),
    "run": lambda x: isinstance(x, dict),
    "wandb_id": _text,
    "date": _text,
    "training_results": _text,
}
