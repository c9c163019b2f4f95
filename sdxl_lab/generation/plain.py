"""What diffusers' own pipelines make of an edit with a checkpoint's models: two calls as anybody writes them, to compare with."""

from __future__ import annotations

from typing import Any

import torch
from PIL import Image

from sdxl_lab.checkpoints.checkpoint import Checkpoint
from sdxl_lab.checkpoints.memory import end_of_memory_told
from sdxl_lab.families import Family, family_of
from sdxl_lab.settings.sections import Denoising
from sdxl_lab.spec.edit import Edit
from sdxl_lab.tasks import TASKS


def plain(edit: Edit, image: Image.Image | None, mask: Image.Image | None, checkpoint: Checkpoint, *, size: tuple[int, int]) -> Image.Image:
    """Make a picture without the lab: by the pipelines of diffusers, each seeded anew, with a hand-over as they know it.

    The models are the checkpoint's own, so that they need no second place in memory.

    Args:
        edit: With nothing left open, as `Generated` has it, `euler` as scheduler and neutral conditioning; `handover` is taken to be `stock`.
        image: As the models see it; None for text to image, likewise `mask`.
        mask: Of the same size, white is repainted.
        checkpoint: The loaded models.
        size: (width, height) in pixels.

    Returns:
        The decoded picture of that size, before anything is put back around a mask.
    """
    kind, denoising, refiner = TASKS[edit.task].pipeline, edit.settings.denoising, edit.settings.refiner
    family = family_of(checkpoint.identity.family)
    width, height = size
    shared: dict[str, Any] = dict(
        prompt=edit.prompt,
        negative_prompt=edit.negative_prompt,
        num_inference_steps=denoising.num_inference_steps,
        guidance_scale=denoising.guidance_scale,
        callback_on_step_end=_widened,
    )
    given: dict[str, Any] = dict(width=width, height=height)
    if kind == "inpaint":
        given |= dict(image=image, mask_image=mask, strength=denoising.strength)
    decoder = checkpoint.base.vae.dtype
    told = end_of_memory_told(dtype=checkpoint.dtype, decoder=decoder, offload=checkpoint.offload, switches=checkpoint.switches)
    with checkpoint.in_use.taken(), told:
        base = _pipeline(kind, family, checkpoint.base, denoising)
        if denoising.high_noise_frac is None:
            return base(**given, **shared, generator=_seeded(edit)).images[0]
        end: dict[str, Any] = dict(denoising_end=denoising.high_noise_frac, output_type="latent")
        latents = base(**given, **shared, **end, generator=_seeded(edit)).images
        goes_on = dict(given, image=latents) if kind == "inpaint" else dict(image=latents)
        goes_on |= dict(aesthetic_score=refiner.aesthetic_score, negative_aesthetic_score=refiner.negative_aesthetic_score)
        second = _pipeline("inpaint" if kind == "inpaint" else "image_to_image", family, checkpoint.refiner, denoising)
        return second(**goes_on, **shared, denoising_start=denoising.high_noise_frac, generator=_seeded(edit)).images[0]


def _pipeline(kind: str, family: Family, loaded: Any, denoising: Denoising) -> Any:
    """A pipeline of diffusers for a kind of work around loaded models, with a scheduler of its own."""
    import diffusers

    name = family.pipelines[kind]
    keys = ("requires_aesthetics_score", "force_zeros_for_empty_prompt") if "text_encoder_2" in family.text_encoders else ()
    told = {key: loaded.config[key] for key in keys}
    if kind == "text_to_image":
        told.pop("requires_aesthetics_score", None)
    spread = {"timestep_spacing": denoising.timestep_spacing, "use_karras_sigmas": denoising.karras or None}
    asked = {name: value for name, value in spread.items() if value is not None}
    scheduler = diffusers.EulerDiscreteScheduler.from_config(loaded.scheduler.config, **asked)
    pipeline = getattr(diffusers, name)(**{**loaded.components, "scheduler": scheduler, **told, **family.told})
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _seeded(edit: Edit) -> torch.Generator:
    return torch.Generator().manual_seed(edit.seed)


def _widened(pipeline: Any, step: int, _timestep: Any, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The last latents in the VAE's dtype, which the pipelines decode in where they have narrowed the VAE themselves, and there alone."""
    is_last = step + 1 == pipeline.num_timesteps
    return {"latents": tensors["latents"].to(pipeline.vae.dtype)} if is_last and getattr(pipeline, "denoising_end", None) is None else {}
