"""What would not import, found by reading."""

from __future__ import annotations

import pytest

from porter.verification.static import unimportable

TREE = {
    "train.py": b"import torch\nfrom utils.general import check, LOGGER\nfrom models import yolo\n",
    "utils/__init__.py": b"",
    "utils/general.py": b"import os\nimport numpy as np\nif os.name:\n    LOGGER = 1\ndef check(): pass\n",
    "models/__init__.py": b"",
    "models/yolo.py": b"from .common import *\nfrom ..utils import general\nfrom models.common import Conv\n",
    "models/common.py": b"class Conv: pass\n",
}


@pytest.mark.parametrize(
    ("path", "text", "said"),
    [
        ("train.py", TREE["train.py"].decode(), ""),
        ("utils/new.py", "import pkg_resources as pkg\n", "utils/new.py:1: imports pkg_resources, which is neither"),
        ("utils/new.py", "from utils.gone import x\n", "utils/new.py:1: imports utils.gone, which is neither"),
        ("utils/new.py", "x = 1\nfrom utils.general import gone\n", "new.py:2: imports gone from utils/general.py"),
        ("models/new.py", "from .common import Gone\n", "imports Gone from models/common.py, which has no such name"),
        ("utils/new.py", "import ultralytics\n", "imports ultralytics, which is neither"),
        ("utils/new.py", "try:\n    import pkg_resources\nexcept ImportError:\n    pass\n", ""),
        ("utils/new.py", "def f():\n    import pkg_resources\n", ""),
        ("utils/aws/resume.py", "import boto3\n", ""),
        ("classify/train.py", "import torchvision\n", "classify/train.py:1: imports torchvision, which is neither"),
        ("utils/new.py", "import yaml, cv2, pandas, urllib.request\nfrom models.yolo import general\n", ""),
    ],
)
def test_what_is_missing_is_named(path: str, text: str, said: str) -> None:
    wrong = unimportable({**TREE, path: text.encode()})
    assert [said in each for each in wrong] == ([True] if said else []), wrong
