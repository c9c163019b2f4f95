"""The `sdxl-lab` command within this process, which takes a hundredth of the time of a process of its own."""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass

import pytest

from sdxl_lab import cli


@dataclass(frozen=True)
class Said:
    """How a command ended: its exit code, and all it wrote."""

    code: int
    out: str
    err: str


def said(*arguments: object, encoding: str = "utf-8") -> Said:
    """Run the command as its entry point does, with output streams of an encoding."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["sdxl-lab", *map(str, arguments)])
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        with pytest.raises(SystemExit) as ended:
            cli.main()
    return Said(int(ended.value.code or 0), *(_text(stream, encoding) for stream in (out, err)))


def _text(stream: io.TextIOWrapper, encoding: str) -> str:
    stream.flush()
    raw = stream.buffer
    assert isinstance(raw, io.BytesIO)
    return raw.getvalue().decode(encoding)
