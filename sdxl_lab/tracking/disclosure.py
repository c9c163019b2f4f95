"""What may leave this machine: an executed notebook without the paths and names it collected while it ran."""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import platform
import re
import sys
from pathlib import Path
from typing import Any

KEPT_METADATA = {"kernelspec": {"name", "display_name", "language"}, "language_info": {"name", "version", "file_extension", "mimetype"}}
KEPT_CELL_METADATA = {"tags"}
ABSOLUTE = re.compile(r"""(?<![\w.:/~\\-])(?:/(?!/)(?:[^\s/"'<>|:*?\\,;()\[\]{}]+/)+|[A-Za-z]:\\{1,2}(?:[^\s\\/"'<>|:*?]+\\{1,2})+)""")
COLOR = re.compile(r"(\x1b\[[0-9;]*[A-Za-z])")
FILE_URL = re.compile(r"""file://[^\s"'<>)]*/""")


def without_paths(text: str) -> str:
    """Cut absolute paths down to their last part, and take out the names of this machine and of its user.

    Args:
        text: Any text.

    Returns:
        The text with `/home/ann/lab/run.py` written as `…/run.py`, and no host name, user name or home folder.
    """
    # Color codes end in a letter, which would hide where a path begins.
    pieces = COLOR.split(text)
    return "".join(piece if index % 2 else _without_paths(piece) for index, piece in enumerate(pieces))


def public_notebook(notebook: bytes) -> bytes:
    """Copy an executed notebook for others: source and output stay, traces of this machine go.

    Metadata is cut down to what a viewer needs. Paths, host and user names are taken out of all text, error messages and
    tracebacks included; pictures are kept byte for byte.

    Args:
        notebook: The file's content, nbformat 4.

    Returns:
        The copy's content.

    Raises:
        ValueError: It is not a notebook.
    """
    content = json.loads(notebook)
    if not isinstance(content, dict) or not isinstance(content.get("cells"), list):
        raise ValueError("not a notebook: it has no list of cells")
    metadata = content.get("metadata", {})
    kept = {part: {key: metadata[part][key] for key in keys & metadata[part].keys()} for part, keys in KEPT_METADATA.items() if part in metadata}
    copy = {
        "cells": [_cell(cell) for cell in content["cells"]],
        "metadata": kept,
        "nbformat": content.get("nbformat", 4),
        "nbformat_minor": content.get("nbformat_minor", 5),
    }
    return (json.dumps(copy, indent=1, ensure_ascii=False) + "\n").encode("utf-8", "replace")


def code_of(notebook: bytes) -> str:
    """The code of a notebook's cells, as one script, each cell under a comment with its number.

    Args:
        notebook: What `public_notebook` returned.
    """
    cells = [cell for cell in json.loads(notebook)["cells"] if cell.get("cell_type") == "code"]
    sources = ["".join(cell.get("source", "")).rstrip() for cell in cells]
    return "\n\n".join(f"# cell {number}\n{source}" for number, source in enumerate(sources, 1)) + "\n"


def _without_paths(text: str) -> str:
    for personal in _folders():
        text = re.sub(re.escape(personal) + r"(?![\w.-])", "…", text)
    text = FILE_URL.sub("…/", text)
    text = ABSOLUTE.sub("…/", text)
    for name in _names():
        text = re.sub(rf"(?<![\w]){re.escape(name)}(?![\w])", "…", text)
    return text


def _cell(cell: dict[str, Any]) -> dict[str, Any]:
    metadata = cell.get("metadata", {})
    copy = _clean({key: value for key, value in cell.items() if key not in ("metadata", "outputs")})
    copy["metadata"] = {key: metadata[key] for key in KEPT_CELL_METADATA if key in metadata}
    if "outputs" in cell:
        copy["outputs"] = [_clean(output | ({"metadata": {}} if "metadata" in output else {})) for output in cell["outputs"]]
    return copy


def _clean(value: Any, kind: str = "") -> Any:
    if isinstance(value, dict):
        return {key: _clean(below, str(key)) for key, below in value.items()}
    if kind.startswith("image/") and kind != "image/svg+xml":
        return value
    if isinstance(value, list):
        # The lines of one text: a path may not be cut apart by cleaning them one by one, nor is it, since paths have no newline.
        return [_clean(item) for item in value]
    return without_paths(value) if isinstance(value, str) else value


def _folders() -> list[str]:
    folders = {str(Path.home()), os.path.realpath(Path.home()), str(Path.cwd()), sys.prefix}
    return sorted((folder for folder in folders if len(folder) > 3), key=len, reverse=True)


def _names() -> list[str]:
    names = {platform.node(), platform.node().partition(".")[0]}
    with contextlib.suppress(OSError, KeyError):
        names.add(getpass.getuser())
    # Words every notebook holds are no names: what they would hide is not personal.
    return sorted((name for name in names if len(name) > 2 and name not in ("root", "user", "localhost", "runner")), key=len, reverse=True)
