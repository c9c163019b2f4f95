"""Things that a library holds and a warm kernel watches."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sdxl_lab.kernels import engine
from tests.support.warm_notebooks import execute, printed

MAKE = """
import argparse, operator, wave
from sdxl_lab.process.unchanged import watch
wave.thing = argparse.Namespace(weight=1)
watch.add("the loaded thing", wave.thing, operator.attrgetter("weight"))
"""


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """Begin with a new kernel, and leave none behind."""
    engine.close()
    yield
    engine.close()


def test_a_watched_thing_that_changes_costs_a_kernel():
    """
    Notebooks that look at what another one loaded keep the kernel; the one that changes it is the last in it, and its change reaches no other.
    """
    told: list[str] = []
    look = "import wave; print(wave.thing.weight if hasattr(wave, 'thing') else None)"
    seen = [printed(execute(source, tell=told.append)) for source in (look, MAKE, look, f"{look}; wave.thing.weight = 2", look)]
    assert seen == ["None\n", "", "1\n", "1\n", "None\n"]
    assert told == ["a new kernel for the next notebook: a notebook changed the loaded thing"]
