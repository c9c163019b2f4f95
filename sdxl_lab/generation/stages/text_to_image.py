"""A stage that starts from noise alone."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import StableDiffusionXLPipeline

from sdxl_lab.generation.stages._stage import WHOLE, Stage


class TextToImageStage(Stage, StableDiffusionXLPipeline):
    """diffusers' text to image. It draws: noise, noise of the sampler."""

    passes_over = frozenset({"strength", "requires_aesthetics_score"})

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
        self._origin = dict(WHOLE)
        if self._start is None:
            return super().prepare_latents(*args, **kwargs)
        self._to_skip = self._start.steps
        self._finished = self._to_skip == len(self.scheduler.timesteps)
        self._restore_scheduler()
        return self._resumed()
