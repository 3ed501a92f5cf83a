"""Where porter's own files are: the stacks and the lock, from a checkout or from the installed package."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from porter.errors import WrongUsage
from porter.output import command_line

LOCK_NAME = "upstream.lock"
PATCHES_NAME = "patches"
LINES_NAME = "lines"
STATE_NAME = ".porter"
REWRITE_NAME = "rewrite"  # in there: new stacks on their way to their place, see porter.rebase.write_stacks
_PACKAGE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Project:
    """A folder with ``upstream.lock`` and ``patches/``: a checkout, or one of its lines.

    A line is the same for another release of upstream.  A checkout's own is the default line; the folders in
    ``lines/`` are the others, each called as its folder.

    Attributes:
        root: the folder.
        chosen: whether somebody named it or is in it; otherwise it is the one that porter was installed from.
    """

    root: Path
    chosen: bool = field(default=True, compare=False)

    @property
    def patches(self) -> Path:
        """The folder of stacks, one folder each."""
        return self.root / PATCHES_NAME

    @property
    def lock_path(self) -> Path:
        return self.root / LOCK_NAME

    @property
    def state(self) -> Path:
        """The folder for what porter is in the middle of, its lock, and what a person resolved; git does not see it.

        A line's is in the checkout's: ``lines/`` holds nothing that does not belong into a release.
        """
        top = self.top
        return top.root / STATE_NAME / self.root.relative_to(top.root)

    @property
    def top(self) -> Project:
        """The checkout that this is a line of; itself where it is no line in ``lines/``."""
        above = self.root.parent
        if above.name == LINES_NAME and _is_project(above.parent):
            return Project(above.parent, self.chosen)
        return self

    @property
    def others(self) -> dict[str, Project]:
        """Name -> line, of the lines in the checkout's ``lines/``, the oldest release first."""
        top = self.top
        folder = top.root / LINES_NAME
        try:
            found = [entry for entry in folder.iterdir() if not entry.name.startswith(".") and _is_project(entry)]
        except OSError:  # most projects have none
            return {}
        return {entry.name: Project(entry, self.chosen) for entry in sorted(found, key=_by_number)}

    @property
    def packaged(self) -> bool:
        """Whether these files came with the installed package, so that nobody should edit them."""
        return self.top.root == _PACKAGE / "_data"

    def must_be_a_checkout(self) -> None:
        """Refuse to change files that came with the installed package, or a checkout that nobody named.

        Raises:
            WrongUsage: they did; or it was installed from a checkout (pip install -e), and this is another folder.
        """
        if self.packaged:
            raise WrongUsage(
                f"the stacks in {self.root} came with the installed porter",
                hint="Change them in a checkout of porter's repository: run porter in it, or name it: --project DIR.",
            )
        if not self.chosen:
            raise WrongUsage(
                "this folder is in no checkout of porter's repository, and nothing says which one to change",
                f"porter was installed from {self.root}",
                f"If you mean that one, run porter in it, or name it: {command_line('--project', self.root)}",
            )

    @classmethod
    def find(cls, start: Path | None = None) -> Project:
        """The project that ``start`` is in; without one, what the current folder is in, else the installed package's.

        In a checkout the nearest folder upwards counts.  An editable install, run from elsewhere, has no
        packaged copy: then it is the checkout that the package's code is in, to be read and not to be changed.

        Raises:
            WrongUsage: ``start`` is in none; or there is neither, and the installation is incomplete; or the current
                folder is gone.
        """
        try:
            here = (start or Path.cwd()).absolute()
        except FileNotFoundError as error:
            raise WrongUsage("the current folder does not exist any more", hint="Change to one that does.") from error
        around = (here, *here.parents)
        for folder in around if start else (*around, _PACKAGE / "_data", _PACKAGE.parent):
            if _is_project(folder):
                return cls(folder, chosen=folder in around)
        if start:
            raise WrongUsage(
                f"{start} is in no checkout of porter's repository",
                f"neither it nor a folder above it has {LOCK_NAME} and {PATCHES_NAME}/",
                "git clone porter's repository, and name that folder.",
            )
        raise WrongUsage(
            f"found neither {LOCK_NAME} nor {PATCHES_NAME}/ in {here}, above it or in the installed package",
            hint="Reinstall porter, or run it inside a checkout of its repository.",
        )


def _is_project(folder: Path) -> bool:
    return (folder / LOCK_NAME).is_file() and (folder / PATCHES_NAME).is_dir()


def _by_number(folder: Path) -> list[tuple[int, str]]:
    """A key that sorts ``v6.2`` before ``v6.10``."""
    return [(int(word) if word.isdecimal() else -1, word) for word in re.split(r"(\d+)", folder.name)]
