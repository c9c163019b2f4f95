"""The files of a session's folder: what they are called, and what is read from them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from sdxl_lab.files.disk import whole_lines
from sdxl_lab.records import measures
from sdxl_lab.records.described import Described
from sdxl_lab.records.kept import KeptPicture
from sdxl_lab.records.lines import Line, part_of
from sdxl_lab.records.marks import Marks
from sdxl_lab.records.picture import is_whole

PLACES = ("checkpoint", "dataset", "adapters")


class SessionFiles(Described):
    """The one owner of a session's file names, and of what is read from them. `artifacts/README.md` says what is in them.

    Args:
        path: The folder.

    Attributes:
        parts_file: One line for each checkpoint and compute that was used.
        lines_file: One line a picture.
        marks_file: One line for each star, note or deletion; of several on one thing the last one holds.
        images_folder: The pictures, by the beginning of their `picture_id`.
        inputs_folder: What they were made from, as it was given and as it was used, each file by its sha256.
        local_file: Local paths of checkpoints and datasets; sent nowhere.
        report_file: All of it as one HTML page.
        starred_file: The starred pictures alone, likewise.
        thumbnails_folder: The pictures small, as a bench's history shows them; they may be deleted.
    """

    kind: ClassVar = "session"
    about_name: ClassVar = "session.json"
    flag: ClassVar = "session"
    held: ClassVar = "a session"
    remedy: ClassVar = "give a folder that a session made"
    is_unfinished: ClassVar = False
    planned: ClassVar = None

    def __init__(self, path: Path | str) -> None:
        super().__init__(path)
        self.parts_file = self.path / "parts.jsonl"
        self.lines_file = self.path / "images.jsonl"
        self.marks_file = self.path / "marks.jsonl"
        self.images_folder = self.path / "images"
        self.inputs_folder = self.path / "inputs"
        self.local_file = self.path / "local.json"
        self.report_file = self.path / "report.html"
        self.starred_file = self.path / "starred.html"
        self.thumbnails_folder = self.path / "thumbnails"
        self._read: dict[bytes, Line | None] = {}

    @property
    def name(self) -> str:
        """What people call it."""
        return self.about["name"]

    @property
    def tracking(self) -> str:
        """What Comet hears of it, as in `RunSpec`."""
        return self.about.get("tracking", "auto")

    @property
    def local(self) -> dict[str, dict[str, str]]:
        """Of `checkpoint`, `dataset` and `adapters` by their digests: where they were here. Empty where it was not copied along."""
        try:
            values = json.loads(self.local_file.read_bytes())
            return {kind: {digest: place for digest, place in values[kind].items() if isinstance(place, str)} for kind in PLACES if kind in values}
        except (OSError, ValueError, TypeError, AttributeError, RecursionError):
            return {}

    @property
    def record_files(self) -> tuple[Path, ...]:
        """The files that hold all that is recorded; of the pictures they hold the digests."""
        return (self.about_file, self.parts_file, self.lines_file, self.marks_file, *measures.files_of(self.path))

    @property
    def count(self) -> int:
        """How many pictures are recorded, less those that were deleted, as its lines say; nobody looks at the pictures."""
        marks = self.marks
        return sum(not marks.is_deleted(picture_id) for picture_id in self._lines())

    @property
    def marks(self) -> Marks:
        """What people said of its pictures."""
        return Marks.read(self.marks_file)

    def pictures(self) -> tuple[KeptPicture, ...]:
        """Read the pictures that are whole: recorded, still there, and with the pixels that were recorded.

        Returns:
            In the order in which they were first made, each once, less those that were deleted.
        """
        return tuple(kept for kept in self.recorded() if not kept.is_deleted and is_whole(kept.recorded))

    def recorded(self) -> tuple[KeptPicture, ...]:
        """Read all that was ever recorded: also the pictures that were deleted, and those whose files are not there.

        Returns:
            In the order in which they were first made, each once, with what was measured of them since.
        """
        lines, marks, parts, columns = self._lines(), self.marks, self._parts(), measures.columns_of(self.path)
        return tuple(self._kept(line, marks, parts, columns) for line in lines.values())

    def latest(self) -> KeptPicture | None:
        """The picture that was asked for last; None if there is none."""
        asked = self._asked_again()
        return (self._found(lambda line: line.picture.picture_id == asked) if asked else None) or self._found(lambda _: True)

    def checkpoint_of(self, picture: KeptPicture) -> str:
        """What made a picture, as parameters here have it."""
        identity = picture.resolved.checkpoint
        place = self.local.get("checkpoint", {}).get(identity.digest, "")
        return place if place and Path(place).exists() else identity.name

    def files_of(self, picture: KeptPicture) -> dict[str, str]:
        """Where the files of the adapters are that were on a picture's models, by `AdapterIdentity.path`, as far as they are still there."""
        places = self.local.get("adapters", {})
        known = {adapter.path: places.get(adapter.digest, "") for adapter in picture.resolved.asked_for}
        return {path: place for path, place in known.items() if place and Path(place).exists()}

    def thumbnail_file(self, sha256: str) -> Path:
        """Where a picture lies small, by the sha256 of its pixels; it need not exist."""
        return self.thumbnails_folder / f"{sha256[:16]}.webp"

    def _read_about(self, values: dict[str, Any]) -> Mapping[str, Any]:
        if not isinstance(values["id"] + values["name"], str):
            raise TypeError("its id and name are no texts")
        return values

    def _kept(self, line: Line, marks: Marks, parts: list[dict[str, Any]], columns: Iterable[measures.Column]) -> KeptPicture:
        picture_id = str(line.picture.picture_id)
        return KeptPicture(
            session=self.path,
            number=line.picture.step + 1,
            part=line.part,
            recorded=measures.with_measures(line.picture, columns),
            is_starred=marks.is_starred(picture_id),
            is_deleted=marks.is_deleted(picture_id),
            note=marks.note(picture_id),
            line=line.raw,
            of_part=parts[line.part - 1],
        )

    def _found(self, is_meant: Callable[[Line], bool]) -> KeptPicture | None:
        """The one picture that is meant, if it is whole and was not deleted."""
        marks = self.marks
        for picture_id, line in reversed(self._lines().items()):
            if is_meant(line) and not marks.is_deleted(picture_id) and is_whole(line.picture):
                return self._kept(line, marks, self._parts(), measures.columns_of(self.path))
        return None

    def _lines(self) -> dict[str, Line]:
        """By `picture_id` the last line of each picture, at the place of its first one. Each line is read once."""
        found: dict[str, Line] = {}
        parts = None
        for raw in whole_lines(self.lines_file):
            if raw not in self._read:
                parts = self._parts() if parts is None else parts
                self._read[raw] = Line.of(raw, self.path, parts)
            if line := self._read[raw]:
                found[str(line.picture.picture_id)] = line
        return found

    def _parts(self) -> list[dict[str, Any]]:
        return [part_of(line) for line in whole_lines(self.parts_file)]

    def _asked_again(self) -> str:
        """The `picture_id` of one that was asked for again since the last line was written; empty if there is none."""
        return self.marks.asked_again(len(whole_lines(self.lines_file)))
