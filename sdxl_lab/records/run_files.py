"""The files of a run folder: what they are called, and what is read from them."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

from sdxl_lab.errors import LabError
from sdxl_lab.files.disk import whole_lines
from sdxl_lab.records import measures
from sdxl_lab.records.picture import UNREADABLE, Picture, from_line, is_whole, pixels_of
from sdxl_lab.spec.asked_again import with_files
from sdxl_lab.spec.edit import Edit, PictureKey
from sdxl_lab.spec.resolved_spec import ResolvedSpec
from sdxl_lab.tasks import RESULT


class RecordError(LabError):
    """A run folder does not hold what it should, or is used before it is opened."""


class RunFiles:
    """The one owner of a run folder's file names, and of what is read from them. `artifacts/README.md` says what is in them.

    Args:
        path: The folder.

    Attributes:
        spec_file: The resolved spec, without local paths.
        local_file: Local paths and machine facts; never sent anywhere.
        images_folder: One folder a sample.
        lines_file: One line of JSON a picture.
        prompts_file: The table that Comet's Data panel joins.
        comet_folder: The experiment's key and its offline archive.
        executed_notebook: The notebook, when papermill ran it.
        contact_sheet: Inputs, masks and results on one sheet.
        report_file: All of it as one HTML page.
        report_pictures: The report's pictures, where they are too many for one file.
        progress_file: What is under way, as long as something is; no part of the record.
        record_file: Written last.
    """

    kind: ClassVar = "run"

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.spec_file = self.path / "spec.json"
        self.local_file = self.path / "local.json"
        self.images_folder = self.path / "images"
        self.lines_file = self.path / "images.jsonl"
        self.prompts_file = self.path / "prompts.csv"
        self.comet_folder = self.path / "comet"
        self.executed_notebook = self.path / "executed.ipynb"
        self.contact_sheet = self.path / "contact-sheet.png"
        self.report_file = self.path / "report.html"
        self.report_pictures = self.path / "report-pictures"
        self.progress_file = self.path / ".progress.json"
        self.record_file = self.path / "record.json"

    @classmethod
    def of(cls, resolved: ResolvedSpec) -> Self:
        """Locate the folder of a run, which need not exist yet.

        Args:
            resolved: The run.

        Returns:
            `<runs_folder>/<name>-<first 10 digits of run_id>`.
        """
        return cls(Path(resolved.spec.runs_folder) / f"{resolved.spec.name}-{resolved.run_id[:10]}")

    @property
    def top(self) -> Path:
        """The folder that all of it lies in."""
        return self.path

    @property
    def is_begun(self) -> bool:
        """Whether it is recorded what it is to be."""
        return self.spec_file.is_file()

    @property
    def is_done(self) -> bool:
        """Whether every picture was made and recorded."""
        return self.record_file.is_file()

    @property
    def is_unfinished(self) -> bool:
        """Whether pictures that it was begun for are still to be made."""
        return not self.is_done

    @property
    def planned(self) -> int | None:
        """How many pictures it was begun for."""
        return len(self.resolved.edits)

    @property
    def count(self) -> int:
        """How many pictures are recorded, as its lines say; nobody looks at the pictures."""
        return min(len(whole_lines(self.lines_file)), len(self.resolved.edits))

    @property
    def tracking(self) -> str:
        """What Comet hears of it, as in `RunSpec`."""
        return self.resolved.spec.tracking

    @property
    def record_files(self) -> tuple[Path, ...]:
        """The files that hold all that is recorded, and what was laid out of it; of the pictures they hold the digests."""
        recorded = (self.spec_file, self.lines_file, self.record_file, self.prompts_file)
        return (*recorded, self.contact_sheet, self.report_file, self.executed_notebook, *measures.files_of(self.path))

    @cached_property
    def resolved(self) -> ResolvedSpec:
        """The run this folder holds, by names; `local` has the paths they had here.

        Raises:
            RecordError: There is no whole spec.json in the folder.
        """
        try:
            text = self.spec_file.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RecordError(
                f"{self.path} is not a run folder: {self.spec_file.name} cannot be read ({error}); give a folder that a run made"
            ) from error
        return ResolvedSpec.from_json(text)

    @property
    def local(self) -> dict[str, Any]:
        """Local paths (`dataset`, `checkpoint`, `runs_folder`, `files` of adapters) and machine facts (`machine`); empty where they are not here."""
        return _json_or_empty(self.local_file)

    @property
    def resolved_here(self) -> ResolvedSpec:
        """The run with the paths of dataset, checkpoint and runs folder that this machine knows; as `resolved` where it knows none."""
        paths = {name: self.local[name] for name in ("dataset", "checkpoint", "runs_folder") if name in self.local}
        if files := self.local.get("files", {}):
            paths["hyperparameters"] = with_files(self.resolved.spec.hyperparameters, files)
        return self.resolved.model_copy(update={"spec": self.resolved.spec.model_copy(update=paths)})

    @property
    def record(self) -> dict[str, Any]:
        """What `finish` wrote; empty as long as the run is not done."""
        return _json_or_empty(self.record_file)

    def pictures(self) -> tuple[Picture, ...]:
        """Read the pictures that are whole: recorded, still there, and with the pixels that were recorded.

        Returns:
            In the order of the run's edits, with what was measured of them since.
        """
        recorded: dict[PictureKey, Picture] = {}
        for line in whole_lines(self.lines_file):
            picture = from_line(line, self.path)
            if picture:
                recorded[picture.key] = picture
        wanted = [(edit, recorded.get(edit.key)) for edit in self.resolved.edits]
        whole = [self._named(edit, picture) for edit, picture in wanted if picture and is_whole(picture)]
        columns = measures.columns_of(self.path)
        return tuple(measures.with_measures(picture, columns) for picture in whole)

    def pending(self) -> tuple[Edit, ...]:
        """Find what is still to be made.

        Returns:
            The run's edits that have no whole picture, in order.
        """
        whole = {picture.key for picture in self.pictures()}
        return tuple(edit for edit in self.resolved.edits if edit.key not in whole)

    def _named(self, edit: Edit, picture: Picture) -> Picture:
        """The picture with its `picture_id`, which lines of 0.1.0 do not have."""
        if picture.picture_id is not None:
            return picture
        try:
            pixels = {role: pixels_of(path)[1] for role, path in picture.files.items() if role != RESULT.name}
        except UNREADABLE:
            return picture
        return replace(picture, picture_id=self.resolved.picture_id(edit, pixels))


def _json_or_empty(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}
