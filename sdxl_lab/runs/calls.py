"""One picture by one call: a prompt goes in, a picture and a mask where its task needs them, and what comes out is the same as from a run."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sdxl_lab.datasets import inputs
from sdxl_lab.progress import signs
from sdxl_lab.runs.experiment import process_trajectories
from sdxl_lab.runs.made_picture import MadePicture
from sdxl_lab.runs.resolution import inputs_folder
from sdxl_lab.runs.single import CallError, asked, made, planned, taken
from sdxl_lab.spec.cautions import CautionWarning

PICTURES = (".png", ".jpg", ".jpeg", ".webp")
"""Ends of a text that is no prompt."""

USER = 3
"""The level of warnings at which they point to who called a function of the public face."""


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
    _require_order(task, words["prompt"], given)
    spec = asked(task, words, settings, checkpoint=checkpoint)
    pictures, mask_check, unused = taken(spec, task, given)
    files = inputs.encoded(pictures)
    with signs.shown(), TemporaryDirectory(prefix="sdxl_lab-") as folder:
        dataset = inputs.dataset_of(inputs.keep(files, Path(folder)), Path(folder), mask_check)
        ready = planned(spec, dataset, unused=unused, notes=[] if keep or not pictures else [inputs.NOT_KEPT])
        if keep:  # not before it is known that a picture can be made of them
            inputs.keep(files, inputs_folder())
        for caution in ready.cautions:
            warnings.warn(caution, CautionWarning, stacklevel=USER)
        picture, stamp = made(ready, process_trajectories())
    return MadePicture(image=picture.image, stamp=stamp, seconds=picture.seconds, files=ready.resolved.spec.files)


def _require_order(task: str, prompt: Any, given: Mapping[str, Any]) -> None:
    """See that the prompt does not stand where the image belongs, and a file where the prompt does."""
    image = given.get("image")
    if isinstance(image, str) and isinstance(prompt, str) and not Path(image).suffix and Path(prompt).suffix.lower() in PICTURES:
        order = ", ".join(("image", *(["mask_image"] if "mask" in given else []), "prompt"))
        raise CallError(f"image: got {image!r}, and the prompt {prompt!r}, which names a file; the prompt comes last: {task}({order})")
