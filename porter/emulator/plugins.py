"""The module of a vendor's name that stands in for the plugin, written for a card into a folder of the cache.

It holds no more than a call (``site/porter_emulated/shim.py`` says of what); an unknown card's profile lies beside it,
and its facts.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from porter.emulator.profiles import Profile
from porter.errors import EnvironmentFailed
from porter.files import move
from porter.temporary import temporary_folder

_SHIM = '''\
"""{plugin} is not here: this stands in for it, as {device}; where it is installed, it is used instead."""

from porter_emulated.shim import stand_in

stand_in(__name__, __file__, {folder!r})
'''


def write_plugin(profile: Profile, cache: Path) -> tuple[Path, str]:
    """A folder for PYTHONPATH that has the card's plugin, and what PORTER_EMULATED_PROFILE has to be.

    The same card gives the same folder, which is written once and never changed.

    Raises:
        EnvironmentFailed: the cache cannot be written to.
    """
    folder = profile.data.get("real", {}).get("folder", "")
    files = {f"{profile.plugin}/__init__.py": _SHIM.format(plugin=profile.plugin, device=profile.device, folder=folder)}
    if folder:  # by which programs tell it from the other project as well
        files[f"{profile.plugin}/{folder}/__init__.py"] = (
            f'"""{profile.plugin} makes this module when it is imported."""\n'
        )
    if profile.path is None:
        files[f"{Path(profile.name).stem}.json"] = json.dumps(profile.data, indent=2) + "\n"
        if profile.facts is not None:
            files[profile.data["source"]] = json.dumps(profile.facts, indent=2) + "\n"
    digest = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
    made = cache / "plugins" / f"{profile.plugin}-{digest[:16]}"
    try:
        if not made.is_dir():
            _write(made, files)
    except OSError as error:
        raise EnvironmentFailed(f"no emulated device: cannot write to {cache}", error.strerror or str(error)) from error
    return made, str(made / f"{Path(profile.name).stem}.json") if profile.path is None else profile.name


def _write(folder: Path, files: dict[str, str]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with temporary_folder("staging-", str(folder.parent)) as staging:
        for name, text in files.items():
            (staging / name).parent.mkdir(parents=True, exist_ok=True)
            (staging / name).write_text(text, encoding="utf-8")
        os.chmod(staging, 0o755)
        try:
            move(staging, folder)
        except OSError:
            if not folder.is_dir():  # else somebody else wrote the same
                raise
