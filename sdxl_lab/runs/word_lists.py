"""Lists of words that prompts name, `__colors__`: text files of one line each, in the dataset's folder or the lab's own."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from sdxl_lab.files.digests import until_changed
from sdxl_lab.prompts import wildcards
from sdxl_lab.prompts.wildcards import LIST_NAME, LinesOf, WildcardError
from sdxl_lab.runs.early import home
from sdxl_lab.settings.hyperparams import closest

SUFFIX = ".txt"
MOST_BYTES = 10 << 20
"""More than any list of words has."""

COMMENT = "#"


def lists_of(dataset: Path | None) -> LinesOf:
    """Find lists by their names, first beside a dataset, then among the lab's own.

    Args:
        dataset: Its folder, or its file; it may come from anywhere, and what lies elsewhere is none of its lists. None for what a call was given.

    Returns:
        The lines of a list: those that are not blank and begin with no `#`, without spaces around them. It raises `WildcardError` for one that is not
        there, cannot be read or is empty, and for a line whose braces do not pair.
    """
    own = home() / "artifacts" / "wildcards"
    folders = [*([dataset if dataset.is_dir() else dataset.parent] if dataset else []), own]

    @cache
    def lines_of(name: str) -> tuple[str, ...]:
        if not LIST_NAME.fullmatch(name):
            raise WildcardError(f"got “__{name}__”; a list is named by letters, digits, dashes, single underscores and / between folders")
        file = next((folder / f"{name}{SUFFIX}" for folder in folders if _is_in(folder / f"{name}{SUFFIX}", folder, is_own=folder == own)), None)
        if file is None:
            shown = " or ".join(Path(os.path.relpath(folder)).as_posix() for folder in folders)
            near = closest(name, [path.relative_to(own).with_suffix("").as_posix() for path in sorted(own.rglob(f"*{SUFFIX}"))])
            raise WildcardError(
                f"got “__{name}__”, and there is no {name}{SUFFIX} in {shown}; put it there{f', or write __{near}__' if near else ''}"
            )
        return _lines(file)

    return lines_of


def _is_in(file: Path, folder: Path, *, is_own: bool) -> bool:
    """Whether there is such a file; in a folder of the lab's own, a link may lead anywhere."""
    return file.is_file() and (is_own or file.resolve().is_relative_to(folder.resolve()))


@until_changed(lambda file: [file], most=1_000)
def _lines(file: Path) -> tuple[str, ...]:
    try:
        if file.stat().st_size > MOST_BYTES:
            raise WildcardError(f"{file} is larger than {MOST_BYTES >> 20} MiB, and no list of words; shorten it")
        text = file.read_text("utf-8-sig")
    except UnicodeDecodeError:
        raise WildcardError(f"{file} is not UTF-8; save it as that") from None
    except OSError as error:
        raise WildcardError(f"{file} cannot be read: {error.strerror or error}") from None
    lines = tuple(line for line in map(str.strip, text.splitlines()) if line and not line.startswith(COMMENT))
    if not lines:
        raise WildcardError(f"{file} has no line to draw; write one word or more, one a line")
    for line in lines:
        try:
            wildcards.check(line)
        except WildcardError as error:
            raise WildcardError(f"{file}, “{line[:60]}”: {error}") from None
    return lines
