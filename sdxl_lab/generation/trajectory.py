"""Denoising trajectories: run one once, remember every step, and go on from any of them, with the same UNet or another."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import torch

from sdxl_lab.errors import LabError
from sdxl_lab.generation.single_precision import mended
from sdxl_lab.process.imports import importing
from sdxl_lab.settings.schedulers import REFUSED, SCHEDULERS
from sdxl_lab.settings.sections import EditSettings
from sdxl_lab.wording import counted


class TrajectoryError(LabError):
    """The noise schedule cannot be spent as asked."""


def build_scheduler(name: str, config: Mapping[str, Any], *, karras: bool = False, timestep_spacing: str | None = None) -> Any:
    """A fresh scheduler of a checkpoint's noise schedule.

    Args:
        name: One of `SCHEDULERS`.
        config: The configuration of the checkpoint's own scheduler.
        karras: As `Denoising` has it.
        timestep_spacing: Likewise.

    Raises:
        TrajectoryError: No such scheduler, with the reason for those of `REFUSED`.
    """
    if name not in SCHEDULERS:
        reason = f" {REFUSED[name]}." if name in REFUSED else ""
        raise TrajectoryError(f"scheduler is {name!r}, allowed are {', '.join(SCHEDULERS)}.{reason} Choose one of them.")
    with importing:
        import diffusers  # seconds of processor, for what can often be counted without

        asked = SCHEDULERS[name]
        scheduler = getattr(diffusers, asked.class_name)
    return mended(scheduler).from_config(config, **asked.told(karras=karras, timestep_spacing=timestep_spacing))


@dataclass(frozen=True, kw_only=True)
class Window:
    """How the UNet evaluations of one picture fall to base and refiner.

    A second-order sampler (heun) evaluates the UNet twice for nearly every step of `num_inference_steps`; each counts.

    Attributes:
        base: Evaluations by the base, 1 or more.
        refiner: Evaluations by the refiner, 0 without one.
    """

    base: int
    refiner: int = 0


def steps_run(num_inference_steps: int, strength: float, *, name: str = "strength") -> int:
    """How many steps of a schedule are run.

    Args:
        num_inference_steps: Steps of the full schedule, 1 or more.
        strength: Share of the schedule that is run, in (0, 1].
        name: What the strength is called, for errors.

    Raises:
        TrajectoryError: None is.
    """
    steps = min(int(num_inference_steps * strength), num_inference_steps)
    if steps < 1:
        raise TrajectoryError(
            f"{name} {strength} of num_inference_steps {num_inference_steps} leaves no step to run; raise {name} to at least "
            f"{math.ceil(1000 / num_inference_steps) / 1000:g}, or num_inference_steps to at least {int(1 / strength) + 1}."
        )
    return steps


def window_of(scheduler: Any, settings: EditSettings) -> Window:
    """Which evaluations of a picture are the base's and which the refiner's, as `window` has it.

    Args:
        scheduler: A scheduler of the checkpoint; its timesteps are set.
        settings: All settings.

    Raises:
        TrajectoryError: A stage would run no step, or the scheduler cannot make so many steps.
    """
    denoising = settings.denoising
    return window(
        scheduler,
        num_inference_steps=denoising.num_inference_steps,
        strength=denoising.strength,
        high_noise_frac=denoising.high_noise_frac,
        handover=denoising.handover,
        refiner_strength=settings.refiner.strength,
    )


def whole_schedule(settings: EditSettings) -> EditSettings:
    """The settings of a picture whose base makes all evaluations of its schedule, as many as it and a refiner make of it together."""
    denoising = settings.denoising.model_copy(update={"high_noise_frac": None, "handover": "consistent"})
    return settings.model_copy(update={"denoising": denoising})


def window(
    scheduler: Any, *, num_inference_steps: int, strength: float, high_noise_frac: float | None, handover: str, refiner_strength: float = 0.3
) -> Window:
    """Which evaluations of a schedule are the base's and which the refiner's.

    `high_noise_frac` is a share of the training timesteps, not of the steps: the base keeps every timestep at or above
    `round(T * (1 - high_noise_frac))`. `consistent` hands over at the start of a whole step; `stock` counts as diffusers does when its
    pipeline is called twice, where a second-order sampler evaluates the step at the cut with both. With `sdedit` there is no cut: the base
    runs all of it, and the refiner the end of a schedule of its own.

    Args:
        scheduler: A scheduler of the checkpoint; its timesteps are set.
        num_inference_steps: Steps of the full schedule, 1 or more.
        strength: Share of the schedule that is run, in (0, 1].
        high_noise_frac: The base's share of the training timesteps, in (0, 1), or None for no refiner.
        handover: `consistent`, `stock` or `sdedit`.
        refiner_strength: Share of the schedule that the refiner runs with `sdedit`, in (0, 1].

    Raises:
        TrajectoryError: A stage would run no step, or the scheduler cannot make so many steps.
    """
    try:
        scheduler.set_timesteps(num_inference_steps)
    except ValueError as error:
        raise TrajectoryError(f"num_inference_steps is {num_inference_steps}, which {type(scheduler).__name__} refuses: {error}") from error
    order, training_timesteps = scheduler.order, scheduler.config.num_train_timesteps
    steps = steps_run(num_inference_steps, strength)
    timesteps = scheduler.timesteps[(num_inference_steps - steps) * order :]
    if handover == "sdedit":
        again = steps_run(num_inference_steps, refiner_strength, name="refiner.strength")
        return Window(base=len(timesteps), refiner=len(scheduler.timesteps[(num_inference_steps - again) * order :]))
    if high_noise_frac is None:
        return Window(base=len(timesteps))
    cutoff = round(training_timesteps - high_noise_frac * training_timesteps)

    run, whole = timesteps.tolist(), scheduler.timesteps.tolist()

    def split(cutoff: int) -> Window:
        base = sum(timestep >= cutoff for timestep in run)
        if handover == "consistent":
            base -= base % order
            return Window(base=base, refiner=len(run) - base)
        refiner = sum(timestep < cutoff for timestep in whole)
        return Window(base=base, refiner=refiner + (order == 2 and refiner % 2 == 0))

    chosen = split(cutoff)
    if chosen.base < 1 or chosen.refiner < 1:
        idle, busy = ("base", "refiner") if chosen.base < 1 else ("refiner", "base")
        first, last = float(timesteps[0]), float(timesteps[-1])
        possible = [cut for cut in range(1, training_timesteps) if min(vars(split(cut)).values()) >= 1]
        raise TrajectoryError(
            f"high_noise_frac {high_noise_frac} leaves the {idle} no step and the {busy} all {len(timesteps)}: the cut is at timestep {cutoff}, and "
            f"those of {counted(num_inference_steps, 'step')} at strength {strength} are {first:.0f} to {last:.0f} of {training_timesteps}. "
            f"{_choice(possible, training_timesteps)}"
            f"{' Or take handover sdedit, whose refiner goes over the finished picture.' if idle == 'refiner' else ''}"
        )
    return chosen


def _choice(cuts: Sequence[int], training_timesteps: int) -> str:
    """What to choose instead, in fractions that cut where they say when they are typed."""
    if not cuts:
        return "No fraction gives both a step: take more steps, or null for no refiner."
    low, high = (f"{1 - cut / training_timesteps:.{len(str(training_timesteps))}g}" for cut in (max(cuts), min(cuts)))
    return f"Choose it {f'between {low} and {high}' if low != high else f'as {low}'}, or more steps, or null for no refiner."


@dataclass(frozen=True, kw_only=True, eq=False)
class StepState:
    """All that the next step depends on.

    Attributes:
        latents: After the step's blend with the surroundings of the mask, (1, 4, H/8, W/8).
        generator_state: Of the picture's CPU generator, for samplers that draw noise at each step.
        scheduler_state: The scheduler's attributes, the history of multistep solvers among them.
    """

    latents: torch.Tensor
    generator_state: torch.Tensor
    scheduler_state: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, eq=False)
class Trajectory:
    """A denoising run, finished or not.

    Attributes:
        noise: What the image was noised with; None where nothing is blended in, of a picture that is made as a whole. Likewise `image_latents`.
        image_latents: The image's clean latents, which keep the surroundings of the mask; None where the UNet does without.
        masked_image_latents: Of a 9-channel UNet, else None.
        states: One after each UNet evaluation, the latest last.
        forgotten: How many states before the first of these are no longer held.
    """

    noise: torch.Tensor | None
    image_latents: torch.Tensor | None
    masked_image_latents: torch.Tensor | None
    states: tuple[StepState, ...]
    forgotten: int = 0

    @property
    def steps(self) -> int:
        """UNet evaluations made so far."""
        return self.forgotten + len(self.states)

    def until(self, steps: int) -> Trajectory:
        """The same run as it stood after so many evaluations."""
        return replace(self, states=self.states[: steps - self.forgotten])

    def end(self) -> Trajectory:
        """The same run, holding its last state alone."""
        return replace(self, states=self.states[-1:], forgotten=self.steps - 1)


class TrajectoryCache:
    """What denoising has computed already: prompt embeddings, image encodings, trajectories. Least recently used goes first.

    Keys name everything that a value depends on, so that a hit is exact. One for each thread.

    Args:
        max_bytes: Upper bound on the tensors held, in bytes; a value larger than this is not kept.
        max_values: Upper bound on how many values are held; None for none.
    """

    def __init__(self, *, max_bytes: int = 2**30, max_values: int | None = None) -> None:
        self.max_bytes, self.max_values = max_bytes, max_values
        self.used_bytes = 0
        self._values: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: Hashable) -> Any:
        """The value under a key, or None."""
        if key not in self._values:
            return None
        self._values.move_to_end(key)
        return self._values[key][0]

    def put(self, key: Hashable, value: Any) -> None:
        """Keep a value, replacing the one under that key, and forget what no longer fits."""
        self.used_bytes -= self._values.pop(key, (None, 0))[1]
        size_bytes = sum({tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors_of(value)}.values())
        if size_bytes > self.max_bytes:
            return
        self._values[key] = value, size_bytes
        self.used_bytes += size_bytes
        while self.used_bytes > self.max_bytes or (self.max_values is not None and len(self) > self.max_values):
            self.used_bytes -= self._values.popitem(last=False)[1][1]

    def recall(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """The value under a key, made and kept if it is not there yet."""
        value = self.get(key)
        if value is None:
            value = make()
            self.put(key, value)
        return value

    def clear(self) -> None:
        """Forget everything."""
        self._values.clear()
        self.used_bytes = 0


def tensors_of(value: Any) -> Iterator[torch.Tensor]:
    """Every tensor inside nested dataclasses, mappings, lists and tuples."""
    if isinstance(value, torch.Tensor):
        yield value
    elif is_dataclass(value):
        for field in fields(value):
            yield from tensors_of(getattr(value, field.name))
    elif isinstance(value, (Mapping, list, tuple)):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from tensors_of(item)
