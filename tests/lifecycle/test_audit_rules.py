"""Each rule finds what it is for and leaves alone what only looks like it."""

from __future__ import annotations

import ast
from textwrap import dedent

import pytest

from porter.auditing.rules import ALLOWED, ROUTED, RULES, UNPORTED, Place
from porter.auditing.scan import scan
from porter.errors import CheckFailed

HEAD = "import torch\nimport torch.nn as nn\nimport torch.distributed as dist\nfrom utils import accelerator\n"


def look(code: str, head: str = HEAD, path: str = "train.py", **others: str) -> list[Place]:
    """The places in a snippet, behind the imports; ``others`` are more modules of the tree, by name."""
    files = {path: (head + dedent(code)).encode()}
    files.update({name.replace("__", "/") + ".py": text.encode() for name, text in others.items()})
    return [place for place in scan(files) if place.path == path]


def found(code: str, state: str = UNPORTED, head: str = HEAD) -> set[str]:
    """The rules about devices of a snippet's places in one state."""
    places = look(code, head)
    return {place.rule for place in places if place.state == state and not RULES[place.rule].any_device}


FINDS = [
    ("device-api", "x = torch.cuda.memory_reserved() / 1E9"),
    ("device-api", "torch.mlu.synchronize()"),
    ("device-api", "assert torch.cuda.device_count() > 1"),
    ("device-api", "from torch import cuda\ncuda.empty_cache()"),
    ("device-api", "import torch.cuda as c\nc.synchronize()"),
    ("device-api", "c = torch.cuda\nc.synchronize()"),
    ("device-api", "getattr(torch, 'cuda').synchronize()"),
    ("device-api", "def f(x: torch.cuda.Event): pass"),
    ("device-api", "print(f'{torch.cuda.memory_reserved() / 1E9:.3g}G')"),
    ("device-api", "@torch.cuda.device(0)\ndef f(): pass"),
    ("device-api", "import torch_mlu"),
    ("device-api", "import importlib\nimportlib.import_module('torch_tpu')"),
    ("device-api", "torch.is_mlu_available()"),
    ("device-api", "torch.accelerator.current_device_index()"),
    ("device-api", "y = x.type(torch.cuda.FloatTensor)"),
    ("device-method", "x = x.cuda()"),
    ("device-method", "x = nn.Conv2d(1, 1, 1).cuda(0)"),
    ("device-method", "x = x.mlu()"),
    ("device-method", "if next(model.parameters()).is_cuda: pass"),
    ("device-literal", "x.to('cuda')"),
    ("device-literal", "d = torch.device('cuda', 1)"),
    ("device-literal", "torch.zeros(1, device='cuda:0')"),
    ("device-literal", "x.to(device='mlu' if big else 'cpu')"),
    ("device-literal", "x.to(f'cuda:{rank}')"),
    ("device-literal", "x.to('cuda:' + str(rank))"),
    ("device-literal", "device = device.replace('cuda:', '')"),
    ("device-literal", "if str(device).startswith('cuda'): pass"),
    ("device-literal", "device = 'cuda'"),
    ("device-literal", "self.device = 'cuda'"),
    ("device-literal", "def pick_device():\n    return 'cuda'"),
    ("device-literal", "y = x.type('torch.cuda.FloatTensor')"),
    ("device-literal", "select_device('cuda:1')"),
    ("device-literal", "torch.Generator('cuda')"),
    ("device-index", "x.to(0)"),
    ("device-index", "torch.zeros(1, device=0)"),
    ("device-index", "dist.barrier(device_ids=[0])"),
    ("device-index", "select_device('0,1')"),
    ("device-type", "cuda = device.type != 'cpu'"),
    ("device-type", "if p.device.type in ('cpu', 'mps'): pass"),
    ("device-type", "cpu = device == 'cpu'"),
    ("device-type", "if 'cuda' in str(device): pass"),
    ("device-type", "acc = accelerator.get(x)\nif acc.type == 'cuda': pass"),
    ("host-literal", "x.to('cpu')"),
    ("host-literal", "attempt_load(w, map_location=torch.device('cpu'))"),
    ("host-literal", "x.to(d or 'cpu')"),
    ("device-default", "def f(device='cpu'): pass"),
    ("device-default", "def f(*, device=torch.device('cpu')): pass"),
    ("device-default", "parser.add_argument('--device', default='0', help='a device')"),
    ("device-default", "torch.set_default_tensor_type('torch.FloatTensor')"),
    ("visible-devices", "import os\nos.environ['CUDA_VISIBLE_DEVICES'] = '-1'"),
    ("visible-devices", "import os\nos.getenv('CUDA_VISIBLE_DEVICES')"),
    ("visible-devices", "import os\nos.environ.get('MLU_VISIBLE_DEVICES', '')"),
    ("visible-devices", "from os import environ\nenviron.setdefault('CUDA_LAUNCH_BLOCKING', '1')"),
    ("visible-devices", "run(cmd, env={'CUDA_VISIBLE_DEVICES': '0'})"),
    ("backend-flags", "import torch.backends.cudnn as cudnn"),
    ("backend-flags", "import torch.backends.cudnn as c\nc.benchmark = True"),
    ("backend-flags", "torch.backends.cuda.matmul.allow_tf32 = True"),
    ("amp", "from torch.cuda import amp"),
    ("amp", "import torch.cuda.amp as x\nwith x.autocast(): pass"),
    ("amp", "from torch.cuda.amp import autocast as ac\nwith ac(): pass"),
    ("amp", "scaler = torch.cuda.amp.GradScaler(enabled=True)"),
    ("amp", "with torch.autocast('cuda'): pass"),
    ("amp", "scaler = torch.amp.GradScaler(kind)"),
    ("half-precision", "model.half()"),
    ("half-precision", "x = x.to(torch.float16)"),
    ("half-precision", "x = x.half() if cuda else x.float()"),
    ("half-precision", "x = torch.zeros(1, dtype=torch.bfloat16)"),
    ("checkpoint-load", "ckpt = torch.load(f)"),
    ("checkpoint-load", "ckpt = torch.load(f, map_location=device)"),
    ("checkpoint-load", "ckpt = torch.load(f, device)"),
    ("checkpoint-load", "from torch import load as read\nread(f)"),
    ("checkpoint-load", "m = torch.jit.load(f)"),
    ("loader-option", "DataLoader(data, pin_memory=True)"),
    ("loader-option", "x.to(device, non_blocking=True)"),
    ("loader-option", "x = x.pin_memory()"),
    ("factory", "def f(x):\n    return torch.zeros(3) + x.to(x.device)"),
    ("factory", "def f(x, device):\n    return x * torch.tensor([1.])"),
    ("factory", "class L(nn.Module):\n    def forward(self, x):\n        return x + torch.arange(3)"),
    ("factory", "def f(x, device):\n    def g():\n        return torch.linspace(0, 1, 10)\n    return g"),
    ("factory", "def f(model, device):\n    return model(torch.zeros(1)).to(device)"),
    ("parallel", "model = torch.nn.DataParallel(model)"),
    ("parallel", "from torch.nn.parallel import DistributedDataParallel as DDP\nmodel = DDP(model)"),
    ("parallel", "DDP(model, device_ids=[rank], output_device=rank)"),
    ("parallel", "model = nn.SyncBatchNorm.convert_sync_batchnorm(model)"),
    ("parallel", "dist.barrier(**({'device_ids': [rank]} if nccl else {}))"),
    ("distributed-backend", "dist.init_process_group(backend='nccl' if dist.is_nccl_available() else 'gloo')"),
    ("distributed-backend", "dist.init_process_group('nccl')"),
    ("distributed-backend", "dist.init_process_group()"),
    ("distributed-backend", "if dist.get_backend() == 'nccl': pass"),
    ("runtime-device", "session = onnxruntime.InferenceSession(w, None)"),
    ("runtime-device", "providers = ['CUDAExecutionProvider', 'CPUExecutionProvider']"),
    ("runtime-device", "import tensorrt as trt\nlogger = trt.Logger(0)"),
    ("runtime-device", "import cv2\nnet.setPreferableTarget(cv2.dnn.DNN_TARGET_CUDA)"),
    ("runtime-device", "import tensorflow as tf\nwith tf.device('/GPU:0'): pass"),
]


@pytest.mark.parametrize(("rule", "code"), FINDS)
def test_finds(rule: str, code: str) -> None:
    head = HEAD + ("import onnxruntime\n" if "onnxruntime" in code else "")
    assert rule in found(code, head=head)


def test_every_rule_has_a_case() -> None:
    devices = {rule.id for rule in RULES.values() if not rule.any_device}  # the rest: test_audit_untrusted.py
    assert {rule for rule, _ in FINDS} | {"device-handed-on"} == devices
    for rule in RULES.values():
        assert rule.title and rule.why and rule.instead


@pytest.mark.parametrize(
    "code",
    [
        "x.to(device)",
        "x.to(y.device)",
        "def f(x):\n    d = x.device\n    return torch.zeros(1, device=d)",
        "x = torch.zeros(3, device=y.device)",
        "model = attempt_load(w, map_location=device)",
        "train(hyp, opt, device, callbacks)",
    ],
)
def test_a_device_handed_on_is_allowed(code: str) -> None:
    assert found(code, ALLOWED) == {"device-handed-on"}
    assert found(code) == set()


def test_a_load_into_host_memory_is_allowed() -> None:
    for where in "'cpu'", "torch.device('cpu')":
        assert found(f"torch.load(f, map_location={where})", ALLOWED) == {"checkpoint-load", "host-literal"}
        assert found(f"torch.load(f, map_location={where})") == set()
    assert found("torch.jit.load(f, map_location=device)", ALLOWED) == {"checkpoint-load"}


def test_a_default_that_chooses_nothing_is_allowed() -> None:
    for code in "def f(device=''): pass", "def f(device=None): pass", "p.add_argument('--device', default='')":
        assert found(code, ALLOWED) == {"device-default"} and found(code) == set()


DECOYS = [
    "# torch.cuda.empty_cache(), model.cuda()",
    '"""torch.cuda.amp.autocast, .cuda(), device.type != \'cpu\'"""',
    "def f():\n    '''x.to('cuda'); os.environ['CUDA_VISIBLE_DEVICES']'''",
    "print('cuda', 'nccl', 'cuda:0')",
    "LOGGER.info(f'CUDA:{0} on cuda:0, nccl, pin_memory=True')",
    "help = 'cuda device, i.e. 0 or 0,1,2,3 or cpu'",
    "p.add_argument('--weights', default='cuda', help='cuda device')",
    "self.cuda_note = 1",
    "print(self.cuda_note, cfg.cuda, opt.half, args.pin_memory)",
    "counts = {'cuda': 1, 'nccl': 2, 'cpu': 3}",
    "counts['cuda'] = counts['cpu'] + 1",
    "names.add('cuda')",
    "def cuda():\n    return 1\ncuda()",
    "import player\nplayer.cuda()",
    "import numpy as np\nx = np.zeros(3).astype(np.float16)",
    "import tensorflow as tf\ntypes = [tf.float16]",
    "def f(torch):\n    return torch.cuda.is_available()",
    "def f(amp):\n    return amp.autocast()",
    "for cuda in range(3):\n    print(cuda.bit_length)",
    "assert ok, 'CUDA unavailable, invalid device requested'",
    "if name == 'cuda': pass",
    "if suffix in ('cpu', 'cuda'): pass",
    "text.replace('cuda', 'gpu').split('cpu')",
    "x.to(torch.float32)",
    "x.to(other.dtype)",
    "x.type(tobj.dtype)",
    "if x.dtype is torch.float16: pass",
    "if x.dtype in (torch.half, torch.bfloat16): pass",
    "DataLoader(data, pin_memory=False)",
    "x.to(y, non_blocking=False)",
    "zeros = [torch.zeros_like(x), torch.full_like(x, 1)]",
    "torch.save(x, f)",
    "json.load(f)",
    "if type(model) in (nn.parallel.DataParallel, nn.parallel.DistributedDataParallel): pass",
    "from torch.nn.parallel import DistributedDataParallel as DDP",
    "def f(n):\n    return torch.zeros(n)",  # no device in sight: made on the host, for the host
    "class L(nn.Module):\n    def __init__(self):\n        self.w = nn.Parameter(torch.ones(3))",
    "w = torch.zeros(3)",
    "cuda = 3\nx = cuda + 1",
    "backend = 'agg'",
    "run(backend='TkAgg')",
    "env = 'CUDA_VISIBLE_DEVICES'",
    "settings = {'CUDA_VISIBLE_DEVICES': '0'}",
    "x.cpu()",
    "note = 'CUDAExecutionProvider is an ONNX Runtime provider'",
    "step(to=0, index=0)",
]


@pytest.mark.parametrize("code", DECOYS)
def test_leaves_decoys_alone(code: str) -> None:
    ast.parse(code)
    assert look(code) == []


def test_there_are_enough_decoys() -> None:
    assert len(set(DECOYS)) >= 40


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        ("amp", "acc = accelerator.get(device)\nwith acc.autocast(enabled=acc.amp): pass"),
        ("device-api", "accelerator.current().synchronize()"),
        ("device-api", "from utils.accelerator import get\nget(x).empty_cache()"),
        ("device-api", "acc, indices = accelerator.parse(x)\nacc.select(indices)"),
        ("loader-option", "DataLoader(data, **accelerator.current().loader_options())"),
        ("parallel", "acc = accelerator.get(d)\nmodel = nn.parallel.DistributedDataParallel(m, **acc.ddp_options(d))"),
        ("parallel", "acc = accelerator.get(d)\nif acc.data_parallel and n > 1:\n    m = nn.DataParallel(m)"),
        ("half-precision", "def f(half, x):\n    half &= accelerator.get(x).half\n    return m.half() if half else m"),
        (
            "half-precision",
            "def f(half, d):\n    assert accelerator.get(d).half or not half, 'no'\n    if half:\n        m.half()",
        ),
        ("half-precision", "acc = accelerator.get(d)\nx = acc.upload(x, d, torch.half if half else torch.float)"),
        ("host-literal", "acc = accelerator.get(d)\nhost = torch.device('cpu') if acc.host_nms else d"),
        (
            "factory",
            "def f(x, device):\n    acc = accelerator.get(x)\n    return acc.upload(torch.from_numpy(x), device)",
        ),
        ("distributed-backend", "dist.init_process_group(backend=accelerator.get(d).distributed_backend())"),
    ],
)
def test_what_goes_through_the_accelerator_is_routed(rule: str, code: str) -> None:
    assert rule in found(code, ROUTED)
    assert rule not in found(code)


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        # a device is no answer, its API no matter of precision, and a condition that a device makes decides nothing
        ("device-api", "acc = accelerator.get(d)\nif acc.half:\n    torch.cuda.empty_cache()"),
        ("amp", "acc = accelerator.get(d)\nif acc.amp:\n    s = torch.cuda.amp.GradScaler()"),
        ("half-precision", "def f(half, d):\n    acc = accelerator.get(d)\n    if half:\n        m.half()"),
        ("half-precision", "acc = accelerator.get(d)\ndevice = acc.device()\nif device:\n    m.half()"),
        ("half-precision", "acc = accelerator.get(d)\nif acc.type == 'cuda':\n    m.half()"),
        ("parallel", "acc = accelerator.get(d)\nif acc.data_parallel:\n    pass\nm = nn.DataParallel(m)"),
        ("device-api", "acc = accelerator.get(d)\nacc.upload(x, torch.cuda.current_device())"),
    ],
)
def test_an_accelerator_nearby_is_not_enough(rule: str, code: str) -> None:
    assert rule in found(code)


def test_the_accelerator_itself_is_routed() -> None:
    code = "class CUDA:\n    def select(self):\n        assert torch.cuda.is_available()\n"
    (place,) = look(code, path="utils/accelerator/cuda.py")
    assert (place.state, place.function) == (ROUTED, "CUDA.select")


def test_a_name_that_is_an_import_once_stays_one() -> None:
    """try: import …; except ImportError: amp = None, and its like."""
    code = "try:\n    from torch.cuda import amp\nexcept ImportError:\n    amp = None\ns = amp.GradScaler()\n"
    assert [place.line for place in look(code)] == [6, 9]


def test_names_of_a_class_are_not_its_methods() -> None:
    code = "class A:\n    import torch.cuda as c\n    c.init()\n    def f(self, c):\n        c.init()\n"
    assert [place.line for place in look(code)] == [6, 7]
    assert [place.line for place in look(code.replace("self, c", "self"))] == [6, 7]


def test_what_is_computed_on_a_flag_is_no_flag() -> None:
    """Else every result of a model in the right precision would count as the accelerator's word."""
    code = "def f(half, d, m):\n    half &= accelerator.get(d).half\n    y = m(half)\n    if y:\n        m.half()\n"
    assert found(code) == {"half-precision"}


def test_star_imports_bring_names_from_the_tree() -> None:
    """models/yolo.py of v6.0 has torch from models/common.py alone."""
    code = "from models.common import *\ncudnn.benchmark = True\nc.empty_cache()\n"
    common = "from models.base import *\nimport torch.cuda as c\n"
    base = "import torch.backends.cudnn as cudnn\n"
    places = look(code, "", models__common=common, models__base=base)
    assert [(place.line, place.rule) for place in places] == [(2, "backend-flags"), (3, "device-api")]


def test_modules_that_star_import_each_other() -> None:
    assert look("from a import *\ntorch.cuda.synchronize()\n", "", a="from b import *\n", b="from a import *\n")


def test_relative_imports() -> None:
    places = look("from . import accelerator\naccelerator.current().synchronize()\n", "", path="utils/loss.py")
    assert [(place.rule, place.state) for place in places] == [("device-api", ROUTED)]


def test_a_place_says_where_it_is() -> None:
    code = """\
    class Detect(nn.Module):
        def forward(self, x):
            if True:
                é = 'é'; y   =  x.cuda()  # to the card: x.cuda()
            return y
    """
    (place,) = look(code)
    assert (place.line, place.column, place.end_line, place.end_column) == (8, 29, 8, 37)
    assert place.function == "Detect.forward"
    assert place.code == "é = 'é'; y = x.cuda()"
    assert str(place) == "train.py:8: device-method: .cuda(): not ported"


def test_one_place_a_line_and_rule_and_the_worst_state_counts() -> None:
    (place,) = look("x = torch.cuda.is_available() and torch.cuda.device_count() and torch.cuda.is_available()")
    assert place.what == "torch.cuda.is_available(), torch.cuda.device_count()"
    places = look("a = accelerator.current().memory_reserved() or torch.cuda.memory_reserved()")
    assert [(place.rule, place.state) for place in places] == [("device-api", UNPORTED)]


def test_an_f_string_over_several_lines_is_where_it_begins() -> None:
    """Python before 3.12 counts lines in it on its own."""
    (place,) = look("x = 1\ny = f'''\na\n{torch.cuda.memory_reserved()}\n'''\n", "import torch\n")
    assert (place.line, place.code) == (3, "y = f'''")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"def broken(:\n", "train.py:1: not Python"),
        (b"x = 1\nprint 'two'\n", "train.py:2: not Python"),
        (b"x = '\xff'\n", "train.py:1: not Python"),
        (b"# coding: nonsense\n", "train.py:1: not Python"),
        (b"x = 1\0\n", "train.py:1: not Python"),
    ],
)
def test_what_is_not_python(data: bytes, says: str) -> None:
    with pytest.raises(CheckFailed) as caught:
        scan({"train.py": data})
    assert says in caught.value.what


def test_other_encodings_and_line_ends() -> None:
    data = "# coding: latin-1\r\nx = 'é'; y = z.cuda()\r\n".encode("latin-1")
    (place,) = scan({"a.py": data})
    assert (place.line, place.column, place.code) == (2, 14, "x = 'é'; y = z.cuda()")
    (place,) = scan({"a.py": b"\xef\xbb\xbfx.cuda()\n"})
    assert place.line == 1
    assert scan({"a.py": b""}) == []
