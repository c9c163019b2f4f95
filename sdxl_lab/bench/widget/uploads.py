"""Files that a page sends in parts: a message of more than ten megabytes would close its connection."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sdxl_lab.bench.errors import BenchError

MOST_BYTES = 1 << 29
"""Largest file that is taken, 512 MiB."""

MOST_ON_THEIR_WAY = 4
"""Files at once: a page that was closed meanwhile never sends the rest of its own."""


class Uploads:
    """Files on their way. What has come lies in a folder that goes with this."""

    def __init__(self) -> None:
        self._parts: dict[str, list[bytes]] = {}
        self._folder = Path(tempfile.mkdtemp(prefix="sdxl_lab-"))
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)

    def take(self, content: Mapping[str, Any], buffers: Sequence[bytes]) -> Path | None:
        """Take a part of a file.

        Args:
            content: `upload` names it, `part` is its number from 0, of `parts`; `name` is the file's.
            buffers: The part.

        Returns:
            The file, once all of it is here.

        Raises:
            BenchError: A part is missing, or it is too large.
        """
        upload, part, parts = str(content["upload"]), int(content["part"]), int(content["parts"])
        come = self._parts.setdefault(upload, [])
        if part != len(come) or sum(map(len, come)) + len(buffers[0]) > MOST_BYTES:
            del self._parts[upload]
            fault = "a part of it is missing" if part != len(come) else f"it is larger than {MOST_BYTES >> 20} MiB"
            raise BenchError(f"{content['name']}: {fault}; open it again, or in a cell: bench.open(path)")
        come.append(buffers[0])
        while len(self._parts) > MOST_ON_THEIR_WAY:
            del self._parts[next(iter(self._parts))]
        if len(come) < parts:
            return None
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        path = folder / (Path(str(content["name"])).name or "picture")
        path.write_bytes(b"".join(self._parts.pop(upload)))
        return path
