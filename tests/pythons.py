"""A Python of a vendor's machine for porter prepare: pip, and wheels that are named as what is pinned."""

from __future__ import annotations

import subprocess
import venv
from pathlib import Path

import pip
from sources import make_wheel
from stacks import CHECKOUT

from porter.diagnosis.interpreter import pins

PINS = pins(CHECKOUT / "patches" / "tpu" / "requirements.txt")
LEFT = ("pandas", "tqdm")  # what it lacks


def made(root: Path) -> Path:
    """``root/env``, a Python with all that tpu's trees need but :data:`LEFT`; ``root/wheels`` has the rest, too."""
    venv.EnvBuilder(with_pip=False, symlinks=True).create(root / "env")
    (site,) = (root / "env").glob("lib/python*/site-packages")
    (site / "pip").symlink_to(Path(pip.__file__).parent)
    for name in PINS:
        make_wheel(root / "wheels", name, PINS[name], {f"{name.replace('-', '_')}.py": b""})
    make_wheel(root / "wheels", "numpy", "2.9.0", {"numpy.py": b""})
    words = ["-m", "pip", "--quiet", "--disable-pip-version-check", "install", "--no-index", "--find-links"]
    names = [f"{name}=={PINS[name]}" for name in PINS if name not in ("torchvision", *LEFT)]
    subprocess.run([root / "env" / "bin" / "python", *words, root / "wheels", *names], check=True)
    return root
