"""What of a planned picture cannot be made, found before anything runs: its image, its mask, its steps, its refiner. Loads no weights."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from sdxl_lab.checkpoints.outlines import Outline
from sdxl_lab.datasets.samples import Sample, tasks_from_words
from sdxl_lab.families import Sizes
from sdxl_lab.generation import trajectory
from sdxl_lab.generation.frames import CropError
from sdxl_lab.generation.inputs import unfit_base
from sdxl_lab.generation.regions import placing, require_cells, settled, without_steps
from sdxl_lab.generation.trajectory import TrajectoryError, Window, build_scheduler, steps_run
from sdxl_lab.images.masks import MaskError
from sdxl_lab.settings.documents import canonical
from sdxl_lab.settings.schedulers import SCHEDULERS
from sdxl_lab.settings.sections import Crop, EditSettings
from sdxl_lab.spec.edit import Edit
from sdxl_lab.spec.generated import Frame
from sdxl_lab.spec.resolved_spec import as_it_matters
from sdxl_lab.tasks import TASKS, Task
from sdxl_lab.wording import few


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What was found of a planned picture.

    Attributes:
        edit: It, with what later settings make no difference to its mask neutral.
        problems: What stops it, one line each, starting with a dotted path.
        frame: The crop that the models will see; None for the whole picture.
        cautions: What is to be said of what was asked for and is neutral now.
    """

    edit: Edit
    problems: Sequence[str] = ()
    frame: Frame | None = None
    cautions: Sequence[str] = ()


def checked(edit: Edit, sample: Sample, outline: Outline) -> Checked:
    """Look for what would stop a picture.

    Args:
        edit: The picture to make.
        sample: What it is made from.
        outline: Of the checkpoint.

    Raises:
        ArtifactError: The mask has changed since it was fetched.
    """
    problems = [line for line in (_of_the_base(edit, outline), _of_the_refiner(edit, outline), _of_the_steps(edit, outline)) if line]
    task, needed = TASKS[edit.task], TASKS[edit.task].needs(edit.settings)
    if "image" in needed and sample.size is None:
        return Checked(edit=edit, problems=[*problems, no_picture([sample.name], edit.task)])
    if task.area is None:
        return Checked(edit=edit, problems=problems)
    assert sample.size is not None  # what repaints a part needs a picture
    needs_mask = "mask" in needed
    if needs_mask and sample.mask_path is None:
        missing = f"tasks: sample {sample.name} has no mask, and {edit.task} needs one; add it to metadata.json, or outpaint with mode canvas"
        return Checked(edit=edit, problems=[*problems, missing])
    mask_file = (sample.mask_path, sample.mask_sha256) if needs_mask and sample.mask_path else None
    asked: Any = placing(edit.settings)  # frozen, so that it can be hashed
    found = _of_the_mask(edit.sample, task, mask_file, sample.size, asked, outline.sizes)
    return Checked(
        edit=as_it_matters(edit, has_specks=found.has_specks, is_soft=found.is_soft, crop=found.crop),
        problems=[*problems, *found.problems, *([] if problems else _of_the_softness(edit, found, outline))],
        frame=found.frame,
        cautions=found.cautions,
    )


@dataclass(frozen=True, kw_only=True)
class _OfMask:
    """What was found of a mask.

    Attributes:
        has_specks: Whether specks of it are ignored to any effect.
        is_soft: Whether any of it is repainted in part.
        lightest: How far its lightest latent cell is repainted then, 0 to 1.
        crop: What of those settings has an effect.
        frame: What the models see; None for all.
        cautions: What is to be said.
        problems: What stops a picture.
    """

    has_specks: bool = True
    is_soft: bool = True
    lightest: float = 1.0
    crop: Crop | None = None
    frame: Frame | None = None
    cautions: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def no_picture(samples: Sequence[str], task: str) -> str:
    """Say that samples lack the picture that a task needs, and what to do."""
    who = f"sample {samples[0]} has" if len(samples) == 1 else f"samples {few(samples, most=3)} have"
    return f'tasks: {who} no picture, and {task} needs one; name its file as "image" in metadata.json{_from_words()}'


def no_pictures(tasks: Sequence[str]) -> str:
    """Say that no sample has the picture that each of a run's tasks needs, and what to do."""
    need = "needs" if len(tasks) == 1 else "need"
    return f"tasks: none of the samples asked for has a picture, and {' and '.join(tasks)} {need} one; take samples with pictures{_from_words()}"


def _from_words() -> str:
    tasks = tasks_from_words()
    return f", or take a task that works from words alone ({', '.join(tasks)})" if tasks else ""


def window_of(edit: Edit, outline: Outline) -> Window:
    """How a picture's evaluations fall to base and refiner.

    Raises:
        TrajectoryError: A stage would run no step.
    """
    denoising = edit.settings.denoising
    if not denoising.is_refined and outline.makes_as_many_steps_as_asked(denoising):
        return Window(base=steps_run(denoising.num_inference_steps, denoising.strength))
    spent: Any = EditSettings(denoising=denoising, refiner=edit.settings.refiner)  # frozen, so that it can be hashed
    if known := outline.spaced_evenly(denoising):
        return trajectory.window_of(known, spent)
    return _window(spent, repr(SCHEDULERS[denoising.scheduler]), canonical(outline.base_scheduler))


# A sweep asks the same of each of its points, here and below; a row of a table may be another one under its name.
@lru_cache(maxsize=1 << 12)
def _window(settings: EditSettings, _row: str, scheduler: str) -> Window:
    denoising = settings.denoising
    spread = {"karras": denoising.karras, "timestep_spacing": denoising.timestep_spacing}
    return trajectory.window_of(build_scheduler(denoising.scheduler, json.loads(scheduler), **spread), settings)


def _of_the_refiner(edit: Edit, outline: Outline) -> str | None:
    denoising = edit.settings.denoising
    if not denoising.is_refined or outline.has_refiner:
        return None
    key, got, without = denoising.asks_for_refiner
    named = f"take {outline.named}, which has one" if outline.named else "put one into a folder `refiner` beside the base"
    return f"hyperparameters.denoising.{key}: got {got}, but the checkpoint has no refiner; {named}, or set {key} to {without}"


def _of_the_base(edit: Edit, outline: Outline) -> str | None:
    fault = unfit_base(edit, outline.in_channels, outline.instead)
    return f"tasks: {fault}" if fault else None


def _of_the_steps(edit: Edit, outline: Outline) -> str | None:
    try:
        window_of(edit, outline)
    except TrajectoryError as error:
        return f"hyperparameters.denoising: {error}"
    return None


@lru_cache(maxsize=1 << 16)
def _of_the_mask(
    sample: str, task: Task, file: tuple[Path, str | None] | None, size: tuple[int, int], settings: EditSettings, sizes: Sizes
) -> _OfMask:
    edit = Edit(sample=sample, task=task.name, prompt="", seed=0, settings=settings)
    mask_image = Sample(name=sample, image_path=file[0], size=size, mask_path=file[0], mask_sha256=file[1]).soft_mask() if file else None
    try:
        found = settled(edit, size, mask_image, sizes)
        require_cells(edit, found)
    except MaskError as error:
        return _OfMask(problems=(f"hyperparameters.{'crop' if isinstance(error, CropError) else 'mask'}: {error}",))
    lightest = float(found.change(settings.mask.latent_mask).max()) if found.is_soft else 1.0
    return _OfMask(has_specks=found.has_ignored, is_soft=found.is_soft, lightest=lightest, crop=found.crop, frame=found.frame, cautions=found.idle)


def _of_the_softness(edit: Edit, found: _OfMask, outline: Outline) -> list[str]:
    whole = edit.model_copy(update={"settings": trajectory.whole_schedule(edit.settings)})
    fault = without_steps(edit, found.lightest, window_of(whole, outline).base) if found.is_soft and not found.problems else None
    return [f"hyperparameters.mask: {fault}"] if fault else []
