from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fileserver import shelf
from sources import closed_port
from torchfiles import checkpoint

import porter
from porter.downloads.weights import NAMES


@pytest.fixture(autouse=True)
def cut_off(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{closed_port()}")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("PYTHONPATH", str(Path(porter.__file__).parents[1]))


def run(*args: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "porter", "weights", "fetch", *map(str, args)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def test_a_checkpoint_is_fetched_and_looked_into(tmp_path: Path) -> None:
    data = checkpoint(1000)
    with shelf({"/v6.1/yolov5m.pt": data, "/v6.0/yolov5m.pt": b"<html>", "/yolov5s.pt": data}) as server:
        mirror = f"{server.url}/v6.1"
        done = run("yolov5m", "--release", "v6.1", "--mirror", mirror, "--dest", tmp_path / "w", "--json", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        made = json.loads(done.stdout)
        assert (made["path"], made["how"]) == (str(tmp_path / "w" / "yolov5m.pt"), "fetched")
        assert (tmp_path / "w" / "yolov5m.pt").read_bytes() == data
        # the release is part of what a digest is known by
        done = run("yolov5m.pt", "--mirror", f"{server.url}/v6.0", cwd=tmp_path)
        assert (done.returncode, "no pickle can be read" in done.stderr) == (1, True), done.stderr
        # and the one that porter knows is not got round
        done = run("yolov5s.pt", "--mirror", server.url, cwd=tmp_path)
        assert done.returncode == 1
        assert "expected sha256 c3b140f32001" in done.stderr
    assert os.listdir(tmp_path) == ["w"]


def test_require_known_refuses_one_whose_digest_nobody_knows(tmp_path: Path) -> None:
    with shelf({"/yolov5m.pt": checkpoint(1000), "/yolov5n.pt": checkpoint(1000)}) as server:
        done = run("yolov5m", "--require-known", "--mirror", server.url, cwd=tmp_path)
        assert (done.returncode, server.log) == (1, [])
        assert "porter knows no digest of https://github.com/ultralytics/yolov5/releases/download/v6.0/" in done.stderr
        done = run("yolov5n", "--require-known", "--mirror", server.url, cwd=tmp_path)
        assert done.returncode == 1 and "expected sha256 649e089f" in done.stderr
    assert os.listdir(tmp_path) == []


def test_a_hostile_checkpoint_is_refused_before_it_has_its_name(tmp_path: Path) -> None:
    data = checkpoint(model_yaml={"backbone": [[-1, 1, "__import__('os').system('x')", []]]})
    with shelf({"/yolov5m.pt": data}) as server:
        done = run("yolov5m.pt", "--mirror", server.url, cwd=tmp_path)
    assert done.returncode == 1
    assert "holds code" in done.stderr
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["yolov5q.pt"], 2, "upstream has no yolov5q.pt"),
        (["../yolov5s.pt"], 2, "upstream has no ../yolov5s.pt"),
        (["yolov5s.pt", "--release", "v5.0"], 2, "porter knows no release v5.0"),
        (["yolov5s.pt"], 3, "cannot reach github.com through the proxy"),
    ],
)
def test_errors(tmp_path: Path, args: list[str], code: int, said: str) -> None:
    done = run(*args, cwd=tmp_path)
    assert (done.returncode, said in done.stderr) == (code, True), done.stderr
    assert os.listdir(tmp_path) == []


def test_the_names_are_upstreams() -> None:
    assert len(NAMES) == 10
    assert {"yolov5n.pt", "yolov5x6.pt"} <= set(NAMES)
