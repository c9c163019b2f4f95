"""The thread count of torch that was there before the lab's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sdxl_lab.process import threads


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global torch
    import torch


@pytest.fixture(autouse=True)
def put_back() -> Iterator[None]:
    """Leave the process as it was."""
    before, count = list(threads.before), torch.get_num_threads()
    threads.before.clear()
    yield
    threads.before[:] = before
    torch.set_num_threads(count)


def test_the_machines_own_count_is_known_after_the_labs():
    """
    Whatever the lab sets, and however often, the count from before is still known; one that the user sets before counts.
    """
    torch.set_num_threads(3)
    assert threads.machine_threads() == 3
    for count in (1, 2):
        threads.use_threads(count)
        assert torch.get_num_threads() == count
        assert threads.machine_threads() == 3
