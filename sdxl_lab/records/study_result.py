"""The answer of a preference study on disk, as Comet and lists of records see it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from sdxl_lab.records.described import Described
from sdxl_lab.records.picture import Picture


class ResultFolder(Described):
    """The answer of one study: the folder with all its numbers, and beside these what people look at.

    Args:
        path: The folder.

    Attributes:
        page_file: What people read, without names of judges.
        drawing_file: The shares, drawn.
        table_file: The shares, a line a system.
        latex_file: The same for papers.
    """

    kind: ClassVar = "study"
    about_name: ClassVar = "result.json"
    flag: ClassVar = "preference"
    held: ClassVar = "the answer of a study"
    remedy: ClassVar = "sdxl-lab study result writes it"
    tracking = "off"
    """It goes to Comet where somebody names it."""
    is_unfinished = False
    planned: int | None = None
    count = 0
    """It has no picture of its own: those that were shown are in their runs."""

    def __init__(self, path: Path | str) -> None:
        super().__init__(path)
        self.page_file = self.path / "result.html"
        self.drawing_file = self.path / "shares.svg"
        self.table_file = self.path / "shares.csv"
        self.latex_file = self.path / "shares.tex"

    @property
    def name(self) -> str:
        """What people call it: the folder, or the one around it where this is called `result`."""
        path = self.path.resolve()
        return path.parent.name if path.name == "result" else path.name

    @property
    def record_files(self) -> tuple[Path, ...]:
        """The files that hold all of it."""
        return self.about_file, self.page_file, self.drawing_file, self.table_file

    def pictures(self) -> tuple[Picture, ...]:
        """None."""
        return ()

    def _read_about(self, values: dict[str, Any]) -> Mapping[str, Any]:
        if not isinstance(values["rankings"], list):
            raise TypeError("its rankings are no list")
        return values
