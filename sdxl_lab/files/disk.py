"""Files that appear whole or not at all, and lines that are there once they are said to be."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from sdxl_lab.errors import LabError

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
TEMPORARY = ".unfinished-"
"""Start of the names under which files are written before they are whole."""


class DiskError(LabError):
    """A file could not be written: the disk is full, or the folder may not be written to. Nothing half-written is left."""


def make_folder(path: Path) -> None:
    """Make a folder and those around it, unless it is there.

    Raises:
        DiskError: It cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DiskError(f"cannot make the folder {path}: {error.strerror or error}; choose another folder, or put permissions right") from error


def write_whole(path: Path, content: bytes) -> None:
    """Write a file under a temporary name in its own folder, and rename it once it is on the disk.

    Args:
        path: Its final name; replaced if it exists. Its folder is made if needed.
        content: All of it.

    Raises:
        DiskError: The disk is full or not writable; `path` is as it was before.
    """
    write_together({path: content})


def write_together(files: Mapping[Path, bytes]) -> None:
    """Write files as `write_whole` does, which brings the list of names of a folder to the disk once for all of them.

    Args:
        files: Final name to all of the content. If one cannot be written, those before it are whole.

    Raises:
        DiskError: The disk is full or not writable.
    """
    for path, content in files.items():
        with _finished(path, content) as temporary:
            temporary.replace(path)
    for folder in dict.fromkeys(path.parent for path in files):
        _list_kept(folder)


def write_changed(path: Path, content: bytes) -> None:
    """Write a file as `write_whole` does, unless it holds that already.

    Args:
        path: Its final name. Its folder is made if needed.
        content: All of it.

    Raises:
        DiskError: The disk is full or not writable; `path` is as it was before.
    """
    if not path.is_file() or path.read_bytes() != content:
        write_whole(path, content)


def write_once(path: Path, content: bytes) -> None:
    """Write a file as `write_whole` does, unless there is one: what another process wrote meanwhile is left alone.

    Args:
        path: Its final name. Its folder is made if needed.
        content: All of it.

    Raises:
        DiskError: The disk is full or not writable.
    """
    with _finished(path, content) as temporary:
        try:
            os.link(temporary, path)
        except FileExistsError:
            pass
        except OSError:  # a file system without links
            temporary.replace(path)
    _list_kept(path.parent)


@contextlib.contextmanager
def _finished(path: Path, content: bytes) -> Iterator[Path]:
    """A temporary file beside a path, on the disk, to be given its final name in the block."""
    temporary = path.with_name(f"{TEMPORARY}{secrets.token_hex(4)}-{path.name[-40:]}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise unwritten(path, error, len(content)) from error


def _list_kept(folder: Path) -> None:
    try:
        sync_folder(folder)
    except OSError as error:
        raise unwritten(folder, error) from error


def append_line(path: Path, line: bytes) -> None:
    """Add one line to a file, and return once it is on the disk.

    What a killed process left after the last newline is cut off first.

    Args:
        path: The file; made if needed.
        line: The line, without its newline.

    Raises:
        DiskError: The disk is full or not writable; the file holds the whole lines it held before.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644), "r+b") as file:
            size = file.seek(0, os.SEEK_END)
            end = _end_of_last_line(file, size)
            try:
                if end != size:
                    file.truncate(end)
                file.seek(end)
                file.write(line + b"\n")
                file.flush()
                os.fsync(file.fileno())
            except BaseException:
                with contextlib.suppress(OSError):
                    os.truncate(file.fileno(), end)
                raise
        if not end:  # else the folder has held it since its first line
            sync_folder(path.parent)
    except OSError as error:
        raise unwritten(path, error, len(line) + 1) from error


def whole_lines(path: Path) -> list[bytes]:
    """Read the lines of a file that end in a newline.

    Args:
        path: The file; need not exist.

    Returns:
        Its lines without newlines; what follows the last newline was never finished and is left out.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    return content.split(b"\n")[:-1]


def remove_unfinished(folder: Path, *, spared: Path | None = None) -> None:
    """Remove what killed processes left under temporary names, anywhere below a folder that nobody else writes to.

    Args:
        folder: Folder to clear.
        spared: A folder in it that somebody else may write to.
    """
    for leftover in sorted(folder.rglob(f"{TEMPORARY}*"), reverse=True):
        if spared and leftover.is_relative_to(spared):
            continue
        if leftover.is_dir() and not leftover.is_symlink():
            for inside in sorted(leftover.rglob("*"), reverse=True):
                inside.rmdir() if inside.is_dir() and not inside.is_symlink() else inside.unlink(missing_ok=True)
            leftover.rmdir()
        else:
            leftover.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Bring a folder's list of names to the disk, where the system can.

    Args:
        folder: The folder.
    """
    if os.name == "nt":  # Windows opens no folders, and keeps their lists in a journal of its own.
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems have no such call
            raise
    finally:
        os.close(descriptor)


def unwritten(path: Path, error: OSError, size_bytes: int | None = None) -> DiskError:
    """Say that a file could not be written, and what helps.

    Args:
        path: The file.
        error: What the system said.
        size_bytes: How much was to be written, where that is known.
    """
    if error.errno in FULL:
        advice = "the disk, a quota or a size limit is full; free some space and run again: what was finished is kept"
    else:
        advice = f"{error.strerror or error}; choose a folder that can be written to, or put its permissions right, and run again"
    return DiskError(f"could not write {path}{'' if size_bytes is None else f' ({size_bytes} bytes)'}: {advice}")


def _end_of_last_line(file: BinaryIO, size: int) -> int:
    """Where the last newline ends, found from the end, since a file may have grown long."""
    end = size
    while end:
        start = max(0, end - 4096)
        file.seek(start)
        newline = file.read(end - start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0
