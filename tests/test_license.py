from __future__ import annotations

from pathlib import Path

import pytest

from porter.rebase.new_pin import UNKNOWN_LICENSE, license_file, license_of

# what these files begin with, as projects write them: indented, in capitals, with or without a date
BEGINNINGS = {
    "GPL-3.0-only": "GNU GENERAL PUBLIC LICENSE\n                       Version 3, 29 June 2007\n",
    "GPL-2.0-only": "                    GNU GENERAL PUBLIC LICENSE\n                       Version 2, June 1991\n",
    "AGPL-3.0-only": "    GNU AFFERO GENERAL PUBLIC LICENSE\n        Version 3, 19 November 2007\n",
    "LGPL-3.0-only": "GNU Lesser General Public License\nVersion 3\n\nincorporates the GNU General Public License\n",
    "Apache-2.0": "          Apache License\n     Version 2.0, January 2004\n",
    "MIT": "Permission is hereby granted, free of charge, to any person\nobtaining a copy of this software",
    "BSD-2-Clause": "Redistribution and use in source and binary forms, with or without\nmodification, are permitted",
    "BSD-3-Clause": "Redistribution and use in source and binary forms, with\n3. Neither the name of the holder nor",
}


@pytest.mark.parametrize("name", BEGINNINGS)
def test_a_licence_is_known_by_its_text(name: str) -> None:
    assert license_of(BEGINNINGS[name]) == name


def test_what_is_not_known_is_said() -> None:
    assert license_of("Do what you like.\n") == UNKNOWN_LICENSE
    assert license_of("") == UNKNOWN_LICENSE


def test_this_projects_own() -> None:
    text = (Path(__file__).resolve().parents[1] / "LICENSE").read_text(encoding="utf-8")
    assert license_of(text) == "GPL-3.0-only"  # although the text names the Affero licence further down


def test_which_file_it_is() -> None:
    assert license_file(["README.md", "LICENSE", "COPYING", "docs/LICENSE"]) == "LICENSE"
    assert license_file(["COPYING", "LICENSE.md"]) == "LICENSE.md"
    assert license_file(["LICENCE.txt"]) == "LICENCE.txt"
    assert license_file(["docs/LICENSE", "LICENSES.md"]) == ""
