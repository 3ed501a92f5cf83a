"""Checks of the tree before any training: its files, that its modules import, that the device answers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from porter import auditing
from porter.output import counted
from porter.tree import APPLIED, status
from porter.verification import static
from porter.verification.plan import check
from porter.verification.report import Failed, Finding
from porter.verification.session import Session


@check("static", static.TREE)
def tree(session: Session) -> Finding:
    found = status(session.project, session.tree)
    changed = [patch for patch in found.patches if patch.state != APPLIED]
    wrong = [f"{patch.stack}/{patch.number} is {patch.state}" for patch in changed]
    wrong += [f"{counted(len(found.commits), 'commit')} of no patch"] if found.commits else []
    wrong += [f"{change.path} is changed" for change in found.changes]
    wrong += [f"it holds no stack for {session.target.name}"] if session.target.name not in found.targets else []
    sources = session.tree.rglob("*.py")
    wrong += static.complaints({path.relative_to(session.tree).as_posix(): path.read_bytes() for path in sources})
    if wrong:
        raise Failed("; ".join(wrong))
    lacks = f", without {counted(len(found.missing), 'file')} that its source had not" if found.missing else ""
    return Finding(f"{counted(len(found.patches), 'patch')} as they are locked{lacks}", figures={"head": found.head})


@check("static", static.AUDIT)
def audit(session: Session) -> Finding:
    return static.audited(lambda: auditing.of_folder(session.project, session.tree))


@check(
    "smoke",
    "every module imports without torchvision and setuptools, asks no network for anything, and nothing is installed",
    name="import",
)
def imports(session: Session) -> Finding:
    names = [module(path) for path in modules(session.tree)]
    cwd = session.children.folder("import")
    session.driver("modules.py", *names, cwd=cwd)
    left = list(cwd.iterdir())
    if left:
        raise Failed(f"importing it left {left[0].name} in the current folder")
    return Finding(f"{counted(len(names), 'module')}")


def modules(tree: Path) -> list[Path]:
    """The tree's modules that a training, a validation or a detection may import, relative to it."""
    folders = ("*.py", "models/*.py", "utils/**/*.py", "segment/*.py", "classify/*.py")
    found = [path for folder in folders for path in tree.glob(folder)]
    relative = sorted(path.relative_to(tree) for path in found)
    return [path for path in relative if not path.as_posix().startswith(static.OTHER)]


def module(path: Path) -> str:
    """A module's name from its path."""
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@check(
    "smoke",
    "each card answers, takes pictures, computes a Linear layer and its gradients; none, a broken plugin, is said so",
)
def probe(session: Session) -> Finding:
    name = session.device.name
    found = session.driver("probe.py", "layer", name, cwd=session.children.folder("probe"))
    if set(found["kinds"]) != {name}:
        raise Failed(f"results lie on {', '.join(found['kinds'])}, not on {name}")
    exact = not session.device.vendors
    if not (found["equal"] if exact else found["error"] < 1e-2):  # cards compute float32 products in less
        raise Failed(f"the results are {found['error']:g} away from the cpu's")
    if session.device.kind == "emulated" and found["named"] and "EMULATED" not in found["names"][0]:
        raise Failed(f"an emulated device calls itself {found['names'][0]}")
    if session.device.kind == "emulated" and found["seeded"] not in (7, None):  # None: the plugin does not say
        raise Failed(f"the device's random numbers begin with {found['seeded']}, not with the seed")
    for card in session.target.emulated:
        if session.device.kind == "emulated" and card != session.device.profile:
            cwd = session.children.folder(f"probe-{card}")
            session.driver("probe.py", "layer", name, cwd=cwd, env={"PORTER_EMULATED_PROFILE": card})
    _older(session)
    refused = _refusal(session) + _broken(session) + _cuda(session)
    return Finding(f"{found['names'][0]}, {found['count']} in all{refused}", figures=found)


def _older(session: Session) -> None:
    """The vendor's builds of older torches have their functions elsewhere; shown where the device is emulated."""
    name = session.target.name
    if session.device.kind != "emulated" or f"torch.is_{name}_available()" not in session.target.probe:
        return
    found = session.driver("probe.py", "older", name, cwd=session.children.folder("older"))
    if found["refused"] or found["count"] != found["expected"]:
        raise Failed(f"with the surface of the vendor's older builds: {found['refused'] or found['count']}")


def release(version: str) -> tuple[int, ...]:
    """The numbers that a version begins with."""
    return tuple(map(int, re.findall(r"\d+", version)[:2]))


def _refusal(session: Session) -> str:
    """Without the plugin, or a device of torch's own, --device has to end in one line; shown where it is not there."""
    target, facts = session.target, session.device.facts
    if facts.get("available") if target.plugin.in_tree else facts.get("plugin"):
        return ""
    lacking = "a device" if target.plugin.in_tree else target.plugin.module
    _ends_in_one_line(session, f"without {lacking}", target.plugin.module, {})
    return f"; without {'a device' if target.plugin.in_tree else 'the plugin'} it says so"


def _cuda(session: Session) -> str:
    """``--device 99`` means CUDA's; where there is no such one it has to say which devices there are instead."""
    if session.device.kind != "emulated":
        return ""
    cwd = session.children.folder("no-cuda")
    run = session.run(session.tree / "train.py", "--device", "99", cwd=cwd)
    said = [row for row in run.err.splitlines() if row.startswith("--device 99: ")]
    if run.status != 1 or "Traceback" in run.text or f"--device {session.device.name}" not in "".join(said):
        raise Failed(
            f"without CUDA --device 99 does not say that there is {session.device.name}", run.tail(), run.shown()
        )
    return f"; --device 99 says that there is {session.device.name}"


def _ends_in_one_line(session: Session, where: str, named: str, env: Mapping[str, str]) -> None:
    """``--device NAME`` has to end in a line of its own that has ``named`` in it."""
    name = session.target.name
    cwd = session.children.folder("no-plugin")
    run = session.children.run(session.tree / "train.py", "--device", name, cwd=cwd, env=env)
    lines = [row for row in run.err.splitlines() if row.startswith(f"--device {name}: ") and named in row]
    if run.status == 0 or "Traceback" in run.text or len(lines) != 1:
        raise Failed(f"{where}, --device {name} does not end in one line", run.tail(), run.shown())


_MISSING = "libvendor.so: cannot open shared object file"


def _broken(session: Session) -> str:
    """A plugin that torch would import by itself (2.5 and later) and that does not load is said in one line as well."""
    target, facts = session.target, session.device.facts
    if target.plugin.in_tree or facts.get("plugin") or release(facts.get("torch") or "") < (2, 5):
        return ""
    place = session.children.folder("broken-plugin")
    package, info = place / target.plugin.module, place / f"{target.plugin.module}-0.dist-info"
    for folder in (package / target.plugin.folder, info):
        folder.mkdir(parents=True)
    (package / "__init__.py").write_text(f"raise ImportError({_MISSING!r})\n", encoding="utf-8")
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {target.plugin.module}\nVersion: 0\n", encoding="utf-8"
    )
    (info / "entry_points.txt").write_text(
        f"[torch.backends]\nbroken = {target.plugin.module}:load\n", encoding="utf-8"
    )
    where = f"with a {target.plugin.module} that does not load"
    _ends_in_one_line(session, where, _MISSING, {"PYTHONPATH": str(place)})
    return ", nor does one that does not load keep torch from being imported"
