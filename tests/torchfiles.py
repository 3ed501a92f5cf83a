"""Checkpoints as v6.0 writes them, with few numbers or many, and no tree to make them with."""

from __future__ import annotations

import ast
import io
import json
import os
import pickle
import struct
import sys
import tarfile
import types
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

import porter

ANCHORS = [[10.0, 13.0, 16.0, 30.0], [116.0, 90.0, 373.0, 326.0]]
STRIDES = [8.0, 32.0]


class Model(torch.nn.Module):
    """Passes for v6.0's own."""

    def __init__(self, numbers: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weight = torch.nn.Parameter(torch.rand(numbers, generator=generator))
        self.model = torch.nn.Sequential(torch.nn.SiLU(), Detect())
        self.yaml: dict[str, Any] = {
            "nc": 2,
            "depth_multiple": 0.33,
            "width_multiple": 0.25,
            "anchors": 2,
            "backbone": [[-1, 1, "nn.SiLU", []]],
            "head": [[[0, 0], 1, "Detect", ["nc", "anchors"]]],
        }
        self.stride = self.model[-1].stride
        self.yaml_file = "yolov5n.yaml"
        self.names = ["cat", "dog"]


class Detect(torch.nn.Module):
    """The head, with its anchors in units of the strides."""

    def __init__(self) -> None:
        super().__init__()
        self.nc, self.no, self.nl, self.na = 2, 7, 2, 2
        self.anchor_grid = [torch.zeros(1)] * 2
        self.stride = torch.tensor(STRIDES)
        self.register_buffer("anchors", torch.tensor(ANCHORS).view(2, 2, 2) / self.stride.view(2, 1, 1))


@contextmanager
def tree_modules() -> Iterator[None]:
    """``models.yolo`` can be imported, as where a tree is on the path."""
    module = types.ModuleType("models.yolo")
    before = {name: sys.modules.get(name) for name in ("models", "models.yolo")}
    for cls in (Model, Detect):
        cls.__module__ = "models.yolo"
        setattr(module, cls.__name__, cls)
    sys.modules.update({"models": types.ModuleType("models"), "models.yolo": module})
    try:
        yield
    finally:
        for name, old in before.items():
            if old is None:
                del sys.modules[name]
            else:
                sys.modules[name] = old


def checkpoint(numbers: int = 100, *, zipped: bool = True, **fields: object) -> bytes:
    """A checkpoint's bytes; ``fields`` replace what is in it, and those of ``model_`` what is in its model."""
    model = Model(numbers)
    for name in [name for name in fields if name.startswith("model_")]:
        setattr(model, name[len("model_") :], fields.pop(name))
    content = {
        "epoch": 3,
        "best_fitness": np.array([0.25]),
        "model": model.half(),
        "ema": None,
        "updates": 12,
        "optimizer": {"state": {0: {"momentum_buffer": torch.zeros(3)}}, "param_groups": [{"lr": 0.01}]},
        "wandb_id": None,
        "date": "2021-10-12T00:00:00",
        **fields,
    }
    buffer = io.BytesIO()
    with tree_modules(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Couldn't retrieve source code")  # which torch before 1.6 kept, too
        torch.save(content, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


def hostile() -> dict[str, Any]:
    """What builds hostile files in verify's check of the trees, less what needs a tree."""
    source = ast.parse(
        (Path(porter.__file__).parent / "verification" / "drivers" / "hostile.py").read_text(encoding="utf-8")
    )
    wanted = {"name", "dotted", "text", "args", "call", "dictionary", "raw", "filled", "instructions", "checkpoint"}
    wanted |= {"module", "disguised", "tensor", "wanted", "program"}
    wanted |= {"archived", "legacy", "tarred", "Call", "TOUCH", "PYTHON", "HOSTILE_YAML", "FORMATS"}

    def named(node: ast.stmt) -> set[str]:
        if isinstance(node, ast.Assign):
            return {target.id for target in node.targets if isinstance(target, ast.Name)}
        return {node.name} if isinstance(node, (ast.FunctionDef, ast.ClassDef)) else set()

    body = [node for node in source.body if named(node) & wanted]
    modules = (io, json, os, pickle, struct, tarfile, zipfile, torch)
    found: dict[str, Any] = {module.__name__: module for module in modules}
    exec(compile(ast.Module(body, []), "hostile.py", "exec"), found)
    assert wanted <= set(found)
    return found
