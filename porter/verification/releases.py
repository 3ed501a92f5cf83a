"""What upstream's releases do differently, as far as a check has to know it: from upstream's source, by tag."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from porter.verification.finding import NotShown


@dataclass(frozen=True)
class Release:
    """What the train.py of a release does.

    Attributes:
        warm_up: iterations of warm-up at least.
        bias: the number of the optimizer's parameter group that holds the biases.
        cosine: whether the learning rate falls along a cosine where nobody asks for one; else along a line.
        stops: what it says when ``--patience 1`` is exceeded.
        graphless: what its tree says where TensorBoard gets no graph; a patch's until upstream went on by itself.
    """

    warm_up: int
    bias: int
    cosine: bool
    stops: str
    graphless: str


_STOPS = "no improvement observed in last 1 epochs"
_GRAPHLESS = "TensorBoard graph visualization failure"  # utils/loggers/__init__.py
# train.py: `nw =`, `warmup_bias_lr`, `lf =`; from v6.2 on smart_optimizer() of utils/torch_utils.py begins with the
# biases; EarlyStopping there
RELEASES = {
    "v6.0": Release(
        warm_up=1000, bias=2, cosine=True, stops="EarlyStopping patience 1 exceeded", graphless="TensorBoard: no graph"
    ),
    "v6.1": Release(warm_up=1000, bias=2, cosine=False, stops=_STOPS, graphless="TensorBoard: no graph"),
    "v6.2": Release(warm_up=100, bias=0, cosine=False, stops=_STOPS, graphless=_GRAPHLESS),
    "v7.0": Release(warm_up=100, bias=0, cosine=False, stops=_STOPS, graphless=_GRAPHLESS),
}


def release(tag: str) -> Release:
    """What is known of a release.

    Raises:
        NotShown: nothing is, as of a commit between two of them.
    """
    if tag not in RELEASES:
        raise NotShown(f"what upstream's source says at {tag} is not known here; of {', '.join(RELEASES)} it is")
    return RELEASES[tag]


def default_hyp(tree: Path) -> Path:
    """The file of hyperparameters that a tree's train.py takes where ``--hyp`` names none."""
    found = re.search(r"'--hyp'.*?'(data/hyps/[\w.-]+)'", (tree / "train.py").read_text(encoding="utf-8"))
    return tree / (found[1] if found else "data/hyps/hyp.scratch.yaml")
