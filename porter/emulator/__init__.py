"""The emulated device: a card that is not there, true to what the card can and cannot do.

What runs in the checked process lies in ``site/``: the compiled device and all that is around it in Python.  A module
named as the vendor's plugin is written for each card.  That process may be any interpreter with torch 2.1 or later;
porter need not be installed there.
The modules beside it are porter's side: they name the profiles, have the device built, give the environment in which
a program finds it, and read what it counted.  None of them imports torch.

    profile = load_profile("mlu370")
    folder = build(python, cache)
    names = environment(profile, cache=cache, built=folder, counts=work / "counts-%p.json", root=tree)
    subprocess.run([python, "train.py", "--device", profile.type], env={**os.environ, **names})
    for counts in read_counts(work / "counts-%p.json"): ...
"""

from porter.emulator.building import build, cache_folder, environment, read_counts
from porter.emulator.profiles import (
    BARE,
    GENERIC,
    Profile,
    bare_profile,
    generic_profile,
    is_record,
    load_profile,
    profiles,
    recorded_profile,
)

__all__ = [
    "BARE",
    "GENERIC",
    "Profile",
    "bare_profile",
    "build",
    "cache_folder",
    "environment",
    "generic_profile",
    "is_record",
    "load_profile",
    "profiles",
    "read_counts",
    "recorded_profile",
]
