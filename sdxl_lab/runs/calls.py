"""One picture by one call: a prompt goes in, a picture and a mask where its task needs them, and what comes out is the same as from a run."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from PIL import Image

from sdxl_lab import progress
from sdxl_lab.datasets import inputs
from sdxl_lab.errors import LabError
from sdxl_lab.families import Sizes
from sdxl_lab.images import given as taken
from sdxl_lab.images import mask_checks
from sdxl_lab.images.masks import MaskError
from sdxl_lab.images.pictures import PictureError
from sdxl_lab.images.png import digest_of_pixels, digests_of_pixels
from sdxl_lab.progress import signs
from sdxl_lab.records.stamps import as_note, stamp_of
from sdxl_lab.runs.experiment import generated, models_of, process_trajectories
from sdxl_lab.runs.made_picture import MadePicture
from sdxl_lab.runs.reproduction import Conditions
from sdxl_lab.runs.resolution import Resolved, inputs_folder, resolve
from sdxl_lab.settings.sections import ImageReading
from sdxl_lab.spec.cautions import CautionWarning
from sdxl_lab.spec.homes import laid_out
from sdxl_lab.spec.parameters import plain
from sdxl_lab.spec.run_spec import RunSpec, SpecError
from sdxl_lab.tasks import TASKS

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

USER = 3
"""The level of warnings at which they point to who called a function of the public face."""


class CallError(LabError):
    """What a call was given cannot be used."""


def inpaint(
    image: Any,
    mask_image: Any,
    prompt: str,
    *,
    checkpoint: str | Path = "pocket",
    negative_prompt: str | None = None,
    seed: int | None = None,
    keep: bool = True,
    **settings: Any,
) -> MadePicture:
    """Repaint the object of a picture: what its mask shows.

    The picture is the one that a run with the same settings makes. What was given is kept in `artifacts/inputs`, so that it can be made again.

    Args:
        image: A PIL image, a numpy array of shape (height, width[, 3 or 4]), uint8 or floats from 0 to 1, or the path of a picture.
        mask_image: Likewise, of the same size, or an array of bool; white or True is repainted.
        prompt: What to paint.
        checkpoint: As in `RunSpec`. It stays loaded for the next call.
        negative_prompt: What to lead away from; None is not the empty text.
        seed: From -2**63 to 2**64 - 1; None for 0, so that a call given again makes the same picture.
        keep: Whether image and mask are kept. Without them the picture cannot be made again.
        **settings: Those of `hyperparameters`, by name (`num_inference_steps=20, kernel_size=9, dtype="float32"`) or by section
            (`denoising={"strength": 0.9}`). Of a name that two sections have, `guidance_scale` or `strength`, `denoising`'s is meant.

    Raises:
        CallError: The image or the mask cannot be used.
        SpecError: A setting is unknown or not allowed, or the prompt is no text.
        LabError: The picture cannot be made, as for `generate`.

    Warns:
        CautionWarning: Something of the settings has no effect or will make a poor picture.

    Examples:
        >>> sample = fetch("pocket-scenes").sample("red-circle")
        >>> sample.image().save("photo.png"), sample.mask().save("mask.png")
        (None, None)
        >>> inpaint("photo.png", "mask.png", "a blue star on grass", seed=7, num_inference_steps=3)
        <MadePicture ...: inpaint 'a blue star on grass', seed 7, 128x128>
    """
    words = {"prompt": prompt, "negative_prompt": negative_prompt, "seed": seed}
    return _made("inpaint", words, {"image": image, "mask": mask_image}, settings, checkpoint=checkpoint, keep=keep)


def outpaint(
    image: Any,
    mask_image: Any,
    prompt: str,
    *,
    checkpoint: str | Path = "pocket",
    negative_prompt: str | None = None,
    seed: int | None = None,
    keep: bool = True,
    **settings: Any,
) -> MadePicture:
    """Repaint what is around the object of a picture; with `mode="canvas"` paint beyond the picture's borders, which needs no mask.

    Args:
        image: As for `inpaint`; likewise `prompt` and what follows it.
        mask_image: As for `inpaint`, white or True is the object, which stays. None with `mode="canvas"`.
        prompt: What to paint.
        checkpoint: As in `RunSpec`.
        negative_prompt: What to lead away from.
        seed: None for 0.
        keep: Whether image and mask are kept.
        **settings: As for `inpaint`.

    Raises:
        CallError: The image or the mask cannot be used.
        SpecError: A setting is unknown or not allowed, or the prompt is no text.
        LabError: The picture cannot be made, as for `generate`.

    Warns:
        CautionWarning: Something of the settings has no effect or will make a poor picture.

    Examples:
        >>> wider = outpaint("photo.png", None, "a red circle on grass", mode="canvas", left_px=64, num_inference_steps=3)
        >>> wider.image.size
        (192, 128)
    """
    words = {"prompt": prompt, "negative_prompt": negative_prompt, "seed": seed}
    return _made("outpaint", words, {"image": image, "mask": mask_image}, settings, checkpoint=checkpoint, keep=keep)


def image_to_image(
    image: Any,
    prompt: str,
    *,
    checkpoint: str | Path = "pocket",
    negative_prompt: str | None = None,
    seed: int | None = None,
    keep: bool = True,
    **settings: Any,
) -> MadePicture:
    """Make all of a picture anew, as like the given one as `strength` leaves it: little keeps all but the surface, 1.0 next to nothing.

    Args:
        image: As for `inpaint`; likewise `prompt` and what follows it.
        prompt: What to paint.
        checkpoint: As in `RunSpec`.
        negative_prompt: What to lead away from.
        seed: None for 0.
        keep: Whether the image is kept.
        **settings: As for `inpaint`. Without `width` and `height`, or `aspect`, the picture comes back at the image's own size.

    Raises:
        CallError: The image cannot be used.
        SpecError: A setting is unknown or not allowed, or the prompt is no text.
        LabError: The picture cannot be made, as for `generate`.

    Warns:
        CautionWarning: Something of the settings has no effect or will make a poor picture.

    Examples:
        >>> image_to_image("photo.png", "a blue star on grass", strength=0.8, num_inference_steps=5)
        <MadePicture ...: image_to_image 'a blue star on grass', seed 0, 128x128>
    """
    words = {"prompt": prompt, "negative_prompt": negative_prompt, "seed": seed}
    return _made("image_to_image", words, {"image": image}, settings, checkpoint=checkpoint, keep=keep)


def text_to_image(
    prompt: str,
    *,
    checkpoint: str | Path = "pocket",
    negative_prompt: str | None = None,
    seed: int | None = None,
    **settings: Any,
) -> MadePicture:
    """Make a picture from words alone. Nothing but the picture is needed to make it again.

    Args:
        prompt: What to paint.
        checkpoint: As in `RunSpec`. It stays loaded for the next call.
        negative_prompt: What to lead away from.
        seed: None for 0, so that a call given again makes the same picture.
        **settings: As for `inpaint`. Without `width` and `height`, or `aspect`, the picture has the checkpoint's own size, square.

    Raises:
        SpecError: A setting is unknown or not allowed, or the prompt is no text.
        LabError: The picture cannot be made, as for `generate`.

    Warns:
        CautionWarning: Something of the settings has no effect or will make a poor picture.

    Examples:
        >>> made = text_to_image("a red star on grass", seed=7, aspect="3:2", num_inference_steps=3)
        >>> made.image.size
        (152, 104)
    """
    words = {"prompt": prompt, "negative_prompt": negative_prompt, "seed": seed}
    return _made("text_to_image", words, {}, settings, checkpoint=checkpoint, keep=False)


def _made(
    task: str, words: Mapping[str, Any], given: Mapping[str, Any], settings: Mapping[str, Any], *, checkpoint: str | Path, keep: bool
) -> MadePicture:
    """Make one picture of any task.

    Args:
        task: Its name.
        words: The prompt, and negative prompt and seed or None.
        given: What it may need, as code gave it, or None.
        settings: Flat or by section.
        checkpoint: As in `RunSpec`.
        keep: Whether what it needs of `given` is kept.
    """
    spec = _asked(task, words, settings, checkpoint)
    pictures, unused = _taken(spec, task, given)
    checked = _check_mask(pictures) if "mask" in pictures else None
    files = inputs.encoded(pictures)
    with signs.shown(), TemporaryDirectory(prefix="sdxl_lab-") as folder:
        dataset = inputs.dataset_of(inputs.keep(files, Path(folder)), Path(folder), checked)
        resolved = resolve(spec, dataset=dataset)
        if keep:  # not before it is known that a picture can be made of them
            inputs.keep(files, inputs_folder())
        cautions = [*unused, *(line for lines in resolved.notes.values() for line in lines)]
        for caution in cautions:
            warnings.warn(caution, CautionWarning, stacklevel=USER)
        progress.tell(f"loading {resolved.spec.checkpoint.name}")
        [edit] = resolved.spec.edits
        made = generated(edit, dataset.sample(edit.sample), models_of(resolved.spec), process_trajectories())
    here, sha256 = Conditions.here(resolved.spec.device), digest_of_pixels(made.image)
    facts = {"versions": dict(here.versions), "hardware": here.hardware, "instruction_set": here.instruction_set}
    picture_id = resolved.spec.picture_id(edit, digests_of_pixels(made.prepared))
    notes = [*cautions, *_of_files(resolved), *([] if keep or not pictures else [inputs.NOT_KEPT])]
    stamp = stamp_of(resolved.spec, edit, **facts, sha256=sha256, picture_id=picture_id, notes=[as_note(line) for line in notes])
    return MadePicture(image=made.image, stamp=stamp, seconds=made.seconds)


def _asked(task: str, words: Mapping[str, Any], settings: Mapping[str, Any], checkpoint: str | Path) -> RunSpec:
    """What is asked for, through the one gate."""
    if not isinstance(words["prompt"], str):
        is_list = isinstance(words["prompt"], list | tuple)
        refusal = "" if is_list else TASKS[task].refusals.get("image", "")
        advice = "; call once for each, or make a run over a file of prompts" if is_list else f"; {refusal}" if refusal else ""
        raise SpecError([f"prompt: got a {type(words['prompt']).__name__}; allowed is a text, the empty one included{advice}"])
    if others := [key for key in settings if key in RunSpec.model_fields]:
        raise SpecError([f"{key}: a parameter of runs, and a call makes one picture; leave it out, or make a run" for key in others])
    if found := [key for key in settings if key in REFUSED]:
        raise SpecError([f"{key}: {REFUSED[key]}" for key in found])
    hyperparameters, twice = laid_out(task, plain(settings))
    hyperparameters[task] |= {key: value for key, value in words.items() if value is not None}
    parameters = {"name": task, "dataset": inputs.NAME, "checkpoint": checkpoint, "tasks": [task], "tracking": "off"}
    spec = RunSpec.from_parameters(**parameters, hyperparameters=hyperparameters)
    if twice:
        raise SpecError(twice)
    return spec


def _taken(spec: RunSpec, task: str, given: Mapping[str, Any]) -> tuple[dict[str, Image.Image], list[str]]:
    """What the task needs of what was given, as pictures; and what is to be said of the rest."""
    reading = ImageReading.model_validate(spec.given(task).get("image", {})).model_dump()
    readers = {"image": lambda value: taken.picture(value, **reading), "mask": taken.mask}
    needs = TASKS[task].needs(spec.settings(task, {}, (1, 1), ANY_SIZES))
    pictures: dict[str, Image.Image] = {}
    for name in needs:
        if name == "mask" and given.get(name) is None:
            raise CallError(f'mask_image: got None, and {task} needs a mask; give one, white is the object, or outpaint with mode="canvas"')
        try:
            pictures[name] = readers[name](given.get(name))
        except PictureError as error:
            raise CallError(f"{ARGUMENTS[name]}: {error}") from None
    unused = [ARGUMENTS[name] for name, value in given.items() if value is not None and name not in needs]
    return pictures, [f"{name} has no effect: with these settings, {task} needs none." for name in unused]


def _check_mask(pictures: Mapping[str, Image.Image]) -> mask_checks.Checked:
    mask, image = pictures["mask"], pictures["image"]
    if mask.size != image.size:
        got = f"{mask.width}x{mask.height}, and the image is {image.width}x{image.height}"
        raise CallError(f"mask_image: got {got} (both upright); they must have one size: redraw or resize the mask")
    try:
        checked = mask_checks.check(mask, image, exchange="exchange image and mask_image")
    except MaskError as error:
        raise CallError(f"mask_image: it {error}") from None
    if mask.mode == image.mode and mask.tobytes() == image.tobytes():
        raise CallError("mask_image: it is the same picture as the image; give the mask, of which white is repainted")
    return checked


def _of_files(resolved: Resolved) -> list[str]:
    """What is to be said of the image and the mask themselves, in which a run names their sample."""
    return [line.removeprefix(f"{inputs.SAMPLE}: ") for line in resolved.of_samples]
