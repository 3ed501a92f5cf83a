"""What the emulated device and `porter verify` cost, and what a training step of a tree makes a device wait for.

    python benchmarks/emulated.py steps --target mlu       a step of yolov5s on the emulated device against the CPU's
    python benchmarks/emulated.py transfers --target mlu   copies and synchronisations of a step, with and without the
                                                           patches whose Reason is speed
    python benchmarks/emulated.py times --target mlu       `porter verify` as a command, the device's build included

Run it with the Python of the environment to measure in: torch 2.1 or newer, and porter.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import measure
import training

from porter.commands.apply import apply
from porter.datasets import generate
from porter.project import Project
from porter.target import Target
from porter.verification.checks.device import per_step
from porter.verification.child import Children
from porter.verification.device import choose
from porter.verification.session import Session


def steps(project: Project, options: argparse.Namespace, scratch: Path) -> None:
    """Train in turn on the CPU and on the emulated device, in the same tree."""
    target = Target.load(project.patches / options.target)
    apply(project, [target.name], scratch / "tree")
    size = (options.img, options.img)
    options.data = generate.make(scratch / "scenes", images=options.batch * 5, size=size).yaml
    device = choose("emulated", target, sys.executable, profile=options.profile)
    found = measure.in_turn(
        options.rounds,
        {
            "cpu": lambda: training.train_once(scratch / "tree", options, scratch),
            "emulated": lambda: training.train_once(
                scratch / "tree", options, scratch, target.name, device.environment
            ),
        },
    )
    print(f"{device.says}; {options.cfg}, {options.img} px, batch {options.batch}")
    for at, what in enumerate(("wall", "CPU")):
        times = {name: [times[at] for times in rounds] for name, rounds in found.items()}
        for name, values in times.items():
            print(f"{what:4} time, {name:8} {measure.spread(values, 's')}")
        print(f"{what:4} time, emulated / cpu: {measure.spread(measure.ratios(times['emulated'], times['cpu']), '')}")


def transfers(project: Project, options: argparse.Namespace, scratch: Path) -> None:
    """Count in the shipped tree, and in one without the patches that are there for speed alone."""
    target = Target.load(project.patches / options.target)
    found = {}
    for name in "shipped", "straightforward":
        made = apply(project, [target.name], scratch / name)
        if name == "straightforward":
            speed = [built for built in made.build.commits if built.patch.trailer("Reason") == "speed"]
            for built in reversed(speed):
                _git("revert", "--no-edit", built.commit, cwd=scratch / name)
            print(f"left out of the straightforward port: {', '.join(built.patch.id for built in speed)}")
        found[name] = _recorded(project, scratch / name, target, options.profile, scratch / f"work-{name}")
    for what in target.budget:
        row = {name: per_step(record)[what] for name, record in found.items()}
        share = f", {row['shipped'] / row['straightforward']:.2f} of it" if row["straightforward"] else ""
        print(f"{what:16} in a step: straightforward {row['straightforward']:3}, shipped {row['shipped']:3}{share}")
    same = all(found["shipped"][what] == found["straightforward"][what] for what in ("losses", "weights", "ema"))
    print(f"losses and weights are {'the same' if same else 'NOT THE SAME'}, bit for bit")


def _git(*words: str, cwd: Path) -> None:
    who = ("-c", "user.name=benchmark", "-c", "user.email=benchmark@example.invalid")
    subprocess.run(["git", *who, *words], cwd=cwd, check=True, stdout=subprocess.DEVNULL)


def _recorded(project: Project, tree: Path, target: Target, profile: str, work: Path) -> dict[str, Any]:
    work.mkdir()
    device = choose("emulated", target, sys.executable, profile=profile)
    session = Session(project, tree, target, device, Children(work, sys.executable, 1, 600.0), work)
    return dict(session.trained().found)


def times(project: Project, options: argparse.Namespace, scratch: Path) -> None:
    """Each level as a command with a cache of its own, which holds upstream but no built device before the first."""
    env = {"PORTER_CACHE": str(scratch / "cache")}
    porter = [sys.executable, "-m", "porter"]
    measure.seconds([*porter, "upstream", "fetch"], cwd=project.root, env=env)
    verify = [*porter, "verify", "--target", options.target, "--level"]
    on = ["--device", "emulated"]
    print(f"static:                {measure.seconds([*verify, 'static'], cwd=project.root, env=env):6.1f} s")
    print(f"smoke, build included: {measure.seconds([*verify, 'smoke', *on], cwd=project.root, env=env):6.1f} s")
    print(f"smoke:                 {measure.seconds([*verify, 'smoke', *on], cwd=project.root, env=env):6.1f} s")
    print(f"full:                  {measure.seconds([*verify, 'full', *on], cwd=project.root, env=env):6.1f} s")


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("steps", "transfers", "times"))
    parser.add_argument("--target", default="mlu")
    parser.add_argument("--profile", default="", help="the emulated card, where it is not the usual one")
    training.add_options(parser, cfg="yolov5s.yaml", img=320, batch=8, rounds=3, epochs=3)
    options = parser.parse_args()
    print(measure.machine())
    with tempfile.TemporaryDirectory() as folder:
        {"steps": steps, "transfers": transfers, "times": times}[options.what](Project.find(), options, Path(folder))


if __name__ == "__main__":
    main()
