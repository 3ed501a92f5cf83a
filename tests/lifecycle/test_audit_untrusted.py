"""The audit's rules on what runs or fetches something: each finds what it is for, leaves alone what looks like it."""

from __future__ import annotations

import pytest

from porter.auditing.rules import ALLOWED, ROUTED, RULES, UNPORTED
from porter.auditing.scan import scan
from porter.auditing.untrusted import READERS

HEAD = "import os, subprocess, pickle, importlib, requests, urllib.request, yaml, torch\nimport numpy as np\n"


def found(code: str, state: str = UNPORTED, path: str = "train.py") -> set[str]:
    """The rules about any device of a snippet's places in one state."""
    places = scan({path: (HEAD + code).encode()})
    return {place.rule for place in places if place.state == state and RULES[place.rule].any_device}


FINDS = {
    "shell": [
        "os.system(f'zip {x}')",
        "from os import system as run\nrun(x)",
        "getattr(os, 'system')(x)",
        "pool.map(os.system, words)",
        "run = os.popen",
        "subprocess.run(words, shell=True)",
        "Popen(x, **{'shell': flag})",
        "subprocess.getoutput(x)",
        "def f(): import os as o; o.system(x)",
    ],
    "program": ["subprocess.Popen([x])", "from subprocess import check_output\ncheck_output([x])", "os.execv(x, [])"],
    "code-from-text": [
        "eval(x)",
        "exec(s, {'yaml': data})",
        "list(map(eval, words))",
        "compile(x, '', 'exec')",
        "importlib.import_module(name)",
        "__import__(name)",
        "def f(): return eval(x)",
    ],
    "stored-code": [
        "torch.load(f)",
        "torch.jit.load(f)",
        "torch.hub.load('a/b', 'c')",
        "pickle.load(f)",
        "class U(pickle.Unpickler): pass",
        "from pickle import loads\nloads(x)",
        "np.load(f)",
        "np.load(f, allow_pickle=True)",
        "np.load(f, allow_pickle=flag)",
        "yaml.load(f, Loader=yaml.FullLoader)",
        "yaml.load(f, L)",
        "import pandas as pd\npd.read_pickle(f)",
    ],
    "network": [
        "requests.get(url)",
        "requests.Session()",
        "urllib.request.urlopen(url)",
        "torch.hub.download_url_to_file(url, f)",
        "import socket\nsocket.create_connection(x)",
    ],
}


@pytest.mark.parametrize("rule", FINDS)
def test_finds(rule: str) -> None:
    assert [code for code in FINDS[rule] if rule not in found(code)] == []


def test_every_rule_has_a_case() -> None:
    assert set(FINDS) == {rule.id for rule in RULES.values() if rule.any_device}


def test_what_says_itself_that_it_reads_data_is_allowed() -> None:
    for code in "np.load(f, allow_pickle=False)", "yaml.load(f, yaml.SafeLoader)", "importlib.import_module('x.y')":
        assert found(code) == set() and found(code, ALLOWED), code


def test_only_the_reader_of_checkpoints_reads_pickles() -> None:
    code = "torch.load(f)\nimportlib.import_module(name)"
    for path in READERS:
        assert found(code, ROUTED, path) == {"stored-code", "code-from-text"}
    assert found(code, UNPORTED, "utils/accelerator/mlu.py") == {"stored-code", "code-from-text"}, "of any device"


def test_leaves_decoys_alone() -> None:
    decoys = [
        "model.eval()",
        "df.eval('a + b')",
        "def f(eval): return eval(1)",
        "re.compile(x)",
        "print('os.system', \"eval(x)\", 'shell=True')  # os.system(x)",
        "yaml.safe_load(f)",
        "json.load(f)",
        "except_ = requests.RequestException, subprocess.CalledProcessError, pickle.UnpicklingError",
        "subprocess.DEVNULL",
        "f(shell=False)",
        "urllib.parse.unquote(x)",
        "os.path.exists(x), os.environ.get(x), os.replace(a, b)",
        "torch.save(x, f)",
        "np.save(f, x), np.loadtxt(f)",
    ]
    assert [code for code in decoys if found(code)] == []
