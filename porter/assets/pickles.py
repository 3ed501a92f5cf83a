"""A pickle read without running it: every object that a file asks for becomes a note of what was asked.

A pickle is a program, and ``torch.load`` runs it.  The unpickler here follows the program but imports and calls
nothing of what it names.  What no YOLOv5 checkpoint holds is refused by name, with the same list as the trees'
own ``load_checkpoint`` has; hence what passes here is what a ported tree loads.
"""

from __future__ import annotations

import collections
import io
import pickle
import re
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO, ClassVar

# Classes of v6.0's and v6.1's own modules that are torch modules.
_TREE = {
    "models.common": "Conv DWConv TransformerLayer TransformerBlock Bottleneck BottleneckCSP C3 C3TR C3SPP C3Ghost SPP"
    " SPPF Focus GhostConv GhostBottleneck Contract Expand Concat AutoShape Classify",
    "models.experimental": "CrossConv Sum MixConv2d Ensemble",
    "models.yolo": "Detect Model",
    "utils.activations": "SiLU Hardswish Mish MemoryEfficientMish FReLU AconC MetaAconC",
}
_TREE_CLASSES = {(module, name) for module, names in _TREE.items() for name in names.split()}
# torch's storage class -> dtype and bytes of an element
STORAGES = {
    "DoubleStorage": ("float64", 8),
    "FloatStorage": ("float32", 4),
    "HalfStorage": ("float16", 2),
    "BFloat16Storage": ("bfloat16", 2),
    "LongStorage": ("int64", 8),
    "IntStorage": ("int32", 4),
    "ShortStorage": ("int16", 2),
    "CharStorage": ("int8", 1),
    "ByteStorage": ("uint8", 1),
    "BoolStorage": ("bool", 1),
}
_DTYPES = {
    *(dtype for dtype, _ in STORAGES.values()),
    *("float", "double", "half", "long", "int", "short", "complex64", "complex128"),
}
# numpy's letters -> struct's
_NUMPY = {"f2": "e", "f4": "f", "f8": "d", "i1": "b", "i2": "h", "i4": "i", "i8": "q", "u1": "B", "b1": "?"}
_LARGEST = 1 << 28  # bytes of one pickle; v6.0's have 0.1 MB


class Hostile(Exception):
    """The pickle asks for something that no checkpoint holds; the text names it."""


class Unreadable(Exception):
    """The bytes are no whole pickle."""


@dataclass(frozen=True)
class Name:
    """Something that a pickle names, by module and name; never imported."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(eq=False)
class Made:
    """An object that the pickle would have made: its class, what it was made from and the state it was given."""

    name: Name
    args: tuple[Any, ...] = ()
    state: Any = None

    def get(self, attribute: str, default: Any = None) -> Any:
        """An attribute of its state."""
        return self.state.get(attribute, default) if isinstance(self.state, dict) else default


@dataclass(frozen=True, eq=False)
class Storage:
    """A tensor's memory: its key in the file, and where the tensor was when it was saved."""

    dtype: str
    key: str
    location: str
    count: int

    @property
    def size(self) -> int:
        """In bytes."""
        return self.count * next(size for dtype, size in STORAGES.values() if dtype == self.dtype)


@dataclass(frozen=True, eq=False)
class Tensor:
    """A tensor, without its numbers."""

    storage: Storage
    shape: tuple[int, ...]
    offset: int = 0
    parameter: bool = False

    @property
    def count(self) -> int:
        """How many numbers it has."""
        product = 1
        for side in self.shape:
            product *= side
        return product


@dataclass
class Pickle:
    """A pickle that was read: its value, and the storages that it names, by key."""

    value: Any
    storages: dict[str, Storage] = field(default_factory=dict)


def load(file: BinaryIO) -> Pickle:
    """The next pickle in a file.

    Raises:
        Hostile: it asks for what no checkpoint holds.
        Unreadable: it is no whole pickle.
    """
    reader = _Reader(file)
    try:
        return Pickle(reader.load(), reader.storages)
    except (Hostile, Unreadable):
        raise
    except pickle.UnpicklingError as error:
        raise Unreadable(str(error)) from error
    except (
        ArithmeticError,
        AssertionError,
        AttributeError,
        EOFError,
        LookupError,
        MemoryError,
        RecursionError,
        TypeError,
        ValueError,
        struct.error,
    ) as error:  # what pickle raises when the bytes make no sense
        raise Unreadable(f"no pickle can be read ({type(error).__name__}: {error})") from error


def loads(data: bytes) -> Pickle:
    """The pickle in some bytes; see :func:`load`."""
    if len(data) > _LARGEST:
        raise Unreadable(f"{len(data)} bytes are more than any checkpoint's pickle has")
    return load(io.BytesIO(data))


# -- what may be called, and what comes of it -------------------------------------------------------------------


def _encode(text: Any, encoding: Any) -> bytes:
    """What numpy's pickles call to get their bytes back."""
    if encoding != "latin1" or not isinstance(text, str):
        raise Hostile(f"it calls _codecs.encode for {encoding}")
    return text.encode("latin1")


def _tensor(storage: Any, offset: int, shape: tuple[int, ...], stride: Any, *_: Any) -> Tensor:
    if not isinstance(storage, Storage) or not all(type(n) is int and n >= 0 for n in (offset, *shape)):
        raise Hostile("it calls torch._utils._rebuild_tensor_v2 for what is no storage")
    return Tensor(storage, tuple(shape), offset)


def _parameter(tensor: Any, *_: Any) -> Tensor:
    if not isinstance(tensor, Tensor):
        raise Hostile("it calls torch._utils._rebuild_parameter for what is no tensor")
    return Tensor(tensor.storage, tensor.shape, tensor.offset, parameter=True)


def _number(dtype: Any, data: Any) -> Any:
    values = _decode(dtype, data)
    return values[0] if values else None


def _decode(dtype: Any, data: Any) -> list[Any] | None:
    """numpy's bytes as numbers; ``None`` for a kind that is not expected."""
    kind = dtype.args[0] if isinstance(dtype, Made) and dtype.args else None
    letter = _NUMPY.get(kind) if isinstance(kind, str) else None
    if letter is None or not isinstance(data, bytes) or len(data) % struct.calcsize(letter):
        return None
    order = dtype.state[1] if isinstance(dtype.state, tuple) and len(dtype.state) > 1 else "<"
    return list(struct.unpack(f"{'>' if order == '>' else '<'}{len(data) // struct.calcsize(letter)}{letter}", data))


def _ordered(pairs: Any = ()) -> collections.OrderedDict[Any, Any]:
    for key, _ in pairs:
        _check_key(key)
    return collections.OrderedDict(pairs)


def _check_key(key: Any) -> None:
    """Tuples in tuples, a few bytes in a file, can take years to hash."""
    simple = (str, bytes, int, float, type(None))
    if not isinstance(key, simple) and not (isinstance(key, tuple) and all(isinstance(k, simple) for k in key)):
        raise Hostile(f"it has {_said(key)} as a key")


def _note(module: str, name: str) -> Callable[..., Made]:
    return lambda *args: Made(Name(module, name), args)


_CALLABLE: Mapping[tuple[str, str], Callable[..., Any]] = {
    ("_codecs", "encode"): _encode,
    ("builtins", "frozenset"): _note("builtins", "frozenset"),
    ("builtins", "set"): _note("builtins", "set"),
    ("collections", "OrderedDict"): _ordered,
    ("numpy", "dtype"): _note("numpy", "dtype"),
    ("numpy._core.multiarray", "_reconstruct"): _note("numpy", "ndarray"),
    ("numpy._core.multiarray", "scalar"): _number,
    ("numpy.core.multiarray", "_reconstruct"): _note("numpy", "ndarray"),
    ("numpy.core.multiarray", "scalar"): _number,
    ("torch", "Size"): lambda sides=(): tuple(sides),
    ("torch", "device"): lambda *words: ":".join(map(str, words)),
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
}


def numbers(value: Any) -> list[Any] | None:
    """The numbers of a numpy array or scalar that a pickle held; ``None`` if it is neither."""
    if isinstance(value, (int, float)):
        return [value]
    if isinstance(value, Made) and str(value.name) == "numpy.ndarray" and isinstance(value.state, tuple):
        return _decode(value.state[2], value.state[4]) if len(value.state) == 5 else None
    return None


def floats(data: bytes, tensor: Tensor) -> list[float]:
    """A small tensor's numbers, out of its storage's bytes; none if they are not all there, or no floats."""
    letter = {"float16": "e", "float32": "f", "float64": "d"}.get(tensor.storage.dtype)
    if letter is None or tensor.count > 1000:
        return []
    size = struct.calcsize(letter)
    piece = data[tensor.offset * size : (tensor.offset + tensor.count) * size]
    return list(struct.unpack(f"<{tensor.count}{letter}", piece)) if len(piece) == tensor.count * size else []


def _is_module(name: Name) -> bool:
    """Whether it is a module of the tree's, or of torch.nn."""
    of_torch = name.module.startswith("torch.nn.modules.") and re.fullmatch(r"[A-Z]\w*", name.name) is not None
    return (name.module, name.name) in _TREE_CLASSES or of_torch


class _Reader(pickle._Unpickler):
    """Python's own unpickler, the one that is written in Python, with every hook that makes an object replaced."""

    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)
    stack: list[Any]

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file, encoding="utf-8")
        self.storages: dict[str, Storage] = {}

    def find_class(self, module: str, name: str) -> Name:
        found = Name({"__builtin__": "builtins"}.get(module, module), name)
        key = found.module, found.name
        known = key in _CALLABLE or key == ("numpy", "ndarray") or _is_module(found)
        of_torch = found.module == "torch" and (name in _DTYPES or name in STORAGES)
        if not known and not of_torch:
            raise Hostile(f"it names {found}, which no YOLOv5 checkpoint holds")
        return found

    def persistent_load(self, pid: Any) -> Storage | Name:
        """What torch writes for a tensor's memory; and, before 1.6, for a module's class: its name and source."""
        if len(pid) == 4 and pid[0] == "module" and isinstance(pid[1], Name) and _is_module(pid[1]):
            return pid[1]
        kind, storage, key, location, count = pid[:5]
        if kind != "storage" or not isinstance(storage, Name) or storage.name not in STORAGES:
            raise Hostile(f"it refers to {pid[:2]!r}, which is no tensor's memory")
        if not (isinstance(key, str) and isinstance(location, str) and type(count) is int and count >= 0):
            raise Unreadable(f"it refers to a tensor's memory as {pid!r}")
        made = Storage(STORAGES[storage.name][0], key, location, count)
        return self.storages.setdefault(key, made)

    def load_reduce(self) -> None:
        args = self.stack.pop()
        name = self.stack.pop()
        function = _CALLABLE.get((name.module, name.name)) if isinstance(name, Name) else None
        if function is None:
            raise Hostile(f"it calls {_said(name)}")
        self.stack.append(function(*args))

    def load_newobj(self) -> None:
        args = self.stack.pop()
        name = self.stack.pop()
        if not isinstance(name, Name) or not _is_module(name) or args:
            raise Hostile(f"it makes {_said(name)} from {len(args)} arguments")
        self.stack.append(Made(name))

    def load_build(self) -> None:
        state = self.stack.pop()
        made = self.stack[-1]
        if isinstance(made, collections.OrderedDict):
            return  # torch's metadata
        if not isinstance(made, Made):
            raise Hostile(f"it changes {_said(made)}")
        made.state = state

    def load_global(self) -> None:
        lines = self.readline(), self.readline()  # type: ignore[attr-defined]
        if not all(line.endswith(b"\n") for line in lines):
            raise Unreadable("it is cut short")
        module, name = (line[:-1].decode() for line in lines)
        self.stack.append(self.find_class(module, name))

    def load_dict(self) -> None:
        items = self.pop_mark()  # type: ignore[attr-defined]
        for key in items[::2]:
            _check_key(key)
        self.stack.append({items[i]: items[i + 1] for i in range(0, len(items), 2)})

    def load_setitem(self) -> None:
        _check_key(self.stack[-2])
        super().load_setitem()  # type: ignore[misc]

    def load_setitems(self) -> None:
        items = self.pop_mark()  # type: ignore[attr-defined]
        for i in range(0, len(items), 2):
            _check_key(items[i])
            self.stack[-1][items[i]] = items[i + 1]

    def refuse(self) -> None:
        raise Hostile("it makes objects in a way that torch.save does not (INST, OBJ, NEWOBJ_EX, EXT or the like)")

    dispatch[pickle.GLOBAL[0]] = load_global
    dispatch[pickle.DICT[0]] = load_dict
    dispatch[pickle.SETITEM[0]] = load_setitem
    dispatch[pickle.SETITEMS[0]] = load_setitems
    dispatch[pickle.REDUCE[0]] = load_reduce
    dispatch[pickle.NEWOBJ[0]] = load_newobj
    dispatch[pickle.BUILD[0]] = load_build
    for _opcode in (
        *(pickle.INST, pickle.OBJ, pickle.NEWOBJ_EX, pickle.EXT1, pickle.EXT2, pickle.EXT4),
        *(pickle.BYTEARRAY8, pickle.NEXT_BUFFER, pickle.READONLY_BUFFER, pickle.ADDITEMS, pickle.FROZENSET),
        *(pickle.INT, pickle.LONG),  # decimal digits, any number of them: Python may take years for a long one
    ):
        dispatch[_opcode[0]] = refuse


def _said(value: Any) -> str:
    """What to call something in a refusal."""
    if isinstance(value, Made):
        return f"an object of {value.name}"
    return str(value) if isinstance(value, Name) else f"a {type(value).__name__}"


def code_in(yaml: Any) -> str:
    """Text in a model's yaml that v6.0 would evaluate and that is more than a name; empty if there is none."""
    todo: list[Any] = [yaml]
    done: set[int] = set()
    while todo:
        one = todo.pop()
        if isinstance(one, str):
            if not re.fullmatch(r"[\w .,/+\-\[\]]*", one) or "__" in one:
                return one
        elif id(one) not in done:
            done.add(id(one))
            if isinstance(one, dict):
                todo += [*one.keys(), *one.values()]
            elif isinstance(one, Sequence) and not isinstance(one, bytes):
                todo += one
    return ""
