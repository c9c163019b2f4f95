"""The noise schedule that a checkpoint was published with, as its scheduler's configuration says it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from sdxl_lab.checkpoints.configurations import PREDICTIONS, read_json
from sdxl_lab.checkpoints.weight_files import CheckpointError
from sdxl_lab.process.imports import importing
from sdxl_lab.settings.schedulers import SCHEDULERS


def _is_small(beta: Any) -> bool:
    return isinstance(beta, float) and 0 < beta < 1


COMMON: Mapping[str, Callable[[Any], bool]] = {
    "_class_name": lambda name: any(scheduler.class_name == name and scheduler.is_plain for scheduler in SCHEDULERS.values()),
    "_diffusers_version": lambda version: isinstance(version, str),
    "beta_start": _is_small,
    "beta_end": _is_small,
    "beta_schedule": lambda name: name in ("linear", "scaled_linear"),
    "num_train_timesteps": lambda count: isinstance(count, int),
    "prediction_type": lambda name: name in PREDICTIONS,
    "timestep_spacing": lambda name: name in ("leading", "linspace", "trailing"),
    "steps_offset": lambda offset: offset in (0, 1),
    "interpolation_type": lambda name: name == "linear",
    "timestep_type": lambda name: name == "discrete",
    "final_sigmas_type": lambda name: name == "zero",
    "trained_betas": lambda betas: betas is None,
    "sigma_min": lambda sigma: sigma is None,
    "sigma_max": lambda sigma: sigma is None,
    "sample_max_value": lambda value: value == 1.0,
    **{switch: lambda value: isinstance(value, bool) for switch in ("clip_sample", "set_alpha_to_one", "skip_prk_steps")},
    **{
        switch: lambda value: value is False
        for switch in ("rescale_betas_zero_snr", "use_karras_sigmas", "use_beta_sigmas", "use_exponential_sigmas")
    },
}
"""What a configuration may say that every plain scheduler of `SCHEDULERS` reads alike, as far as the number of steps goes."""


def written(configuration: Path) -> dict[str, Any]:
    """Read the configuration of a scheduler as its file has it.

    Args:
        configuration: Folder of a base's or refiner's configuration.

    Raises:
        CheckpointError: It is missing, or no JSON object.
    """
    return read_json(configuration / "scheduler" / "scheduler_config.json")


def is_common(scheduler: Mapping[str, Any]) -> bool:
    """Tell whether a scheduler's configuration is one that nobody needs diffusers for, to see that it is right and to count its steps.

    Args:
        scheduler: As its file has it. SDXL's own, and those of nearly all that came from it, are common.
    """
    is_stated = {"_class_name", "timestep_spacing", "num_train_timesteps"} <= scheduler.keys()
    return is_stated and all(key in COMMON and COMMON[key](value) for key, value in scheduler.items())


def spends(scheduler: Mapping[str, Any], num_inference_steps: int) -> bool:
    """Tell whether plain schedulers of a common configuration run as many steps as they are asked for.

    Args:
        scheduler: The configuration, as its file has it.
        num_inference_steps: What is asked for, 1 or more.
    """
    training = scheduler["num_train_timesteps"]
    # Trailing steps are one more than asked for at some counts, such as 61 of 1000 timesteps, by a rounding of numpy's arange.
    as_asked = scheduler["timestep_spacing"] != "trailing" or len(_trailing(training, num_inference_steps)) == num_inference_steps
    return num_inference_steps <= training and as_asked


def _trailing(num_train_timesteps: int, num_inference_steps: int) -> np.ndarray:
    """The timesteps of a schedule that is spaced `trailing`, as diffusers computes them, plus one."""
    return np.arange(num_train_timesteps, 0, -num_train_timesteps / num_inference_steps).round()


class EvenlySpaced:
    """The timesteps of a schedule that is spaced `leading` or `trailing`, as a scheduler of diffusers has them: those of its Euler schedulers."""

    order = 1

    def __init__(self, num_train_timesteps: int, steps_offset: int | None) -> None:
        self.config = SimpleNamespace(num_train_timesteps=num_train_timesteps)
        self._offset = steps_offset
        self.timesteps = np.empty(0)

    @classmethod
    def of(cls, scheduler: Mapping[str, Any]) -> EvenlySpaced | None:
        """Read a common configuration; None if it is spaced otherwise, or leaves something to the scheduler's class.

        Args:
            scheduler: As its file has it.
        """
        training, spacing = scheduler["num_train_timesteps"], scheduler["timestep_spacing"]
        if spacing == "trailing":
            return cls(training, None)
        return cls(training, scheduler["steps_offset"]) if spacing == "leading" and "steps_offset" in scheduler else None

    def set_timesteps(self, num_inference_steps: int) -> None:
        """Choose the timesteps, (num_inference_steps,), the largest first.

        Args:
            num_inference_steps: From 1 to the schedule's training timesteps.
        """
        training = self.config.num_train_timesteps
        if self._offset is None:
            self.timesteps = _trailing(training, num_inference_steps) - 1
        else:
            self.timesteps = np.arange(num_inference_steps)[::-1] * (training // num_inference_steps) + self._offset


def completed(configuration: Path) -> Mapping[str, Any]:
    """Read the configuration of a scheduler as a loaded pipeline has it: with what its class adds to the file.

    Args:
        configuration: Folder of a base's or refiner's configuration.

    Raises:
        CheckpointError: diffusers has no such class, or cannot make one of this configuration.
    """
    stated = written(configuration)
    name = stated["_class_name"]
    with importing:
        import diffusers

        kind = getattr(diffusers, name, None)
    if kind is None:
        raise CheckpointError(f"{configuration}/scheduler is a {name}, which this version of diffusers has not; update diffusers.")
    try:
        return kind.from_config(stated).config
    except (NotImplementedError, TypeError, ValueError) as error:
        raise CheckpointError(f"{configuration}/scheduler describes no {name} ({error}); copy or download it again.") from error
