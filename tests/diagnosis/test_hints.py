"""doctor's hints in Chinese: where the locale asks for it, each of them, with the same names in their places."""

from __future__ import annotations

import ast
import copy
import io
import json
import re
import string
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from porter.commands import doctor
from porter.diagnosis import interpreter, known_problems
from porter.diagnosis.hints import CHINESE, Hint, catalogue, in_chinese, wants_chinese
from porter.diagnosis.interpreter import Plugin
from porter.diagnosis.known_problems import PROBLEM, Trouble, judge
from porter.diagnosis.machine import Answer, cards_of
from porter.project import Project
from porter.target import load_all
from tests.diagnosis.test_known_problems import GOOD, HERE, MACHINE, TARGETS, Setup

KNOWN = catalogue()
CATALOGUE = {(trap, english): chinese for trap, each in KNOWN.items() for english, chinese in each.items()}
HAN = re.compile(r"[\u4e00-\u9fff]")


def templates() -> set[str]:
    """What stands first in each Hint(...) of known_problems.py; a name is what was last assigned to it above."""
    found = set()
    for function in ast.walk(ast.parse(Path(known_problems.__file__).read_text(encoding="utf-8"))):
        if not isinstance(function, ast.FunctionDef):
            continue
        texts: list[tuple[int, str, str]] = [
            (node.lineno, node.targets[0].id, node.value.value)
            for node in ast.walk(function)
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
            if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        ]
        for node in ast.walk(function):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Hint":
                first = node.args[0]
                if isinstance(first, ast.Constant):
                    found.add(str(first.value))
                else:
                    assert isinstance(first, ast.Name), "a template is a text, or a name that one was assigned to"
                    found.add(max(each for each in texts if each[1] == first.id and each[0] <= first.lineno)[2])
    return found


def fields(text: str) -> list[str]:
    return sorted({name for _, name, _, _ in string.Formatter().parse(text) if name is not None})


def test_each_hint_has_its_translation_and_no_other_is_there() -> None:
    assert templates() == {english for trap, english in CATALOGUE if trap != "words"}
    assert len(templates()) > 40


@pytest.mark.parametrize(("trap", "english"), CATALOGUE, ids=lambda text: text[:40])
def test_a_translation_is_chinese_and_names_the_same(trap: str, english: str) -> None:
    chinese = CATALOGUE[trap, english]
    assert fields(chinese) == fields(english)
    assert HAN.search(chinese) or not re.search(r"[a-z]{3}", re.sub(r"\{\w+\}|--\w+", "", english))


@pytest.mark.parametrize("target", load_all(Project.find(Path(__file__).parent)), ids=lambda each: each.name)
def test_where_a_plugin_comes_from_is_said_in_chinese(target: object) -> None:
    plugin = target.plugin  # type: ignore[attr-defined]
    assert plugin.in_tree or HAN.search(in_chinese(plugin.source, "plugin", KNOWN))


@pytest.mark.parametrize(
    ("environment", "chinese"),
    [
        ({}, False),
        ({"LANG": "zh_CN"}, True),
        ({"LANG": "zh_CN.UTF-8"}, True),
        ({"LANG": "zh_CN.GB18030"}, True),
        ({"LANG": "zh_SG.UTF-8@pinyin"}, True),
        ({"LANG": "zh_TW.UTF-8"}, False),
        ({"LANG": "de_DE.UTF-8"}, False),
        ({"LANG": "zh_CN.UTF-8", "LC_MESSAGES": "en_US.UTF-8"}, False),
        ({"LANG": "en_US.UTF-8", "LC_MESSAGES": "zh_CN.UTF-8"}, True),
        ({"LANG": "en_US.UTF-8", "LC_MESSAGES": "zh_CN.UTF-8", "LC_ALL": "C"}, False),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": ""}, True),
        ({"LANG": "en_US.UTF-8", "LANGUAGE": "zh_CN:en"}, True),
        ({"LANG": "zh_CN.UTF-8", "LANGUAGE": "en:zh_CN"}, False),
        ({"LANG": "zh_CN.UTF-8", "LANGUAGE": "de:zh_CN"}, True),
        ({"LANG": "C.UTF-8", "LANGUAGE": "zh_CN"}, False),
    ],
)
def test_the_locale_chooses_as_gettext_does(environment: dict[str, str], chinese: bool) -> None:
    assert wants_chinese(environment) is chinese


def test_a_hint_is_its_english_text_whatever_copies_it() -> None:
    hint = Hint("{name} is {{here}}", name="it")
    assert (hint, copy.deepcopy(hint), json.dumps(hint)) == ("it is {here}", "it is {here}", '"it is {here}"')


def printed(monkeypatch: pytest.MonkeyPatch, encoding: str, as_json: bool = False) -> str:
    """What doctor prints where torch_mlu is missing and no disk is left, to a stream of this encoding."""
    missing = replace(HERE, plugins={**HERE.plugins, "mlu": Plugin("", why="not installed")})
    machine = replace(MACHINE, disk=0)
    setup = Setup(machine, missing, TARGETS["mlu"], None, {}, "pip")
    found = doctor.Diagnosis(TARGETS["mlu"], machine, missing, (), {}, tuple(judge(setup)), 1.0)
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding, errors="backslashreplace"))
    if as_json:
        print(json.dumps(found.record()))
    else:
        doctor._print(found)
    sys.stdout.flush()
    return raw.getvalue().decode(encoding)


@pytest.mark.parametrize("encoding", ["utf-8", "gbk"])
def test_doctor_prints_both(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    monkeypatch.delenv("LANGUAGE", raising=False)
    monkeypatch.setenv("LC_ALL", "zh_CN")
    text = printed(monkeypatch, encoding)
    assert "problem: torch_mlu is not installed [plugin]\n  没有安装 torch_mlu\n  办法：请安装寒武纪" in text
    assert "  do: " not in text


def test_english_where_the_stream_has_no_such_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LANGUAGE", raising=False)
    monkeypatch.setenv("LC_ALL", "zh_CN")
    text = printed(monkeypatch, "latin-1")
    assert "  do: Get Cambricon's PyTorch container" in text and "\\u" not in text


def test_english_elsewhere_and_in_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LANGUAGE", raising=False)
    monkeypatch.setenv("LC_ALL", "en_US.UTF-8")
    assert not HAN.search(printed(monkeypatch, "utf-8"))
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    record = printed(monkeypatch, "utf-8", as_json=True)
    assert json.loads(record)["troubles"][0]["what"] == "torch_mlu is not installed" and not HAN.search(record)


def test_how_an_interpreter_ended_is_said_in_chinese() -> None:
    """In each way that the driver has to say it."""
    driver = interpreter._DRIVER.read_text(encoding="utf-8")
    said = re.findall(r"\"(it ended the interpreter while it \w+)\"", driver)
    assert len(said) == 2
    for why in said:
        found = {"plugin mlu": {"installed": "/site", "why": why}}
        plugin = interpreter._plugin(found, TARGETS["mlu"], {"why": ""}, Answer("", "", "died of SIGABRT"))
        chinese = in_chinese(plugin.why, "plugin", KNOWN)
        assert "解释器异常退出（died of SIGABRT）" in chinese and "torch_mlu" in chinese


def test_that_a_vendors_tool_is_missing_is_said_in_chinese(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    cards = cards_of("mlu")
    assert cards and in_chinese(cards.why, "device", KNOWN) == "没有安装 cnmon"


def test_what_is_no_hint_stays() -> None:
    for text in ("apt-get install git", f"pip install {GOOD.name}"):
        assert in_chinese(text, "git", KNOWN) == text
    trouble = Trouble("new", PROBLEM, Hint("a hint without a translation: {why}", why="it finds no device"), "")
    assert in_chinese(trouble.what, trouble.trap, KNOWN) == "a hint without a translation: 找不到设备"
    assert CHINESE.is_file()
