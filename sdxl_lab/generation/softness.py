"""How much of what a UNet makes is kept of each latent cell, evaluation by evaluation, where a mask is soft."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from sdxl_lab.generation.regions import repainted_steps


@dataclass(frozen=True, kw_only=True, eq=False)
class Softness:
    """A soft mask along a schedule.

    Attributes:
        change: float64 of shape (H/8, W/8): how far a cell is repainted, from 0, not at all, to 1.
        method: `threshold` or `blend`, as `Mask.soft` has it.
        steps: Evaluations of the whole schedule, whoever makes them: a cell that base and refiner repaint in turn is one cell.
        before: Evaluations of it that were made before those which a stage counts.
    """

    change: np.ndarray
    method: str
    steps: int
    before: int = 0

    def kept(self, evaluation: int) -> torch.Tensor:
        """What is kept of an evaluation's latents; the rest is the input's, noised as far as the schedule is.

        With `threshold` a cell of change c is the input's until the last floor(c n) of n evaluations. So all of the picture at c is image to image of
        strength c, with the same noise, and where c is 0 or 1 both methods are what a hard mask is.

        Args:
            evaluation: Its number as a stage counts, the first is 1.

        Returns:
            float32 of shape (1, 1, H/8, W/8), from 0 to 1.

        Source:
            Levin and Fried, Differential Diffusion: Giving Each Pixel Its Strength, arXiv:2306.00950.
        """
        shares = self.change
        if self.method == "threshold":
            shares = repainted_steps(self.change, self.steps) > self.steps - self.before - evaluation
        return torch.from_numpy(shares.astype(np.float32))[None, None]
