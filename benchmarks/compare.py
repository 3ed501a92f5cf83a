"""What `porter compare` costs over the training step that it looks at, on an emulated device.

    python benchmarks/compare.py [--cfg yolov5s.yaml] [--img 320] [--batch 4] [--rounds 3] [--threads 1] [--clock cpu]

Each round is a process that makes the step with nobody watching, and then compares: "step" is the best of three on the
device ("first step": the first of all, in which torch makes ready), "compared" the noise of the cpu and both sides
together. The clock is the processors' time, which other programs disturb little, or `wall`. A device that computes what
the cpu computes is the easy case: of a tensor that is no other no error has to be found. In the second case its
convolutions sum in another order, so that every tensor is another.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
from pathlib import Path

import measure

import porter
from porter import comparison
from porter.datasets import generate
from porter.project import Project
from porter.target import load_known
from porter.temporary import work_folder
from porter.verification.child import A_DAY, Children
from porter.verification.device import choose

REORDERED = """\
def convolve(host, x, weight, bias, *rest):
    if rest[5] == 1 and not rest[3]:
        x, weight = host("aten::flip", x, [1]), host("aten::flip", weight, [1])
    return host("aten::convolution", x, weight, bias, *rest[:6])


KERNELS = {"aten::_convolution": convolve}
"""


def main() -> None:
    """Print the parts and the ratio, for both cases."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cfg", default="yolov5s.yaml")
    parser.add_argument("--img", type=int, default=320)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clock", choices=["cpu", "wall"], default="cpu")
    options = parser.parse_args()
    family = load_known(Project.find(), "mlu")
    print(measure.machine())
    with work_folder("porter-benchmark-") as root:
        tree = porter.apply("mlu", root / "tree").path
        data = generate.make(root / "scenes", images=max(8, options.batch), size=(options.img,) * 2).yaml
        on = choose("emulated", family, sys.executable)
        (root / "reordered.py").write_text(REORDERED)
        load = comparison.Workload(options.cfg, None, data, options.img, options.batch, 1, 0)
        for case, kernels in ("the same in every bit", ""), ("another order of summation", root / "reordered.py"):
            os.environ["PORTER_EMULATED_KERNELS"] = str(kernels)
            found = []
            for number in range(options.rounds):
                folder = root / f"{Path(kernels).name or 'same'}-{number}"
                children = Children(folder, sys.executable, 1, A_DAY, False, options.threads, family.inherited)
                result, rows = comparison.make(children, family, comparison.Side(tree, on), load, clock=options.clock)
                found.append(dict(result["seconds"], parted=result["parted"], rows=len(rows)))
            tell(case, found)
    print(f"most memory of one process: {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20:.2f} GiB")


def tell(case: str, found: list[dict[str, float]]) -> None:
    """A case's figures."""
    print(f"{case}: {found[0]['rows']} tensors, parted: {found[0]['parted']}")
    compared = [each["noise"] + each["compare"] for each in found]
    for name in "build", "first step", "step", "step of the cpu", "noise", "compare":
        print(f"  {name:16} {measure.spread([each[name] for each in found], 's')}")
    print(f"  {'compared':16} {measure.spread(compared, 's')}")
    ratios = [made / each["step"] for made, each in zip(compared, found)]
    print(f"  {'of the step':16} {measure.spread(ratios, '')}")


if __name__ == "__main__":
    main()
