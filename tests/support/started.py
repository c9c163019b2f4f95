"""What a command of `sdxl-lab` starts and imports, in which order, told by Python's own audit events."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

LISTENING = """
import atexit, json, os, sys
told = []
def listen(event, arguments):
    if event == "subprocess.Popen" and "ipykernel_launcher" in " ".join(map(str, arguments[1])):
        told.append("kernel")
    elif event == "import" and arguments[0] in ("torch", "diffusers", "papermill"):
        told.append(arguments[0])
sys.addaudithook(listen)
pid = os.getpid()
def tell():
    if os.getpid() == pid:
        open(os.environ["TOLD"], "w").write(json.dumps(told))
atexit.register(tell)
from sdxl_lab.cli import main
if __name__ == "__main__":
    main()
"""


@dataclass(frozen=True, kw_only=True)
class Told:
    """What became of a command.

    Attributes:
        code: How it left.
        error: What it wrote to stderr.
        events: The kernels that it started and the libraries that it imported, each library once, in order.
    """

    code: int
    error: str
    events: tuple[str, ...]


def told_of(arguments: Sequence[str], folder: Path) -> Told:
    """
    Run a command in a folder.
    """
    script, events = folder / "listening.py", folder / "told.json"
    script.write_text(LISTENING)
    done = subprocess.run(
        [sys.executable, str(script), *arguments],
        cwd=folder,
        env={**os.environ, "TOLD": str(events), "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    return Told(code=done.returncode, error=done.stderr, events=tuple(dict.fromkeys(json.loads(events.read_text()))))
