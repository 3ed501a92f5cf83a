"""The rules: which kinds of place name a device, or may run or fetch what a file says; why, and what to do about one.

Only data.  :mod:`porter.auditing.scan` finds the places.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

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
    """A kind of place.

    Attributes:
        id: as reports and the list of allowed places have it.
        title: what such a place is.
        why: what goes wrong on a device that upstream did not know.
        instead: what to write in a patch.
        by_condition: a condition on the accelerator around such a place (``if acc.half:``) decides it well.
        follows: such a place takes the device that it is given, so it is allowed as it stands; says why.
        any_device: it is about files, texts and servers, and not about devices.
    """

    id: str
    title: str
    why: str
    instead: str
    by_condition: bool = False
    follows: str = ""
    any_device: bool = False


_ALL = (
    Rule(
        "device-api",
        "the module of one kind of device, torch.cuda or a plugin's",
        "On another device the call raises, or answers for the wrong one: 0 bytes reserved, nothing synchronised.",
        "Ask the accelerator: accelerator.get(device).synchronize(), .memory_reserved(), .device_count().",
    ),
    Rule(
        "device-method",
        "a method or attribute of tensors and modules that names a device: .cuda(), .mlu(), .is_cuda",
        "It moves to that kind of device, whatever --device says, and does not exist without its plugin.",
        "Write .to(device), with the device that was selected; compare devices rather than asking .is_cuda.",
    ),
    Rule(
        "device-literal",
        "the name of a device, written out and used as one: 'cuda', 'cuda:0', 'torch.cuda.FloatTensor'",
        "It names one kind of device where any may be in use.",
        "Take the device from select_device() or from a tensor, the name from accelerator.get(device).type.",
    ),
    Rule(
        "device-index",
        "a device by its number alone: .to(0), device=0, device_ids=[0]",
        "PyTorch takes a bare number for CUDA, or for whatever accelerator was loaded last.",
        "Take the device from select_device(), from a tensor, or from accelerator.get(device).device([index]).",
    ),
    Rule(
        "device-type",
        "a decision by a device's type: device.type != 'cpu', device == 'cpu'",
        "'Not the CPU' meant CUDA and all that it can do; another device takes the same branch and fails there.",
        "Ask what the branch is about: accelerator.get(device).half, .amp, .host_nms, .data_parallel.",
    ),
    Rule(
        "host-literal",
        "the host by name: torch.device('cpu'), 'cpu'",
        "What is put there leaves the device, and meets tensors that did not.",
        "Follow a tensor's device; where the host is meant, let the accelerator say when, or allow it with the reason.",
        by_condition=True,
    ),
    Rule(
        "device-default",
        "a device where none was asked for: the default of a parameter or of --device, torch.set_default_device",
        "Other machines lack the device that it names; a default of the whole process reaches code that is not ours.",
        "Let the default be '' or None, which select_device() resolves.",
    ),
    Rule(
        "device-handed-on",
        "a device handed on: .to(device), device=x.device, attempt_load(w, device)",
        "None by itself. It is listed because a device passes here, and a wrong one would.",
        "Nothing.",
        follows="follows the device that it is given",
    ),
    Rule(
        "visible-devices",
        "an environment variable that chooses CUDA devices or settings",
        "Each vendor has a variable of its own (MLU_VISIBLE_DEVICES), and it has to be set before its plugin loads.",
        "Let the accelerator's select() do it.",
    ),
    Rule(
        "backend-flags",
        "switches of one library: torch.backends.cudnn and its like",
        "They say nothing to other devices: what they promise (determinism, speed) does not hold there.",
        "Allow it where it is harmless elsewhere, and see that what it promises is had otherwise (accelerator.seed()).",
    ),
    Rule(
        "amp",
        "autocast or a gradient scaler, imported or used",
        "torch.cuda.amp casts for CUDA only: elsewhere training is silently in FP32, or the scaler raises.",
        "Use accelerator.get(device).autocast() and .scaler().",
    ),
    Rule(
        "half-precision",
        "a choice of FP16 or BF16: .half(), torch.float16",
        "Not every device computes in FP16, the host among them, and not with every operator.",
        "Make it depend on accelerator.get(device).half; where only a file is written or nothing computed, allow it.",
        by_condition=True,
    ),
    Rule(
        "checkpoint-load",
        "a file loaded with its devices: torch.load whose map_location is not the host, torch.jit.load without one",
        "Tensors are made on the device that wrote them, or twice on the one in use; without that device's plugin the "
        "file cannot be read at all.",
        "Use utils.checkpoint.load_checkpoint(), or map_location='cpu', then .to(device); for TorchScript "
        "map_location=device.",
    ),
    Rule(
        "loader-option",
        "an option that presumes a kind of device for copies: pin_memory, non_blocking",
        "Pinned memory is CUDA's. Elsewhere it is ignored with a warning, unsupported, or asks for a CUDA device.",
        "Use accelerator.current().loader_options() for a DataLoader, accelerator.get(device).upload() for a copy.",
    ),
    Rule(
        "factory",
        "a tensor made without a device, in code that runs on one",
        "It lies on the host: the next operation with a tensor of the device raises, or copies and waits.",
        "Say device=x.device. Where it is meant for the host, allow it with the reason.",
        by_condition=True,
    ),
    Rule(
        "parallel",
        "several devices at once: DataParallel, SyncBatchNorm, device_ids",
        "DataParallel is for CUDA; SyncBatchNorm takes operators that a plugin may lack; device_ids number CUDA's.",
        "Use accelerator.get(device).data_parallel, .sync_batchnorm(model), and .ddp_options(device) for DDP.",
        by_condition=True,
    ),
    Rule(
        "distributed-backend",
        "a backend of torch.distributed by name, or a question about one: 'nccl', is_nccl_available()",
        "Each device has its own (cncl, sccl, hccl); NCCL moves CUDA tensors alone.",
        "Use accelerator.get(device).distributed_backend().",
    ),
    Rule(
        "runtime-device",
        "another runtime's choice of device: ONNX Runtime's providers, TensorRT, OpenCV's DNN_TARGET_CUDA, tf.device",
        "The exported model then runs on another device than --device says, or not at all.",
        "Choose it from the device in use, or allow it with the reason.",
    ),
    Rule(
        "shell",
        "a command line given to a shell: os.system(), shell=True",
        "What stands behind a semicolon or in $() runs, wherever the words of the line come from.",
        "Start the program with a list of its arguments, or do it in Python.",
        any_device=True,
    ),
    Rule(
        "program",
        "another program started: subprocess.run(), os.execv()",
        "A file may have chosen the program, or an option of it.",
        "Do it in Python; where the program and its options stand in the code, allow it with the reason.",
        any_device=True,
    ),
    Rule(
        "code-from-text",
        "a text that becomes code: eval(), exec(), an import by a name that is no constant",
        "The text may come from a file of a stranger, which then does what the user can do.",
        "Use int(), ast.literal_eval() or a table of names; for a text of the tree's own, allow it with the reason.",
        any_device=True,
    ),
    Rule(
        "stored-code",
        "a file that can hold code, read so that it runs: torch.load(), numpy.load(), yaml.load(), torch.hub.load()",
        "A pickle, TorchScript, a TensorFlow graph and yaml's tags run what they name while they are read.",
        "Use utils.checkpoint.load_checkpoint(), numpy.load(allow_pickle=False), yaml.safe_load() or JSON.",
        any_device=True,
    ),
    Rule(
        "network",
        "something fetched or sent: requests.get(), urlopen(), torch.hub.download_url_to_file()",
        "A file may have named the server, and the answer is a stranger's.",
        "Fetch what the user names, by utils.downloads.fetch(), which the check downloads holds; allow it saying why.",
        any_device=True,
    ),
)
RULES = {rule.id: rule for rule in _ALL}

# What one asks of the accelerator, and the rule whose places that replaces; whatever is not here is device-api's.
ASKED = {
    "autocast": "amp",
    "scaler": "amp",
    "scaler_fp16": "amp",
    "amp": "amp",
    "half": "half-precision",
    "loader_options": "loader-option",
    "upload": "loader-option",
    "ddp_options": "parallel",
    "data_parallel": "parallel",
    "sync_batchnorm": "parallel",
    "distributed_backend": "distributed-backend",
    "host_nms": "host-literal",
    "device": "device-literal",
    "type": "device-type",
}


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
