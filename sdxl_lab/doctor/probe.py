"""A process in which parts are looked at, one after the other: what it finds, and what it is at, in lines of JSON on stdout."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from importlib import import_module
from typing import Any

from sdxl_lab import progress
from sdxl_lab.doctor.checks import CHECKS
from sdxl_lab.doctor.findings import Finding, attention, broken, quoted


def command(parts: list[str], checkpoint: str | None, amiss: list[str]) -> list[str]:
    """Write the command that looks at some parts as this process would.

    Args:
        parts: Keys of `CHECKS`.
        checkpoint: What was given, or None.
        amiss: The parts that are broken, or were not looked at.
    """
    asked = json.dumps({"parts": parts, "checkpoint": checkpoint, "amiss": amiss})
    # Modules are looked for where this process finds them. -B: where a disk is full, Python 3.11 keeps half of a compiled module and does not notice.
    return [sys.executable, "-B", "-c", f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import main; main(sys.argv[1])", asked]


def main(asked: str) -> None:
    """Look at parts, as `command` asks for them."""
    lines = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is no line of this process's

    def say(kind: str, what: Mapping[str, Any] | str) -> None:
        with suppress(OSError):
            lines.write(json.dumps({kind: what}) + "\n")
            lines.flush()

    request = json.loads(asked)
    amiss: list[str] = request["amiss"]
    with progress.heard(lambda doing: say("doing", asdict(doing))):
        for part in request["parts"]:
            for finding in _looked_at(part, request["checkpoint"], amiss):
                if finding.verdict == "broken" and part not in amiss:
                    amiss.append(part)
                say("finding", asdict(finding))
            say("done", part)
    lines.flush()
    os._exit(0)  # nothing that a library does at its exit is of use here


def _looked_at(part: str, checkpoint: str | None, amiss: list[str]) -> Any:
    check = CHECKS[part]
    if lacking := [need for need in check.needs if need in amiss]:
        amiss.append(part)
        yield unseen(part, lacking[0])
        return
    module, _, function = check.look.partition(":")
    try:
        yield from getattr(import_module(module), function)(checkpoint)
    except Exception as error:  # noqa: BLE001 - whatever is wrong with a part, the page goes on
        yield broken(part, quoted(error))


def unseen(part: str, need: str) -> Finding:
    """A part that was not looked at, because of another one."""
    return attention(part, f"not looked at, because of {need}")
