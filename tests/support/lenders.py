"""Single files as small as a folder, whose configuration they then share in place of the one that the package has for their architecture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from sdxl_lab.families import FAMILIES, Architecture


@contextmanager
def lent(family: str, folders: Mapping[Architecture, Path]) -> Iterator[None]:
    """
    While the block runs, a family's files of some architectures are built as these folders say; whose VAE they take stays as it is.
    """
    own = FAMILIES[family]
    lenders = {built: replace(own.single_files[built], configuration=folder) for built, folder in folders.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(FAMILIES, family, replace(own, single_files={**own.single_files, **lenders}))
        yield
