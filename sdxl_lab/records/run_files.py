"""What the files of a run folder are called."""

from __future__ import annotations

from pathlib import Path


class RunFiles:
    """The one owner of a run folder's file names. `artifacts/README.md` says what is in them.

    Args:
        path: The folder.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    @property
    def spec_file(self) -> Path:
        """The resolved spec, without local paths."""
        return self.path / "spec.json"

    @property
    def local_file(self) -> Path:
        """Local paths and machine facts; never sent anywhere."""
        return self.path / "local.json"

    @property
    def images_folder(self) -> Path:
        """One folder a sample."""
        return self.path / "images"

    @property
    def lines_file(self) -> Path:
        """One line of JSON a picture."""
        return self.path / "images.jsonl"

    @property
    def prompts_file(self) -> Path:
        """The table that Comet's Data panel joins."""
        return self.path / "prompts.csv"

    @property
    def comet_folder(self) -> Path:
        """The experiment's key and its offline archive."""
        return self.path / "comet"

    @property
    def executed_notebook(self) -> Path:
        """The notebook, when papermill ran it."""
        return self.path / "executed.ipynb"

    @property
    def contact_sheet(self) -> Path:
        """Inputs, masks and results on one sheet."""
        return self.path / "contact-sheet.png"

    @property
    def report_file(self) -> Path:
        """All of it as one HTML page."""
        return self.path / "report.html"

    @property
    def report_pictures(self) -> Path:
        """The report's pictures, where they are too many for one file."""
        return self.path / "report-pictures"

    @property
    def progress_file(self) -> Path:
        """What is under way, as long as something is; no part of the record."""
        return self.path / ".progress.json"

    @property
    def record_file(self) -> Path:
        """Written last."""
        return self.path / "record.json"
