"""Imported by a process that is to die: at the call of a function that the variable SDXL_LAB_TEST_DEATH names, it kills itself."""

from __future__ import annotations

import importlib
import json
import os
import signal
from collections.abc import Callable
from typing import Any

VARIABLE = "SDXL_LAB_TEST_DEATH"


def die() -> None:
    """As by kill -9."""
    os.kill(os.getpid(), signal.SIGKILL)


def deadly(function: Callable[..., Any], when: str, call: int) -> Callable[..., Any]:
    """
    The function, which at one of its calls ends the process before it, after it, or after half of the line that it was to append.
    """
    count = 0

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        nonlocal count
        count += 1
        if count != call:
            return function(*args, **kwargs)
        if when == "after":
            function(*args, **kwargs)
        if when == "torn":
            path, line = args
            with path.open("ab") as file:
                file.write(line[: len(line) // 2])
        die()
        return None

    return wrapped


def arm(name: str, when: str, call: int) -> None:
    """Put a deadly function in the place of the one that is named `module:function` or `module:Class.method`."""
    module, _, path = name.partition(":")
    owner: Any = importlib.import_module(module)
    *above, last = path.split(".")
    for part in above:
        owner = getattr(owner, part)
    setattr(owner, last, deadly(getattr(owner, last), when, call))


if VARIABLE in os.environ:
    arm(*json.loads(os.environ[VARIABLE]))
