"""A record says nothing of the machine and its user, whatever a plugin's messages hold."""

from __future__ import annotations

import pytest

from porter.recording.record import MOST, own_words, scrubbed

WORDS = ("gpu-node-17", "zhangsan")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cannot open /home/zhangsan/secret/model.so: no such file", "cannot open model.so: no such file"),
        ("torch_mlu/csrc/ops/add.cpp:12: not supported", "torch_mlu/csrc/ops/add.cpp:12: not supported"),
        ("at /opt/build/torch_mlu/csrc/ops/add.cpp:12", "at add.cpp:12"),
        ("File '/home/li/x.py' in C:\\Users\\zhangsan\\x.dll", "File 'x.py' in x.dll"),
        ("user zhangsan on gpu-node-17 (10.1.2.3)", "user USER on USER (HOST)"),
        ("zhangsans are not zhangsan", "zhangsans are not USER"),
        ("tensor at 0x7f00deadbeef, pid 4711", "tensor at 0x, pid N"),
        ("card 123e4567-e89b-12d3-a456-426614174000", "card SERIAL"),
        ("mail to a.b@example.com", "mail to HOST"),
        ("\nfirst that says something\n  at /home/zhangsan/y", "first that says something"),
        ("shape [2/3, 4] a/b", "shape [2/3, 4] a/b"),
        ("~/private/file is missing", "file is missing"),
    ],
)
def test_messages(text: str, said: str) -> None:
    assert scrubbed(text, WORDS) == said


def test_everything_in_it() -> None:
    given = {"value": ["/home/zhangsan/a", 1, None, {"zhangsan": "x" * (2 * MOST)}]}
    assert scrubbed(given, WORDS) == {"value": ["a", 1, None, {"USER": "x" * MOST}]}


def test_this_machine_and_its_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/lisi")
    monkeypatch.setenv("LOGNAME", "wangwu")
    assert {"lisi", "wangwu"} <= set(own_words())
    assert scrubbed("lisi and wangwu") == "USER and USER"
