"""What `--fetch` brings before anything else is done: the files whose addresses stand in place of paths."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Annotated

import typer

from sdxl_lab.files.addresses import is_address

Fetch = Annotated[
    bool, typer.Option("--fetch", help="Download checkpoints and adapters that are given by https address, as .safetensors, into the cache folder.")
]


def bring(asked: object) -> None:
    """Bring what addresses in parameters give, and say of each file what it is.

    Args:
        asked: Nested parameters, or a sweep file's content, as they were written.

    Raises:
        AddressError: As `downloads.fetch` has it; likewise `DiskError`, `LockError`.
    """
    from sdxl_lab.checkpoints.licenses import license_told
    from sdxl_lab.files import downloads
    from sdxl_lab.progress.signs import shown

    for address in dict.fromkeys(_addresses(asked, ())):
        with shown():
            file = downloads.fetch(address)
        came = "fetched" if file.is_new else "here already"
        terms = license_told(file.metadata) or "not told by the file, see where it is offered"
        line = f"{came}: {file.path.name}, {file.size_bytes / 1e9:.3g} GB, sha256 {file.sha256}, license: {terms}"
        print(f"sdxl-lab: {line}", file=sys.stderr, flush=True)


def _addresses(value: object, path: tuple[str, ...]) -> Iterator[str]:
    """The addresses in place of a checkpoint or of an adapter's file, in nested dictionaries, dotted paths and lists of them."""
    if isinstance(value, Mapping):
        for key, below in value.items():
            yield from _addresses(below, (*path, *str(key).split(".")))
    elif isinstance(value, list):
        for below in value:
            yield from _addresses(below, path)
    elif isinstance(value, str) and is_address(value) and _takes_file(path):
        yield value


def _takes_file(path: tuple[str, ...]) -> bool:
    from sdxl_lab.adapters import ADAPTERS

    return path[-1:] == ("checkpoint",) or any(kind in path for kind in ADAPTERS)
