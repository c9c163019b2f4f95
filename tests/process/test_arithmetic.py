"""Torch's switches as the key of a cache."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from sdxl_lab.process.arithmetic import arithmetic, switches


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global torch
    import torch


CHANGES = {
    "deterministic algorithms": lambda: torch.use_deterministic_algorithms(True),
    "precision of products": lambda: torch.set_float32_matmul_precision("medium"),
    "autocast": lambda: torch.set_autocast_enabled("cpu", True),
    "the dtype of autocast": lambda: torch.set_autocast_dtype("cpu", torch.float16),
    "benchmarked convolutions": lambda: setattr(torch.backends.cudnn, "benchmark", not torch.backends.cudnn.benchmark),
}


@pytest.mark.parametrize("change", CHANGES)
def test_each_switch_changes_the_key_and_can_be_put_back(change):
    """
    A switch that is set gives another key; put back by the same list, the key is what it was.
    """
    before = arithmetic()
    with ExitStack() as stack:
        for get, put in switches():
            stack.callback(put, get())
        CHANGES[change]()
        assert arithmetic() != before
    assert arithmetic() == before


def test_the_default_dtype_is_put_back_and_changes_no_key():
    """
    It is a switch to put back, but what is kept under one default dtype is good under another.
    """
    before = arithmetic()
    with ExitStack() as stack:
        for get, put in switches():
            stack.callback(put, get())
        torch.set_default_dtype(torch.float64)
        assert arithmetic() == before
    assert torch.get_default_dtype() == torch.float32
