"""Specs of a dataset that need not exist: parameters, plans, and a value other than the default for every setting."""

from __future__ import annotations

from typing import Any

from sdxl_lab.families import Sizes
from sdxl_lab.settings.hyperparams import flatten, replace
from sdxl_lab.spec.edit import Edit
from sdxl_lab.spec.identities import CheckpointIdentity, DatasetIdentity
from sdxl_lab.spec.resolved_spec import ResolvedSpec
from sdxl_lab.spec.run_spec import RunSpec

PARAMETERS: dict[str, Any] = {"name": "octopus", "dataset": "pocket-scenes", "checkpoint": "pocket"}
DEFAULTS = {"denoising": {"num_inference_steps": 30, "strength": 0.99}}
"""A checkpoint's."""

SIZES = Sizes(area=128**2, max_area=192 * 128, multiple=8)
"""What a checkpoint was made for, as the built-in one."""

WORDS: dict[str, Any] = {"prompt": "a red star", "negative_prompt": None, "seed": -732}
"""A dataset's."""

OTHER_VALUES: dict[str, Any] = {
    "denoising.num_inference_steps": 31,
    "denoising.guidance_scale": 7.0,
    "denoising.strength": 1.0,
    "denoising.scheduler": "heun",
    "denoising.timestep_spacing": "trailing",
    "denoising.karras": True,
    "denoising.high_noise_frac": 0.8,
    "denoising.handover": "stock",
    "refiner.guidance_scale": 5.0,
    "refiner.aesthetic_score": 7.0,
    "refiner.negative_aesthetic_score": 2.0,
    "refiner.strength": 0.4,
    "mask.kernel_size": 7,
    "mask.iterations": 2,
    "mask.feather_px": 3,
    "mask.latent_mask": "cover",
    "mask.specks": "keep",
    "mask.fill": "telea",
    "mask.color_match": "ring",
    "mask.blend": "poisson",
    "mask.soft": "threshold",
    "mask.blur_px": 4,
    "conditioning.original_size": [64, 64],
    "conditioning.crops_coords_top_left": [0, 8],
    "conditioning.target_size": [128, 192],
    "conditioning.negative_original_size": [32, 32],
    "conditioning.negative_crops_coords_top_left": [8, 0],
    "conditioning.negative_target_size": [64, 32],
    "canvas.left_px": 1,
    "canvas.right_px": 2,
    "canvas.top_px": 3,
    "canvas.bottom_px": 4,
    "canvas.fill": "noise",
    "canvas.overlap_px": 0,
    "mode": "canvas",
    "image.color_profile": "ignore",
    "image.background": "gray",
    "crop.padding_mask_crop": 32,
    "crop.context_factor": 1.5,
    "crop.min_upscale": 2.0,
    "size.width": 72,
    "size.height": 64,
    "prompt_syntax": "a1111",
    "long_prompt": "chunks",
}
"""For every setting of a picture, a value that is not its default."""

TOGETHER = {"size.width": "size.height", "size.height": "size.width"}


def with_other(settings: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """
    The settings with another value of one, and of the one that cannot go without it.
    """
    changed = replace(settings, path, value)
    if path in TOGETHER and flatten(settings).get(TOGETHER[path]) is None:
        return replace(changed, TOGETHER[path], 72)
    return changed


def make_spec(hyperparameters: dict[str, Any] | None = None, **others: Any) -> RunSpec:
    """
    What the gate makes of the parameters, with some of them changed.
    """
    return RunSpec.from_parameters(**{**PARAMETERS, "hyperparameters": hyperparameters or {}, **others})


def make_edit(run: RunSpec, sample: str, task: str, prompt: str, seed: int, **asked: Any) -> Edit:
    """
    One picture of a run, of 64x64 pixels unless `asked` says another size, under the checkpoint's `defaults`, none if left out.
    """
    settings = run.settings(task, asked.get("defaults", {}), asked.get("size", (64, 64)), SIZES)
    return Edit(sample=sample, task=task, prompt=prompt, negative_prompt=None, seed=seed, settings=settings)


def resolved_of(run: RunSpec, edits: tuple[Edit, ...], **others: Any) -> ResolvedSpec:
    """
    A run tied to the content of a dataset and a checkpoint that need not exist.
    """
    content: dict[str, Any] = {
        "dataset": DatasetIdentity(name="pocket-scenes", version="1", digest="d" * 64),
        "checkpoint": CheckpointIdentity(name="pocket", digest="c" * 64, family="pocket"),
        "dtype": "float32",
        "threads": 1,
        "device": "cpu",
    }
    return ResolvedSpec(spec=run, edits=edits, **content | others)


def plan(run: RunSpec, samples: tuple[str, ...] = ("star", "ring"), words: dict[str, Any] | None = None) -> tuple[Edit, ...]:
    """
    The pictures of a run, over a dataset of these samples and words.
    """
    return tuple(
        edit
        for sample in run.samples or samples
        for task in run.tasks
        for edit in run.edits(sample, task, defaults=DEFAULTS, size=(64, 64), sizes=SIZES, **(words or WORDS))
    )
