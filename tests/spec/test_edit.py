"""An edit made by code is the one that parameters make, or an error."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from sdxl_lab.settings.documents import meant, written
from sdxl_lab.settings.sections import Canvas, Denoising, EditSettings
from sdxl_lab.spec.edit import Edit
from sdxl_lab.spec.identities import CheckpointIdentity, DatasetIdentity
from sdxl_lab.spec.resolved_spec import ResolvedSpec
from sdxl_lab.spec.run_spec import SpecError
from tests.support.specs import make_spec, plan

WORDS: dict[str, Any] = dict(sample="star", prompt="a red star", seed=-732)
STEPS = Denoising(num_inference_steps=30)
LEFT = Canvas(left_px=8)

OF_0_1_0 = {
    "sample": "star",
    "task": "outpaint",
    "prompt": "a red star",
    "negative_prompt": None,
    "seed": -732,
    "settings": {
        "denoising": {
            "num_inference_steps": 30,
            "guidance_scale": 7.5,
            "strength": 0.99,
            "scheduler": "euler",
            "high_noise_frac": None,
            "handover": "consistent",
        },
        "refiner": {"guidance_scale": None, "aesthetic_score": 6.0, "negative_aesthetic_score": 2.5},
        "mask": {"kernel_size": 1, "iterations": 1, "feather_px": 0, "latent_mask": "nearest"},
        "conditioning": {
            "original_size": None,
            "crops_coords_top_left": None,
            "target_size": None,
            "negative_original_size": None,
            "negative_crops_coords_top_left": None,
            "negative_target_size": None,
        },
        "canvas": {"left_px": 0, "right_px": 0, "top_px": 0, "bottom_px": 0, "fill": "reflect", "overlap_px": 8},
        "mode": "background",
    },
}
"""An edit as 0.1.0 wrote it into records and pictures."""

STORED: dict[str, dict[str, Any]] = {
    "background": {},
    "canvas": {"mode": "canvas", "canvas": OF_0_1_0["settings"]["canvas"] | {"left_px": 32, "fill": "noise"}},
    "inpaint": {"mode": None},
}


@pytest.mark.parametrize("kind", STORED)
def test_what_0_1_0_stored_is_read_as_it_stands(kind):
    """
    A stored edit is read, and written again, without a change.
    """
    task = "inpaint" if kind == "inpaint" else "outpaint"
    stored = OF_0_1_0 | {"task": task, "settings": OF_0_1_0["settings"] | STORED[kind]}
    assert written(Edit.model_validate(meant(Edit, stored))) == stored


@pytest.mark.parametrize(
    ("by_code", "parameters"),
    [
        (EditSettings(denoising=STEPS), {}),
        (EditSettings(denoising=STEPS, mode="background"), {"outpaint": {"mode": "background"}}),
        (EditSettings(denoising=STEPS, mode="canvas", canvas=LEFT), {"outpaint": {"mode": "canvas", "canvas": {"left_px": 8}}}),
    ],
)
def test_by_code_outpainting_is_what_parameters_make_it(by_code, parameters):
    """
    The mode that is not named is `background`, to code as to parameters.
    """
    (_, expected) = plan(make_spec(parameters), ("star",))
    assert Edit(task="outpaint", settings=by_code, **WORDS) == expected


CONTRADICTIONS: dict[str, tuple[Any, EditSettings, str]] = {
    "inpaint with a mode": ("inpaint", EditSettings(mode="background"), "got mode background for task inpaint.*or take task outpaint"),
    "inpaint with mode canvas": ("inpaint", EditSettings(mode="canvas", canvas=LEFT), "got mode canvas for task inpaint"),
    "inpaint beyond the borders": ("inpaint", EditSettings(canvas=LEFT), "got a canvas to extend for task inpaint"),
    "nothing to extend": ("outpaint", EditSettings(mode="canvas"), "got 0 pixels on every side with mode canvas; give .*left_px"),
    "background beyond the borders": ("outpaint", EditSettings(mode="background", canvas=LEFT), "got mode background, .* take mode canvas"),
    "no mode beyond the borders": ("outpaint", EditSettings(canvas=LEFT), "got mode background, .* take mode canvas"),
}


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_an_edit_that_contradicts_itself_is_refused(case):
    """
    A mode or a canvas that does not fit the task is an error that says what to change, made by code or read from a document.
    """
    task, settings, message = CONTRADICTIONS[case]
    with pytest.raises(ValidationError, match=message):
        Edit(task=task, settings=settings, **WORDS)
    (edit,) = plan(make_spec(tasks=["inpaint"]), ("star",))
    resolved = ResolvedSpec(
        spec=make_spec(),
        dataset=DatasetIdentity(name="pocket-scenes", digest="d" * 64),
        checkpoint=CheckpointIdentity(name="pocket", digest="c" * 64, family="pocket"),
        edits=(edit.model_copy(update={"task": task, "settings": settings}),),
        dtype="float32",
        threads=1,
        device="cpu",
    )
    with pytest.raises(SpecError, match=rf"edits\[0\]\.settings: {message}"):
        ResolvedSpec.from_json(resolved.to_json())
