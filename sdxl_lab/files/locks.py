"""One writer a folder: the operating system's own lock, which ends with its holder however that ends."""

from __future__ import annotations

import math
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

from sdxl_lab.errors import LabError
from sdxl_lab.files.disk import DiskError

LOCK_NAME = ".lock"

POLL_S = 0.2

_T = TypeVar("_T")


class LockError(LabError):
    """Somebody else holds the lock of a folder."""


@contextmanager
def locked(folder: Path, name: str = LOCK_NAME) -> Iterator[None]:
    """Hold the lock of a folder, or of one thing in it.

    Args:
        folder: An existing folder that can be written to. The lock's file stays behind, unlocked, when the block ends.
        name: The lock's file; other names are other locks.

    Yields:
        Nothing; the lock is held inside the block.

    Raises:
        LockError: Another process, or another block of this one, holds it.
        DiskError: The folder cannot be written to, or its file system has no locks.
    """
    try:
        descriptor = os.open(folder / name, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise _disk_error(folder, error) from error
    try:
        try:
            free = _try_lock(descriptor)
        except OSError as error:
            raise _disk_error(folder, error) from error
        if not free:
            raise LockError(
                f"{folder} is being written by {_holder(descriptor)}; a run folder has one writer at a time: wait until it is done, "
                "or end that process (the lock ends with it) and run again"
            )
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()} {platform.node()}\n".encode(), 0)
        yield
        # The file stays: removing it would let a third process lock a file of the same name beside one that a second just opened.
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


@contextmanager
def once_free(
    lock: Callable[[], AbstractContextManager[_T]],
    *,
    patience_s: float = math.inf,
    told: Callable[[LockError], object] | None = None,
    pause: Callable[[float], object] = time.sleep,
) -> Iterator[_T]:
    """Hold a lock, after waiting for whoever has it.

    Args:
        lock: Takes it, as `locked` does.
        patience_s: How long to wait.
        told: Called once, if the lock is not free at once, with what says who has it.
        pause: Waits for some seconds between two attempts; after one that returns True there is but one more.

    Yields:
        What the lock yields.

    Raises:
        LockError: It was not free in time.
    """
    deadline, is_over = time.monotonic() + patience_s, False
    with ExitStack() as stack:
        while True:
            try:
                held = stack.enter_context(lock())
                break
            except LockError as error:
                if is_over or time.monotonic() > deadline:
                    raise
                if told:
                    told(error)
                told, is_over = None, pause(POLL_S)
        yield held


def _disk_error(folder: Path, error: OSError) -> DiskError:
    return DiskError(f"could not lock {folder}: {error.strerror or error}; choose a folder on a local disk that can be written to, and run again")


def _holder(descriptor: int) -> str:
    process, _, host = os.pread(descriptor, 300, 0).decode("utf-8", "replace").strip().partition(" ")
    if not process.isdecimal():
        return "another process"
    if host not in ("", platform.node()):  # file systems of several machines lock for all of them
        return f"process {process} of machine {host}"
    return "another block of this process" if int(process) == os.getpid() else f"process {process} of this machine"


if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        # Far behind the process id, which others read: msvcrt's locks forbid reading what they cover.
        os.lseek(descriptor, 1 << 20, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
