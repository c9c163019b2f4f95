"""The answer of a preference study on disk, as Comet and lists of records see it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from sdxl_lab.records.picture import Picture
from sdxl_lab.records.run_files import RecordError

RESULT_FORMAT = 1


class ResultFolder:
    """The answer of one study: the folder with `result.json`, and beside it what people look at.

    Args:
        path: The folder.

    Attributes:
        result_file: All numbers.
        page_file: What people read, without names of judges.
        drawing_file: The shares, drawn.
        table_file: The shares, a line a system.
        comet_folder: The experiment's key, and what Comet was last seen to hold.
    """

    kind: ClassVar = "study"
    tracking = "off"
    """It goes to Comet where somebody names it."""
    is_unfinished = False
    planned: int | None = None
    count = 0
    """It has no picture of its own: those that were shown are in their runs."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.result_file = self.path / "result.json"
        self.page_file = self.path / "result.html"
        self.drawing_file = self.path / "shares.svg"
        self.table_file = self.path / "shares.csv"
        self.comet_folder = self.path / "comet"

    @property
    def is_begun(self) -> bool:
        """Whether it was counted."""
        return self.result_file.is_file()

    @property
    def is_readable(self) -> bool:
        """Whether its file is a study's answer, and not another's that is called so, and this version can read it."""
        try:
            return bool(self.about)
        except RecordError:
            return False

    @cached_property
    def about(self) -> Mapping[str, Any]:
        """What `result_file` says.

        Raises:
            RecordError: There is no whole one in the folder.
        """
        try:
            values = json.loads(self.result_file.read_bytes())
            is_known = values["preference"] is True and values["format"] == RESULT_FORMAT and isinstance(values["rankings"], list)
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise RecordError(
                f"{self.path} holds no answer of a study: {self.result_file.name} cannot be read ({error}); sdxl-lab study result writes it"
            ) from error
        if not is_known:
            raise RecordError(f"{self.path} holds the answer of a study as another version of sdxl_lab writes it; update it to read that")
        return values

    @property
    def name(self) -> str:
        """What people call it: the folder, or the one around it where this is called `result`."""
        path = self.path.resolve()
        return path.parent.name if path.name == "result" else path.name

    @property
    def record_files(self) -> tuple[Path, ...]:
        """The files that hold all of it."""
        return self.result_file, self.page_file, self.drawing_file, self.table_file

    def pictures(self) -> tuple[Picture, ...]:
        """None."""
        return ()
