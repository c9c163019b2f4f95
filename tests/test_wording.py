from __future__ import annotations

import re
from pathlib import Path

import pytest

import sdxl_lab
from sdxl_lab.wording import counted

COUNTED = re.compile(r"\{len\([^{}]*\)\} (?:pictures|runs|points|samples|files|folders|seeds|threads|images)\b")


@pytest.mark.parametrize(("number", "said"), [(0, "0 pictures have"), (1, "1 picture has"), (2, "2 pictures have")])
def test_one_is_singular(number, said):
    """
    One thing is named in the singular, none and several in the plural.
    """
    assert counted(number, "picture has", "pictures have") == said
    assert counted(number, "run") == f"{number} run{'s' * (number != 1)}"


def test_nobody_counts_without_it():
    """
    No module writes a length before a plural by itself, which would say `1 pictures`.
    """
    assert not [path.name for path in Path(sdxl_lab.__file__).parent.rglob("*.py") if COUNTED.search(path.read_text())]
