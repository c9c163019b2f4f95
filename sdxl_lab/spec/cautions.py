"""What a picture's maker should know before it is made: settings that change nothing, and those that spoil the picture. Pure; needs no models."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from sdxl_lab.prompts.cautions import cautions_of
from sdxl_lab.settings.hyperparams import flatten
from sdxl_lab.settings.schedulers import SCHEDULERS
from sdxl_lab.settings.sections import Denoising
from sdxl_lab.spec.edit import Edit
from sdxl_lab.tasks import DEFAULTS, TASKS
from sdxl_lab.wording import counted

MUCH_GUIDANCE, MANY_STEPS = 3.0, 16
"""More than a checkpoint that was distilled to few steps bears."""

FEW_PIXELS, MANY_PIXELS = 0.4, 1.6
"""Shares of the pixels a checkpoint was trained at, beyond which it shows: a bucket of SDXL has 0.9 to 1.1, an extended canvas up to 1.5."""


FEW_LEVELS = 8
"""Steps below which the levels of a soft edge are seen."""

MINUS_ONE = "seed: -1 is a seed like any other here, and makes the same picture each time; random(4) stands for four different ones"
"""What is said to whoever gives it, since other tools take it as a wish for any."""


class CautionWarning(UserWarning):
    """What `cautions` says, where a picture is made by code."""


_was_said: ContextVar[bool] = ContextVar("_was_said", default=False)
"""Of a thread: the filters of warnings are the whole process's."""


@contextmanager
def said_before() -> Iterator[None]:
    """A block in which `caution` is silent: it was said when the edit was resolved, or stands in the picture's record."""
    token = _was_said.set(True)
    try:
        yield
    finally:
        _was_said.reset(token)


def was_said() -> bool:
    """Whether this is within `said_before`."""
    return _was_said.get()


def caution(line: str, *, stacklevel: int) -> None:
    """Warn of something, unless it was said before.

    Args:
        line: What is to be said.
        stacklevel: As for `warnings.warn`, of whoever calls this.
    """
    if not was_said():
        warnings.warn(line, CautionWarning, stacklevel=stacklevel + 1)


@dataclass(frozen=True, kw_only=True)
class FewSteps:
    """What a checkpoint was distilled to: few steps, which take no guidance, or have it built in.

    Attributes:
        kind: `turbo`, `lightning`, `hyper`, `lcm` or `dmd`.
        num_inference_steps: What it was made for; likewise `guidance_scale`.
        scheduler: What it was published with.
        schedulers: All that draw its steps as it was trained to take them; empty if nearly any does.
        timestep_spacing: Its own default: `trailing`, or None where its scheduler is configured so already, or has a way of its own.
        what: What it is called in a sentence.
    """

    kind: str
    num_inference_steps: int
    guidance_scale: float
    scheduler: str = "euler"
    schedulers: tuple[str, ...] = ()
    timestep_spacing: str | None = None
    what: str = "This checkpoint"

    def __str__(self) -> str:
        """How it is used, in a few words."""
        spacing = ", trailing" if SCHEDULERS[self.scheduler].is_spaced else ""
        return f"made for {counted(self.num_inference_steps, 'step')}: guidance {self.guidance_scale:g}, {self.scheduler}{spacing}"


@dataclass(frozen=True, kw_only=True)
class Traits:
    """What of a checkpoint decides whether a setting has an effect, and which; None is not known.

    Attributes:
        area: Pixels it was trained at.
        in_channels: Input channels of its base's UNet: 9 if it was trained to inpaint.
        embeds_guidance: Whether that UNet is told the guidance instead of being run twice.
        timestep_spacing: How its scheduler spreads few steps: `leading`, `trailing` or `linspace`.
        prediction: What its scheduler takes the UNet's output for: `epsilon`, which is noise, `v_prediction` or `sample`.
        few_steps: What it was distilled to, if it is known to be.
        may_be_few_steps: Whether its scheduler is one that such checkpoints are published with, and others too.
        has_refiner: Whether there is one.
        refiner_from: The smallest `high_noise_frac` its refiner was trained for.
        refiner_takes_scores: Whether its refiner is told an aesthetic score.
        is_scheduled_alike: Whether its refiner's scheduler is configured as its base's.
        networks: What is on its models that `<lora:...>` may ask for, as `cautions_of` takes it.
    """

    area: int | None = None
    in_channels: int | None = None
    embeds_guidance: bool | None = None
    timestep_spacing: str | None = None
    prediction: str | None = None
    few_steps: FewSteps | None = None
    may_be_few_steps: bool = False
    has_refiner: bool | None = None
    refiner_from: float | None = None
    refiner_takes_scores: bool | None = None
    is_scheduled_alike: bool | None = None
    networks: tuple[tuple[str, str], ...] = ()


UNKNOWN = Traits()


def cautions(edit: Edit, traits: Traits = UNKNOWN) -> list[str]:
    """Say what of an edit has no effect, and what will make a poor picture. Nothing of it is an error.

    Args:
        edit: What to paint.
        traits: What is known of the checkpoint; of what is not known nothing is said.

    Returns:
        A sentence each, naming the settings by their dotted paths; for most edits none.
    """
    return [
        *_without_effect(edit, traits),
        *_of_guidance(edit, traits),
        *_of_the_refiner(edit, traits),
        *_of_few_steps(edit, traits),
        *_of_the_scheduler(edit, traits),
        *_of_the_size(edit, traits),
        *_of_the_softness(edit, traits),
        *_of_the_words(edit, traits),
    ]


def _of_the_softness(edit: Edit, traits: Traits) -> Iterator[str]:
    denoising, soft = edit.settings.denoising, edit.settings.mask.soft
    steps = min(int(denoising.num_inference_steps * denoising.strength), denoising.num_inference_steps)
    if soft == "threshold" and steps < FEW_LEVELS:
        yield (
            f"mask.soft threshold tells {counted(steps + 1, 'gray')} apart in {counted(steps, 'step')}, so that soft edges have steps, too: take "
            "mask.soft blend, or more steps."
        )
    if soft != "off" and traits.in_channels == 9:
        yield (
            "mask.soft softens what this checkpoint's UNet paints, but the mask that it is told stays hard, as it was trained with: all that is not "
            "black is hidden from it; expect less of the input to shine through than with another checkpoint."
        )


def _of_the_words(edit: Edit, traits: Traits) -> Iterator[str]:
    for name, text in (("prompt", edit.prompt), ("negative_prompt", edit.negative_prompt)):
        if text:
            yield from cautions_of(name, text, edit.settings.prompt_syntax, traits.networks)


def _without_effect(edit: Edit, traits: Traits) -> Iterator[str]:
    given = {path for path, value in flatten(edit.settings.model_dump()).items() if value != DEFAULTS[path]}
    if edit.negative_prompt:
        given.add("negative_prompt")
    for is_so, reason, paths in _idle(edit, traits):
        if idle := [path for path in paths if is_so and path in given]:
            yield f"{' and '.join(idle)} {'has' if len(idle) == 1 else 'have'} no effect: {reason}."


def _of_guidance(edit: Edit, traits: Traits) -> Iterator[str]:
    denoising, refiner = edit.settings.denoising, edit.settings.refiner
    scales = {} if traits.embeds_guidance else {"denoising.guidance_scale": denoising.guidance_scale}
    if denoising.is_refined:
        scales["refiner.guidance_scale"] = refiner.guidance_scale or 0.0
    for path, scale in scales.items():
        if 0 < scale < 1:
            yield f"{path} {scale:g} is as none: guidance is off at 1 and below."


def _idle(edit: Edit, traits: Traits) -> list[tuple[bool, str, tuple[str, ...]]]:
    """When settings change nothing, why, and which; a setting is held to the first that fits."""
    denoising, refiner, mask = edit.settings.denoising, edit.settings.refiner, edit.settings.mask
    refined, again = denoising.is_refined, denoising.handover == "sdedit"
    refiner_guidance = denoising.guidance_scale if refiner.guidance_scale is None else refiner.guidance_scale
    guided = denoising.guidance_scale > 1 and not traits.embeds_guidance
    refiner_guided = refined and refiner_guidance > 1
    scored = traits.refiner_takes_scores is not False
    off = f"guidance is off at denoising.guidance_scale {denoising.guidance_scale:g}, and begins above 1"
    if traits.embeds_guidance:
        off = "this checkpoint's UNet is told the guidance, instead of being led away from anything"
    refiner_off = f"the refiner's guidance is off at guidance_scale {refiner_guidance:g}, and begins above 1"
    scores = ("refiner.aesthetic_score", "refiner.negative_aesthetic_score")
    return [
        (
            not refined,
            "there is no refiner without denoising.high_noise_frac, or handover sdedit",
            ("denoising.handover", "refiner.guidance_scale", *scores),
        ),
        (not again, "the refiner goes over a finished picture only with denoising.handover sdedit", ("refiner.strength",)),
        (
            _is_one_way(edit, traits),
            f"without a mask, stock and consistent make the same picture with {denoising.scheduler}",
            ("denoising.handover",),
        ),
        (
            not is_spaced(denoising),
            f"{denoising.scheduler}{' with denoising.karras' if denoising.karras else ''} spreads its steps in a way of its own",
            ("denoising.timestep_spacing",),
        ),
        (SCHEDULERS[denoising.scheduler].is_karras, f"{denoising.scheduler} has Karras sigmas anyway", ("denoising.karras",)),
        (again, "with denoising.handover sdedit the base spends the whole schedule", ("denoising.high_noise_frac",)),
        (refined and not scored, "this refiner is told no aesthetic score", scores),
        (refined and scored and not refiner_guided, refiner_off, ("refiner.negative_aesthetic_score",)),
        (not guided and not refiner_guided, off, ("negative_prompt", "conditioning.negative_original_size")),
        (not guided and not (refiner_guided and not scored), off, ("conditioning.negative_target_size",)),
        *_idle_sizes(edit, base=guided, scored=refiner_guided and scored, unscored=refiner_guided and not scored),
        (mask.kernel_size == 1, "mask.kernel_size is 1, which leaves the mask as it is", ("mask.iterations",)),
        (mask.iterations == 0, "mask.iterations is 0, which leaves the mask as it is", ("mask.kernel_size",)),
        (
            traits.in_channels == 9 and denoising.strength == 1 and not refined and mask.soft == "off",
            "a UNet with 9 input channels is shown nothing of the region to repaint, which starts from pure noise at denoising.strength 1",
            ("mask.fill",),
        ),
        (not edit.settings.canvas.extends, "only outpainting with mode canvas extends the canvas", ("canvas.fill", "canvas.overlap_px")),
    ]


def is_spaced(denoising: Denoising) -> bool:
    """Whether the timesteps of a picture are where `timestep_spacing` says."""
    row = SCHEDULERS[denoising.scheduler]
    return row.is_spaced and (row.is_spaced_with_karras or not denoising.karras)


def _is_one_way(edit: Edit, traits: Traits) -> bool:
    """Whether a picture goes on alike if the refiner is called anew: no mask blends anything in, and there is nothing but latents to hand over."""
    denoising = edit.settings.denoising
    is_whole, is_stock = TASKS[edit.task].area is None, denoising.handover == "stock"
    return is_whole and is_stock and SCHEDULERS[denoising.scheduler].forgets and traits.is_scheduled_alike is True


def _idle_sizes(edit: Edit, *, base: bool, scored: bool, unscored: bool) -> list[tuple[bool, str, tuple[str, ...]]]:
    """When diffusers passes over the negative prompt's sizes, given what is guided: the base, a refiner that is told scores, or one that is not."""
    original, crops, target = (f"conditioning.negative_{name}" for name in ("original_size", "crops_coords_top_left", "target_size"))
    conditioning = edit.settings.conditioning
    if TASKS[edit.task].pipeline != "text_to_image":
        return [(not scored, "diffusers reads it in a refiner that is guided and told aesthetic scores, and nowhere else", (crops,))]
    both = conditioning.negative_original_size is not None and conditioning.negative_target_size is not None
    alone = "in text to image diffusers reads conditioning.negative_original_size and negative_target_size together, or neither"
    read = base and both
    return [
        (not read and not scored, f"{alone}, and the corner with them", (crops,)),
        (not read and not (scored or unscored), alone, (original,)),
        (not read and not unscored, alone, (target,)),
    ]


def _of_the_refiner(edit: Edit, traits: Traits) -> Iterator[str]:
    denoising = edit.settings.denoising
    frac, trained = denoising.high_noise_frac, traits.refiner_from
    if not denoising.is_refined:
        return
    if traits.has_refiner is False:
        key, got, without = denoising.asks_for_refiner
        yield f"{key} is {got}, but this checkpoint has no refiner; set {key} to {without}."
    if trained is not None and frac is not None and denoising.handover != "sdedit" and frac < trained:
        yield f"high_noise_frac is {frac}, but this refiner was trained from {trained} on; expect it to repaint more than to refine."
    if denoising.handover == "stock" and traits.in_channels == 9:
        yield "The stock hand-over of a 9-channel base leaves unfinished noise around the mask; choose handover consistent."


def _of_few_steps(edit: Edit, traits: Traits) -> Iterator[str]:
    denoising, few = edit.settings.denoising, traits.few_steps
    steps, guidance, strength = denoising.num_inference_steps, denoising.guidance_scale, denoising.strength
    many, much = steps > MANY_STEPS, guidance > MUCH_GUIDANCE and not traits.embeds_guidance
    if few is None:
        if traits.may_be_few_steps and many and much:
            yield (
                "This checkpoint's scheduler is one that those distilled to few steps come with (trailing). If it is such a one, "
                f"{steps} steps at guidance_scale {guidance:g} burn it: choose num_inference_steps 4 to 8, strength 1.0 and guidance_scale 0."
            )
        return
    made_for = f"{few.what} ({few.kind}) was made for about {few.num_inference_steps} steps at guidance_scale {few.guidance_scale:g}"
    if many or much:
        burning = [f"num_inference_steps {steps}"] * many + [f"guidance_scale {guidance:g}"] * much
        remedy = [f"about {few.num_inference_steps}"] * many + [
            f"guidance_scale {few.guidance_scale:g}" if many else f"{few.guidance_scale:g}"
        ] * much
        yield f"{made_for}; {' and '.join(burning)} {'burn' if many and much else 'burns'} the picture: take {' and '.join(remedy)}."
    if not many and TASKS[edit.task].area and 0.9 <= strength < 1 and int(steps * strength) < steps:
        yield f"{made_for}; strength {strength:g} leaves out the first of them, so that what was under the mask shows: choose strength 1.0."
    if few.kind != "turbo" and 2 * steps < few.num_inference_steps:
        yield f"{made_for}; num_inference_steps {steps} leaves the picture unfinished: take about {few.num_inference_steps}."
    if few.num_inference_steps == 1 and (reason := _of_one_step(few, traits)):
        yield f"{made_for}, which {reason}; expect noise: take one made for 2 steps or more."
    spacing = denoising.timestep_spacing or traits.timestep_spacing
    if few.schedulers and denoising.scheduler not in few.schedulers:
        yield f"{made_for}, with the scheduler {few.scheduler}; {denoising.scheduler} blurs: choose scheduler {few.scheduler}."
    elif not many and spacing == "leading" and is_spaced(denoising):
        yield f"{made_for}, but timestep_spacing is leading, which begins below pure noise: choose timestep_spacing trailing."


def _of_the_scheduler(edit: Edit, traits: Traits) -> Iterator[str]:
    denoising = edit.settings.denoising
    least = SCHEDULERS[denoising.scheduler].steps_without_karras
    if denoising.num_inference_steps < least and not denoising.karras and traits.few_steps is None:
        yield (
            f"{denoising.scheduler} without karras breaks pictures up at {denoising.num_inference_steps} steps: set karras to true, or take {least} "
            "steps or more."
        )


def _of_one_step(few: FewSteps, traits: Traits) -> str | None:
    """Why the one step of a checkpoint cannot be made here as it was meant."""
    if few.kind == "hyper":
        return "begins at timestep 800, where no spacing does"
    if few.kind == "lightning" and traits.prediction in (None, "epsilon"):
        return "predicts the picture instead of noise, as its scheduler's prediction_type would have to say"
    return None


def _of_the_size(edit: Edit, traits: Traits) -> Iterator[str]:
    given, area = edit.settings.size.given, traits.area
    if given is None or area is None:
        return
    width, height = given
    share, side = width * height / area, round(area**0.5)
    if FEW_PIXELS <= share <= MANY_PIXELS:
        return
    expected = "things twice" if share > 1 else "a poor picture"
    yield (
        f"size {width}x{height} has {share:.2g} times the pixels this checkpoint was trained at; expect {expected}: take size.aspect, or about "
        f"{side}x{side} pixels."
    )
