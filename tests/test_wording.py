from __future__ import annotations

import re
from pathlib import Path

import pytest

import sdxl_lab
from sdxl_lab.wording import counted, few

COUNTED = re.compile(r"\{len\([^{}]*\)\} (?:pictures|runs|points|samples|files|folders|seeds|threads|images)\b")


@pytest.mark.parametrize(("number", "said"), [(0, "0 pictures have"), (1, "1 picture has"), (2, "2 pictures have")])
def test_one_is_singular(number, said):
    """
    One thing is named in the singular, none and several in the plural.
    """
    assert counted(number, "picture has", "pictures have") == said
    assert counted(number, "run") == f"{number} run{'s' * (number != 1)}"


def test_a_long_list_is_cut_short():
    """
    As many words as fit are listed whole; of more the first ones, and how many there are beyond.
    """
    assert few(["a", "b"], 2) == "a, b"
    assert few(["a", "b", "c", "d"], 2) == "a, b and 2 more"


def test_names_with_commas_are_parted_by_semicolons():
    """
    What parts words may be another sign than one that is in them, also where the list is cut.
    """
    assert few(["steps 1, scale 5", "steps 6, scale 5"], between="; ") == "steps 1, scale 5; steps 6, scale 5"
    assert few(["a, b", "c, d", "e"], 2, between="; ") == "a, b; c, d and 1 more"


def test_nobody_counts_without_it():
    """
    No module writes a length before a plural by itself, which would say `1 pictures`.
    """
    assert not [path.name for path in Path(sdxl_lab.__file__).parent.rglob("*.py") if COUNTED.search(path.read_text())]
