"""Folders that one file in them describes, as those of sessions, sweeps and answers of studies: the file found, read, and told from others."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from sdxl_lab.records.run_files import RecordError


class Described(ABC):
    """A folder with one file of JSON that says what it holds.

    Args:
        path: The folder.

    Attributes:
        about_file: That file.
        comet_folder: The experiment's key, and what Comet was last seen to hold.
    """

    kind: ClassVar[str]
    about_name: ClassVar[str]
    """What `about_file` is called, by which such a folder is found."""
    flag: ClassVar[str]
    """The key that is true in `about_file`, and in no other file that happens to be called so."""
    held: ClassVar[str]
    """What the folder holds, in words."""
    remedy: ClassVar[str]
    """What to do where `about_file` cannot be read."""
    version: ClassVar = 1
    """Of what `about_file` is written in; one that another version writes is not read."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.about_file = self.path / self.about_name
        self.comet_folder = self.path / "comet"

    @classmethod
    def head(cls) -> dict[str, Any]:
        """How `about_file` begins."""
        return {"format": cls.version, cls.flag: True}

    @property
    def is_begun(self) -> bool:
        """Whether it is written what the folder holds."""
        return self.about_file.is_file()

    @property
    def is_readable(self) -> bool:
        """Whether `about_file` is what its name says, and this version can read it."""
        try:
            return bool(self.about)
        except RecordError:
            return False

    @cached_property
    def about(self) -> Mapping[str, Any]:
        """What `about_file` says.

        Raises:
            RecordError: There is no whole one in the folder, or another version wrote it.
        """
        try:
            values = json.loads(self.about_file.read_bytes())
            is_known = values[self.flag] is True and values["format"] == self.version
            about = self._read_about(values) if is_known else {}
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise RecordError(f"{self.path} does not hold {self.held}: {self.about_name} cannot be read ({error}); {self.remedy}") from error
        if not is_known:
            raise RecordError(f"{self.path} holds {self.held} as another version of sdxl_lab writes it; update it to read that")
        return about

    @abstractmethod
    def _read_about(self, values: dict[str, Any]) -> Mapping[str, Any]:
        """What a file of this version says.

        Raises:
            KeyError, TypeError: It is not whole.
        """
