"""What is heard of one picture while it is made: its steps as they come. Whoever listens may stop it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, TypeAlias

import torch


class CancelledError(Exception):
    """What a listener raises to stop a picture; any other exception does the same."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Step:
    """One UNet evaluation that was made just now.

    Attributes:
        role: Whose UNet it was: `base` or `refiner`.
        done: Evaluations of this picture so far, base and refiner together, those that were remembered included.
        total: Evaluations that it takes in all.
        latents: The clean picture as the model predicts it now, never the noisy one: latents as the UNets know them, (1, 4, H/8, W/8), on the
            device, a copy that is the listener's own. Around a mask they are the input's, where the pipeline keeps that.
    """

    role: str
    done: int
    total: int
    latents: torch.Tensor = field(repr=False)


Listener: TypeAlias = Callable[[Step], object]


@contextmanager
def predictions(scheduler: Any) -> Iterator[Callable[[], torch.Tensor]]:
    """Hear what a scheduler takes for the clean picture, at each of its steps, while the block lasts.

    What listens is in the scheduler's attributes meanwhile, as `step`, and is none of its state.

    Args:
        scheduler: One of diffusers'.

    Yields:
        What gives the latest prediction, the scheduler's own tensor; of a scheduler that tells none, the latents after the step.
    """
    latest: list[torch.Tensor] = []
    step = scheduler.step

    @wraps(step)  # pipelines look at its parameters
    def heard(*args: Any, **kwargs: Any) -> Any:
        returned = step(*args, **kwargs)
        output, timestep, sample, *_ = args
        latest[:] = [_predicted(scheduler, output, timestep, sample, returned)]
        return returned

    scheduler.step = heard
    try:
        yield lambda: latest[0]
    finally:
        del scheduler.step


def _predicted(scheduler: Any, output: torch.Tensor, timestep: torch.Tensor, sample: torch.Tensor, returned: Any) -> torch.Tensor:
    algorithm = scheduler.config.get("algorithm_type", "")
    if type(scheduler).__name__ == "TCDScheduler":  # which tells what it noises again
        kept = scheduler.alphas_cumprod[timestep.cpu()]
        return _clean(output, sample, kept.sqrt(), (1 - kept).sqrt(), scheduler.config.prediction_type)
    if len(returned) > 1:
        return returned[1]
    if algorithm == "deis":  # which keeps predictions of the noise
        alpha, sigma = scheduler._sigma_to_alpha_sigma_t(scheduler.sigmas[scheduler.step_index - 1])
        return _clean(output, sample, alpha, sigma, scheduler.config.prediction_type)
    # DPM-Solver++ and UniPC extrapolate predictions of the clean picture; their namesakes without it, those of the noise.
    keeps_clean = getattr(scheduler, "predict_x0", False) or algorithm.endswith("++")
    return scheduler.model_outputs[-1] if keeps_clean else returned[0]


def _clean(output: torch.Tensor, sample: torch.Tensor, alpha: torch.Tensor, sigma: torch.Tensor, prediction: str) -> torch.Tensor:
    """The clean picture in x = alpha clean + sigma noise, by what a UNet says of x."""
    if prediction == "sample":
        return output
    return alpha * sample - sigma * output if prediction == "v_prediction" else (sample - sigma * output) / alpha
