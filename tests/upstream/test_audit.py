"""``porter audit`` on the real v6.0, pristine and ported."""

from __future__ import annotations

import ast
import json
import re
import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from porter.auditing import read
from porter.auditing.rules import ALLOWED, RULES, UNPORTED, Place
from porter.auditing.scan import scan
from porter.commands.audit import audit
from porter.project import Project

from .harness import CHECKOUT, Tree, porter

# Where people who ported v6.0 by hand found that it names a device: a line, or the first and last of several.
KNOWN = {
    "train.py": [
        *(24, 100, 116, (199, 202), (205, 207), 241, 262, 314, 337, 416, 430, 452, (507, 513)),
    ],
    "val.py": [91, 124, 137, 166, 309],
    "detect.py": [17, 41, 82, 89, 123, 275],
    "export.py": [253, 277, 336],
    "hubconf.py": [43, 46, 51],
    "models/common.py": [18, 316, 345],
    "models/experimental.py": [(88, 94)],
    "models/yolo.py": [306, 320],
    "utils/torch_utils.py": [(54, 90), 133, 142],
    "utils/general.py": [(103, 108), 703],
    "utils/autoanchor.py": [(30, 60)],
    "utils/loss.py": [(171, 181)],
    "utils/loggers/__init__.py": [60],
    "utils/aws/resume.py": [(19, 30)],
    "utils/datasets.py": [119],
}
# Of these lines themselves no device can be told; what they lead to is on another line.
ELSEWHERE = {("train.py", 241): 242}  # `if cuda and RANK != -1:`; the DDP call with its device_ids is in it

# In those ranges, and where the list only gives a file, every line that has a place, and its rules.
PLACES = {
    "train.py": {
        24: "amp",
        100: "device-type",
        116: "checkpoint-load stored-code",
        199: "device-api",
        202: "parallel",
        206: "device-handed-on parallel",
        242: "parallel",
        262: "amp",
        314: "amp",
        337: "device-api",
        416: "device-handed-on half-precision",
        430: "device-api",
        452: "device-default",
        507: "device-api",
        511: "device-api",
        512: "device-literal",
        513: "distributed-backend",
    },
    "utils/torch_utils.py": {
        58: "device-default",
        61: "device-literal",
        62: "device-type",
        64: "visible-devices",
        66: "visible-devices",
        67: "device-api",
        69: "device-api",
        71: "device-index",
        77: "device-api",
        83: "device-literal host-literal",
        88: "device-api",
        89: "device-api",
        133: "device-api",
        142: "device-api",
    },
    "utils/general.py": {104: "backend-flags", 108: "backend-flags", 703: "checkpoint-load host-literal stored-code"},
    "utils/aws/resume.py": {19: "checkpoint-load stored-code", 30: "device-api"},
    "utils/datasets.py": {119: "loader-option"},
    "utils/loggers/__init__.py": {60: "checkpoint-load stored-code"},
    "utils/loss.py": {173: "device-handed-on", 174: "device-handed-on", 178: "device-handed-on"},
    "models/common.py": {18: "amp", 316: "amp device-type", 345: "amp device-type"},
    "models/experimental.py": {88: "device-default", 94: "checkpoint-load stored-code"},
    "hubconf.py": {43: "device-api device-handed-on device-index host-literal", 51: "checkpoint-load stored-code"},
    "detect.py": {17: "backend-flags", 82: "checkpoint-load device-handed-on stored-code", 123: "backend-flags"},
    "val.py": {137: "half-precision", 166: "half-precision"},
}


@pytest.fixture(scope="module")
def upstream(pristine: Tree) -> list[Place]:
    return scan(read(pristine.path))


def by_line(places: list[Place]) -> dict[tuple[str, int], set[str]]:
    found: dict[tuple[str, int], set[str]] = {}
    for place in places:
        found.setdefault((place.path, place.line), set()).add(place.rule)
    return found


def test_every_known_place_of_upstream_is_found(upstream: list[Place]) -> None:
    found = by_line(upstream)
    missed = []
    for path, items in KNOWN.items():
        for item in items:
            first, last = item if isinstance(item, tuple) else (item, item)
            last = ELSEWHERE.get((path, first), last)
            if not any((path, line) in found for line in range(first, last + 1)):
                missed.append(f"{path}:{first}-{last}")
    assert not missed
    for (path, line), other in ELSEWHERE.items():
        assert (path, line) not in found and (path, other) in found


def test_by_the_rules_that_it_should(upstream: list[Place]) -> None:
    found = by_line(upstream)
    for path, lines in PLACES.items():
        assert {line: " ".join(sorted(found.get((path, line), ()))) for line in lines} == lines, path


CALLS = re.compile(
    r"(?<![.\w])(eval|exec)\(|os\.(system|popen)|subprocess\.(run|check_output|Popen|call)\(|shell=True"
    r"|(torch|np|pickle|yaml)\.loads?\(|torch\.hub\.\w+\(|requests\.(get|post)\(|urlopen|create_connection\("
    r"|\.(download|use_artifact|readNetFromONNX|InferenceSession)\(|tf\.lite\.Interpreter\("
)


def test_every_call_that_runs_or_fetches_is_found(pristine: Tree, upstream: list[Place]) -> None:
    """A plain search of v6.0's text, comments and docstrings apart, finds no line that the audit does not."""
    found = {(place.path, place.line) for place in upstream if RULES[place.rule].any_device}
    lines = []
    for path, data in read(pristine.path).items():
        tree = ast.parse(data)
        texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)]
        inside = {
            n for node in texts if isinstance(node, ast.Constant) for n in range(node.lineno, node.end_lineno + 1)
        }
        for number, line in enumerate(data.decode().split("\n"), 1):
            if CALLS.search(line.partition("#")[0]) and number not in inside:
                lines.append((path, number))
    assert len(lines) > 40
    assert [line for line in lines if line not in found] == []


def test_what_data_sets_run_uses_no_shell(tree: Tree) -> None:
    """The Python in data/*.yaml, which check_dataset() runs where the pictures are missing."""
    programs = {}
    for path in sorted((tree.path / "data").glob("*.yaml")):
        program = yaml.safe_load(path.read_text(encoding="utf-8", errors="ignore"))["download"]
        if not program.startswith("http"):
            programs[f"{path.name}.py"] = program.encode()
    assert len(programs) >= 7
    assert [str(place) for place in scan(programs) if RULES[place.rule].any_device] == []


def test_upstreams_own_decoys_are_left_alone(pristine: Tree, upstream: list[Place]) -> None:
    """v6.0 is full of them: comments, docstrings, messages and help texts that speak of devices."""
    found = by_line(upstream)
    decoys = []
    for path, data in read(pristine.path).items():
        tree = ast.parse(data)
        statements = (node for node in ast.walk(tree) if isinstance(node, ast.Expr))
        texts = [node.value for node in statements if isinstance(node.value, ast.Constant)]  # docstrings
        inside = {line for node in texts for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)}
        for number, line in enumerate(data.decode().split("\n"), 1):
            if (number in inside or line.lstrip().startswith("#")) and NAMES.search(line):
                decoys.append((path, number))
    assert len(decoys) >= 20
    assert not [decoy for decoy in decoys if decoy in found]
    for path, number, word in SAID:
        assert word in (pristine.path / path).read_text(encoding="utf-8").split("\n")[number - 1]
        assert (path, number) not in found


NAMES = re.compile(r"(?i)cuda|\bdevice|\bGPU|\.half\(|cudnn|torch\.(zeros|tensor|load|rand)")
SAID = [  # where a message or a key speaks of a device, and the line does nothing else with one
    ("train.py", 201, "Multi-GPU"),
    ("train.py", 207, "SyncBatchNorm()"),
    ("train.py", 286, "gpu_mem"),
    ("train.py", 508, "CUDA device count"),
    ("utils/torch_utils.py", 74, "GPU count"),
    ("utils/torch_utils.py", 105, "GPU_mem"),
    ("utils/torch_utils.py", 148, "DataParallel"),
    ("utils/plots.py", 288, "GPU Speed"),
    ("export.py", 193, "tf.float16"),
]

# in a docstring, comments, strings, attribute names, keys, messages, other objects' names
DECOYS = '''

def decoys(self, cfg, opt, names):
    """
    torch.cuda.empty_cache(); model.cuda(); x.to('cuda'); torch.load(f); pin_memory=True
    """
    # torch.cuda.synchronize(), os.environ['CUDA_VISIBLE_DEVICES'], dist.init_process_group('nccl')
    self.cuda_note = 'torch.cuda.amp.autocast'  # GradScaler
    print(self.cuda_note, cfg.cuda, opt.half, opt.pin_memory, cfg.nccl)
    table = {'cuda': 1, 'nccl': 2, 'cuda:0': 3, 'cpu': 4, 'CUDA_VISIBLE_DEVICES': 5, 'pin_memory': True}
    table['cuda'] += table['cpu']
    names.append('cuda:0')
    LOGGER.info(f"CUDA:0 {table['cuda']} nccl float16 .half()")
    text = 'cuda device, i.e. 0 or 0,1,2,3 or cpu'.replace('cuda', 'gpu')
    words = text.split('cpu') + ['nccl', 'gloo', 'cudnn']
    amp, cudnn = 1, 2
    if names == 'cuda' or 'nccl' in names:
        print(amp, cudnn, 'CUDAExecutionProvider')
    for cuda in range(3):
        print(cuda.bit_length, text is torch.float32)
    assert words, 'CUDA unavailable, invalid device requested'
    return [text for half in words if half], torch.save, torch.float32
'''


def test_decoys_in_a_real_file(pristine: Tree) -> None:
    files = read(pristine.path)
    before = [place.key for place in scan(files) if place.path == "train.py"]
    ast.parse(DECOYS)
    files["train.py"] += DECOYS.encode()
    assert [place.key for place in scan(files) if place.path == "train.py"] == before


@pytest.mark.trees("mlu", "tpu")
def test_shipped_trees_have_nothing_unported(tree: Tree) -> None:
    found = audit(tree.path, tree.targets, project=Project(CHECKOUT))
    assert found.lines() == []
    assert not found.failed and found.targets == tuple(tree.targets)
    assert all(place.reason for place in found.places)


def test_in_memory_is_the_same(tree: Tree, porter_env: Mapping[str, str], tmp_path: Path) -> None:
    targets = [word for target in tree.targets for word in ("--target", target)]
    done = porter("audit", *targets, "--json", tmp_path / "memory.json", env=porter_env)
    assert done.returncode == 0, done.stdout + done.stderr
    in_memory = json.loads((tmp_path / "memory.json").read_text())["places"]
    assert in_memory == json.loads(audit(tree.path, project=Project(CHECKOUT)).json())["places"]


def test_what_became_of_the_baseline(trees: dict[str, Tree], porter_env: Mapping[str, str], tmp_path: Path) -> None:
    done = porter("audit", "--baseline", "--json", tmp_path / "x.json", trees["mlu+tpu"].path, env=porter_env)
    assert done.returncode == 0, done.stdout + done.stderr
    baseline = json.loads((tmp_path / "x.json").read_text())["baseline"]
    states = {(place["path"], place["line"], place["rule"]): place["state"] for place in baseline["was"]}
    assert UNPORTED not in states.values()
    assert states["train.py", 262, "amp"] == "routed"
    assert states["train.py", 430, "device-api"] == "routed"
    assert states["utils/datasets.py", 119, "loader-option"] == "allowed"  # DeviceLoader asks the accelerator
    assert states["models/yolo.py", 320, "device-api"] == "gone"
    assert states["val.py", 148, "device-type"] == "allowed"
    assert {place["state"] for place in baseline["new"]} == {ALLOWED}
    counts = Counter(states.values())
    said = (
        f"Of the {len(states)} places in v6.0 that want porting, the tree for `mlu` and `tpu` routes "
        f"{counts['routed']}, has no more use for {counts['gone']} and allows {counts['allowed']}."
    )
    assert said in " ".join((CHECKOUT / "docs" / "upstream.md").read_text(encoding="utf-8").split())


MUTATIONS = {
    ".cuda()": ("train.py", "            scaler.scale(loss).backward()\n", "            loss = loss.cuda()\n"),
    "torch.cuda": ("utils/torch_utils.py", "    accelerator.current().synchronize()\n",
                   "    torch.cuda.synchronize()\n"),
    "a literal": ("val.py", "    acc = accelerator.get(device)\n", "    model.to('cuda:0')\n"),
    "torch.load": ("hubconf.py", "                ckpt = load_checkpoint(attempt_download(path))\n",
                   "                ckpt = torch.load(attempt_download(path))\n"),
    "a factory": ("utils/loss.py", "        gain = torch.ones(7, device=targets.device)",
                  "        one = torch.ones(7)\n"),
    "a shell": ("val.py", "        with ZipFile('study.zip', 'w', ZIP_DEFLATED) as z:\n",
                "        os.system('zip -r study.zip study_*.txt')\n"),
    "eval": ("utils/datasets.py", "            cap = cv2.VideoCapture(s)\n", "            s = eval(s)\n"),
    "the list": ("detect.py", "    if pt and device.type != 'cpu':\n", "    if pt and device.type == 'cuda':\n"),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_mutation_is_found(name: str, trees: dict[str, Tree]) -> None:
    """An unported line put before a line of the ported tree, or an allowed one changed."""
    path, anchor, added = MUTATIONS[name]
    files = read(trees["mlu+tpu"].path)
    text = files[path].decode()
    assert text.count(anchor) == 1
    files[path] = text.replace(anchor, added if name == "the list" else added + anchor).encode()
    new = [place for place in scan(files) if place.path == path and place.code == " ".join(added.split())]
    assert {place.state for place in new} == {UNPORTED}


def test_a_mutation_fails_the_command(trees: dict[str, Tree], tmp_path: Path, porter_env: Mapping[str, str]) -> None:
    shutil.copytree(trees["mlu"].path, tmp_path / "tree", ignore=shutil.ignore_patterns("runs"))
    train = tmp_path / "tree" / "train.py"
    train.write_text(train.read_text() + "\nmodel.cuda()\n")
    val = tmp_path / "tree" / "val.py"
    val.write_text(val.read_text().replace("if device.type != 'cpu':", "if True:"))
    done = porter("audit", tmp_path / "tree", env=porter_env)
    assert done.returncode == 1
    number = len(train.read_text().splitlines())
    assert f"train.py:{number}: device-method: .cuda(): not ported\n" in done.stdout
    assert re.search(r"patches/audit\.yaml:\d+: stale: val\.py, run: device-type: .*not there any more\n", done.stdout)
