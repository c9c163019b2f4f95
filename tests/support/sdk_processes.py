"""Counts the processes that are started for Comet, and imports of its SDK elsewhere, in every Python process below an environment."""

from __future__ import annotations

import os
from pathlib import Path

SITECUSTOMIZE = """
import os, sys

def listen(event, args):
    if event == "subprocess.Popen":
        words = [word for word in map(str, args[1]) if "import main" in word and ("sdxl_lab.tracking" in word or "sdxl_lab.comet" in word)]
    else:
        words = ["imports comet_ml"] if event == "import" and args[0] == "comet_ml" else []
    for word in words:
        with open(os.environ["SDK_PROCESSES"], "a") as log:
            log.write(f"{os.getpid()}: {word}\\n")

sys.addaudithook(listen)
"""


def counting(folder: Path) -> dict[str, str]:
    """What to add to an environment; `counted` reads what happened below it."""
    (folder / "site").mkdir()
    (folder / "site" / "sitecustomize.py").write_text(SITECUSTOMIZE)
    path = os.pathsep.join([str(folder / "site"), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {"SDK_PROCESSES": str(folder / "log"), "PYTHONPATH": path}


def counted(folder: Path) -> list[str]:
    """The modules that were started in processes of their own since the last look, and whatever imported the SDK itself."""
    log = folder / "log"
    lines = log.read_text().splitlines() if log.is_file() else []
    log.unlink(missing_ok=True)
    return sorted(line.partition("from ")[2].partition(" ")[0] or line for line in lines)
