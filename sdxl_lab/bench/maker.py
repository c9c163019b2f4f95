"""A session to which pictures are added: what is asked for is planned, made in a thread of its own, and kept."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdxl_lab import progress
from sdxl_lab.bench.asking import plan
from sdxl_lab.bench.exploration import Exploration
from sdxl_lab.bench.opened import Opened
from sdxl_lab.bench.pictures import BenchPicture
from sdxl_lab.bench.worker import Making, Worker, import_all
from sdxl_lab.datasets import inputs
from sdxl_lab.process.imports import importing
from sdxl_lab.progress import signs
from sdxl_lab.records import machine
from sdxl_lab.records.session import SessionFolder
from sdxl_lab.runs.experiment import measured
from sdxl_lab.runs.single import Planned, made
from sdxl_lab.tracking import tracker

if TYPE_CHECKING:
    from sdxl_lab.generation.trajectory import TrajectoryCache

CACHE_BYTES, CACHE_VALUES = 128 * 2**20, 64
"""How much of its latest pictures a bench remembers: bytes for ten of SDXL's size, so that turning the hand-over costs the refiner's steps alone, and
of small ones so many encodings and trajectories, so that a long session holds no more than a short one."""

POLL_S = 0.1


class Maker(Exploration):
    """Makes the pictures of a session.

    Args:
        session: The folder that keeps them.
        checkpoint: What the next picture is made with.
    """

    def __init__(self, session: SessionFolder, checkpoint: str) -> None:
        super().__init__(session)
        self.checkpoint = checkpoint
        self._worker = Worker(self._make)

    def plan(self, on_bench: Opened, task: str | None, words: Mapping[str, Any], settings: Mapping[str, Any]) -> Planned:
        """Find out all that can be wrong with a picture, and begin nothing.

        Args:
            on_bench: What it is made from; `Bench.opened` for what lies on the bench.
            task: What to do; None for what is there tells.
            words: Prompt, negative prompt and seed; None where they are left to what is there.
            settings: As for `Bench.make`.

        Raises:
            LabError: It cannot be made.
        """
        others = {key: value for key, value in settings.items() if key != "checkpoint"}
        checkpoint, folder = settings.get("checkpoint", self.checkpoint), self._given
        with importing:
            return plan(on_bench, self.session, task=task, words=words, settings=others, checkpoint=checkpoint, folder=folder)

    def begin(
        self,
        ready: Planned,
        *,
        latest: bool = False,
        on_step: Callable[[Making], object] | None = None,
        on_end: Callable[[Making], object] | None = None,
    ) -> Making:
        """Begin what was planned, as `Bench.start` does.

        Args:
            ready: The picture.
            latest: As for `Bench.start`; likewise `on_step`.
            on_step: Called after each step.
            on_end: Called once it has ended, however: in the bench's thread, or in the one that cancels it while it waits.

        Returns:
            The picture on its way; one that was made before is there at once.
        """
        making = Making(ready, on_step, on_end)
        if kept := self.session.recalled(ready.resolved.spec.run_id):
            if latest:
                self._worker.cancel()
            making.is_recalled = True
            making.end("done", picture=BenchPicture(kept))
        else:
            self._worker.submit(making, latest=latest)
        return making

    def cancel(self) -> None:
        """Stop the picture that is being made, within a step, and those that wait for their turn."""
        self._worker.cancel()

    def finish(self) -> list[str]:
        """Wait, a little, for what Comet does not have yet of a session that it follows.

        Returns:
            What is to be said of it: one line each.
        """
        return tracker.end_session(self.session)

    def close(self) -> None:
        """Cancel what is being made and end the thread. Nothing is lost, and the bench can be used again."""
        self._worker.close()

    def _awaited(self, making: Making, sign: signs.Sign) -> BenchPicture:
        sign.pictures(1, made=0)
        sign.picture(f"{making.planned.edit.task}, seed {making.planned.edit.seed}")
        try:
            while not making.wait(POLL_S):
                if doing := making.doing:
                    progress.tell(doing.what, done=doing.done, total=doing.total, unit=doing.unit)
        except BaseException:
            making.cancel()
            making.wait()
            raise
        return making.result()

    def _make(self, making: Making) -> BenchPicture:
        """In the bench's thread."""
        import_all()
        ready = making.planned
        resolved, dataset = ready.resolved.spec, ready.resolved.dataset
        machine.forget_gpu_peak()
        picture, stamp = made(ready, self._trajectories, making.stepped)
        metrics = measured(picture, dataset.sample(ready.edit.sample))
        making.require_wanted()
        given = [inputs.file_of(sha256, dataset.folder) for sha256 in (dataset.inputs or {}).values()]
        local = {"checkpoint": resolved.spec.checkpoint} | ({} if resolved.dataset.is_of_call else {"dataset": resolved.spec.dataset})
        local |= resolved.files
        kept = self.session.add(stamp, picture, given=given, metrics=metrics, local=local)
        tracker.follow_session(self.session)
        return BenchPicture(kept)

    @cached_property
    def _given(self) -> Path:
        """Where what code gave lies until it is kept, as long as the bench lives."""
        folder = tempfile.mkdtemp(prefix="sdxl_lab-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return Path(folder)

    @cached_property
    def _trajectories(self) -> TrajectoryCache:
        from sdxl_lab.generation.trajectory import TrajectoryCache

        return TrajectoryCache(max_bytes=CACHE_BYTES, max_values=CACHE_VALUES)
