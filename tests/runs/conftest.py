"""A quick picture, and what it was made from, for those who make it again."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.datasets import write_dataset
from tests.support.lone_pictures import make


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    """Two scenes, both tasks."""
    return write_dataset(tmp_path_factory.mktemp("data") / "scenes")


@pytest.fixture(scope="module")
def sources(dataset, random_pair) -> dict[str, str]:
    """Where dataset and checkpoint of the quick pictures lie."""
    return {"dataset": str(dataset), "checkpoint": str(random_pair)}


@pytest.fixture(scope="module")
def picture(tmp_path_factory, sources) -> Path:
    """A quick picture."""
    return make(tmp_path_factory.mktemp("pictures"), sample="scene-0", **sources)
