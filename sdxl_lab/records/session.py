"""A session on disk: pictures made one by one, whole at each line, with what they were made from, and what people said of them."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from PIL import Image

from sdxl_lab.files.disk import TEMPORARY, DiskError, append_line, make_folder, remove_unfinished, whole_lines, write_once, write_whole
from sdxl_lab.files.locks import LockError, locked, once_free
from sdxl_lab.images.png import digest_of_pixels, png
from sdxl_lab.records.kept import KeptPicture
from sdxl_lab.records.lines import OF_PART
from sdxl_lab.records.marks import mark
from sdxl_lab.records.picture import Picture, to_line
from sdxl_lab.records.run_files import RecordError
from sdxl_lab.records.session_files import SessionFiles
from sdxl_lab.records.stamps import Stamp, stamped_png
from sdxl_lab.settings.credentials import looks_secret
from sdxl_lab.spec.generated import Generated
from sdxl_lab.tasks import RESULT, TASKS

LOCK_WAIT_S = 20.0
"""Each picture is written in much less; several processes may add to one session."""


class SessionFolder(SessionFiles):
    """One session on disk, never done, and whole at each line. Reading it, which `SessionFiles` does, needs no lock; several processes may write."""

    def __init__(self, path: Path | str) -> None:
        super().__init__(path)
        self._encoded: dict[str, Path] = {}
        self._named: dict[str, str] = {}

    @classmethod
    def begin(cls, folder: Path, name: str, *, tracking: str = "auto") -> Self:
        """Name a session that is still to be written: that happens with its first picture.

        Args:
            folder: The one that holds sessions.
            name: For people, fit for a folder's name.
            tracking: As in `RunSpec`.

        Returns:
            `<folder>/<name>-<first 10 digits of a random id>`.
        """
        drawn, now = secrets.token_hex(16), datetime.now(UTC).isoformat(timespec="seconds")
        begun = cls(folder / f"{name}-{drawn[:10]}")
        begun.about = cls.head() | {"id": drawn, "name": name, "tracking": tracking, "began": now}
        return begun

    def recalled(self, run_id: str) -> KeptPicture | None:
        """Find the picture that a run of one picture would make, if it is here; it is then the one that was asked for last.

        Args:
            run_id: Of its resolved spec.
        """
        found = self.made_by(run_id)
        if found and (latest := self.latest()) and found.picture_id != latest.picture_id:
            with suppress(DiskError, LockError), self._open():  # it is here all the same
                mark(self.marks_file, found.picture_id, asked_after=len(whole_lines(self.lines_file)))
        return found

    def made_by(self, run_id: str) -> KeptPicture | None:
        """Find the picture that a run of one picture would make, if it is here, without asking for it.

        Args:
            run_id: Of its resolved spec.
        """
        return self._found(lambda line: line.run_id == run_id)

    def sample_named(self, name: str, image: str) -> str:
        """What a picture that was given is called among the samples of the session: one name for one picture.

        Args:
            name: As it would be called by itself.
            image: The sha256 of its file.

        Returns:
            The name, with the first digits of the sha256 if another picture has it.
        """
        recorded = {line.image for line in self._lines().values() if line.picture.sample == name and line.image}
        self._named.setdefault(name, image)  # its picture may still be waiting
        return name if recorded | {self._named[name]} <= {image} else f"{name}-{image[:6]}"

    def add(
        self, stamp: Stamp, made: Generated, *, given: Iterable[Path], metrics: Mapping[str, float], local: Mapping[str, str] | None = None
    ) -> KeptPicture:
        """Keep one picture: what it was made from first, then its PNG, then its line.

        Args:
            stamp: What is said of it.
            made: What was made.
            given: The files it was made from, each named by its sha256.
            metrics: Name to number.
            local: Where `checkpoint` and `dataset` are here, as they were written, and the file of each adapter by its path among the settings.

        Returns:
            The picture as it is kept: the one that is here already, if it was made before.

        Raises:
            LockError: Somebody else writes to the session for longer than is waited.
            DiskError: The disk is full or not writable; the pictures before this one are kept.
        """
        picture_id, task = str(stamp.picture_id), TASKS[stamp.edit.task]
        with self._open():
            if before := self._found(lambda line: line.picture.picture_id == picture_id):
                return before
            for file in given:
                _write_new(self.inputs_folder / file.name, file.read_bytes)
            files = {role.name: self._input(made.prepared[role.name]) for role in task.roles if role != RESULT}
            files[RESULT.name] = self.images_folder / f"{picture_id[:16]}.png"
            write_whole(files[RESULT.name], stamped_png(made.image, stamp))
            steps = {line.picture.picture_id: line.picture.step for line in self._lines().values()}
            step = steps.get(picture_id, max(steps.values(), default=-1) + 1)
            picture = Picture.of(made, step=step, files=files, sha256=stamp.sha256, picture_id=picture_id, metrics=metrics, notes=stamp.notes)
            document = stamp.resolved.portable()
            part = self._part({key: document.pop(key) for key in OF_PART} | stamp.made_with)
            self._note_places(stamp, local or {})
            line = {**json.loads(to_line(picture, self.path)), "part": part, "resolved": document}
            append_line(self.lines_file, _json_line(line))
            if self.marks.is_deleted(picture_id):
                mark(self.marks_file, picture_id, deleted=False)
            kept = self._found(lambda line: line.picture.picture_id == picture_id)
        assert kept is not None
        return kept

    def star(self, picture: KeptPicture, *, starred: bool) -> None:
        """Say whether a picture is to be found again.

        Args:
            picture: One of the session's.
            starred: Whether it is.
        """
        with self._open():
            mark(self.marks_file, picture.picture_id, starred=starred)

    def note(self, picture: KeptPicture, text: str) -> None:
        """Write something of a picture.

        Args:
            picture: One of the session's.
            text: Replaces what was there; the empty one takes it away.

        Raises:
            RecordError: It looks like an API key; notes stand in the record and in Comet.
        """
        if looks_secret(text):
            raise RecordError("the note: it looks like an API key, and notes stand in the record and in Comet; write it without")
        with self._open():
            mark(self.marks_file, picture.picture_id, note=text)

    def delete(self, picture: KeptPicture) -> None:
        """Delete a picture's file. Its line and what it was made from stay: it can be made again, and the others' numbers are what they were.

        Args:
            picture: One of the session's.
        """
        with self._open():
            mark(self.marks_file, picture.picture_id, deleted=True)
            picture.recorded.image.unlink(missing_ok=True)

    @contextmanager
    def _open(self) -> Iterator[None]:
        make_folder(self.path)
        with once_free(lambda: locked(self.path), patience_s=LOCK_WAIT_S):
            if not self.is_begun:
                write_once(self.about_file, json.dumps(self.about, indent=2, ensure_ascii=False).encode() + b"\n")
            self._clear()
            yield

    def _clear(self) -> None:
        """Remove what killed processes left of what is written here; reports and sweep files are written beside, without the lock."""
        for folder in (self.images_folder, self.inputs_folder):
            remove_unfinished(folder)
        for file in (self.about_file, self.local_file):
            for leftover in self.path.glob(f"{TEMPORARY}*-{file.name}"):
                leftover.unlink(missing_ok=True)

    def _part(self, values: dict[str, Any]) -> int:
        """The number of the part with this checkpoint and compute, from 1; begun if there is none."""
        parts = self._parts()
        if values not in parts:
            append_line(self.parts_file, _json_line(values))
            parts.append(values)
        return parts.index(values) + 1

    def _input(self, image: Image.Image) -> Path:
        """Where a picture lies that was used; encoded once as long as it is the same."""
        pixels = digest_of_pixels(image)
        if pixels not in self._encoded or not self._encoded[pixels].is_file():
            content = png(image, compress_level=1)
            self._encoded[pixels] = self.inputs_folder / f"{hashlib.sha256(content).hexdigest()}.png"
            _write_new(self._encoded[pixels], lambda: content)
        return self._encoded[pixels]

    def _note_places(self, stamp: Stamp, local: Mapping[str, str]) -> None:
        known, digests = self.local, {"checkpoint": stamp.resolved.checkpoint.digest, "dataset": stamp.resolved.dataset.digest}
        changed = {kind: {**known.get(kind, {}), digest: local[kind]} for kind, digest in digests.items() if kind in local}
        if files := {adapter.digest: local[adapter.path] for adapter in stamp.resolved.asked_for if adapter.path in local}:
            changed["adapters"] = {**known.get("adapters", {}), **files}
        if any(known.get(kind) != places for kind, places in changed.items()):
            write_whole(self.local_file, json.dumps(known | changed, indent=2, ensure_ascii=False).encode() + b"\n")


def _write_new(path: Path, content: Callable[[], bytes]) -> None:
    if not path.is_file():
        write_whole(path, content())


def _json_line(values: Mapping[str, Any]) -> bytes:
    return json.dumps(values, ensure_ascii=False, allow_nan=False).encode()
