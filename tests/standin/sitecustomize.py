"""For programs that tests start: porter takes another coco128 for the published one, see tests/published.py."""

import os
from dataclasses import replace
from pathlib import Path

from porter.downloads.datasets import SETS

(part,) = SETS["coco128"].archives
part = replace(part, sums=Path(os.environ["PORTER_TEST_SUMS"]))
SETS["coco128"] = replace(SETS["coco128"], archives=(part,))
