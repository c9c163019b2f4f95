"""A sweep on disk: which points it has, and in which folders their runs are recorded."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

from sdxl_lab.errors import LabError
from sdxl_lab.files.disk import write_whole
from sdxl_lab.records import measures
from sdxl_lab.records.described import Described
from sdxl_lab.records.folder import RunFolder
from sdxl_lab.records.picture import Picture
from sdxl_lab.records.run_files import RecordError


@dataclass(frozen=True, kw_only=True)
class RecordedPoint:
    """One run of a sweep.

    Attributes:
        label: What sets it apart, for people.
        run_id: Names the run.
        folder: Where it is recorded or will be, as seen from the sweep's folder, with "/".
        pictures: How many it is to have.
        values: Dotted path of each setting that the sweep gives it to the value, as JSON has it.
        failed: Whether it could not be made when it was tried last.
    """

    label: str
    run_id: str
    folder: str
    pictures: int
    values: Mapping[str, Any]
    failed: bool = False


class SweepFolder(Described):
    """One sweep on disk: the folder of its runs, with one file that says which these are. `artifacts/README.md` says what is in it.

    Args:
        path: The folder.

    Attributes:
        report_file: All runs as one HTML page.
    """

    kind: ClassVar = "sweep"
    about_name: ClassVar = "sweep.json"
    flag: ClassVar = "sweep"
    held: ClassVar = "a sweep"
    remedy: ClassVar = "once it is removed, the sweep's command writes it again"

    def __init__(self, path: Path | str) -> None:
        super().__init__(path)
        self.report_file = self.path / "report.html"
        self.report_pictures = self.path / "report-pictures"

    def sheet_file(self, task: str) -> Path:
        """All pictures of a task on one sheet."""
        return self.path / f"contact-sheet-{task}.png"

    def write(self, *, name: str, tracking: str, command: str, points: Sequence[RecordedPoint]) -> Self:
        """Write which points a sweep has, unless that is there.

        Args:
            name: The sweep's.
            tracking: As in `RunSpec`.
            command: What makes it again, without paths; empty if nobody knows.
            points: In their order.

        Returns:
            The sweep as it is written.

        Raises:
            RecordError: The folder holds another sweep.
            DiskError: The disk is full or not writable.
        """
        if self.is_begun and self.name != name:
            raise RecordError(
                f"{self.path} holds the runs of sweep {self.name!r}, and no record of {name!r} is written beside its own; "
                "give this one another runs_folder"
            )
        about = self.head() | {"name": name, "tracking": tracking, "command": command}
        content = json.dumps(about | {"points": [asdict(point) for point in points]}, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        if not self.is_begun or self.about_file.read_text("utf-8") != content:
            write_whole(self.about_file, content.encode())
        return type(self)(self.path)

    @property
    def name(self) -> str:
        """What people call it."""
        return self.about["name"]

    @property
    def tracking(self) -> str:
        """What Comet hears of it, as in `RunSpec`."""
        return self.about["tracking"]

    @property
    def command(self) -> str:
        """What makes it again; empty if nobody knows."""
        return self.about["command"]

    @property
    def points(self) -> tuple[RecordedPoint, ...]:
        """Its points, in their order."""
        return self.about["points"]

    @cached_property
    def runs(self) -> tuple[RunFolder | None, ...]:
        """Of each point its run; None as long as that is not begun."""
        return tuple(self._run(point) for point in self.points)

    @property
    def is_unfinished(self) -> bool:
        """Whether a run is still to be made, also one that failed."""
        return not all(run and run.is_done for run in self.runs)

    @property
    def planned(self) -> int | None:
        """How many pictures its runs are to have."""
        return sum(point.pictures for point in self.points)

    @property
    def count(self) -> int:
        """How many pictures are recorded, as their lines say; nobody looks at the pictures."""
        return sum(run.count for run in self.runs if run)

    @property
    def record_files(self) -> tuple[Path, ...]:
        """The files that hold all that is recorded of it and of its runs, and the report; of the pictures they hold the digests."""
        runs = [run for run in self.runs if run]
        of_runs = (file for run in runs for file in (run.spec_file, run.lines_file, run.record_file))
        return (self.about_file, self.report_file, *of_runs, *(file for run in runs for file in measures.files_of(run.path)))

    def pictures(self) -> tuple[Picture, ...]:
        """Read the pictures of its runs that are whole."""
        return tuple(picture for run in self.runs if run for picture in run.pictures())

    def _read_about(self, values: dict[str, Any]) -> Mapping[str, Any]:
        if not isinstance(values["name"], str):
            raise TypeError("its name is no text")
        return values | {"points": tuple(RecordedPoint(**point) for point in values["points"])}

    def _run(self, point: RecordedPoint) -> RunFolder | None:
        """Where it was planned to be, or where the same run was begun under another name since."""
        named = sorted(file.parent for file in self.path.glob(f"*-{point.run_id[:10]}/spec.json"))
        for folder in map(RunFolder, dict.fromkeys([self.path / point.folder, *named])):
            try:
                if folder.is_begun and folder.resolved.run_id == point.run_id:
                    return folder
            except LabError:  # damaged: no run
                continue
        return None
