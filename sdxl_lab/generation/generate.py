"""One picture: an edit, an image and a mask go in, the repainted image comes out."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from PIL import Image

from sdxl_lab import progress
from sdxl_lab.checkpoints.loading import Checkpoint
from sdxl_lab.checkpoints.memory import end_of_memory_told
from sdxl_lab.checkpoints.own_defaults import suited
from sdxl_lab.checkpoints.weight_files import CheckpointError
from sdxl_lab.generation.inputs import Pixels, as_edited, base_call, refined_key, trajectory_key
from sdxl_lab.generation.regions import SPECKS, regions, require_cells, settled
from sdxl_lab.generation.stage import Stage
from sdxl_lab.generation.trajectory import Trajectory, TrajectoryCache, Window, build_scheduler, window
from sdxl_lab.images import masks, pictures
from sdxl_lab.process.arithmetic import arithmetic
from sdxl_lab.spec.cautions import CautionWarning, cautions
from sdxl_lab.spec.edit import Edit
from sdxl_lab.spec.generated import Generated
from sdxl_lab.spec.resolved_spec import as_it_matters


def generate(
    edit: Edit, image: Image.Image, mask: Image.Image | None, checkpoint: Checkpoint, *, trajectories: TrajectoryCache | None = None
) -> Generated:
    """Repaint one picture.

    Args:
        edit: What to paint, and every setting. Steps, strength and guidance that code left open are the checkpoint's own, as parameters have it.
        image: The sample's image, any size.
        mask: The sample's mask of that size, white is the object; None where the task needs none.
        checkpoint: The loaded models.
        trajectories: What earlier pictures left to build on; None remembers nothing beyond this picture. The result is the same.

    Raises:
        SpecError: The edit is not valid, as a copy with changes may be.
        MaskError: There is no mask, nothing of it would be repainted, or a part of it has no latent cell.
        TrajectoryError: A stage would run no step.
        CheckpointError: A refiner is asked for and the checkpoint has none.
        NotFiniteError: A model gave NaN or infinity.
        GpuMemoryError: The GPU's memory came to its end.

    Warns:
        CautionWarning: Something of the edit has no effect or will make a poor picture, as `cautions` says; or the decoded picture has but one color.

    Examples:
        >>> settings = EditSettings(denoising=Denoising(num_inference_steps=3))
        >>> edit = Edit(sample="red-circle", task="inpaint", prompt="a blue star", seed=7, settings=settings)
        >>> sample = fetch("pocket-scenes").sample("red-circle")
        >>> generate(edit, sample.image(), sample.mask(), checkpoint).image.size
        (128, 128)
    """
    is_reading_open, are_specks_open = "image" not in edit.settings.model_fields_set, "specks" not in edit.settings.mask.model_fields_set
    edit = suited(edit, checkpoint.identity)
    if is_reading_open:
        edit = as_it_matters(edit, readings=pictures.facts_of(image, pictures.rgb(image)).readings)
    look = settled if are_specks_open else regions
    found = look(edit, image.size, mask, checkpoint.sizes)
    edit = as_it_matters(edit, has_specks=found.has_ignored) if are_specks_open else edit
    settings = edit.settings
    if settings.denoising.high_noise_frac is not None:
        _require_refiner(edit, checkpoint)  # here it is loaded, which is no part of a picture's time
    require_cells(edit, found)
    for caution in [*cautions(edit, checkpoint.traits), *([SPECKS] if found.has_ignored else [])]:
        warnings.warn(caution, CautionWarning, stacklevel=2)
    began = time.perf_counter()
    input_image, mask_image, size = as_edited(edit, image), found.repainted, found.scaled.size
    scaled_image = input_image.resize(size, Image.Resampling.LANCZOS)
    picture = _Picture(
        edit=edit,
        image=scaled_image,
        mask_image=found.scaled,
        checkpoint=checkpoint,
        cache=TrajectoryCache() if trajectories is None else trajectories,
    )
    with end_of_memory_told(dtype=checkpoint.dtype, decoder=checkpoint.base.vae.dtype, offload=checkpoint.offload):
        raw, base_steps, refiner_steps = picture.denoise()
    if _is_one_color(raw) and not _is_one_color(scaled_image):
        message = (
            f"The decoder made every pixel {raw.getpixel((0, 0))}, though the input has more colors: see whether compute.dtype float32, a lower "
        )
        warnings.warn(message + "guidance_scale or another file of the checkpoint does better.", stacklevel=2)
    output_image = raw.resize(input_image.size, Image.Resampling.LANCZOS)
    return Generated(
        edit=edit,
        image=masks.composite(input_image, output_image, found.composited, feather_px=settings.mask.feather_px),
        raw=raw,
        input_image=input_image,
        mask_image=mask_image,
        seam_image=found.composited,
        working_size=size,
        stretch=(size[0] * input_image.height) / (size[1] * input_image.width),
        base_steps=base_steps,
        refiner_steps=refiner_steps,
        seconds=time.perf_counter() - began,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Picture:
    """One picture at its working size, on its way through base and refiner."""

    edit: Edit
    image: Image.Image
    mask_image: Image.Image
    checkpoint: Checkpoint
    cache: TrajectoryCache

    def denoise(self) -> tuple[Image.Image, int, int]:
        """The decoded picture, and the evaluations by base and refiner."""
        denoising, steps = self.edit.settings.denoising, self._steps
        if denoising.high_noise_frac is None:
            finished, raw = self._base(stop=steps.base, output_type="pil")
            return raw, finished.steps, 0
        head, _ = self._base(stop=steps.base, output_type="latent")
        key = refined_key(self.edit, self._pixels, self._scope)
        if denoising.handover == "consistent":
            start = self.cache.get(key) or head
            stop, call, done = steps.base + steps.refiner, self._refiner_call, head.steps
        else:
            start = self.cache.get(key)
            stop, done = steps.refiner, 0
            call = self._refiner_call | {"image": self._blended(head), "denoising_start": denoising.high_noise_frac}
        scheduler = self._scheduler(self.checkpoint.base if denoising.handover == "consistent" else self.checkpoint.refiner)
        stage, tell = self._stage(self.checkpoint.refiner, scheduler), self._telling("refiner", before=head.steps - done)
        finished, raw = stage.run(start, seed=self.edit.seed, stop=stop, output_type="pil", after_step=tell, **call)
        self.cache.put(key, finished.end())
        return raw, head.steps, finished.steps - done

    def _base(self, *, stop: int, output_type: str) -> tuple[Trajectory, Any]:
        """The base's trajectory up to a step, from the cache as far as it goes."""
        known = self.cache.get(self._key)
        if known is not None and known.steps >= stop and output_type == "latent":
            return known.until(stop), None
        stage = self._stage(self.checkpoint.base, self._scheduler(self.checkpoint.base))
        trajectory, output = stage.run(known, seed=self.edit.seed, stop=stop, output_type=output_type, after_step=self._telling("base"), **self._call)
        self.cache.put(self._key, trajectory)
        return trajectory, output

    def _blended(self, head: Trajectory) -> torch.Tensor:
        """What a truncated call of diffusers returns: the last latents in the mask, clean ones around it."""
        latents = head.states[-1].latents
        if head.image_latents is None:
            return latents
        return torch.where(self._latent_mask.to(latents.device) > 0, latents, head.image_latents)

    def _telling(self, role: str, before: int = 0) -> Callable[[int], None]:
        total = self._steps.base + self._steps.refiner
        return lambda steps: progress.tell(role, done=before + steps, total=total, unit="step")

    def _scheduler(self, pipeline: Any) -> Any:
        return build_scheduler(self.edit.settings.denoising.scheduler, pipeline.scheduler.config)

    def _stage(self, pipeline: Any, scheduler: Any) -> Stage:
        role = "base" if pipeline is self.checkpoint.base else "refiner"
        return Stage.of(pipeline, role=role, scheduler=scheduler, latent_mask=self._latent_mask, cache=self.cache, scope=self._scope)

    @cached_property
    def _steps(self) -> Window:
        denoising = self.edit.settings.denoising
        return window(
            self._scheduler(self.checkpoint.base),
            num_inference_steps=denoising.num_inference_steps,
            strength=denoising.strength,
            high_noise_frac=denoising.high_noise_frac,
            handover=denoising.handover,
        )

    @cached_property
    def _scope(self) -> Hashable:
        """The models, and what else changes their bits."""
        return self.checkpoint.computed_by.trajectories(str(self.checkpoint.device), arithmetic())

    @cached_property
    def _latent_mask(self) -> torch.Tensor:
        latent_mask = masks.latent_mask(self.mask_image, mode=self.edit.settings.mask.latent_mask)
        return torch.from_numpy(np.asarray(latent_mask) > 0).float()[None, None]

    @cached_property
    def _call(self) -> dict[str, Any]:
        """What the base is called with."""
        return base_call(self.edit, self.image.size) | {"image": self.image, "mask_image": self.mask_image}

    @cached_property
    def _refiner_call(self) -> dict[str, Any]:
        """What the refiner is called with."""
        refiner = self.edit.settings.refiner
        scores = {"aesthetic_score": refiner.aesthetic_score, "negative_aesthetic_score": refiner.negative_aesthetic_score}
        guidance = {} if refiner.guidance_scale is None else {"guidance_scale": refiner.guidance_scale}
        return self._call | scores | guidance

    @cached_property
    def _pixels(self) -> Pixels:
        return Pixels.of(self.image, self.mask_image)

    @cached_property
    def _key(self) -> Hashable:
        return trajectory_key(self.edit, self._pixels, self._scope)


def _is_one_color(image: Image.Image) -> bool:
    return image.getcolors(maxcolors=1) is not None


def _require_refiner(edit: Edit, checkpoint: Checkpoint) -> None:
    if checkpoint.refiner is None:
        raise CheckpointError(
            f"high_noise_frac is {edit.settings.denoising.high_noise_frac}, but checkpoint {checkpoint.identity.name!r} has no refiner; put one into "
            "a folder `refiner` beside the base, or set high_noise_frac to null."
        )
