"""What comes with sdxl_lab to be read, changed and run: notebooks, sweep files, a site file; found, listed and copied."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

from sdxl_lab.errors import LabError
from sdxl_lab.files.disk import write_whole

FIRST = "inpaint_outpaint"
"""The notebook that all began with."""

KINDS = ("*.ipynb", "*.yaml", "parsl_*.py")


class ExampleError(LabError):
    """There is no such example, or it cannot be copied there."""


def examples() -> dict[str, Path]:
    """What comes with sdxl_lab, by name: the notebooks, `FIRST` before the others, then sweep files, then site files."""
    package = Path(str(resources.files("sdxl_lab")))
    # A wheel carries them inside the package; in a clone they lie beside the package, where people open them.
    folder = next((folder for folder in (package.parent / "notebooks", package / "notebooks") if (folder / f"{FIRST}.ipynb").is_file()), None)
    found = [path for kind in KINDS for path in sorted(folder.glob(kind), key=lambda path: (path.stem != FIRST, path.stem))] if folder else []
    return {path.stem: path for path in found}


def title(example: Path) -> str:
    """Say in a line what an example is for: the heading of a notebook, the first line of a file.

    Args:
        example: One of `examples`.
    """
    text = example.read_text("utf-8")
    if example.suffix == ".ipynb":
        text = "".join(json.loads(text)["cells"][0]["source"])
    return text.lstrip('#" ').partition("\n")[0]


def copy(name: str, folder: Path) -> Path:
    """Copy an example, to be changed and run.

    Args:
        name: One of `examples`, with or without the end of the file's name.
        folder: Where to; made if needed.

    Returns:
        The copy.

    Raises:
        ExampleError: There is no such example, or a file of its name in the folder already.
        DiskError: The folder cannot be written to.
    """
    brought = examples()
    example = brought.get(name) or next((path for path in brought.values() if path.name == name), None)
    if example is None:
        raise ExampleError(f"got {name!r}; what can be copied is {', '.join(brought)}: sdxl-lab notebook lists them")
    written = folder / example.name
    if written.exists():
        raise ExampleError(f"{written} is there already, and may be yours; name another folder: sdxl-lab notebook {name} FOLDER")
    write_whole(written, example.read_bytes())
    return written
