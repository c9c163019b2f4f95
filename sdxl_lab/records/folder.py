"""The run folder: who writes what and when; and finding run folders."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from PIL import Image

from sdxl_lab.files.disk import append_line, make_folder, remove_unfinished, write_whole
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
        picture = Picture(
            sample=edit.sample,
            task=edit.task,
            step=step_of(self.resolved, edit.sample),
            prompt=edit.prompt,
            negative_prompt=edit.negative_prompt,
            seed=edit.seed,
            files={role.name: folder / task.file_of(role, edit.settings, stem) for role in task.roles},
            width=made.image.width,
            height=made.image.height,
            working_width=made.working_size[0],
            working_height=made.working_size[1],
            stretch=float(made.stretch),
            base_steps=int(made.base_steps),
            refiner_steps=int(made.refiner_steps),
            seconds=round(float(made.seconds), 6),
            sha256=digest,
            metrics={name: float(number) for name, number in (metrics or {}).items()},
            picture_id=self.resolved.picture_id(edit, digests_of_pixels(made.prepared)),
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
        )
        for role in task.roles:
            if role != RESULT:
                self._keep(picture.files[role.name], made.prepared[role.name], role, edit)
        write_whole(picture.image, stamped_png(made.image, stamp))
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
        write_whole(self.local_file, _json(self.local | {"machine": machine.facts()}))
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
        if self.spec_file.is_file():
            if self.resolved.run_id != resolved.run_id:
                raise RecordError(f"{self.path} holds run {self.resolved.run_id}, not {resolved.run_id}; choose another name or runs_folder")
            # The order in which it was begun, also where the same is now asked for in another: files are called by it.
            resolved = resolved.model_copy(update={"edits": self.resolved.edits})
        spec = _json(resolved.portable())
        if not self.spec_file.is_file() or self.spec_file.read_bytes() != spec:
            write_whole(self.spec_file, spec)
        self.__dict__.pop("resolved", None)
        if self.is_done and self.pending():
            self.record_file.unlink()
        paths = {"dataset": resolved.spec.dataset, "checkpoint": resolved.spec.checkpoint, "runs_folder": resolved.spec.runs_folder}
        if not self.is_done:
            write_whole(self.local_file, _json(paths | {"folder": str(self.path.resolve()), "machine": machine.facts()}))
            write_whole(self.prompts_file, prompts_table(self.resolved))

    def _keep(self, path: Path, image: Image.Image, role: Role, edit: Edit) -> None:
        """Write one file of a picture; the sample's own picture once, also where this one is in a larger canvas."""
        original = path.with_name(role.of_sample) if role.of_sample else None
        if path != original:
            write_whole(path, png(image))
        if original and not original.is_file():
            canvas, (width, height) = edit.settings.canvas, image.size
            box = (canvas.left_px, canvas.top_px, width - canvas.right_px, height - canvas.bottom_px)
            write_whole(original, png(image.crop(box) if canvas.extends else image))

    def _require_open(self) -> None:
        if not self._is_open:
            raise RecordError(f"{self.path} is not open for writing; write inside `with run.open(resolved):`")


def find_runs(folder: Path) -> tuple[RunFolder, ...]:
    """Find the runs below a folder.

    Args:
        folder: A runs folder, or any folder above some.

    Returns:
        The run folders, done or not, sorted by path, numbers in it by size.

    Examples:
        >>> [len(folder.pictures()) for folder in find_runs(home() / "artifacts" / "runs" / "single")]
        [1, 1]
    """
    return tuple(
        RunFolder(spec.parent) for spec in sorted(folder.rglob("spec.json"), key=_by_size) if spec.is_file() and not spec.parent.name.startswith(".")
    )


def runs_at(paths: Iterable[RunFolder | Path | str]) -> list[RunFolder]:
    """Find runs, each folder once.

    Args:
        paths: Run folders, or folders above some, such as a sweep's.

    Returns:
        In the order given; those below a folder by path.

    Raises:
        RecordError: A path holds no run.
    """
    runs: dict[Path, RunFolder] = {}
    for path in paths:
        folder = path.path if isinstance(path, RunFolder) else Path(path)
        below = find_runs(folder)
        if not below:
            kind = "holds no run" if folder.exists() else "is not there"
            raise RecordError(f"{folder} {kind}; give the folder of a run (it holds a spec.json), or a folder of runs")
        for run in below:
            runs.setdefault(run.path.resolve(), run)
    return list(runs.values())


def _by_size(path: Path) -> list[tuple[float, str]]:
    """A key to sort paths by, in which steps-9 comes before steps-10."""
    return [(-1, part) if index % 2 == 0 else (float(part), part) for index, part in enumerate(re.split(r"(\d+(?:\.\d+)?)", str(path)))]


def _json(values: Mapping[str, Any] | Sequence[Any]) -> bytes:
    return (json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
