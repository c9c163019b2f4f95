"""One picture: an edit goes in, with the image and the mask that its task needs, and the finished image comes out."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from PIL import Image

from sdxl_lab import progress
from sdxl_lab.checkpoints.checkpoint import Checkpoint
from sdxl_lab.checkpoints.memory import end_of_memory_told
from sdxl_lab.checkpoints.own_defaults import suited
from sdxl_lab.checkpoints.weight_files import CheckpointError
from sdxl_lab.families import family_of, for_all_tasks
from sdxl_lab.generation.encoding import fits_in, restored_by, spoiling
from sdxl_lab.generation.frames import sizes_of
from sdxl_lab.generation.inputs import Seen, as_edited, base_call, refined_key, seen, sized, trajectory_key, unfit_base, words_of
from sdxl_lab.generation.pasting import pasted
from sdxl_lab.generation.regions import Regions, regions, require_cells, settled, specks_ignored, without_steps
from sdxl_lab.generation.softness import Softness
from sdxl_lab.generation.stages import Stage, blended, stage_of
from sdxl_lab.generation.steps import Listener, Step
from sdxl_lab.generation.trajectory import Trajectory, TrajectoryCache, Window, build_scheduler, whole_schedule, window_of
from sdxl_lab.images import boxes, masks, pictures
from sdxl_lab.process.arithmetic import arithmetic
from sdxl_lab.prompts.reading import Words
from sdxl_lab.spec import lacking
from sdxl_lab.spec.cautions import caution, cautions
from sdxl_lab.spec.edit import Edit, read_here
from sdxl_lab.spec.generated import Generated
from sdxl_lab.spec.resolved_spec import as_it_matters
from sdxl_lab.spec.run_spec import SpecError
from sdxl_lab.tasks import TASKS


def generate(
    edit: Edit,
    image: Image.Image | None,
    mask: Image.Image | None,
    checkpoint: Checkpoint,
    *,
    trajectories: TrajectoryCache | None = None,
    on_step: Listener | None = None,
) -> Generated:
    """Make one picture.

    Args:
        edit: What to paint, and every setting. Steps, strength and guidance that code left open are the checkpoint's own, as parameters have it.
        image: The sample's image, any size; None where the task needs none, likewise `mask`.
        mask: The sample's mask of that size, white is the object.
        checkpoint: The loaded models. Another thread that uses them is waited for.
        trajectories: What earlier pictures left to build on; None remembers nothing beyond this picture. The result is the same.
        on_step: Hears each step as soon as it is made, in this thread; the result is the same. What it raises ends the picture before another
            step is computed, and `trajectories` remember those that were made. `CancelledError` is there for it.

    Raises:
        SpecError: The edit is not valid, as a copy with changes may be; or there is an image where none is needed, or none where one is.
        MaskError: There is no mask, nothing of it would be repainted, a part of it has no latent cell, or a crop around it is less than one.
        TrajectoryError: A stage would run no step.
        CheckpointError: A refiner is asked for and the checkpoint has none, the base cannot do such a task, or this thread is making another
            picture of these models, whose `on_step` calls this.
        NotFiniteError: A model gave NaN or infinity.
        GpuMemoryError: The GPU's memory came to its end.
        PromptError: A prompt has marks of compel's, which is not installed or cannot read them.

    Warns:
        CautionWarning: Something of the edit has no effect or will make a poor picture, as `cautions` says; or the decoded picture has but one color.

    Examples:
        >>> settings = EditSettings(denoising=Denoising(num_inference_steps=3))
        >>> edit = Edit(sample="red-circle", task="inpaint", prompt="a blue star", seed=7, settings=settings)
        >>> sample = fetch("pocket-scenes").sample("red-circle")
        >>> generate(edit, sample.image(), sample.mask(), checkpoint).image.size
        (128, 128)
    """
    _require_input(edit, image)
    edit, found = _settled(edit, image, mask, checkpoint)
    _require_models(edit, checkpoint)  # a refiner is loaded here, which is no part of a picture's time
    if found:
        require_cells(edit, found)
    of_mask = [line for line in (found.has_ignored and specks_ignored(checkpoint.sizes.cell_px), *found.idle) if line] if found else []
    for line in [*cautions(edit, checkpoint.traits), *of_mask]:
        caution(line, stacklevel=2)
    cache = TrajectoryCache() if trajectories is None else trajectories
    with (
        checkpoint.in_use.taken(),
        end_of_memory_told(dtype=checkpoint.dtype, decoder=checkpoint.base.vae.dtype, offload=checkpoint.offload, switches=checkpoint.switches),
    ):
        began = time.perf_counter()
        input_image = image and as_edited(edit, image)
        start = seen(edit, input_image, found, checkpoint.sizes)
        change = found.change(edit.settings.mask.latent_mask) if found and found.is_soft else None
        picture = _Picture(edit=edit, seen=start, checkpoint=checkpoint, cache=cache, on_step=on_step, change=change)
        raw, base_steps, refiner_steps = picture.denoise()
        notes = tuple(picture.notes())
    for line in notes:
        caution(line, stacklevel=2)
    if fault := _bare(raw, start.image):
        warnings.warn(fault, stacklevel=2)
    size, _ = sizes_of(edit, image and image.size, checkpoint.sizes)
    frame = found and found.frame
    output_image = pasted(raw, input_image, found, edit.settings.mask) if found and input_image else raw.resize(size, Image.Resampling.LANCZOS)
    return Generated(
        edit=edit,
        image=output_image,
        raw=raw,
        input_image=input_image,
        mask_image=found and found.repainted,
        seam_image=found and found.composited,
        working_size=start.size,
        stretch=_stretch(start.size, boxes.size_of(frame.box) if frame else input_image.size) if input_image else 1.0,
        base_steps=base_steps,
        refiner_steps=refiner_steps,
        seconds=time.perf_counter() - began,
        frame=frame,
        notes=notes,
    )


def _stretch(seen: tuple[int, int], of: tuple[int, int]) -> float:
    return (seen[0] * of[1]) / (seen[1] * of[0])


def _settled(edit: Edit, image: Image.Image | None, mask: Image.Image | None, checkpoint: Checkpoint) -> tuple[Edit, Regions | None]:
    """The edit with nothing left open, as parameters would have it, and what it repaints; None where it makes all of the picture."""
    is_reading_open, are_specks_open = "image" not in edit.settings.model_fields_set, "specks" not in edit.settings.mask.model_fields_set
    edit = read_here(sized(suited(edit, checkpoint.identity), checkpoint.sizes))
    if image and is_reading_open:
        edit = as_it_matters(edit, readings=pictures.facts_of(image, pictures.rgb(image)).readings)
    if TASKS[edit.task].area is None or image is None:
        return edit, None
    look = settled if are_specks_open else regions
    found = look(edit, image.size, mask, checkpoint.sizes)
    return as_it_matters(edit, has_specks=not are_specks_open or found.has_ignored, is_soft=found.is_soft, crop=found.crop), found


@dataclass(frozen=True, kw_only=True, eq=False)
class _Picture:
    """One picture at its working size, on its way through base and refiner."""

    edit: Edit
    seen: Seen
    checkpoint: Checkpoint
    cache: TrajectoryCache
    on_step: Listener | None = None
    change: np.ndarray | None = None

    def denoise(self) -> tuple[Image.Image, int, int]:
        """The decoded picture, and the evaluations by base and refiner."""
        settings, steps = self.edit.settings, self._steps
        if self._softness and (fault := without_steps(self.edit, float(self._softness.change.max()), self._softness.steps)):
            raise masks.MaskError(f"{fault}.")
        if not settings.denoising.is_refined:
            finished, raw = self._base(stop=steps.base, output_type="pil")
            return raw, finished.steps, 0
        head, _ = self._base(stop=steps.base, output_type="latent")
        key = refined_key(self.edit, self._words, self.seen.pixels, self._scope)
        known, call = self.cache.get(key), self._refiner_call
        if settings.denoising.handover == "consistent":
            start, stop, done = known or head, steps.base + steps.refiner, head.steps
            if self.seen.mask_image is None:
                call |= {"image": head.states[-1].latents}  # read by nobody: the remembered ones are gone on from
        else:
            start, stop, done = known, steps.refiner, 0
            stock = {"denoising_start": settings.denoising.high_noise_frac}
            call |= {"image": self._blended(head)} | ({"strength": settings.refiner.strength} if settings.denoising.handover == "sdedit" else stock)
        scheduler = self._scheduler(self.checkpoint.base if settings.denoising.handover == "consistent" else self.checkpoint.refiner)
        keep, telling = self._keeping(key, Trajectory.end), self._telling("refiner", before=head.steps - done)
        clean = head.image_latents if self._softness and settings.denoising.handover == "stock" else None
        with self._stage("refiner", scheduler, self._softness_of_refiner, clean) as stage:
            finished, raw = stage.run(start, seed=self.edit.seed, stop=stop, output_type="pil", keep=keep, **telling, **call)
        return raw, head.steps, finished.steps - done

    def notes(self) -> Iterator[str]:
        """What is to be said of how its prompts were read, by whichever picture they were encoded for."""
        for name, reading in (("prompt", self._words.prompt), ("negative_prompt", self._words.negative_prompt)):
            factors = self.cache.get(restored_by(self._bare_scope, self.checkpoint.in_text("base"), reading)) if reading else None
            if line := spoiling(factors or ()):
                yield f"{name}: {line}."

    def _base(self, *, stop: int, output_type: str) -> tuple[Trajectory, Any]:
        """The base's trajectory up to a step, from the cache as far as it goes."""
        known = self.cache.get(self._key)
        if known is not None and known.steps >= stop and output_type == "latent":
            return known.until(stop), None
        keep = self._keeping(self._key)
        with self._stage("base", self._scheduler(self.checkpoint.base), self._softness) as stage:
            return stage.run(known, seed=self.edit.seed, stop=stop, output_type=output_type, keep=keep, **self._telling("base"), **self._call)

    def _blended(self, head: Trajectory) -> torch.Tensor:
        """What a truncated call of diffusers returns: the last latents in the mask, clean ones around it.

        Of a soft mask it is in the mask what the refiner goes on with: it does not look at what it will not have kept.
        """
        softness = self._softness
        latent_mask = self._latent_mask
        if softness and softness.method == "threshold" and self.edit.settings.denoising.handover == "stock":
            latent_mask = softness.kept(head.steps + 1)
        return blended(head.states[-1].latents, head.image_latents, latent_mask)

    def _telling(self, role: str, before: int = 0) -> dict[str, Any]:
        """What a stage is told of who listens."""
        total, on_step = self._steps.base + self._steps.refiner, self.on_step

        def tell(steps: int, latents: torch.Tensor | None) -> None:
            progress.tell(role, done=before + steps, total=total, unit="step")
            if on_step is not None and latents is not None:
                on_step(Step(role=role, done=before + steps, total=total, latents=latents))

        return {"after_step": tell, "predicts": on_step is not None}

    def _keeping(self, key: Hashable, what: Callable[[Trajectory], Trajectory] = lambda made: made) -> Callable[[Trajectory], None]:
        return lambda made: self.cache.put(key, what(made))

    def _scheduler(self, pipeline: Any) -> Any:
        denoising = self.edit.settings.denoising
        spread = {"karras": denoising.karras, "timestep_spacing": denoising.timestep_spacing}
        return build_scheduler(denoising.scheduler, pipeline.scheduler.config, **spread)

    @contextmanager
    def _stage(self, role: str, scheduler: Any, softness: Softness | None, image_latents: torch.Tensor | None = None) -> Iterator[Stage]:
        """Base or refiner, with what is on its models."""
        kind = stage_of(family_of(self.checkpoint.identity.family).pipelines, TASKS[self.edit.task].pipeline, role)
        pipeline = self.checkpoint.base if role == "base" else self.checkpoint.refiner
        told: dict[str, Any] = {"latent_mask": self._latent_mask, "words": self._words, "cache": self.cache}
        told |= {"scope": self._bare_scope, "in_text": self.checkpoint.in_text(role), "softness": softness, "image_latents": image_latents}
        with self.checkpoint.adapted(role) as instead:
            yield kind.of(pipeline, role=role, scheduler=scheduler, instead=instead, **told)

    @cached_property
    def _steps(self) -> Window:
        return window_of(self._scheduler(self.checkpoint.base), self.edit.settings)

    @cached_property
    def _scope(self) -> Hashable:
        """The models, what is on them, and what else changes their bits."""
        return self.checkpoint.computed_by.trajectories(str(self.checkpoint.device), arithmetic())

    @cached_property
    def _bare_scope(self) -> Hashable:
        """The same but for what is on the models."""
        return replace(self.checkpoint.computed_by, adapters=()).trajectories(str(self.checkpoint.device), arithmetic())

    @cached_property
    def _words(self) -> Words:
        refiner = [self.checkpoint.refiner] if self.edit.settings.denoising.is_refined else []
        with self.checkpoint.adapted("base") as instead:
            return words_of(self.edit, fits_in([self.checkpoint.base, *refiner], instead))

    @cached_property
    def _latent_mask(self) -> torch.Tensor | None:
        if self.seen.mask_image is None:
            return None
        if self.change is not None:
            return torch.from_numpy(self.change > 0).float()[None, None]
        latent_mask = masks.latent_mask(self.seen.mask_image, mode=self.edit.settings.mask.latent_mask, factor=self.checkpoint.sizes.cell_px)
        return torch.from_numpy(np.asarray(latent_mask) > 0).float()[None, None]

    @cached_property
    def _softness(self) -> Softness | None:
        """How a soft mask spends the base's schedule."""
        if self.change is None:
            return None
        steps = window_of(self._scheduler(self.checkpoint.base), whole_schedule(self.edit.settings)).base
        return Softness(change=self.change, method=self.edit.settings.mask.soft, steps=steps)

    @property
    def _softness_of_refiner(self) -> Softness | None:
        """The same as the refiner counts: all of the base's schedule, its end alone, or one of its own."""
        softness, handover, own = self._softness, self.edit.settings.denoising.handover, self._steps.refiner
        if softness is None or handover == "consistent":
            return softness
        return replace(softness, before=softness.steps - own) if handover == "stock" else replace(softness, steps=own)

    @cached_property
    def _call(self) -> dict[str, Any]:
        """What the base is called with."""
        mask_image = self.seen.mask_image
        if self.change is not None and mask_image is not None:
            mask_image = mask_image.point([0] + [255] * 255)  # what is hidden from a UNet of nine channels
        pictures = {"image": self.seen.image, "mask_image": mask_image}
        return base_call(self.edit, self.seen.size) | {name: picture for name, picture in pictures.items() if picture}

    @cached_property
    def _refiner_call(self) -> dict[str, Any]:
        """What the refiner is called with."""
        refiner = self.edit.settings.refiner
        scores = {"aesthetic_score": refiner.aesthetic_score, "negative_aesthetic_score": refiner.negative_aesthetic_score}
        guidance = {} if refiner.guidance_scale is None else {"guidance_scale": refiner.guidance_scale}
        return self._call | scores | guidance

    @cached_property
    def _key(self) -> Hashable:
        return trajectory_key(self.edit, self._words, self.seen.pixels, self._scope)


def _bare(raw: Image.Image, seen_image: Image.Image | None) -> str | None:
    """What is to be said of a decoded picture of one color; None of any other, and where what the models saw was so, too."""
    if not _is_one_color(raw) or (seen_image and _is_one_color(seen_image)):
        return None
    return (
        f"The decoder made every pixel {raw.getpixel((0, 0))}, though {'the input has more colors' if seen_image else 'no noise is so'}: see whether "
        "compute.dtype float32, a lower guidance_scale or another file of the checkpoint does better."
    )


def _is_one_color(image: Image.Image) -> bool:
    return image.getcolors(maxcolors=1) is not None


def _require_input(edit: Edit, image: Image.Image | None) -> None:
    if (image is not None) != TASKS[edit.task].needs_image:
        got, advice = ("no picture", "needs one: give it") if image is None else ("a picture", "makes one from words alone: leave it out")
        raise SpecError([f"image: got {got}, and {edit.task} {advice}, or take another task ({', '.join(TASKS)})"], f"the edit of {edit.sample!r}")


def _require_models(edit: Edit, checkpoint: Checkpoint) -> None:
    instead = for_all_tasks(checkpoint.identity.name, checkpoint.identity.family)
    if fault := unfit_base(edit, checkpoint.base.unet.config.in_channels, instead):
        raise CheckpointError(f"{fault}.")
    if lines := lacking.refused_of(edit, checkpoint.identity.family, checkpoint.identity.name):
        raise CheckpointError(f"{'; '.join(lines)}.")
    denoising = edit.settings.denoising
    if denoising.is_refined and checkpoint.refiner is None:
        key, got, without = denoising.asks_for_refiner
        raise CheckpointError(
            f"{key} is {got}, but checkpoint {checkpoint.identity.name!r} has no refiner; put one into a folder `refiner` beside the base, or set "
            f"{key} to {without}."
        )
