"""Run folders made without a model, and code run in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from sdxl_lab.records.folder import RunFolder
from sdxl_lab.spec.resolved_spec import ResolvedSpec
from tests.support.runs import made_for

ROOT = Path(__file__).parents[2]


def complete(resolved: ResolvedSpec, change_outside_max: float = 0.0) -> RunFolder:
    """Make whatever a run still lacks, of a metric that is known."""
    run = RunFolder.of(resolved)
    with run.open(resolved):
        for edit in run.pending():
            run.add_picture(edit, made_for(edit), {"change_outside_max": change_outside_max})
        run.finish()
    return run


def files(folder: Path) -> list[str]:
    """Every file below a folder."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def pixels(path: Path) -> bytes:
    """Decode a picture."""
    return np.asarray(Image.open(path)).tobytes()


def environment() -> dict[str, str]:
    """That of a process which can import these tests."""
    return os.environ | {"PYTHONPATH": str(ROOT)}


def script(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run code in a process that can import these tests."""
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], env=environment(), capture_output=True, text=True, check=False, timeout=600
    )
