"""What a checkpoint (*.pt file) holds, read as data: nothing that it names is imported or called.

A pickle is a program and ``torch.load`` runs it.  Here Python's own unpickler (the one in C, for its speed) is left
nothing to run.  Whatever a file names becomes a note of that name, and all that can be called is the short list
``CALLED``, whose functions make notes of a tensor, an array, a set.  Notes have no attributes that a file could set.
``_rewrite`` goes through the instructions before: those that torch.save does not write are refused, and dictionaries
are made as lists (``Pairs``), since a few bytes can make a key that takes years to hash.

What is to become of the notes is the caller's matter: a ported tree makes tensors and modules of them
(utils/checkpoint.py), ``porter weights inspect`` describes them.  Both have this very file, hence the same rules.
Neither torch nor NumPy is needed.  It keeps to the syntax of Python 3.6, as all code of the trees does.
Pickle's instructions are those of Python's pickletools.
"""

import io
import pickle
import re
import struct
from typing import Any, Callable, Dict, List, Tuple

MODULES: Dict[str, str] = {  # the layers of v6.0, and of torch.nn those that a row of a model's yaml can name
    "models.common": "Conv DWConv TransformerLayer TransformerBlock Bottleneck BottleneckCSP C3 C3TR C3SPP C3Ghost SPP"
    " SPPF Focus GhostConv GhostBottleneck Contract Expand Concat Classify",
    "models.experimental": "CrossConv Sum MixConv2d Ensemble",
    "models.yolo": "Detect Model",
    "utils.activations": "SiLU Hardswish Mish MemoryEfficientMish FReLU AconC MetaAconC",
    "torch.nn.modules.activation": "Threshold ReLU RReLU Hardtanh ReLU6 Sigmoid Hardsigmoid Tanh SiLU Mish Hardswish"
    " ELU CELU SELU GLU GELU Hardshrink LeakyReLU LogSigmoid Softplus Softshrink MultiheadAttention PReLU Softsign"
    " Tanhshrink Softmin Softmax Softmax2d LogSoftmax",
    "torch.nn.modules.batchnorm": "BatchNorm1d BatchNorm2d BatchNorm3d SyncBatchNorm",
    "torch.nn.modules.channelshuffle": "ChannelShuffle",
    "torch.nn.modules.container": "Sequential ModuleList ModuleDict",
    "torch.nn.modules.conv": "Conv1d Conv2d Conv3d ConvTranspose1d ConvTranspose2d ConvTranspose3d",
    "torch.nn.modules.dropout": "Dropout Dropout1d Dropout2d Dropout3d AlphaDropout FeatureAlphaDropout",
    "torch.nn.modules.flatten": "Flatten Unflatten",
    "torch.nn.modules.fold": "Fold Unfold",
    "torch.nn.modules.instancenorm": "InstanceNorm1d InstanceNorm2d InstanceNorm3d",
    "torch.nn.modules.linear": "Identity Linear NonDynamicallyQuantizableLinear Bilinear",
    "torch.nn.modules.normalization": "LocalResponseNorm CrossMapLRN2d LayerNorm GroupNorm RMSNorm",
    "torch.nn.modules.padding": "CircularPad1d CircularPad2d CircularPad3d ConstantPad1d ConstantPad2d ConstantPad3d"
    " ReflectionPad1d ReflectionPad2d ReflectionPad3d ReplicationPad1d ReplicationPad2d ReplicationPad3d ZeroPad1d"
    " ZeroPad2d ZeroPad3d",
    "torch.nn.modules.pixelshuffle": "PixelShuffle PixelUnshuffle",
    "torch.nn.modules.pooling": "MaxPool1d MaxPool2d MaxPool3d AvgPool1d AvgPool2d AvgPool3d LPPool1d LPPool2d LPPool3d"
    " AdaptiveMaxPool1d AdaptiveMaxPool2d AdaptiveMaxPool3d AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveAvgPool3d",
    "torch.nn.modules.upsampling": "Upsample UpsamplingNearest2d UpsamplingBilinear2d",
}
CLASSES = {(module, name) for module, names in MODULES.items() for name in names.split()}
# What those classes do, in torch 1.9 to 2.13: no state may lie in front of it.  ("type" may: v6.0 keeps a text there.)
_METHODS = (
    "F NamedShape add_module append apply autoshape bfloat16 buffers children clear compile convert_sync_batchnorm cpu"
    " cuda double eval extend extra_repr float forward forward_fuse fuse get_buffer get_extra_state get_parameter"
    " get_submodule half info insert ipu items keys load_state_dict merge_masks modules mtia named_buffers"
    " named_children named_modules named_parameters parameters pop register_backward_hook register_buffer"
    " register_forward_hook register_forward_pre_hook register_full_backward_hook register_full_backward_pre_hook"
    " register_load_state_dict_post_hook register_load_state_dict_pre_hook register_module register_parameter"
    " register_state_dict_post_hook register_state_dict_pre_hook requires_grad_ reset_parameters reset_running_stats"
    " set_extra_state set_submodule share_memory state_dict to to_empty train update values xpu zero_grad"
)
METHODS = frozenset(_METHODS.split())
# torch's storage class -> dtype and bytes of an element
STORAGES: Dict[str, Tuple[str, int]] = {
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
SIZES: Dict[str, int] = dict(STORAGES.values())
_FLOATS = {"float64", "float32", "float16", "bfloat16"}
# numpy's dtypes -> struct's letters; objects, text and records are none of them
NUMPY = {"f2": "e", "f4": "f", "f8": "d", "b1": "?", "i1": "b", "i2": "h", "i4": "i", "i8": "q"}
NUMPY.update({"u1": "B", "u2": "H", "u4": "I", "u8": "Q"})
DEVICES = ("cpu", "cuda", "xpu", "xla", "hip", "vulkan", "meta")  # those that every torch knows without a plugin
_WORK = 1 << 26  # letters and items given to what is called; v6.0's have some thousands
_WIDEST = 1 << 60  # Python's hash of a whole number below this is the number: nobody can make them collide


class Hostile(Exception):
    """The file asks for something that no checkpoint holds; the text names it."""


class Unreadable(Exception):
    """The bytes are no whole checkpoint."""


class Note:
    """What a pickle may hold beside numbers, text, lists and tuples.  No pickle gives it any attribute."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        raise Hostile(f"it changes {said(self)}")

    def __call__(self, *args: Any) -> Any:
        raise Hostile(f"it calls {said(self)}")


class Name(Note):
    """Something that a pickle names, by module and name; never imported."""

    __slots__ = ("module", "name")

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name

    def __str__(self) -> str:
        return clean(self.module + "." + self.name)


class Call(Name):
    """A name of CALLED."""

    __slots__ = ("function", "work")

    def __init__(self, module: str, name: str) -> None:
        super().__init__(module, name)
        self.function, self.work = CALLED[module, name], 0

    def __call__(self, *args: Any) -> Any:
        if args:
            self.work += sum(len(one) for one in args if type(one) in (str, bytes, list, tuple))
            if self.work > _WORK:
                raise Hostile("it reads the same numbers again and again")
        return self.function(*args)


class Empty(Call):
    """The name of the OrderedDict, which is called with nothing, and often."""

    __slots__ = ()

    def __call__(self, *args: Any) -> Any:
        if args:
            raise Hostile("it makes an OrderedDict in a way that torch.save does not")
        return Ordered()


class Made(Note):
    """A module: its class (of this one there is a subclass for each) and the state that it was given."""

    __slots__ = ("state",)
    name: Name
    state: Any

    def __new__(cls, *args: Any, **kwargs: Any) -> "Made":
        if args or kwargs:
            raise Hostile(f"it makes {cls.name} from arguments")
        made = super().__new__(cls)
        made.state = None
        return made

    def __init__(self) -> None:  # a pickle of torch.save leaves this out
        raise Hostile(f"it calls {self.name}")

    def __setstate__(self, state: Any) -> None:
        if type(state) is not Pairs or self.state is not None:
            raise Hostile(f"it changes {self.name}")
        self.state = state

    def get(self, attribute: str, default: Any = None) -> Any:
        """An attribute of its state."""
        return self.state.get(attribute, default) if isinstance(self.state, dict) else default


class Pairs(list):  # type: ignore[type-arg]
    """A dictionary, as keys and values by turns; or Pair, where they came one by one."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        raise Hostile("it changes a dictionary")


class Ordered(Pairs):
    """An OrderedDict; ``metadata`` is what a state_dict() has beside its items."""

    __slots__ = ("metadata",)
    metadata: Any

    def __setstate__(self, state: Any) -> None:
        item: Any = state[0].item if type(state) is Pairs and len(state) == 1 and type(state[0]) is Pair else (None,)
        if item[0] != "_metadata":
            raise Hostile("it changes an OrderedDict")
        self.metadata = item[1]


class Pair(Note):
    """One item of a dictionary."""

    __slots__ = ("item",)

    def __init__(self, item: Any) -> None:
        self.item = item


class Storage(Note):
    """A tensor's memory: its key in the file, and where the tensor was when it was saved."""

    __slots__ = ("count", "dtype", "key", "location", "size")

    def __init__(self, dtype: str, key: str, location: str, count: int) -> None:
        self.dtype, self.key, self.location, self.count = dtype, key, location, count
        self.size = count * SIZES[dtype]  # bytes


class Tensor(Note):
    """A tensor, without its numbers."""

    __slots__ = ("count", "gradient", "offset", "parameter", "shape", "storage", "stride")

    def __init__(self, storage: Storage, offset: int, shape: Tuple[int, ...], stride: Tuple[int, ...]) -> None:
        self.storage, self.offset, self.shape, self.stride = storage, offset, shape, stride
        self.gradient = self.parameter = False
        self.count = 1  # numbers
        for side in shape:
            self.count *= side


class Array(Note):
    """A NumPy array, or (shape None) a NumPy scalar.  ``dtype`` has its byte order in front, as "<f8"."""

    __slots__ = ("data", "dtype", "fortran", "shape")

    def __init__(self) -> None:
        self.dtype, self.data, self.fortran = "", b"", False
        self.shape: Any = None

    def __setstate__(self, state: Any) -> None:
        if self.dtype or type(state) is not tuple or len(state) != 5 or not counts(state[1]):
            raise Hostile("it changes a NumPy array")
        self.shape, self.fortran, count = state[1], bool(state[3]), 1
        for side in self.shape:
            count *= side
        self.fill(state[2], state[4], count)

    def fill(self, dtype: Any, data: Any, count: int) -> "Array":
        if not isinstance(dtype, DType) or type(data) is not bytes or len(data) != count * int(dtype.kind[1:]):
            raise Hostile("it makes a NumPy array of what is no row of numbers")
        self.dtype, self.data = (">" if dtype.order == ">" else "<") + dtype.kind, data
        return self

    def values(self) -> List[Any]:
        """Its numbers in the order of its bytes."""
        count = len(self.data) // int(self.dtype[2:])
        return list(struct.unpack(f"{self.dtype[0]}{count}{NUMPY[self.dtype[1:]]}", self.data))


class DType(Note):
    """A NumPy dtype, as "f8", and its byte order; a value only within an Array."""

    __slots__ = ("kind", "order")

    def __init__(self, kind: str) -> None:
        self.kind, self.order = kind, ""

    def __setstate__(self, state: Any) -> None:
        if self.order or type(state) is not tuple or state[2:5] != (None, None, None):
            raise Hostile("it changes a NumPy dtype")
        if state[1] not in ("<", ">", "|", "="):
            raise Unreadable("a NumPy dtype has no byte order")
        self.order = state[1]


class Word(Note):
    """A value of torch's that a text says: kind "dtype" (float32), "device" (cuda:0) or "Size" (a tuple)."""

    __slots__ = ("kind", "value")

    def __init__(self, kind: str, value: Any) -> None:
        self.kind, self.value = kind, value


class Bag(Note):
    """A set or a frozenset of texts and numbers."""

    __slots__ = ("frozen", "items")

    def __init__(self, items: Any, frozen: bool) -> None:
        if type(items) not in (list, tuple):
            raise Hostile(f"it makes a set of {said(items)}")
        self.items, self.frozen = items, frozen


def clean(text: str) -> str:
    """A stranger's text, fit for a line of a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:200])


def said(value: Any) -> str:
    """What to call something in a refusal."""
    if isinstance(value, Made):
        return f"an object of {value.name}"
    if isinstance(value, type):
        return str(value.name) if issubclass(value, Made) else "a class"
    return str(value) if isinstance(value, Name) else f"a {type(value).__name__}"


def check_key(key: Any) -> None:
    """Tuples in tuples, a few bytes in a file, can take years to hash; so can numbers made to collide."""
    if type(key) is not str and not (isinstance(key, int) and abs(key) < _WIDEST):
        raise Hostile(f"it has {said(key)} as a key")


def counts(value: Any) -> bool:
    """Whether it is a short tuple of numbers, none below 0, as a shape."""
    if type(value) is not tuple or len(value) > 64:
        return False
    for side in value:  # noqa: SIM110 since a generator takes twice the time
        if type(side) is not int or not 0 <= side < _WIDEST:
            return False
    return True


# -- what may be called, and what comes of it -------------------------------------------------------------------


def _encode(text: Any, encoding: Any) -> bytes:
    """What NumPy's pickles call to get their bytes back."""
    if encoding != "latin1" or type(text) is not str:
        raise Hostile(f"it calls _codecs.encode for {clean(str(encoding))}")
    return text.encode("latin1")


def _tensor(
    storage: Any, offset: Any, shape: Any, stride: Any, gradient: Any, hooks: Any, metadata: Any = None
) -> Tensor:
    if not isinstance(storage, Storage) or not counts((offset,)) or not counts(shape) or not counts(stride):
        raise Hostile("it calls torch._utils._rebuild_tensor_v2 for what is no storage")
    if hooks or metadata or type(gradient) is not bool or (gradient and storage.dtype not in _FLOATS):
        raise Hostile("it makes a tensor with hooks, or with what no tensor has")
    made = Tensor(storage, offset, shape, stride)
    made.gradient = gradient
    last = offset + sum((side - 1) * step for side, step in zip(shape, stride))
    if len(shape) != len(stride) or (made.count and last >= storage.count):
        raise Hostile("it makes a tensor of memory that it does not bring along")
    return made


def _parameter(tensor: Any, gradient: Any, hooks: Any) -> Tensor:
    if not isinstance(tensor, Tensor) or hooks or type(gradient) is not bool:
        raise Hostile("it calls torch._utils._rebuild_parameter for what is no tensor")
    made = Tensor(tensor.storage, tensor.offset, tensor.shape, tensor.stride)
    made.gradient, made.parameter = gradient and tensor.storage.dtype in _FLOATS, True
    return made


def _dtype(kind: Any, align: Any = 0, copy: Any = 1) -> DType:
    if type(kind) is not str or kind not in NUMPY:
        raise Hostile(f"it has NumPy values of the dtype {clean(str(kind)) if type(kind) is str else said(kind)}")
    return DType(kind)


def _array(cls: Any, shape: Any = (), kind: Any = b"b") -> Array:
    if not isinstance(cls, Name) or (cls.module, cls.name) != ("numpy", "ndarray"):
        raise Hostile(f"it makes a NumPy array of {said(cls)}")
    return Array()


CALLED: Dict[Tuple[str, str], Callable[..., Any]] = {
    ("_codecs", "encode"): _encode,
    ("builtins", "frozenset"): lambda items=(): Bag(items, True),
    ("builtins", "set"): lambda items=(): Bag(items, False),
    ("collections", "OrderedDict"): Ordered,
    ("numpy", "dtype"): _dtype,
    ("numpy._core.multiarray", "_reconstruct"): _array,
    ("numpy._core.multiarray", "scalar"): lambda dtype, data: Array().fill(dtype, data, 1),
    ("numpy.core.multiarray", "_reconstruct"): _array,
    ("numpy.core.multiarray", "scalar"): lambda dtype, data: Array().fill(dtype, data, 1),
    ("torch", "Size"): lambda sides=(): Word("Size", _shape(sides)),
    ("torch", "device"): lambda kind, index=None: Word("device", _device(kind, index)),
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
}


def _shape(sides: Any) -> Any:
    if not counts(sides):
        raise Hostile(f"it makes a torch.Size of {said(sides)}")
    return sides


def _device(kind: Any, index: Any) -> str:
    if type(kind) is not str or kind not in DEVICES:
        raise Hostile(f"it makes a torch.device of {clean(kind) if type(kind) is str else said(kind)}")
    if index is not None and not (type(index) is int and 0 <= index < (1 if kind == "cpu" else 100)):
        raise Hostile(f"it makes a torch.device of {kind} and what is no number of one")
    return kind if index is None else f"{kind}:{index}"


# -- the instructions -------------------------------------------------------------------------------------------

# Those of one length, with what follows them: marks, tuples, lists, numbers, None, calls, the memo (of a million).
_FIXED = re.compile(
    rb"(?:[()NQRab0e1t\]\x81\x85-\x89\x93\x94]|[Khq\x80].|M..|[Jj]....|r..[\x00-\x0f]\x00|G.{8})*",
    re.DOTALL,
)
_SIZED = {b"X": 4, b"\x8c": 1, b"B": 4, b"C": 1, b"\x8a": 1}  # text, bytes and a long number: bytes of their length
_OTHER = {b"}": b"NQ", b"u": b"e", b"s": b"\x86Qa", b"\x95": b""}  # a dictionary becomes Pairs; frames are left out


def _rewrite(data: bytes, at: int) -> Tuple[bytes, int]:
    """A pickle without what torch.save does not write, and the place behind it.

    Raises:
        Hostile: it has another instruction.
        Unreadable: it is cut short.
    """
    if data[at : at + 1] != pickle.PROTO:
        raise Unreadable("no pickle can be read, as torch.save writes them")
    pieces: List[bytes] = []
    match = _FIXED.match
    while True:
        start, at = at, match(data, at).end()  # type: ignore[union-attr]
        code = data[at : at + 1]
        if code in _SIZED:
            end = at + 1 + _SIZED[code]
            at = end + int.from_bytes(data[at + 1 : end], "little")
        elif code == b"c":
            at = data.find(b"\n", data.find(b"\n", at) + 1) + 1 or len(data) + 1
        elif code in _OTHER:
            pieces += data[start:at], _OTHER[code]
            at += 9 if code == b"\x95" else 1
            start = at
        elif code == b".":
            pieces.append(data[start : at + 1])
            return b"".join(pieces), at + 1
        elif code:
            raise Hostile(f"it makes objects in a way that torch.save does not (instruction {code[0]:#04x})")
        else:
            at = len(data) + 1
        if at > len(data):
            raise Unreadable("no pickle can be read: it is cut short")
        pieces.append(data[start:at])


class _Reader(pickle.Unpickler):
    """Python's own, which sees notes alone."""

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data))
        self.names: Dict[Tuple[str, str], Any] = {}
        self.storages: Dict[str, Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        module = {"__builtin__": "builtins"}.get(module, module)
        key = module, name
        if key not in self.names:
            note: Any = Name(module, name)
            if key in CALLED:
                note = (Empty if module == "collections" else Call)(module, name)
            elif key in CLASSES:
                note = type("Layer", (Made,), {"__slots__": (), "name": note})
            elif module == "torch" and name in SIZES:
                note = Word("dtype", name)
            elif key != ("numpy", "ndarray") and not (module in ("torch", "torch.storage") and name in STORAGES):
                raise Hostile(f"it names {note}, which no YOLOv5 checkpoint holds")
            self.names[key] = note
        return self.names[key]

    def persistent_load(self, pid: Any) -> Any:
        """What _rewrite() wrote; a tensor's memory; and, before torch 1.6, a module's class: its name and source."""
        if pid is None:
            return Pairs()
        if type(pid) is not tuple or len(pid) not in (2, 4, 5, 6):
            raise Hostile("it refers to what is no tensor's memory")
        if len(pid) == 2:
            return Pair(pid)
        if pid[0] == "module" and isinstance(pid[1], type) and issubclass(pid[1], Made):
            return pid[1]
        kind, storage, key, location, count = pid[:5] if len(pid) > 4 else (None,) * 5
        if kind != "storage" or not isinstance(storage, Name) or storage.name not in STORAGES or any(pid[5:]):
            raise Hostile(f"it refers to {said(pid[1])}, which is no tensor's memory")
        if type(key) is not str or type(location) is not str or not counts((count,)):
            raise Unreadable("it refers to a tensor's memory by what is no name")
        dtype = STORAGES[storage.name][0]
        made = self.storages.setdefault(key, Storage(dtype, key, location, count))
        if (made.dtype, made.count) != (dtype, count):
            raise Hostile("it reads the same memory as numbers of two kinds")
        return made


def load(data: bytes, at: int = 0) -> Tuple[Any, Dict[str, Storage], int]:
    """The pickle in some bytes, from a place on: its value (of notes), its storages by key, the place behind it.

    Raises:
        Hostile: it asks for what no checkpoint holds.
        Unreadable: it is no whole pickle.
    """
    plain, end = _rewrite(data, at)
    reader = _Reader(plain)
    try:
        return reader.load(), reader.storages, end
    except _BROKEN as error:
        raise Unreadable(f"no pickle can be read ({type(error).__name__})") from None


_BROKEN = (pickle.UnpicklingError, ArithmeticError, AttributeError, EOFError, LookupError, TypeError, ValueError)
