"""Kernels that start while this process does something else, such as planning what they will run: one a thread, for its next notebook."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from sdxl_lab.kernels.process import Kernel, Wanted


class _OfThread(threading.local):
    """A thread's kernels: the one that the engine `warm` keeps, with who is told why it does not, and one that starts."""

    warm: Kernel | None = None
    say: Callable[[str], None]
    coming: Kernel | None = None


of_thread = _OfThread()


def start(wanted: Wanted) -> None:
    """Start a kernel for the next notebook of this thread, unless one starts already or the warm one will serve. It is not waited for.

    Args:
        wanted: What it is started with.
    """
    if of_thread.coming is None and (wanted.alone or of_thread.warm is None):
        of_thread.coming = Kernel(wanted)


def end() -> None:
    """End the kernel that was started for this thread, at once, if no notebook took it."""
    kernel, of_thread.coming = of_thread.coming, None
    if kernel is not None and kernel.is_ours():
        kernel.close(at_once=True)


def taken(wanted: Wanted) -> Kernel | None:
    """The kernel that was started for this thread, which is the caller's from now on; None if there is none, or none such."""
    kernel = of_thread.coming
    if kernel is None or not kernel.is_ours():
        return None
    # What has changed of it since is what libraries set when they are imported, as OpenCV does; there they do it too.
    kernel.wanted = replace(kernel.wanted, environment=wanted.environment)
    if kernel.unlike(wanted):
        end()
        return None
    of_thread.coming = None
    return kernel


@contextmanager
def started(wanted: Wanted) -> Iterator[None]:
    """Start a kernel for a notebook of this thread as `start` does, and end it with the block, however that ends, if no notebook took it.

    Args:
        wanted: What it is started with.
    """
    start(wanted)
    try:
        yield
    finally:
        end()
