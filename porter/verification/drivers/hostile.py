"""Files that would run code when loaded: ``hostile.py TREE HONEST.pt`` builds each, loads each, says what came.

Every payload that runs leaves a file named after its case in ``marks/``; a payload is only worth testing if
plain pickle runs it, so that is tried as well, in ``plain/``.  Prints one JSON object: case -> how each way
of loading ended.
"""

import io
import json
import os
import pickle
import struct
import sys
import tarfile
import zipfile
from pathlib import Path

from entry import enter

(honest,) = enter()

import models.yolo  # the tree's, as the others
import torch
import utils.checkpoint
from models.experimental import attempt_load
from utils.general import strip_optimizer

MARKS, FILES = Path("marks").resolve(), Path("files").resolve()
TOUCH = "touch {}"  # the payload's shell command; {} is the mark
PYTHON = "__import__('os').system('touch {}')"


# pickle's own instructions: what an attacker writes, which no pickler of ours would
def name(module, attribute):
    return b"c%s\n%s\n" % (module.encode(), attribute.encode())


def dotted(module, attribute):
    return text(module) + text(attribute) + b"\x93"  # STACK_GLOBAL, protocol 4


def text(value):
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def args(*values):
    return b"(" + b"".join(values) + b"t"


def call(function, *values):
    return function + args(*values) + b"R"


def dictionary(**items):
    return b"}(" + b"".join(text(k) + v for k, v in items.items()) + b"u"


def raw(value):
    """The instructions of a harmless value, as pickle writes them (memo and frame left out)."""
    data = pickle.dumps(value, 2)
    return data[2:-1]


HOSTILE_YAML = {
    "nc": 80,
    "depth_multiple": 1.0,
    "width_multiple": 1.0,
    "anchors": 3,
    "ch": 3,
    "backbone": [[-1, 1, PYTHON, []]],
    "head": [],
}


def filled(value, mark):
    return json.loads(json.dumps(value).replace("{}", mark))


def instructions(mark):
    """Case -> (the name that must be in the refusal, the object's instructions)."""
    shell, python = text(TOUCH.format(mark)), text(PYTHON.format(mark))
    yaml = raw(filled(HOSTILE_YAML, mark))
    model = name("models.yolo", "Model")
    nested = io.BytesIO()
    pickle.dump(Call(os.system, TOUCH.format(mark)), nested, 2)
    return {
        "os.system": ("system", call(name("os", "system"), shell)),
        "posix.system": ("system", call(name("posix", "system"), shell)),
        "builtins.eval": ("eval", call(name("builtins", "eval"), python)),
        "__builtin__.eval": ("eval", call(name("__builtin__", "eval"), python)),
        "builtins.exec": ("exec", call(name("builtins", "exec"), python)),
        "subprocess.Popen": (
            "Popen",
            call(name("subprocess", "Popen"), b"]" + b"(" + text("touch") + text(mark) + b"e"),
        ),
        "subprocess.Popen made": ("Popen", name("subprocess", "Popen") + args() + b"\x81"),
        "getattr": ("getattr", call(call(name("builtins", "getattr"), name("posixpath", "os"), text("system")), shell)),
        "INST": ("", b"(" + shell + b"iposix\nsystem\n"),
        "OBJ": ("", b"(" + name("posix", "system") + shell + b"o"),
        "dotted torch": ("os.system", call(dotted("torch", "os.system"), shell)),
        "dotted tree": ("os.system", call(dotted("utils.general", "os.system"), shell)),
        "dotted nn": ("warnings", call(dotted("torch.nn.modules.module", "warnings.sys.modules.get"), text("os"))),
        "numpy runstring": ("runstring", call(name("numpy.testing._private.utils", "runstring"), python, b"}")),
        "nested": ("_load_from_bytes", call(name("torch.storage", "_load_from_bytes"), raw(nested.getvalue()))),
        "module called": ("Sequential", call(name("torch.nn.modules.container", "Sequential"))),
        "conv called": ("Conv", call(name("models.common", "Conv"), b"K\x01", b"K\x01")),
        "model called": ("Model", call(model, yaml)),
        "model made with arguments": ("Model", model + args(yaml) + b"\x81"),
        "model made with keywords": ("", model + args() + dictionary(cfg=yaml) + b"\x92"),
        "model changed": ("", model + dictionary(forward=name("models.yolo", "Detect")) + b"b"),
        "parse_model": ("parse_model", call(name("models.yolo", "parse_model"), yaml, b"](K\x03e")),
        "attempt_download": (
            "attempt_download",
            call(name("models.experimental", "attempt_download"), text("http://localhost:9/x")),
        ),
        "requests": ("requests", call(dotted("models.common", "requests.get"), text("http://localhost:9/x"))),
        "torch.load": ("load", call(name("torch", "load"), text("other.pt"))),
        "torch.hub.load": ("load", call(name("torch.hub", "load"), text("x"), text("y"))),
        "torch.jit.load": ("load", call(name("torch.jit", "load"), text("x"))),
        "copyreg": ("_reconstructor", call(name("copyreg", "_reconstructor"), model, name("builtins", "object"), b"N")),
        "extension": ("", b"\x82\x01"),
        **disguised(mark),
    }


def module(cls, **state):
    """A module with the parts that each has, and more."""
    parts = dict.fromkeys(("_parameters", "_buffers", "_modules", "_backward_hooks", "_forward_hooks"), b"}")
    return name(*cls.rsplit(".", 1)) + b")\x81" + dictionary(**dict(parts, **state)) + b"b"


def disguised(mark):
    """Case -> as instructions(): objects that are allowed, made to do what their classes can, or to take for ever."""
    shape = module("models.common.Concat")
    deep, frozen = b")q\x00" + b"h\x00h\x00\x86q\x00" * 60, name("builtins", "frozenset")
    object_type = call(name("numpy", "dtype"), text("O8"), b"\x89", b"\x88")
    found = {
        f"{method} put into a state": (method, module("models.common.Concat", **{method: shape}))
        for method in ("append", "forward", "add", "__setstate__", "extend", "_call_impl")
    }
    sequence = "torch.nn.modules.container.Sequential"
    found.update(
        {
            "append called by APPEND": ("", module(sequence, append=shape) + text("http://localhost:9/x") + b"a"),
            "AutoShape": ("AutoShape", module("models.common.AutoShape")),
            "module as a value": ("stride", module("models.yolo.Model", stride=shape)),
            "hook": ("_forward_hooks", module("models.common.Conv", _forward_hooks=dictionary(a=shape))),
            "model from a path": ("", call(name("models.yolo", "Model"), text(mark))),
            "numpy object": ("O8", call(name("numpy.core.multiarray", "scalar"), object_type, b"C\x08" + b"\x01" * 8)),
            "numpy text": ("U9", call(name("numpy", "dtype"), text("U9"), b"\x89", b"\x88")),
            "numpy class": ("", call(name("numpy", "dtype"), name("models.yolo", "Model"), b"\x89", b"\x88")),
            "deep tuple as a key": ("", b"}(" + deep + b"K\x01u"),
            "deep tuple": ("", deep),
            "frozensets in frozensets": ("", b"]q\x00" + (b"](h\x00h\x00eq\x01" + frozen + b"h\x01\x85Rq\x00") * 60),
            "list in itself": ("", b"]q\x00h\x00a"),
            "decimal digits": ("", b"I" + b"9" * 1_000_000 + b"\n"),
            "a million places of the memo": ("", b"Nr\xff\xff\xff\xff"),
            "a tensor of no memory": ("memory", tensor(b"K\x09\x85", b"K\x01\x85")),
            "endless tensor": ("", tensor(b"J\xff\xff\xff\x7f\x85", b"K\x00\x85", b"K\x01")),
        }
    )
    return found


def tensor(sides, strides, count=b"K\x00"):
    """A tensor of a storage of so many numbers."""
    pid = b"(" + text("storage") + name("torch", "FloatStorage") + text("0") + text("cpu") + count + b"tQ"
    return call(name("torch._utils", "_rebuild_tensor_v2"), pid, b"K\x00", sides, strides, b"\x89", b"N")


class Call:
    def __init__(self, function, *values):
        self.how = function, values

    def __reduce__(self):
        return self.how


def checkpoint(body):
    """A whole checkpoint's pickle whose model is the given object."""
    return b"\x80\x04" + dictionary(epoch=b"J\xff\xff\xff\xff", model=body, ema=b"N", optimizer=b"N") + b"."


def archived(data, path):
    """torch's format since 1.6, with ``data`` in place of its pickle."""
    buffer = io.BytesIO()
    torch.save({}, buffer)
    with zipfile.ZipFile(buffer) as old, zipfile.ZipFile(path, "w") as new:
        for member in old.namelist():
            new.writestr(member, data if member.endswith("/data.pkl") else old.read(member))


def legacy(data, path):
    """torch's format before 1.6: four pickles in a row, ours is the last but one."""
    buffer = io.BytesIO()
    torch.save({}, buffer, _use_new_zipfile_serialization=False)
    buffer.seek(0)
    for _ in range(3):  # magic number, protocol, system
        pickle.load(buffer)
    head = buffer.getvalue()[: buffer.tell()]
    path.write_bytes(head + data + pickle.dumps([], 2))


def tarred(data, path):
    """torch's format before 0.1.10."""
    with tarfile.open(path, "w") as archive:
        for member, content in (
            ("storages", pickle.dumps(0, 2) + pickle.dumps([], 2)),
            ("tensors", pickle.dumps(0, 2)),
            ("pickle", data),
        ):
            info = tarfile.TarInfo(member)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def program(data, path):
    """A TorchScript archive, which torch.load takes for a checkpoint and runs; with our pickle in it."""
    archived(data, path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("archive/constants.pkl", b"\x80\x02).")
        archive.writestr("archive/code/__torch__.py", b"")


def wanted(case, kind, expected):
    """What the refusal has to say in this form: a whole file is refused as such, a lone pickle for its names alone."""
    whole = {"program": "TorchScript", "tar": "tar archive"}
    return whole.get(kind) or ("" if kind == "bare" and case in disguised("") else expected)


FORMATS = {
    "archive": archived,
    "program": program,
    "legacy": legacy,
    "tar": tarred,
    "bare": lambda data, path: path.write_bytes(data),
}


def attempt(function, *values):
    """How a call ended: the exception's class and text, or None."""
    try:
        function(*values)
    except BaseException as error:  # whatever a hostile file raises is the result
        return [type(error).__name__, str(error)]
    return None


def load_each():
    found = {}
    MARKS.mkdir()
    FILES.mkdir()
    cases = list(instructions(""))
    for case in cases:
        for kind, write in FORMATS.items():
            key = f"{case} ({kind})"
            mark = MARKS / str(len(found))  # its name must not be found in the refusal
            expected, body = instructions(str(mark))[case]
            expected = wanted(case, kind, expected)
            path = FILES / (mark.name + ".pt")
            write(checkpoint(body), path)
            found[key] = {
                "expected": expected,
                "attempt_load": attempt(attempt_load, str(path)),
                "strip_optimizer": attempt(strip_optimizer, str(path)),
                "load_checkpoint": attempt(utils.checkpoint.load_checkpoint, path),
                "ran": mark.exists(),
            }
            if mark.exists():
                return found  # where one runs, another hangs
    return found


def opened(path, *values, **named):
    """open() for models/yolo.py; a file among the marks is made."""
    if MARKS in Path(str(path)).parents:
        Path(str(path)).touch()
    return open(path, *values, **named)


def poisoned():
    """An honest checkpoint whose model's yaml names code or a file; and what each program makes of it."""
    found = {}
    models.yolo.open = opened
    for place, spoil in {
        "module": lambda yaml, mark: yaml["backbone"][0].__setitem__(2, PYTHON.format(mark)),
        "argument": lambda yaml, mark: yaml["backbone"][0][3].__setitem__(0, PYTHON.format(mark)),
        "file": lambda yaml, mark: yaml["backbone"].insert(0, [-1, 1, "Model", [str(mark)]]),
        "depth": lambda yaml, mark: yaml.__setitem__("depth_multiple", 1e9),
    }.items():
        mark = MARKS / f"yaml-{place}"
        data = utils.checkpoint.load_checkpoint(honest)
        spoil(data["model"].yaml, mark)
        path = FILES / f"yaml-{place}.pt"
        torch.save(data, path)
        found[place] = {
            "attempt_load": attempt(attempt_load, str(path)),
            "Model": attempt(models.yolo.Model, data["model"].yaml),
            "ran": mark.exists(),
        }
    return found


def plain():
    """Which payloads plain pickle runs, to know that the test's own files are dangerous."""
    ran = []
    folder = Path("plain").resolve()
    folder.mkdir()
    for case in "os.system", "builtins.eval", "getattr", "INST", "OBJ", "dotted tree", "nested":
        mark = folder / case.replace(" ", "-")
        attempt(pickle.loads, checkpoint(instructions(str(mark))[case][1]))
        if mark.exists():
            ran.append(case)
    return ran


result = {"honest": attempt(attempt_load, honest)}
if not result["honest"]:
    result.update(cases=load_each(), yaml=poisoned(), plain=plain())
sys.stdout.flush()
with open("hostile.json", "w", encoding="utf-8") as file:
    json.dump(result, file, indent=1)
