"""The run folder: who writes what and when."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from PIL import Image

from sdxl_lab.files.disk import append_line, make_folder, remove_unfinished, write_changed, write_together, write_whole
from sdxl_lab.files.locks import LockError, locked
from sdxl_lab.images.png import digest_of_pixels, digests_of_pixels, png
from sdxl_lab.records import machine
from sdxl_lab.records.picture import Picture, file_name, to_line
from sdxl_lab.records.prompts import prompts_table, step_of
from sdxl_lab.records.run_files import RecordError, RunFiles
from sdxl_lab.records.stamps import as_note, stamp_of, stamped_png
from sdxl_lab.spec.edit import Edit, apart
from sdxl_lab.spec.generated import Generated
from sdxl_lab.spec.resolved_spec import ResolvedSpec
from sdxl_lab.tasks import RESULT, TASKS, Role
from sdxl_lab.wording import counted

RECORD_FORMAT = 1


class RunFolder(RunFiles):
    """One run on disk. Reading it, which `RunFiles` does, needs no lock; writing happens inside `open`."""

    def __init__(self, path: Path | str) -> None:
        super().__init__(path)
        self._is_open = False

    @contextmanager
    def open(self, resolved: ResolvedSpec) -> Iterator[Self]:
        """Lock the folder for writing, clear away what a killed run left half-written, and write what is known before the first picture.

        Args:
            resolved: The run, with this machine's paths.

        Yields:
            This run folder, ready for `add_picture` and `finish`.

        Raises:
            LockError: Somebody else is writing to it.
            RecordError: It holds another run.
            DiskError: The disk is full or not writable.
        """
        make_folder(self.path)
        with locked(self.path):
            self._clear()
            self._begin(resolved)
            self._is_open = True
            try:
                yield self
            finally:
                self._is_open = False

    def add_picture(self, edit: Edit, made: Generated, metrics: Mapping[str, float] | None = None, notes: Sequence[str] = ()) -> Picture:
        """Keep one picture: its PNG first, then its line.

        Args:
            edit: One of the run's edits.
            made: What was made for it.
            metrics: Name to number.
            notes: What is to be said of it, one line each.

        Returns:
            The picture as recorded.

        Raises:
            RecordError: The folder is not open, or the edit is not one of this run's.
            DiskError: The disk is full or not writable; the pictures before this one are kept.
        """
        self._require_open()
        if edit not in self.resolved.edits:
            raise RecordError(f"{edit.sample} ({edit.task}) is not one of the edits of {self.path.name}; give an edit of the run that was opened")
        folder, task = self.images_folder / file_name(edit.sample), TASKS[edit.task]
        ordinal = self.resolved.ordinals[edit.key]
        stem = apart(task.name, "-", edit.seed, ordinal)
        digest = digest_of_pixels(made.image)
        picture = Picture.of(
            made,
            step=step_of(self.resolved, edit.sample),
            files={role.name: folder / task.file_of(role, edit.settings, stem) for role in task.roles},
            sha256=digest,
            picture_id=self.resolved.picture_id(edit, digests_of_pixels(made.prepared)),
            metrics=metrics or {},
            notes=tuple(map(as_note, notes)),
            ordinal=ordinal,
        )
        stamp = stamp_of(
            self.resolved,
            edit,
            versions=machine.versions(),
            hardware=machine.hardware(self.resolved.device),
            instruction_set=machine.instruction_set() if self.resolved.device == "cpu" else None,
            sha256=digest,
            picture_id=picture.picture_id,
            notes=picture.notes,
            frame=picture.frame,
        )
        others = [self._of_role(picture.files[role.name], made.prepared[role.name], role, edit) for role in task.roles if role != RESULT]
        write_together({path: content for each in others for path, content in each} | {picture.image: stamped_png(made.image, stamp)})
        append_line(self.lines_file, to_line(picture, self.path))
        return picture

    def finish(self) -> Path:
        """Write `record.json`, which says that the run is done.

        Returns:
            Its path.

        Raises:
            RecordError: The folder is not open, or pictures are missing.
            DiskError: The disk is full or not writable.
        """
        self._require_open()
        missing = self.pending()
        if missing:
            names = ", ".join(map(self.resolved.title, missing[:5])) + (", ..." if len(missing) > 5 else "")
            raise RecordError(
                f"{self.path} lacks {len(missing)} of {counted(len(self.resolved.edits), 'picture')}: {names}; run it again to make them"
            )
        if self.is_done:
            return self.record_file
        write_changed(self.local_file, _json(self.local | {"machine": machine.facts()}))
        pictures = self.pictures()
        content = {
            "format": RECORD_FORMAT,
            "run_id": self.resolved.run_id,
            "name": self.resolved.spec.name,
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "pictures": len(pictures),
            "seconds": round(sum(picture.seconds for picture in pictures), 3),
            "versions": machine.versions(),
            "instruction_set": machine.instruction_set(),
            **({"commit": commit} if (commit := machine.commit()) else {}),
        }
        write_whole(self.record_file, _json(content))
        return self.record_file

    def _clear(self) -> None:
        """Remove what killed processes left. Who sends to Comet meanwhile has a lock, and unfinished files, of its own."""
        remove_unfinished(self.path, spared=self.comet_folder)
        if self.comet_folder.is_dir():
            with suppress(LockError), locked(self.comet_folder):
                remove_unfinished(self.comet_folder)

    def _begin(self, resolved: ResolvedSpec) -> None:
        if self.is_begun:
            if self.resolved.run_id != resolved.run_id:
                raise RecordError(f"{self.path} holds run {self.resolved.run_id}, not {resolved.run_id}; choose another name or runs_folder")
            # The order in which it was begun, also where the same is now asked for in another: files are called by it, and Comet lists them by it.
            resolved = resolved.model_copy(update={"edits": self.resolved.edits, "steps": self.resolved.steps})
        write_changed(self.spec_file, _json(resolved.portable()))
        self.__dict__.pop("resolved", None)
        if self.is_done and self.pending():
            self.record_file.unlink()
        paths: dict[str, Any] = {"dataset": resolved.spec.dataset, "checkpoint": resolved.spec.checkpoint, "runs_folder": resolved.spec.runs_folder}
        paths |= {"files": resolved.files} if resolved.asked_for else {}
        if not self.is_done:
            write_changed(self.local_file, _json(paths | {"folder": str(self.path.resolve()), "machine": machine.facts()}))
            write_changed(self.prompts_file, prompts_table(self.resolved))

    def _of_role(self, path: Path, image: Image.Image, role: Role, edit: Edit) -> Iterator[tuple[Path, bytes]]:
        """The files of a picture that show one thing; the sample's own picture once, also where this one is in a larger canvas."""
        original = path.with_name(role.of_sample) if role.of_sample else None
        if path != original:
            yield path, png(image)
        if original and not original.is_file():
            canvas, (width, height) = edit.settings.canvas, image.size
            box = (canvas.left_px, canvas.top_px, width - canvas.right_px, height - canvas.bottom_px)
            yield original, png(image.crop(box) if canvas.extends else image)

    def _require_open(self) -> None:
        if not self._is_open:
            raise RecordError(f"{self.path} is not open for writing; write inside `with run.open(resolved):`")


def _json(values: Mapping[str, Any] | Sequence[Any]) -> bytes:
    return (json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
