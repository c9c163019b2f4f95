"""A stage that starts from a picture, or from its latents, and makes all of it anew."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import StableDiffusionImg2ImgPipeline, StableDiffusionXLImg2ImgPipeline

from sdxl_lab.generation.stages._sd import SIZES, SDStage
from sdxl_lab.generation.stages._stage import WHOLE, Stage
from sdxl_lab.generation.stages._xl import XLStage

SIDES = frozenset({"width", "height"})
"""What the image says."""


class ImageToImage(Stage):
    """diffusers' image to image. It draws: sample of the image's encoding, unless it is given latents, noise, noise of the sampler."""

    def prepare_latents(self, image: torch.Tensor, timestep: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        """The pipeline's own at the beginning of a run, the remembered ones later."""
        pipeline: Any = super()
        self._origin = dict(WHOLE)
        if self._start is not None:
            return self._resumed()
        if image.shape[1] != self.vae.config.latent_channels:
            _, _, dtype, device, generator, *_ = args
            image = self._scaled(self._posterior(image.to(device=device, dtype=dtype)).sample(generator).to(dtype))
        return pipeline.prepare_latents(image, timestep, *args, **kwargs)

    def _scaled(self, latents: torch.Tensor) -> torch.Tensor:
        """Latents as the UNets know them: in units of their spread over the pictures that the autoencoder was trained on, or about so."""
        config = self.vae.config
        if config.latents_mean is None or config.latents_std is None:
            return config.scaling_factor * latents
        mean, std = (torch.tensor(values, dtype=torch.float32).view(1, -1, 1, 1).to(latents) for values in (config.latents_mean, config.latents_std))
        return (latents - mean) * config.scaling_factor / std


class ImageToImageStage(ImageToImage, XLStage, StableDiffusionXLImg2ImgPipeline):
    """Of Stable Diffusion XL."""

    passes_over = SIDES


class SDImageToImageStage(ImageToImage, SDStage, StableDiffusionImg2ImgPipeline):
    """Of Stable Diffusion 1 and 2."""

    passes_over = SIDES | SIZES
