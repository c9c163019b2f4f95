"""A checkpoint at work: a picture of each task, the same by plain diffusers, and what it costs."""

from __future__ import annotations

import math
import statistics
import time
import warnings
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from sdxl_lab.doctor.findings import Finding, attention, broken, ok, quoted
from sdxl_lab.errors import LabError

if TYPE_CHECKING:
    from PIL import Image

    from sdxl_lab.checkpoints.checkpoint import Checkpoint
    from sdxl_lab.generation.steps import Step
    from sdxl_lab.spec.edit import Edit
    from sdxl_lab.spec.generated import Generated

STEPS = 4
"""Of each picture: enough for a hand-over, and to see what a step takes."""

PROMPT, SEED = "a red star on grass", 0
HIGH_NOISE_FRAC = 0.6
LARGEST_ON_CPU = 256
"""Pixels of a side there, where SDXL's own size takes a minute a step."""

RESERVE_BYTES = 3 * 10**9
"""Of main memory, for what is computed."""

SEND = "send this page: the lab promises that they are one"


def weights(checkpoint: str | None) -> Iterator[Finding]:
    """Whether the checkpoint can be loaded, base and refiner."""
    began = time.perf_counter()
    try:
        loaded = _loaded(checkpoint)
        refiner = "base and refiner" if loaded.refiner else "the base"
    except LabError as error:
        yield broken("weights", quoted(error, 500))  # which says what to do
        return
    side = _side(loaded)
    offload = f", offload {loaded.offload}" if loaded.device.type != "cpu" else ""
    where = (
        f"on {loaded.device} in {str(loaded.dtype).removeprefix('torch.')}, the VAE in {str(loaded.base.vae.dtype).removeprefix('torch.')}{offload}"
    )
    line = f"{refiner} loaded in {time.perf_counter() - began:.0f} s {where}; pictures of {side}x{side} follow"
    if loaded.device.type == "cpu" and loaded.dtype != loaded.base.vae.dtype:
        yield attention(
            "weights", f"{line}. In float32, the default on a CPU, they do not fit main memory", "-p hyperparameters.compute.dtype bfloat16"
        )
    else:
        yield ok("weights", line)


def pictures(checkpoint: str | None) -> Iterator[Finding]:
    """A picture of each task that the base can do, and whether there is NaN or infinity in any."""
    from sdxl_lab.families import for_all_tasks
    from sdxl_lab.generation.finite import NotFiniteError
    from sdxl_lab.generation.inputs import unfit_base
    from sdxl_lab.tasks import TASKS

    loaded, made, unfit = _loaded(checkpoint), 0, 0
    instead = for_all_tasks(loaded.identity.name, loaded.identity.family)
    for task in TASKS:
        edit = _edit(task, loaded)
        if unfit_base(edit, loaded.base.unet.config.in_channels, instead):
            yield ok(task, f"not for this base, which was trained to inpaint; {instead} makes such pictures")
            continue
        if "mask" in TASKS[task].needs(edit.settings) and not _has_opencv():
            yield attention(task, "not looked at, because of opencv")
            continue
        try:
            picture, one_color = _made(edit, loaded)
        except NotFiniteError as error:
            unfit += 1
            yield broken(task, quoted(error, 500))
        except (LabError, ImportError, RuntimeError) as error:
            yield broken(task, f"no picture: {quoted(error, 500)}", "" if isinstance(error, LabError) else "send this page")
        else:
            made += 1
            width, height = picture.image.size
            line = f"a picture of {width}x{height} in {picture.seconds:.1f} s, {picture.base_steps} steps"
            advice = "try compute.dtype float32; if the picture is no better, another file of the checkpoint"
            yield attention(task, f"{line}, all of one color", advice) if one_color else ok(task, line)
    if unfit:
        yield broken("numbers", "there is NaN or infinity, of which no picture can be made", "the lines above name the part")
    elif made:
        yield ok("numbers", "no NaN and no infinity in texts, steps and pictures")


def equality(checkpoint: str | None) -> Iterator[Finding]:
    """Whether a picture is the one that plain diffusers makes on this machine, bit for bit, and one that is handed to the refiner too."""
    loaded = _loaded(checkpoint)
    task = _simplest(loaded)
    if task == "inpaint" and loaded.base.vae.dtype != loaded.dtype:  # of what came before XL in bfloat16, diffusers would not even inpaint
        yield ok("equality", "not compared: inpainting in half precision, diffusers rounds the VAE, which the lab keeps in float32")
        return
    yield _compared("equality", _edit(task, loaded), loaded)
    if loaded.refiner is not None:
        yield _compared("hand-over", _edit(task, loaded, high_noise_frac=HIGH_NOISE_FRAC, handover="stock"), loaded)


def cost(checkpoint: str | None) -> Iterator[Finding]:
    """Seconds a step, and the most memory that was needed by now."""
    from sdxl_lab.records.machine import forget_gpu_peak, peak_memory

    loaded = _loaded(checkpoint)
    task = _simplest(loaded)
    asked: dict[str, Any] = {"high_noise_frac": HIGH_NOISE_FRAC} if loaded.refiner is not None else {}
    times: dict[str, list[float]] = {"base": [], "refiner": []}

    def hear(step: Step) -> None:
        step.latents.flatten()[0].item()  # a GPU says when it is done only if it is asked
        times[step.role].append(time.perf_counter())

    forget_gpu_peak()
    edit = _edit(task, loaded, num_inference_steps=2 * STEPS, **asked)
    try:
        _generated(edit, loaded, on_step=hear)
    except LabError as error:
        yield attention("cost", f"not known, since there is no picture: {quoted(error)}")
        return
    spans = {role: [later - earlier for earlier, later in pairwise(at)] for role, at in times.items()}
    side, peaks = _side(loaded), peak_memory()
    medians = {role: statistics.median(span) for role, span in spans.items() if span}
    said = [f"{seconds:.{2 if seconds < 10 else 3}g} s a step of the {role}" for role, seconds in medians.items()]
    guided = "" if edit.settings.denoising.guidance_scale > 1 else ", without guidance"
    memory = [f"{peaks['peak_memory_bytes'] / 1e9:.1f} GB of main memory"] if "peak_memory_bytes" in peaks else []
    memory += [f"{peaks['gpu_peak_memory_bytes'] / 1e9:.1f} GB of the GPU's"] if "gpu_peak_memory_bytes" in peaks else []
    yield ok("cost", f"{', '.join(said)} at {side}x{side}{guided}; at most {' and '.join(memory)} were needed")


def _compared(part: str, edit: Edit, loaded: Checkpoint) -> Finding:
    """The lab's picture beside plain diffusers'."""
    import numpy as np

    from sdxl_lab.generation.plain import plain

    what = "base and refiner, handed over as diffusers does" if part == "hand-over" else f"{edit.task} by the base"
    try:
        made = _generated(edit, loaded)
        image, mask = _scene(made.working_size[0], edit.task)
        expected = np.asarray(plain(made.edit, image, mask, loaded, size=made.working_size), int)
        apart = np.abs(expected - np.asarray(made.raw, int))
        again = np.asarray(plain(made.edit, image, mask, loaded, size=made.working_size), int) if apart.any() else expected
    except LabError as error:
        return attention(part, f"{what}: not compared, since there is no picture: {quoted(error)}")
    except (ImportError, RuntimeError, TypeError, ValueError) as error:
        return broken(part, f"{what}: could not be compared: {quoted(error)}", "send this page")
    if not apart.any():
        return ok(part, f"{what}: the picture that plain diffusers makes here, bit for bit")
    line = f"{what}: {(apart.max(axis=2) > 0).mean():.1%} of the pixels differ from plain diffusers', by at most {apart.max()} of 255"
    if not np.array_equal(expected, again):
        return attention(part, f"{line}; diffusers itself makes another picture each time here")
    return broken(part, line, SEND)


@cache
def _loaded(checkpoint: str | None) -> Checkpoint:
    from sdxl_lab.checkpoints.accelerator import accelerator
    from sdxl_lab.checkpoints.loading import load
    from sdxl_lab.settings.sections import Compute

    assert checkpoint is not None
    in_half = accelerator().device == "cpu" and not _fits_in_float32(checkpoint)
    return load(checkpoint, Compute(offload="auto", dtype="bfloat16" if in_half else "auto"))


def _fits_in_float32(checkpoint: str) -> bool:
    """Whether main memory holds all of a checkpoint's numbers; what is still to be downloaded is."""
    import psutil

    from sdxl_lab.checkpoints.hub import Repository
    from sdxl_lab.checkpoints.locating import locate
    from sdxl_lab.checkpoints.single_files import SingleFile
    from sdxl_lab.checkpoints.weight_files import shapes_in

    source, count = locate(checkpoint), 0
    for part in filter(None, (source.base, source.refiner)):
        here = part.fetch() if isinstance(part, Repository) else part
        files = here.files if isinstance(here, SingleFile) else [file for model in here.models for file in here.weights(model)]
        count += sum(math.prod(shape) for file in files for shape in shapes_in(file).values())
    return 4 * count + RESERVE_BYTES <= psutil.virtual_memory().available


def _simplest(loaded: Checkpoint) -> str:
    """The task that needs the least, of those that the base can do."""
    return "text_to_image" if loaded.base.unet.config.in_channels == 4 else "inpaint"


def _has_opencv() -> bool:
    from sdxl_lab.images.masks import MaskError
    from sdxl_lab.images.white import opencv

    try:
        opencv()
    except MaskError:
        return False
    return True


def _side(loaded: Checkpoint) -> int:
    own = int(loaded.sizes.area**0.5) // loaded.sizes.multiple * loaded.sizes.multiple
    return min(own, LARGEST_ON_CPU) if loaded.device.type == "cpu" else own


def _edit(task: str, loaded: Checkpoint, **denoising: Any) -> Edit:
    """A small picture of a task, as the checkpoint's own defaults complete it."""
    from sdxl_lab.checkpoints.own_defaults import suited
    from sdxl_lab.settings.sections import Denoising, EditSettings, PictureSize
    from sdxl_lab.spec.edit import Edit

    side = _side(loaded)
    asked = Denoising(**{"num_inference_steps": STEPS, "scheduler": "euler"} | denoising)
    settings = EditSettings(denoising=asked, size=PictureSize(width=side, height=side))
    return suited(Edit(sample="scene", task=task, prompt=PROMPT, seed=SEED, settings=settings), loaded.identity)


def _made(edit: Edit, loaded: Checkpoint) -> tuple[Generated, bool]:
    """A picture, and whether the decoder made all of it one color."""
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        made = _generated(edit, loaded)
    return made, any("The decoder made every pixel" in str(warning.message) for warning in heard)


def _generated(edit: Edit, loaded: Checkpoint, **listening: Any) -> Generated:
    from sdxl_lab.generation.generate import generate
    from sdxl_lab.spec.cautions import said_before

    image, mask = _scene(_side(loaded), edit.task)
    with said_before():  # these settings are nobody's wish
        return generate(edit, image, mask, loaded, **listening)


def _scene(side: int, task: str) -> tuple[Image.Image | None, Image.Image | None]:
    """What a task needs: a picture with a slope of color, and the mask of a disc in it."""
    import numpy as np
    from PIL import Image

    from sdxl_lab.settings.sections import EditSettings
    from sdxl_lab.tasks import TASKS

    rows, columns = np.mgrid[:side, :side] / side
    pixels = np.stack([rows, columns, 1 - rows], axis=-1)
    disc = (rows - 0.5) ** 2 + (columns - 0.5) ** 2 < 0.09
    given = {"image": Image.fromarray((pixels * 255).astype(np.uint8)), "mask": Image.fromarray(disc.astype(np.uint8) * 255)}
    needs = TASKS[task].needs(EditSettings())
    return (given["image"] if "image" in needs else None), (given["mask"] if "mask" in needs else None)
