"""One picture that is asked for by itself, not as one of a run's: what single calls and the bench have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from sdxl_lab import progress
from sdxl_lab.datasets import inputs
from sdxl_lab.datasets.dataset import Dataset
from sdxl_lab.errors import LabError
from sdxl_lab.families import Sizes
from sdxl_lab.images import given as given_pictures
from sdxl_lab.images import mask_checks
from sdxl_lab.images.masks import MaskError
from sdxl_lab.images.pictures import PictureError
from sdxl_lab.images.png import digest_of_pixels, digests_of_pixels
from sdxl_lab.records.stamps import Stamp, as_note, stamp_of
from sdxl_lab.runs.experiment import generated, models_of
from sdxl_lab.runs.reproduction import Conditions
from sdxl_lab.runs.resolution import resolve
from sdxl_lab.runs.resolved import Resolved
from sdxl_lab.settings.sections import ImageReading
from sdxl_lab.spec.edit import Edit
from sdxl_lab.spec.generated import Generated
from sdxl_lab.spec.homes import laid_out, unknown
from sdxl_lab.spec.parameters import plain
from sdxl_lab.spec.run_spec import RunSpec, SpecError
from sdxl_lab.tasks import TASKS

if TYPE_CHECKING:
    from sdxl_lab.generation.steps import Step
    from sdxl_lab.generation.trajectory import TrajectoryCache

ARGUMENTS = {"image": "image", "mask": "mask_image"}
"""What a task may need, to the argument of a call that brings it."""

REFUSED = {
    "seeds": "a call makes one picture; call once for each seed, or make a run",
    "num_images_per_prompt": "a call makes one picture; call once for each seed, or make a run with seeds",
    "keep": "no picture is given that could be kept; leave it out",
}
"""What is no setting of a call, and why."""

ANY_SIZES = Sizes(area=64**2, max_area=64**2, multiple=8)
"""What a task needs is asked before the checkpoint is looked at, and no size decides it."""


class CallError(LabError):
    """What a call was given cannot be used."""


@dataclass(frozen=True, kw_only=True)
class Planned:
    """One picture that has only to be made.

    Attributes:
        resolved: A run of it alone.
        cautions: What is to be said of its settings before it is made, one line each.
        notes: What stays with it, these among it.
    """

    resolved: Resolved
    cautions: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def edit(self) -> Edit:
        """The picture."""
        return self.resolved.spec.edits[0]


def asked(
    task: str,
    words: Mapping[str, Any],
    settings: Mapping[str, Any],
    *,
    checkpoint: str | Path,
    name: str | None = None,
    dataset: str = inputs.NAME,
    sample: str | None = None,
    tracking: str = "off",
) -> RunSpec:
    """What is asked for, through the one gate.

    Args:
        task: Its name.
        words: `prompt`, `negative_prompt` and `seed`; what is None is left to the sample, and then to what there is without.
        settings: Flat or by section.
        checkpoint: As in `RunSpec`; likewise `tracking`.
        name: What the run of one picture is called; as its task if left out.
        dataset: As in `RunSpec`, of a sample that has words of its own; else the prompt has to be given.
        sample: Its name.
        tracking: What its session is told to do.

    Raises:
        SpecError: A setting is unknown or not allowed, or the prompt is no text.
    """
    if not isinstance(words["prompt"], str) and not (sample and words["prompt"] is None):
        is_list = isinstance(words["prompt"], list | tuple)
        refusal = "" if is_list else TASKS[task].refusals.get("image", "")
        advice = "; call once for each, or make a run over a file of prompts" if is_list else f"; {refusal}" if refusal else ""
        raise SpecError([f"prompt: got a {type(words['prompt']).__name__}; allowed is a text, the empty one included{advice}"])
    if others := [key for key in settings if key in RunSpec.model_fields]:
        raise SpecError([f"{key}: a parameter of runs, and a call makes one picture; leave it out, or make a run" for key in others])
    if found := [key for key in settings if key in REFUSED]:
        raise SpecError([f"{key}: {REFUSED[key]}" for key in found])
    if misspelled := unknown(task, settings):
        raise SpecError(misspelled)
    hyperparameters, twice = laid_out(task, plain(settings))
    hyperparameters[task] |= {key: value for key, value in words.items() if value is not None}
    parameters = {"name": name or task, "dataset": dataset, "checkpoint": checkpoint, "tasks": [task], "tracking": tracking}
    parameters |= {"samples": [sample]} if sample else {}
    spec = RunSpec.from_parameters(**parameters, hyperparameters=hyperparameters)
    if twice:
        raise SpecError(twice)
    return spec


def needed(spec: RunSpec, task: str) -> tuple[str, ...]:
    """What a task needs with these settings: `image` and `mask`, or less."""
    return tuple(TASKS[task].needs(spec.settings(task, {}, (1, 1), ANY_SIZES)))


def taken(spec: RunSpec, task: str, given: Mapping[str, Any]) -> tuple[dict[str, Image.Image], mask_checks.Checked | None, list[str]]:
    """Take what the task needs of what was given.

    Args:
        spec: What is asked for.
        task: Its name.
        given: `image` and `mask` as code gave them, or None.

    Returns:
        The pictures; what was found of the mask; and what is to be said of what has no use.

    Raises:
        CallError: The image or the mask cannot be used, or one that is needed is not there.
    """
    reading = ImageReading.model_validate(spec.given(task).get("image", {})).model_dump()
    readers = {"image": lambda value: given_pictures.picture(value, **reading), "mask": given_pictures.mask}
    needs = needed(spec, task)
    pictures: dict[str, Image.Image] = {}
    for name in needs:
        if name == "mask" and given.get(name) is None:
            raise CallError(f'mask_image: got None, and {task} needs a mask; give one, white is the object, or outpaint with mode="canvas"')
        try:
            pictures[name] = readers[name](given.get(name))
        except PictureError as error:
            raise CallError(f"{ARGUMENTS[name]}: {error}") from None
    unused = [ARGUMENTS[name] for name, value in given.items() if value is not None and name not in needs]
    checked = _check_mask(pictures) if "mask" in pictures else None
    return pictures, checked, [f"{name} has no effect: with these settings, {task} needs none." for name in unused]


def planned(spec: RunSpec, dataset: Dataset, *, unused: Sequence[str] = (), notes: Sequence[str] = ()) -> Planned:
    """Resolve what is asked for.

    Args:
        spec: It.
        dataset: Of its sample.
        unused: What is to be said of what was given and has no use.
        notes: What else stays with the picture.

    Raises:
        LabError: The picture cannot be made, as `resolve` says it.
    """
    resolved = resolve(spec, dataset=dataset)
    cautions = [*unused, *(line for lines in resolved.notes.values() for line in lines)]
    # Of the image and the mask themselves, in which a run names their sample.
    of_files = [line.removeprefix(f"{resolved.spec.edits[0].sample}: ") for line in resolved.of_samples]
    return Planned(resolved=resolved, cautions=tuple(cautions), notes=tuple(map(as_note, [*cautions, *of_files, *notes])))


def made(ready: Planned, trajectories: TrajectoryCache, on_step: Callable[[Step], object] | None = None) -> tuple[Generated, Stamp]:
    """Make the picture.

    Args:
        ready: What was planned.
        trajectories: What earlier pictures left to build on.
        on_step: As in `generate`.

    Returns:
        The picture, and what its PNG says of it.

    Raises:
        LabError: It cannot be made, as for `generate`.
    """
    spec, edit = ready.resolved.spec, ready.edit
    progress.tell(f"loading {spec.checkpoint.name}")
    picture = generated(edit, ready.resolved.dataset.sample(edit.sample), models_of(spec), trajectories, on_step)
    here = Conditions.here(spec.device)
    stamp = stamp_of(
        spec,
        edit,
        versions=dict(here.versions),
        hardware=here.hardware,
        instruction_set=here.instruction_set,
        sha256=digest_of_pixels(picture.image),
        picture_id=spec.picture_id(edit, digests_of_pixels(picture.prepared)),
        notes=(*ready.notes, *map(as_note, picture.notes)),
        frame=picture.frame,
    )
    return picture, stamp


def _check_mask(pictures: Mapping[str, Image.Image]) -> mask_checks.Checked:
    mask, image = pictures["mask"], pictures["image"]
    if fault := mask_checks.unlike_sizes(mask, image):
        raise CallError(f"mask_image: got {fault}")
    try:
        checked = mask_checks.check(mask, image, exchange="exchange image and mask_image")
    except MaskError as error:
        raise CallError(f"mask_image: it {error}") from None
    if mask.mode == image.mode and mask.tobytes() == image.tobytes():
        raise CallError("mask_image: it is the same picture as the image; give the mask, of which white is repainted")
    return checked
