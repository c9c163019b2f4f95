"""Places as people write them, and which of them would be taken for folders here that nobody means."""

from __future__ import annotations

import re
from pathlib import Path

from sdxl_lab.errors import LabError
from sdxl_lab.files.addresses import AddressError, file_of, is_address

LONGEST_NAME_BYTES = 255
"""Of one folder or file, on the file systems of Linux and macOS."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/")
_DRIVE = re.compile(r"[A-Za-z]:[\\/]|\\\\")
_MADE = ("runs_folder", "output")
"""What is made where it is not there: that something of the name is there already excuses nothing."""
FETCHED = ("file", "checkpoint")
"""What may be written as the address that it was fetched from."""
_VARIABLE = re.compile(r"\$\{?\w+\}?|%\w+%")
_REMEDIES = {
    "file": "nothing is fetched from addresses: download it and give the file; a repository of the hub is written owner/name",
    "output": "files are written to this machine's disk: give a path here, and copy it from there",
    "runs_folder": "runs are kept on this machine's disk: give a folder here, and copy it from there, or let Comet have the runs (tracking)",
    "dataset": "nothing is fetched from addresses: copy it here and give its folder; a Comet artifact is written workspace/name:version",
    "checkpoint": "nothing is fetched from addresses: download it and give the folder or file; a repository of the hub is written owner/name",
}


class PlaceError(LabError):
    """A file cannot be written to the place that was given."""


def output(written: str) -> Path:
    """Read where a file is to be written; asked before the work is done whose result it is to hold.

    Args:
        written: As it was given.

    Returns:
        The path of a file that is there or can be made.

    Raises:
        PlaceError: It would be read as another place than was meant, is something else than a file, or lies in something that is no folder.
    """
    if reason := misread(written, "output") or _unwritable(Path(written).expanduser()):
        raise PlaceError(f"the output: got {written!r}; allowed is the path of a file, and {reason}")
    return Path(written).expanduser()


def unmakeable(folder: Path) -> str | None:
    """Say why a folder cannot be made.

    Args:
        folder: It, which may be there already.

    Returns:
        What is wrong, with what to do; None if nothing is.
    """
    if reason := misread(str(folder), "output"):
        return reason
    return f"{file} is no folder; choose another" if (file := in_the_way(folder)) else None


def misread(written: str, what: str) -> str | None:
    """Say why a text would be read as another place than the one that was meant.

    Args:
        written: As it was given.
        what: What lies there: `runs_folder`, `output`, `dataset`, `checkpoint`, or any other `file`.

    Returns:
        A sentence with what to do; None for the path of something here, whether it is there or not, and for a name.
    """
    if "\0" in written:
        return "it holds a NUL character, which no path can; write the path again"
    if what not in _MADE and _is_here(written):
        return None
    if what in FETCHED and is_address(written):
        return _not_fetched(written)
    if scheme := _SCHEME.match(written):
        if scheme[1].casefold() == "file":
            return f"it is an address; write the path alone: {written.partition(':')[2].replace('//', '', 1)}"
        return f"it is an address ({scheme[1]}:), and {_REMEDIES[what]}"
    if _DRIVE.match(written):
        return "it is a path of Windows; write the path that the folder has on this machine, with /"
    if "\\" in written:
        return "it has a backslash; write the path with / between folders, and without any sign before a space"
    if variable := _VARIABLE.match(written):
        return f"{variable.group()} is not filled in here; write what it stands for, or ~ for your home folder"
    if what in _MADE and written != written.strip():
        return "it begins or ends with a space; write it without"
    if any(len(part.encode("utf-8", "replace")) > LONGEST_NAME_BYTES for part in written.split("/")):
        return f"a name in it has more than {LONGEST_NAME_BYTES} bytes, the most that a disk takes; give a shorter one"
    return _without_home(written)


def in_the_way(folder: Path) -> Path | None:
    """Find the file because of which a folder cannot be made.

    Args:
        folder: It, or a place where it would be made.

    Returns:
        The folder's path or one above it, where there is something else than a folder; None if there is none.
    """
    try:
        nearest = next((path for path in (folder, *folder.parents) if path.is_symlink() or path.exists()), None)
        return nearest if nearest is not None and not nearest.is_dir() else None
    except OSError:  # what may not be looked at shows when the folder is made
        return None


def _unwritable(path: Path) -> str | None:
    if str(path) == "-":
        return "nothing is written to the standard output; name a file"
    if path.exists() and not path.is_file():
        return "there is something else of that name; name a file in a folder"
    if file := in_the_way(path.parent):
        return f"{file} is no folder: choose another, or move it away"
    return None


def _not_fetched(written: str) -> str | None:
    """Why an address stands for no file here; None if what it gives was fetched."""
    try:
        if file_of(written):
            return None
    except AddressError as error:
        return str(error)
    return "it is an address, and nothing is fetched from addresses unasked: run it once with --fetch, or download the file and give that"


def _is_here(written: str) -> bool:
    try:
        return Path(written).exists()
    except OSError:
        return False


def _without_home(written: str) -> str | None:
    try:
        Path(written).expanduser()
    except RuntimeError:
        return f"there is no home folder for {Path(written).parts[0]}; write the whole path, or ~/... for your own"
    return None
