"""Waiting for a lock that somebody else holds."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack

import pytest

from sdxl_lab.files.locks import LockError, locked, once_free


def test_who_waits_gets_the_lock_and_is_told_once_who_has_it(tmp_path):
    """
    The lock is held inside the block as soon as its holder lets go, and the waiting is told once, however long it is.
    """
    told, holder = list[str](), ExitStack()
    holder.enter_context(locked(tmp_path))
    threading.Timer(0.5, holder.close).start()
    with once_free(lambda: locked(tmp_path), told=lambda error: told.append(str(error))), pytest.raises(LockError), locked(tmp_path):
        pass
    assert len(told) == 1
    assert "another block of this process" in told[0]
    with once_free(lambda: locked(tmp_path), told=lambda error: told.append(str(error))):
        assert len(told) == 1


def test_patience_ends(tmp_path):
    """
    A lock that is not free in time is an error, as is one whose waiting is called off, at once; an error in the block is passed on.
    """
    with locked(tmp_path):
        began = time.monotonic()
        with pytest.raises(LockError), once_free(lambda: locked(tmp_path), patience_s=0.3):
            pass
        assert 0.3 < time.monotonic() - began < 10
        called_off = threading.Event()
        called_off.set()
        with pytest.raises(LockError), once_free(lambda: locked(tmp_path), pause=called_off.wait):
            pass
    with pytest.raises(ZeroDivisionError), once_free(lambda: locked(tmp_path)):
        _ = 1 / 0


def test_what_the_lock_yields_is_passed_on(tmp_path):
    """
    The block gets what was opened.
    """
    with ExitStack() as stack:
        assert stack.enter_context(once_free(lambda: (tmp_path / "a").open("w"))).name == str(tmp_path / "a")
