"""Small runs to record in tests: three tiny pictures, made without a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sdxl_lab.settings.sections import EditSettings
from sdxl_lab.spec.edit import Edit
from sdxl_lab.spec.generated import Generated
from sdxl_lab.spec.resolved_spec import ResolvedSpec
from sdxl_lab.spec.run_spec import RunSpec
from tests.support.specs import make_edit, resolved_of

EDIT = Edit(sample="octopus", task="inpaint", prompt="a red octopus", seed=0, settings=EditSettings())


def generated(image: Image.Image, input_image: Image.Image, mask_image: Image.Image, edit: Edit = EDIT, **others: Any) -> Generated:
    """What `generate` returns, all that was repainted composited, unless `others` say otherwise."""
    numbers = {"working_size": (16, 16), "stretch": 1.0, "base_steps": 24, "refiner_steps": 6, "seconds": 0.25}
    pictures = {"image": image, "raw": image, "input_image": input_image, "mask_image": mask_image, "seam_image": mask_image}
    return Generated(**{"edit": edit, **pictures, **numbers, **others})


def resolved_run(runs_folder: Path, dataset: str = "pocket-scenes", tracking: str = "offline", **hyperparameters: object) -> ResolvedSpec:
    """A run over two samples: three pictures."""
    spec = RunSpec.from_parameters(
        name="test",
        dataset=dataset,
        checkpoint="pocket",
        hyperparameters={"denoising": {"num_inference_steps": 30, "high_noise_frac": 0.8}, **hyperparameters},
        tracking=tracking,
        runs_folder=str(runs_folder),
    )
    words: list[tuple[str, str, int]] = [("octopus", "inpaint", -732), ("octopus", "outpaint", 5), ("café au lait", "inpaint", 2**63)]
    return resolved_of(spec, tuple(make_edit(spec, sample, task, f"a red {sample}, on “sand”", seed) for sample, task, seed in words))


def made_for(edit: Edit, size: tuple[int, int] = (24, 16)) -> Generated:
    """Pixels that depend on the edit alone, those of the input on its sample."""
    width, height = size
    pixels = [
        np.random.RandomState(sum(words.encode())).randint(0, 256, (height, width, 3)).astype(np.uint8)
        for words in (edit.sample + edit.task, edit.sample)
    ]
    mask = np.zeros((height, width), np.uint8)
    mask[4:12, 6:18] = 255
    return generated(Image.fromarray(pixels[0]), Image.fromarray(pixels[1]), Image.fromarray(mask), edit)
