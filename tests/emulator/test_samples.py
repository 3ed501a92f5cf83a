"""torch's own samples of its operators (op_db) give on an emulated device what they give on the host.

The first three samples of each operator; ``PORTER_TEST_SAMPLES=0`` tries all of them, another number so many.
What differs is named here with its reason, and nothing else may.
"""

from __future__ import annotations

import os
from typing import Any

import pytest

from porter.emulator import generic_profile

from .conftest import DRIVERS, Run

pytestmark = [pytest.mark.device, pytest.mark.samples]
CARD = generic_profile("bar", "torch_bar", ["gloo"], [])
MOST = os.environ.get("PORTER_TEST_SAMPLES", "3")
SPARSE = "sparse tensors are none of the device's"
VIEWS = "it looks at memory beyond the tensor's own, which does not travel to a device"
EVERYWHERE = {
    "sparse.sampled_addmm": SPARSE,
    "sparse.mm.reduce": SPARSE,
    "to_sparse": SPARSE,
    "tensor_split": "torch wants a tensor of sections on the host, on every device",
    "as_strided.partial_views": VIEWS,
}
AS_STRIDED = dict.fromkeys(("as_strided", "as_strided_copy", "as_strided_scatter"), VIEWS)
OVERREAD = "torch's kernel reads what was expanded as if it were contiguous, beyond its memory: wrong on the host, too"
UNWRITTEN = (
    "torch's kernel leaves the result of an empty batch as the memory was: other numbers each time on the host, too"
)
CHUNKED = "of chunks that are rounded one by one: several roundings"
# kind -> the least number of operators tried, and what differs there, with the reason
KINDS: dict[str, tuple[int, dict[str, str]]] = {
    "float32": (
        520,
        {"nn.functional.scaled_dot_product_attention": "we believe that another kernel draws its mask of dropout"},
    ),
    "gradients": (
        400,
        {"nn.functional.scaled_dot_product_attention": "we believe that another kernel draws its mask of dropout"},
    ),
    "strided": (520, AS_STRIDED),
    "expanded": (520, {**AS_STRIDED, "native_group_norm": OVERREAD, "masked.median": OVERREAD}),
    "empty": (520, {**AS_STRIDED, "nn.functional.multilabel_margin_loss": UNWRITTEN}),
    "float16": (520, {"nn.functional.linear_cross_entropy.chunked_none": CHUNKED}),
    "bfloat16": (
        520,
        {
            "nn.functional.linear_cross_entropy.chunked": CHUNKED,
            "nn.functional.linear_cross_entropy.chunked_none": CHUNKED,
        },
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_operator_agrees(fresh: Run, kind: str) -> None:
    least, differ = KINDS[kind]
    found: dict[str, Any] = fresh(CARD, DRIVERS / "samples.py", "bar", kind, MOST).json
    assert found["operators"] >= least and found["samples"] > found["operators"]
    unexpected = {name: text for name, text in found["differ"].items() if name not in {**EVERYWHERE, **differ}}
    assert unexpected == {}
    # numbers of float32 are the host's to the last bit, but where a library's memory is aligned in another way
    assert len(found["rounded"]) <= 3, found["rounded"]
