"""A bench: what lies on it, the pictures made of it one by one, and the session that keeps each of them."""

from __future__ import annotations

import shutil
import tempfile
import warnings
import weakref
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from sdxl_lab import comet, progress
from sdxl_lab.bench import onward
from sdxl_lab.bench.asking import plan
from sdxl_lab.bench.errors import BenchError
from sdxl_lab.bench.opened import Opened, of_picture, opened, with_mask
from sdxl_lab.bench.pictures import BenchPicture, looked_at, meant, required
from sdxl_lab.bench.sessions import session_of, sessions_folder, today
from sdxl_lab.bench.worker import Making, Worker
from sdxl_lab.datasets import inputs
from sdxl_lab.errors import LabError
from sdxl_lab.process.endings import ends_with_the_notebook
from sdxl_lab.progress import signs
from sdxl_lab.records import machine
from sdxl_lab.records.session import SessionFolder
from sdxl_lab.runs.experiment import measured
from sdxl_lab.runs.single import Planned, made
from sdxl_lab.spec.cautions import CautionWarning
from sdxl_lab.spec.run_spec import RunSpec, SpecError
from sdxl_lab.tracking import tracker
from sdxl_lab.wording import counted

if TYPE_CHECKING:
    from sdxl_lab.generation.trajectory import TrajectoryCache
    from sdxl_lab.viewing.compare import Comparison

CACHE_BYTES, CACHE_VALUES = 128 * 2**20, 64
"""How much of its latest pictures a bench remembers: bytes for ten of SDXL's size, so that turning the hand-over costs the refiner's steps alone, and
of small ones so many encodings and trajectories, so that a long session holds no more than a short one."""

POLL_S = 0.1
USER = 3
"""The level of warnings at which they point to who called a bench's method."""


class Bench:
    """Exploring by hand: a picture is tried with words, seeds and settings, and every try is kept.

    Pictures are made in a thread of the bench's own, and are the ones that a call or a run makes. They are kept in a session's folder,
    `artifacts/runs/sessions/<name>-<id>`, each as soon as it is made; `Bench.resume()` goes on there, also after days and in another kernel.

    Args:
        checkpoint: As in `RunSpec`; setting `bench.checkpoint` takes another one for the next pictures.
        name: What the session is called; the date if left out.
        tracking: What Comet hears: `auto` (live with an account, else by `sdxl-lab push`), `online` or `off`.

    Attributes:
        checkpoint: What the next picture is made with.
        session: The folder that keeps the pictures.

    Raises:
        SpecError: One of these is not allowed.
        CometError: `online`, and there is no API key.

    Examples:
        >>> bench = Bench(tracking="off")
        >>> bench.open("photo.png", "mask.png")
        >>> first = bench.make("a blue star on grass", seed=7, num_inference_steps=3)
        >>> other = bench.again(first, guidance_scale=3.0)
        >>> bench.star(other)
        >>> [(picture.number, picture.is_starred) for picture in bench.pictures]
        [(1, False), (2, True)]
    """

    def __init__(self, checkpoint: str | Path = "pocket", name: str | None = None, *, tracking: str = "auto") -> None:
        named = {"name": name or today(), "checkpoint": checkpoint, "tracking": tracking}
        spec = RunSpec.from_parameters(dataset=inputs.NAME, **named)
        if tracking == "offline":
            raise SpecError(["tracking: got 'offline'; a session has no archive: allowed are auto, online, off, and `sdxl-lab push` sends it later"])
        comet.check(spec.tracking)
        self._set_up(spec.checkpoint, SessionFolder.begin(sessions_folder(), spec.name, tracking=spec.tracking))

    @classmethod
    def resume(cls, session: str | Path | SessionFolder | None = None) -> Self:
        """Go on with a session: what its last picture was made from and with lies on the bench again.

        Args:
            session: Its folder, its name, or the first digits of its id; the one that got a picture last if left out.

        Raises:
            BenchError: There is no such session.
        """
        folder = session if isinstance(session, SessionFolder) else session_of(session)
        bench = cls.on(folder)
        if last := folder.latest():
            try:
                bench.checkpoint = folder.checkpoint_of(last)
                bench._opened = of_picture(last, folder.local)
            except LabError as error:
                warnings.warn(f"the bench is empty, open something: {error}", CautionWarning, stacklevel=2)
        return bench

    @classmethod
    def on(cls, session: SessionFolder) -> Self:
        """A bench with nothing on it that adds to a session.

        Args:
            session: Its folder.
        """
        bench = cls.__new__(cls)
        bench._set_up("pocket", session)
        return bench

    def _set_up(self, checkpoint: str, session: SessionFolder) -> None:
        self.checkpoint, self.session = checkpoint, session
        self._opened = Opened()
        self._worker = Worker(self._make)
        ends_with_the_notebook(self)

    # --- what lies on it -----------------------------------------------------------------------------------------------------------------------

    def open(self, image: Any = None, mask_image: Any = None, *, as_pixels: bool = False) -> None:
        """Put something on the bench, in place of what was there.

        Args:
            image: A PIL image, a numpy array of shape (height, width[, 3 or 4]), a path, a dataset's sample, with its mask and prompts, or a
                picture that the lab made, also by the path of its PNG: then what that was made from lies on the bench, and the next picture has
                its words and settings but for what is given. None for words alone.
            mask_image: Likewise, of the same size; white or True is the object. Given alone, it is another mask for the picture that is there.
            as_pixels: Whether a picture that the lab made is taken for a picture like any other, to work on what it shows.

        Raises:
            CallError: The image or the mask cannot be used.
            ReproduceError: What an earlier picture was made from is not here.
        """
        is_mask_alone = image is None and mask_image is not None
        self._opened = with_mask(self._opened, mask_image) if is_mask_alone else opened(image, mask_image, as_pixels=as_pixels)

    # --- making --------------------------------------------------------------------------------------------------------------------------------

    def make(
        self, prompt: str | None = None, *, negative_prompt: str | None = None, seed: int | None = None, task: str | None = None, **settings: Any
    ) -> BenchPicture:
        """Make a picture of what lies on the bench, and wait for it, with a sign of how far it is. An interrupt cancels it.

        Args:
            prompt: What to paint; None for what a sample or an earlier picture says.
            negative_prompt: What to lead away from.
            seed: None for that of the sample or the earlier picture, else 0.
            task: One of `TASKS`; left out, what lies on the bench tells: a picture and a mask `inpaint`, a picture `image_to_image`, with a canvas
                (`left_px=256`) `outpaint`, words alone `text_to_image`.
            **settings: As for `inpaint`.

        Returns:
            The picture, kept; the one that is there already, where it was made before.

        Raises:
            SpecError: A setting is unknown or not allowed, or there is no prompt.
            LabError: The picture cannot be made or kept.

        Warns:
            CautionWarning: Something of the settings has no effect or will make a poor picture.
        """
        self._worker.require_another_thread()
        with signs.shown() as sign:
            ready = self._plan(self._opened, task, {"prompt": prompt, "negative_prompt": negative_prompt, "seed": seed}, settings)
            return self._awaited(self._started(ready), sign)

    def start(
        self,
        prompt: str | None = None,
        *,
        negative_prompt: str | None = None,
        seed: int | None = None,
        task: str | None = None,
        latest: bool = False,
        on_step: Callable[[Making], object] | None = None,
        **settings: Any,
    ) -> Making:
        """Begin a picture and return at once: what is wrong with it is said now, and it is made in the bench's thread.

        Args:
            prompt: As for `make`, likewise what follows it.
            negative_prompt: What to lead away from.
            seed: Where the noise comes from.
            task: What to do.
            latest: Whether it takes the place of those that were started before, which are cancelled; else it waits for its turn.
            on_step: Called in that thread after each step with the picture on its way, which tells steps, time left and a preview.
            **settings: As for `inpaint`.

        Returns:
            The picture on its way: `result()` waits for it, `cancel()` stops it within a step.
        """
        ready = self._plan(self._opened, task, {"prompt": prompt, "negative_prompt": negative_prompt, "seed": seed}, settings)
        return self._started(ready, latest=latest, on_step=on_step)

    def again(self, picture: Any = None, **changes: Any) -> BenchPicture:
        """Make an earlier picture again with something changed: from what it was made from, and but for the changes as was asked for it.

        Args:
            picture: As for `star`, which keeps its checkpoint, or one made elsewhere, as for `open`; the one that was asked for last if left out.
            **changes: As for `make`.
        """
        earlier, checkpoint = self._earlier(picture)
        changes.setdefault("checkpoint", checkpoint)
        words = {name: changes.pop(name, None) for name in ("prompt", "negative_prompt", "seed")}
        self._worker.require_another_thread()
        with signs.shown() as sign:
            return self._awaited(self._started(self._plan(earlier, changes.pop("task", None), words, changes)), sign)

    def open_earlier(self, picture: Any) -> str:
        """Put on the bench what an earlier picture was made from, and what was asked for it.

        Args:
            picture: As for `again`.

        Returns:
            Its checkpoint, which the bench does not take over by itself.
        """
        self._opened, checkpoint = self._earlier(picture)
        return checkpoint

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

    # --- what was made -------------------------------------------------------------------------------------------------------------------------

    @property
    def pictures(self) -> tuple[BenchPicture, ...]:
        """All pictures of the session, in the order in which they were made."""
        return tuple(map(BenchPicture, self.session.pictures()))

    def star(self, picture: Any = None, *, starred: bool = True) -> None:
        """Star a picture, so that it is found again.

        Args:
            picture: One of the bench's pictures, its number, or the first digits of its `picture_id`; the last one if left out.
            starred: False takes the star away.

        Raises:
            BenchError: There is no such picture.
        """
        self.session.star(required(self.session, picture), starred=starred)
        tracker.follow_session(self.session)

    def note(self, picture: Any, text: str) -> None:
        """Write something of a picture, in place of what was written of it before.

        Args:
            picture: As for `star`.
            text: The empty one takes the note away.

        Raises:
            BenchError: There is no such picture, or it is no text.
            RecordError: It looks like an API key.
        """
        if not isinstance(text, str):
            raise BenchError(f"note: got a {type(text).__name__}; allowed is a text, the empty one takes the note away")
        self.session.note(required(self.session, picture), text)
        tracker.follow_session(self.session)

    def delete(self, picture: Any) -> None:
        """Delete a picture. The others keep their numbers.

        Args:
            picture: As for `star`.
        """
        self.session.delete(required(self.session, picture))
        tracker.follow_session(self.session)

    # --- going on ------------------------------------------------------------------------------------------------------------------------------

    def parameters(self, picture: Any = None) -> onward.Parameters:
        """Write the parameters of a run that makes a picture: printed, they are a notebook's parameters cell.

        Args:
            picture: As for `star`.

        Returns:
            What `RunSpec.from_parameters` takes. What the bench was given becomes a dataset in the session's folder.
        """
        return onward.parameters(required(self.session, picture))

    def sweep_around(self, picture: Any, axes: Mapping[str, Iterable[Any] | str], path: Path | str | None = None) -> Path:
        """Write a sweep file around a picture.

        Args:
            picture: As for `star`.
            axes: Setting to its values, `{"guidance_scale": [3, 5, 7.5], "seed": "random(4)"}`, by name or dotted path.
            path: The YAML file; in the session's folder if left out.

        Returns:
            The file, for `sdxl-lab plan` and `sdxl-lab sweep`.

        Raises:
            SweepFileError: An axis is no setting, or a value is not allowed.
        """
        return onward.sweep_around(required(self.session, picture), self.session, axes, path)

    def compare(self, *, starred: bool = False, **options: Any) -> Comparison:
        """Compare the pictures, each as a run of one, as `compare` does.

        Args:
            starred: Whether to look at the starred ones alone.
            **options: As for `compare`.
        """
        from sdxl_lab.viewing.compare import compare

        return compare([kept.as_run for kept in looked_at(self.session, starred=starred)], **options)

    def report(self, path: Path | str | None = None, *, starred: bool = False) -> Path:
        """Write the report of the pictures: one HTML page.

        Args:
            path: The file; in the session's folder if left out, `report.html`, of the starred alone `starred.html`.
            starred: As for `compare`.
        """
        from sdxl_lab.viewing.report import write_report

        runs = [kept.as_run for kept in looked_at(self.session, starred=starred)]
        own = self.session.starred_file if starred else self.session.report_file
        return write_report(runs, Path(path) if path else own)

    def __repr__(self) -> str:
        return f"<Bench {self.session.path.name}: {counted(len(self.session.pictures()), 'picture')}; on it {self._opened}; {self.checkpoint}>"

    # --- within --------------------------------------------------------------------------------------------------------------------------------

    def _earlier(self, picture: Any) -> tuple[Opened, str]:
        """What an earlier picture was made from, and its checkpoint as parameters here have it, or else the bench's own."""
        if picture is None or isinstance(picture, int) or meant(self.session, picture) is not None:
            kept = required(self.session, picture)
            return of_picture(kept, self.session.local), self.session.checkpoint_of(kept)
        earlier = opened(picture)
        return earlier, earlier.checkpoint or self.checkpoint

    def _plan(self, on_bench: Opened, task: str | None, words: Mapping[str, Any], settings: dict[str, Any]) -> Planned:
        """What can be wrong is found here, in the thread of whoever asks."""
        checkpoint, folder = settings.pop("checkpoint", self.checkpoint), self._given
        ready = plan(on_bench, self.session, task=task, words=words, settings=settings, checkpoint=checkpoint, folder=folder)
        for caution in ready.cautions:
            warnings.warn(caution, CautionWarning, stacklevel=USER)
        return ready

    def _started(self, ready: Planned, *, latest: bool = False, on_step: Callable[[Making], object] | None = None) -> Making:
        making = Making(ready, on_step)
        if kept := self.session.recalled(ready.resolved.spec.run_id):
            making.end("done", picture=BenchPicture(kept))
        else:
            self._worker.submit(making, latest=latest)
        return making

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
        ready = making.planned
        resolved, dataset = ready.resolved.spec, ready.resolved.dataset
        machine.forget_gpu_peak()
        picture, stamp = made(ready, self._trajectories, making.stepped)
        metrics = measured(picture, dataset.sample(ready.edit.sample))
        making.require_wanted()
        given = [inputs.file_of(sha256, dataset.folder) for sha256 in (dataset.inputs or {}).values()]
        local = {"checkpoint": resolved.spec.checkpoint} | ({} if resolved.dataset.is_of_call else {"dataset": resolved.spec.dataset})
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
