"""A stage that starts from noise alone."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline

from sdxl_lab.generation.stages._sd import SIZES, SDStage
from sdxl_lab.generation.stages._stage import WHOLE, Stage
from sdxl_lab.generation.stages._xl import XLStage


class TextToImage(Stage):
    """diffusers' text to image. It draws: noise, noise of the sampler."""

    _to_skip = 0

    @property
    def interrupt(self) -> bool:
        """Whether diffusers, which asks once before each step, leaves that out: it was made already, or no more are wanted."""
        if self._to_skip:
            self._to_skip -= 1
            return True
        return self._interrupt

    def prepare_latents(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """The pipeline's own at the beginning of a run, the remembered ones later."""
        pipeline: Any = super()
        self._origin = dict(WHOLE)
        if self._start is None:
            return pipeline.prepare_latents(*args, **kwargs)
        self._to_skip = self._start.steps
        self._finished = self._to_skip == len(self.scheduler.timesteps)
        self._restore_scheduler()
        return self._resumed()


class TextToImageStage(TextToImage, XLStage, StableDiffusionXLPipeline):
    """Of Stable Diffusion XL."""

    passes_over = frozenset({"strength", "requires_aesthetics_score"})


class SDTextToImageStage(TextToImage, SDStage, StableDiffusionPipeline):
    """Of Stable Diffusion 1 and 2."""

    passes_over = SIZES | {"strength"}
