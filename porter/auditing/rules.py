"""The rules: which kinds of place name a device, or may run or fetch what a file says; why, and what to do about one.

They are in ``rules.ini``.  :mod:`porter.auditing.scan` finds the places.
"""

from __future__ import annotations

import re
from configparser import ConfigParser
from dataclasses import dataclass
from pathlib import Path

# The package of the ported tree whose object stands for the device, as a module and as a folder.
ACCELERATOR = "utils.accelerator"
ACCELERATOR_FOLDER = "utils/accelerator/"

# Device types that a build of PyTorch or a vendor's plugin knows, other than the host's.
TYPES = (
    "cuda",
    "mlu",
    "tpu",
    "npu",
    "xpu",
    "mps",
    "musa",
    "hpu",
    "xla",
    "ipu",
    "gcu",
    "sdaa",
    "vulkan",
    "privateuseone",
)
# Modules that are one vendor's, beside torch.<type>.
PLUGINS = (
    *(f"torch_{kind}" for kind in TYPES),
    "intel_extension_for_pytorch",
    "torch_directml",
    "tensorrt",
    "pycuda",
    "cupy",
    "pynvml",
    "numba.cuda",
)
BACKENDS = ("nccl", "gloo", "mpi", "cncl", "sccl", "hccl", "mccl", "xccl", "ccl")

DEVICE_WORD = re.compile(rf"({'|'.join(TYPES)}|gpu)(:(\d+)?)?", re.IGNORECASE)
INDEX_WORD = re.compile(r"\d+(,\d+)*")
TENSOR_TYPE = re.compile(rf"torch\.({'|'.join(TYPES)})\.\w+Tensor")
VISIBLE = re.compile(
    r"[A-Z]+_VISIBLE_DEVICES|CUDA_(DEVICE_ORDER|LAUNCH_BLOCKING)|PYTORCH_CUDA_ALLOC_CONF|CUBLAS_WORKSPACE_CONFIG"
)
RUNTIME_WORD = re.compile(r"\w+ExecutionProvider")


@dataclass(frozen=True)
class Rule:
    """A kind of place, as ``rules.ini`` beside this describes it; what each field means, that file says."""

    id: str
    title: str
    why: str
    instead: str
    by_condition: bool
    follows: str
    any_device: bool
    names: frozenset[str]
    asked: tuple[str, ...]


def _read() -> dict[str, Rule]:
    parser = ConfigParser(interpolation=None)
    parser.read_string(Path(__file__).with_name("rules.ini").read_text(encoding="utf-8"))
    found = {}
    for name, section in parser.items():
        if name != parser.default_section:
            title, why, instead = (" ".join(section[field].split()) for field in ("title", "why", "instead"))
            found[name] = Rule(
                id=name,
                title=title,
                why=why,
                instead=instead,
                by_condition=section.getboolean("by_condition", False),
                follows=section.get("follows", ""),
                any_device=section.getboolean("any_device", False),
                names=frozenset(section.get("names", "").split()),
                asked=tuple(section.get("asked", "").split()),
            )
    return found


RULES = _read()
# what one asks of the accelerator, and the rule whose places that replaces; whatever is not here is device-api's
ASKED = {word: rule.id for rule in RULES.values() for word in rule.asked}


# A place in a tree's Python that names a device, and what is said of it.

ROUTED, ALLOWED, UNPORTED = "routed", "allowed", "not ported"
WORST = {ROUTED: 0, ALLOWED: 1, UNPORTED: 2}  # what counts of several on one line: the highest


@dataclass(frozen=True)
class Place:
    """One place: at most one of each rule on a line.

    Attributes:
        rule: its rule's id.
        path: the file in the tree.
        line, column, end_line, end_column: where, from 1; the end is the first column behind it.
        function: the function around it, ``Detect._make_grid``; ``<module>`` outside of any.
        code: the line without its comment, blanks made single: what an allowance is tied to.
        what: the expression.
        state: ``routed``, ``allowed`` or ``not ported``.
        reason: why it is not ``not ported``.
    """

    rule: str
    path: str
    line: int
    column: int
    end_line: int
    end_column: int
    function: str
    code: str
    what: str
    state: str
    reason: str

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What stays the same when lines move: path, function, rule, code."""
        return (self.path, self.function, self.rule, self.code)

    def __str__(self) -> str:
        reason = f" ({self.reason})" if self.state == ALLOWED else ""
        return f"{self.path}:{self.line}: {self.rule}: {self.what}: {self.state}{reason}"
