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


def grow(folder: Path, field: str, sections: tuple[str, ...] = SECTIONS) -> Path:
    """Copy the package into a folder, and add a field's line to each of the classes."""
    package = folder / "sdxl_lab"
    shutil.copytree(SOURCE, package, ignore=shutil.ignore_patterns("weights", "datasets", "__pycache__"))
    for heavy in ("weights", "datasets"):
        (package / "pocket" / heavy).symlink_to(SOURCE / "pocket" / heavy)
    (folder / "notebooks").symlink_to(SOURCE.parent / "notebooks")
    settings = package / "settings.py"
    lines = settings.read_text().splitlines()
    classes = {node.name: node for node in ast.parse("\n".join(lines)).body if isinstance(node, ast.ClassDef)}
    assert set(sections) <= classes.keys()
    for section in sorted(sections, key=lambda name: -classes[name].lineno):
        lines.insert(classes[section].end_lineno or 0, f"    {field}")
    settings.write_text("\n".join(lines) + "\n")
    return folder


def run(folder: Path, code: str, *arguments: str) -> str:
    """Run code in a process that imports the copy; what it printed."""
    environment = os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{Path(__file__).parent}"}
    done = subprocess.run([sys.executable, "-P", "-c", code, *arguments], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout
