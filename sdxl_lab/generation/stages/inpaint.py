"""A stage that repaints what a mask shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from diffusers import StableDiffusionInpaintPipeline, StableDiffusionXLInpaintPipeline
from diffusers.utils.torch_utils import randn_tensor

from sdxl_lab.generation.stages._sd import SDStage
from sdxl_lab.generation.stages._stage import Stage
from sdxl_lab.generation.stages._xl import XLStage


class Inpaint(Stage):
    """diffusers' inpainting. It draws: sample of the image's encoding, noise, sample of the masked image's encoding, noise of the sampler.

    With a UNet of 4 channels diffusers' own loop blends after each step: outside the mask of `prepare_mask_latents` it lays the image's latents,
    noised as far as the schedule is. With 9 the UNet reads mask and masked image, and nothing is blended but the grays of a soft mask.
    """

    hears = ("latents", "mask")

    vae_scale_factor: int

    def prepare_latents(self, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """The pipeline's own at the beginning of a run, the remembered ones later."""
        pipeline: Any = super()
        wants_image = kwargs["return_image_latents"]
        if self._softness is not None and not wants_image:
            self._around = self._mean_latents(kwargs["image"], args[4])
        if self._start is None:
            outputs: tuple[Any, ...] = pipeline.prepare_latents(*args, **kwargs)
            if wants_image and self._image_latents is not None:
                outputs = (*outputs[:2], self._image_latents)
            self._origin = {"noise": outputs[1], "image_latents": outputs[2] if wants_image else None}
            return outputs
        noise, image_latents = self._start.noise, self._start.image_latents
        latents = self._resumed()
        if wants_image and image_latents is None:
            image_latents = self._mean_latents(kwargs["image"], latents.dtype)  # a 9-channel base keeps no clean ones
        self._origin = {"noise": noise, "image_latents": image_latents}
        return (latents, noise, image_latents) if wants_image else (latents, noise)

    def prepare_mask_latents(self, mask: Any, masked_image: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        """The pipeline's own, with this stage's mask for latents, and without the encoding that only a 9-channel UNet reads."""
        pipeline: Any = super()
        batch_size, height, width, _, device, generator, guided = args
        if self.unet.config.in_channels == 4:
            shape = (batch_size, self.vae.config.latent_channels, height // self.vae_scale_factor, width // self.vae_scale_factor)
            if self._start is None and masked_image is not None:
                randn_tensor(shape, generator=generator, device=device, dtype=self.vae.dtype)
            masked_image = self._unread(shape)
        elif self._start is not None:
            masked_image = self._start.masked_image_latents
        mask, masked_image_latents = pipeline.prepare_mask_latents(self._latent_mask, masked_image, *args, **kwargs)
        if self._softness is not None and self.unet.config.in_channels == 4:
            mask = self._kept(mask, 1 + (self._start.steps if self._start else 0))
        once = masked_image_latents.chunk(2)[0] if guided and masked_image_latents is not None else masked_image_latents
        self._origin["masked_image_latents"] = None if self.unet.config.in_channels == 4 else once
        return mask, masked_image_latents

    def _softened(self, tensors: Mapping[str, torch.Tensor], step: int, evaluation: int) -> dict[str, torch.Tensor]:
        """With four channels the pipeline blends itself, and is told the next mask; with nine the mask is what the UNet knows, and stays hard."""
        softness = self._softness
        if softness is None:
            return {}
        if self.unet.config.in_channels == 4:
            return {"mask": self._kept(tensors["mask"], evaluation + 1)}
        latents, around = tensors["latents"], self._around
        if step + 1 < len(self._timesteps):
            around = self.scheduler.add_noise(around, self._origin["noise"], self._timesteps[step + 1 : step + 2])
        kept, gray = self._kept(latents, evaluation), torch.from_numpy((softness.change > 0) & (softness.change < 1)).to(latents.device)
        return {"latents": torch.where(gray, (1 - kept) * around + kept * latents, latents)}

    def _unread(self, shape: tuple[int, ...]) -> torch.Tensor | None:
        """What the pipeline takes for the masked image's latents, where its UNet reads none."""
        return None

    def _kept(self, like: torch.Tensor, evaluation: int) -> torch.Tensor:
        assert self._softness is not None
        return self._softness.kept(evaluation).to(like).repeat(len(like), 1, 1, 1)

    def _mean_latents(self, image: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """An image's clean latents by the encoding's mean, which takes nothing from the generator."""
        return self.vae.config.scaling_factor * self._posterior(image).mode().to(dtype)

    def _encode_vae_image(self, image: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        return self.vae.config.scaling_factor * self._posterior(image).sample(generator).to(image.dtype)


class InpaintStage(Inpaint, XLStage, StableDiffusionXLInpaintPipeline):
    """Of Stable Diffusion XL."""


class SDInpaintStage(Inpaint, SDStage, StableDiffusionInpaintPipeline):
    """Of Stable Diffusion 1 and 2."""

    def _unread(self, shape: tuple[int, ...]) -> torch.Tensor | None:
        """These pipelines encode whatever they are given, but latents."""
        return torch.zeros(shape)
