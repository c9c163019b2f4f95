"""A stage that starts from a picture, or from its latents, and makes all of it anew."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import StableDiffusionXLImg2ImgPipeline

from sdxl_lab.generation.stages._stage import WHOLE, Stage


class ImageToImageStage(Stage, StableDiffusionXLImg2ImgPipeline):
    """diffusers' image to image. It draws: sample of the image's encoding, unless it is given latents, noise, noise of the sampler."""

    passes_over = frozenset({"width", "height"})

    def prepare_latents(self, image: torch.Tensor, timestep: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        """The pipeline's own at the beginning of a run, the remembered ones later."""
        self._origin = dict(WHOLE)
        if self._start is not None:
            return self._resumed()
        if image.shape[1] != self.vae.config.latent_channels:
            _, _, dtype, device, generator, *_ = args
            image = self._scaled(self._posterior(image.to(device=device, dtype=dtype)).sample(generator).to(dtype))
        return super().prepare_latents(image, timestep, *args, **kwargs)

    def _scaled(self, latents: torch.Tensor) -> torch.Tensor:
        """Latents as the UNets know them: in units of their spread over the pictures that the autoencoder was trained on, or about so."""
        config = self.vae.config
        if config.latents_mean is None or config.latents_std is None:
            return config.scaling_factor * latents
        mean, std = (torch.tensor(values, dtype=torch.float32).view(1, -1, 1, 1).to(latents) for values in (config.latents_mean, config.latents_std))
        return (latents - mean) * config.scaling_factor / std
