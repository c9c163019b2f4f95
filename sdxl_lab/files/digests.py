"""Digests of files and folders, remembered by path, size and time, so that large weights are read once."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from functools import lru_cache, wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

from sdxl_lab import progress
from sdxl_lab.files import disk

REMEMBERED_FROM_BYTES = 1 << 20
"""Smaller files are hashed each time: that is as fast as looking them up."""

CHUNK_BYTES = 1 << 24

_SETTLED_S = 2.0

_T = TypeVar("_T")
_P = ParamSpec("_P")


def digest_of(source: Path | Iterable[Path], *, root: Path | None = None) -> str:
    """Hash a folder, or some of its files, by relative names and contents.

    Args:
        source: A folder, of which every file counts except those below hidden names (".git", ".cache"), with symbolic
            links followed; or the files that count.
        root: What the names are relative to: the folder itself if left out, and necessary with a choice of files.

    Returns:
        64 hexadecimal digits: the SHA-256 of a JSON list of `[relative name, SHA-256 of the content]`, sorted by name. Where the
        folder lies, when it was written, and in which order files are listed doesn't matter.

    Raises:
        ValueError: Files without a root, or a file that doesn't lie under it.
        OSError: A file can't be read.
    """
    if isinstance(source, Path):
        root = root or source
        files: Iterable[Path] = _files_below(source)
    elif root is None:
        raise ValueError("digest_of got files without a root; pass the folder that their names are relative to")
    else:
        files = source
    return digest_of_listing((name, digest_of_file(file)) for name, file in {file.relative_to(root).as_posix(): file for file in files}.items())


def digest_of_listing(listing: Iterable[tuple[str, str]]) -> str:
    """Hash what is known of files without reading them.

    Args:
        listing: Pairs of a relative name, its parts separated by "/", and the SHA-256 of the content.

    Returns:
        What `digest_of` returns for a folder of exactly these files.
    """
    return hashlib.sha256(json.dumps(sorted([name, sha256] for name, sha256 in listing)).encode()).hexdigest()


def digest_of_file(path: Path) -> str:
    """Hash one file's content.

    Args:
        path: A file. From `REMEMBERED_FROM_BYTES` on its digest is kept in the user's cache folder, and computed again when its size
            or one of its times (of content, of status) has changed.

    Returns:
        The content's SHA-256, 64 hexadecimal digits, as `sha256sum` prints it.

    Raises:
        OSError: The file can't be read.
    """
    path = path.resolve()
    before = _state(path)
    if path.stat().st_size < REMEMBERED_FROM_BYTES:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    memory = cache_folder() / "digests" / f"{hashlib.sha256(str(path).encode()).hexdigest()}.json"
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        remembered = json.loads(memory.read_text())
        if {key: remembered[key] for key in before} == before:
            return str(remembered["sha256"])
    digest = _digest(path)
    # A file written this very moment can change again without its time moving: its digest isn't kept yet.
    if _state(path) == before and _is_settled(path.stat()):
        with contextlib.suppress(disk.DiskError):
            disk.write_whole(memory, json.dumps({**before, "sha256": digest}).encode())
    return digest


def once_a_file(read: Callable[[Path], _T]) -> Callable[[Path], _T]:
    """Have what is read of files remembered in this process, as long as they are the same by size and times.

    Args:
        read: Reads something of a file, such as a digest.

    Returns:
        A function of the file that answers the same, and reads a file that it knows no second time.
    """

    @lru_cache(maxsize=100_000)
    def known(path: Path, *_state: int) -> _T:
        return read(path)

    @wraps(read)
    def remembered(path: Path) -> _T:
        status = path.stat()
        return known(path, status.st_ino, *_state_of(status).values())

    return remembered


def until_changed(files_of: Callable[_P, Iterable[Path]], *, most: int) -> Callable[[Callable[_P, _T]], Callable[_P, _T]]:
    """Have what is read of other people's files remembered in this process, as long as they are the same files by size and times.

    Unlike with `once_a_file`, what was written within the last seconds is read again: it can change without its time moving.

    Args:
        files_of: Given the arguments of the function, which can be hashed, all the files that its answer depends on.
        most: How many answers are remembered, the latest ones.

    Returns:
        What makes of a function that reads one that answers the same. An error is not remembered.
    """

    def remembering(read: Callable[_P, _T]) -> Callable[_P, _T]:
        @lru_cache(maxsize=most)
        def known(_state: Hashable, *args: _P.args, **kwargs: _P.kwargs) -> _T:
            return read(*args, **kwargs)

        @wraps(read)
        def remembered(*args: _P.args, **kwargs: _P.kwargs) -> _T:
            state = None
            with contextlib.suppress(OSError):  # the function says better what can't be read
                state = _settled([(path, path.stat()) for path in files_of(*args, **kwargs)])
            return read(*args, **kwargs) if state is None else known(state, *args, **kwargs)

        return remembered

    return remembering


def cache_folder() -> Path:
    """Return where the lab keeps what it can compute again: $SDXL_LAB_CACHE, or sdxl_lab in the user's cache folder. Not created here."""
    if chosen := os.environ.get("SDXL_LAB_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sdxl_lab"


def _digest(path: Path) -> str:
    sha256, read, size = hashlib.sha256(), 0, path.stat().st_size
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            sha256.update(chunk)
            read += len(chunk)
            progress.tell(f"reading {path.name}", done=read, total=size, unit="B")
    return sha256.hexdigest()


def _state(path: Path) -> dict[str, int | str]:
    return {"path": str(path), **_state_of(path.stat())}


def _state_of(status: os.stat_result) -> dict[str, int]:
    """By which a file that was written to is told from what it was."""
    return {"size": status.st_size, "written_ns": status.st_mtime_ns, "changed_ns": status.st_ctime_ns}


def _settled(files: Sequence[tuple[Path, os.stat_result]]) -> Hashable | None:
    """By which all of some files are told from what they were; None if one can still change without its time moving."""
    if not all(_is_settled(status) for _, status in files):
        return None
    return tuple((path, status.st_dev, status.st_ino, *_state_of(status).values()) for path, status in files)


def _is_settled(status: os.stat_result) -> bool:
    return time.time() - status.st_ctime > _SETTLED_S


def _files_below(folder: Path, above: frozenset[Path] = frozenset()) -> Iterator[Path]:
    here = folder.resolve()
    if here in above:  # a link that leads back up
        return
    for entry in folder.iterdir():
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _files_below(entry, above | {here})
        else:
            yield entry
