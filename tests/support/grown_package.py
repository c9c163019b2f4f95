"""A copy of the package as a later version might be: with one more key in every section of the settings."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import sdxl_lab

SOURCE = Path(sdxl_lab.__file__).parent
SECTIONS = ("Denoising", "Refiner", "Mask", "Conditioning", "Canvas", "ImageReading", "Compute", "EditSettings", "Edit")

FUTURE = "from __future__ import annotations"
NEEDED = "from typing import Annotated; from sdxl_lab.settings.documents import Neutral"
"""What a field's line may be made of."""

HEAVY = ("weights", "datasets")
"""In `pocket/`; shared with the copy."""


def grow(folder: Path, field: str, sections: tuple[str, ...] = SECTIONS) -> Path:
    """Copy the package into a folder, and add a field's line to each of the classes."""
    package = folder / "sdxl_lab"
    shutil.copytree(SOURCE, package, ignore=_heavy)
    for heavy in HEAVY:
        (package / "pocket" / heavy).symlink_to(SOURCE / "pocket" / heavy)
    (folder / "notebooks").symlink_to(SOURCE.parent / "notebooks")
    grown: list[str] = []
    rooms = (package / "settings" / f"{name}.py" for name in ("denoising", "framing", "sections"))
    for file in (*rooms, package / "spec" / "edit.py"):
        lines = file.read_text().splitlines()
        classes = {node.name: node for node in ast.parse("\n".join(lines)).body if isinstance(node, ast.ClassDef) and node.name in sections}
        for node in sorted(classes.values(), key=lambda node: -node.lineno):
            lines.insert(node.end_lineno or 0, f"    {field}")
        lines.insert(lines.index(FUTURE) + 1, NEEDED)
        file.write_text("\n".join(lines) + "\n")
        grown += classes
    assert sorted(grown) == sorted(sections)
    return folder


def _heavy(folder: str, names: list[str]) -> list[str]:
    return ["__pycache__", *(HEAVY if Path(folder).name == "pocket" else ())]


def run(folder: Path, code: str, *arguments: str) -> str:
    """Run code in a process that imports the copy; what it printed."""
    environment = os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{Path(__file__).parents[2]}"}
    done = subprocess.run([sys.executable, "-P", "-c", code, *arguments], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout
