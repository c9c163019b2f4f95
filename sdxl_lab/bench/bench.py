"""A bench: what lies on it, the pictures made of it one by one, and the session that keeps each of them."""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from sdxl_lab import comet
from sdxl_lab.bench.maker import Maker
from sdxl_lab.bench.opened import Opened, of_picture, opened, with_mask
from sdxl_lab.bench.pictures import BenchPicture, meant, required
from sdxl_lab.bench.sessions import session_of, sessions, sessions_folder, today
from sdxl_lab.bench.worker import Making
from sdxl_lab.datasets import inputs
from sdxl_lab.errors import LabError
from sdxl_lab.process.endings import ends_with_the_notebook
from sdxl_lab.progress import signs
from sdxl_lab.records.session import SessionFolder
from sdxl_lab.runs.single import Planned
from sdxl_lab.spec.cautions import CautionWarning
from sdxl_lab.spec.run_spec import RunSpec, SpecError
from sdxl_lab.wording import counted

USER = 3
"""The level of warnings at which they point to who called a bench's method."""

_living: weakref.WeakValueDictionary[Path, Bench] = weakref.WeakValueDictionary()
"""By the session's folder: the bench of this process that adds to it."""


class Bench(Maker):
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
                bench.opened = of_picture(last, folder.local)
            except LabError as error:
                warnings.warn(f"the bench is empty, open something: {error}", CautionWarning, stacklevel=2)
        return bench

    @classmethod
    def named(cls, name: str | None = None, checkpoint: str | Path = "pocket", *, tracking: str = "auto") -> Self:
        """Go on with a session, or begin it: a cell that says this can be run again, also tomorrow and after a kernel has died.

        In one process it is the same bench each time, with what lies on it.

        Args:
            name: What it is called; the date if left out.
            checkpoint: As for `Bench`, where it begins; one that is there goes on with its own. Likewise `tracking`.
            tracking: What Comet hears.
        """
        called, folder = name or today(), sessions_folder().absolute()
        # A session without a picture is on no disk yet.
        for path, living in reversed(list(_living.items())):
            if isinstance(living, cls) and living.session.name == called and path.parent == folder:
                return living
        is_there = any(one.name == called for one in sessions())
        return cls.resume(called) if is_there else cls(checkpoint, called, tracking=tracking)

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
        super().__init__(session, checkpoint)
        self.opened = Opened()
        self._widget: Any = None
        _living[session.path.absolute()] = self
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
        self.opened = with_mask(self.opened, mask_image) if is_mask_alone else opened(image, mask_image, as_pixels=as_pixels)

    @property
    def is_bare(self) -> bool:
        """Whether no picture was ever put on it or made."""
        return not self.session.count and self.opened.picture() is None

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
            ready = self._plan(self.opened, task, {"prompt": prompt, "negative_prompt": negative_prompt, "seed": seed}, settings)
            return self._awaited(self.begin(ready), sign)

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
        ready = self._plan(self.opened, task, {"prompt": prompt, "negative_prompt": negative_prompt, "seed": seed}, settings)
        return self.begin(ready, latest=latest, on_step=on_step)

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
            return self._awaited(self.begin(self._plan(earlier, changes.pop("task", None), words, changes)), sign)

    def open_earlier(self, picture: Any) -> str:
        """Put on the bench what an earlier picture was made from, and what was asked for it.

        Args:
            picture: As for `again`.

        Returns:
            Its checkpoint, which the bench does not take over by itself.
        """
        self.opened, checkpoint = self._earlier(picture)
        return checkpoint

    def _ipython_display_(self) -> None:
        """As a cell's value: a canvas, knobs and all pictures; where nobody is there to work with it, under papermill, the pictures."""
        from sdxl_lab.bench.widget.showing import show  # which knows this room

        self._widget = show(self, self._widget)

    def __repr__(self) -> str:
        return f"<Bench {self.session.path.name}: {counted(len(self.session.pictures()), 'picture')}; on it {self.opened}; {self.checkpoint}>"

    # --- within --------------------------------------------------------------------------------------------------------------------------------

    def _earlier(self, picture: Any) -> tuple[Opened, str]:
        """What an earlier picture was made from, and its checkpoint as parameters here have it, or else the bench's own."""
        if picture is None or isinstance(picture, int) or meant(self.session, picture, also_deleted=True) is not None:
            kept = required(self.session, picture, also_deleted=True)
            return of_picture(kept, self.session.local), self.session.checkpoint_of(kept)
        earlier = opened(picture)
        return earlier, earlier.checkpoint or self.checkpoint

    def _plan(self, on_bench: Opened, task: str | None, words: Mapping[str, Any], settings: dict[str, Any]) -> Planned:
        """What can be wrong is found here, in the thread of whoever asks."""
        ready = self.plan(on_bench, task, words, settings)
        for caution in ready.cautions:
            warnings.warn(caution, CautionWarning, stacklevel=USER)
        return ready
