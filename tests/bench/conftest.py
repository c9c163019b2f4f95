"""The bench that most tests of this folder begin with."""

from __future__ import annotations

import pytest

from sdxl_lab import Bench


@pytest.fixture
def bench(home) -> Bench:
    """A bench with nothing on it."""
    return Bench(tracking="off")
