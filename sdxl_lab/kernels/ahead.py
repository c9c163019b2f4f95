"""Kernels that start while this process does something else, such as planning what they will run: one a thread, for its next notebook."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from sdxl_lab.kernels.process import Kernel, Wanted

_of_thread = threading.local()


def start(wanted: Wanted) -> None:
    """Start a kernel for the next notebook of this thread. It is not waited for.

    Args:
        wanted: What it is started with.
    """
    end()
    _of_thread.kernel = Kernel(wanted)


def end() -> None:
    """End the kernel that was started for this thread, if no notebook took it."""
    kernel, _of_thread.kernel = getattr(_of_thread, "kernel", None), None
    if kernel is not None and kernel.is_ours():
        kernel.close(at_once=True)


def taken(wanted: Wanted) -> Kernel | None:
    """The kernel that was started for this thread, which is the caller's from now on; None if there is none, or it was started with something else."""
    kernel = getattr(_of_thread, "kernel", None)
    if kernel is None or not kernel.is_ours():
        return None
    # What has changed of it since is what libraries set when they are imported, as OpenCV does; there they do it too.
    kernel.wanted = replace(kernel.wanted, environment=wanted.environment)
    if kernel.unlike(wanted):
        end()
        return None
    _of_thread.kernel = None
    return kernel


@contextmanager
def started(wanted: Wanted) -> Iterator[None]:
    """Start a kernel for a notebook of this thread, and end it with the block, however that ends, if no notebook took it.

    Args:
        wanted: What it is started with.
    """
    start(wanted)
    try:
        yield
    finally:
        end()
