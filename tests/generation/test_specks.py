"""Masks with specks, as tools that cut out objects make them: ignored and said, or refused before anything runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sdxl_lab.images.masks import MaskError
from sdxl_lab.runs.experiment import run
from sdxl_lab.runs.resolution import resolve
from sdxl_lab.settings.sections import Mask
from sdxl_lab.spec.cautions import CautionWarning
from sdxl_lab.spec.run_spec import RunSpec, SpecError
from tests.support.datasets import write_dataset
from tests.support.edits import cpu, make_edit


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global cv2, data, generate, regions, Regions, require_cells, Sizes, SPECKS
    import cv2
    from skimage import data

    from sdxl_lab.families import Sizes
    from sdxl_lab.generation.generate import generate
    from sdxl_lab.generation.regions import Regions, regions, require_cells, specks_ignored

    SPECKS = specks_ignored(8)


def cut_out(photograph: np.ndarray) -> Image.Image:
    """
    What OpenCV's grabCut takes for the object in the middle of a photograph.
    """
    photograph = photograph if photograph.ndim == 3 else np.dstack([photograph] * 3)
    height, width = photograph.shape[:2]
    found = np.zeros((height, width), np.uint8)
    box = (width // 8, height // 8, width * 3 // 4, height * 3 // 4)
    cv2.setRNGSeed(0)
    cv2.grabCut(np.ascontiguousarray(photograph[..., ::-1]), found, box, np.zeros((1, 65)), np.zeros((1, 65)), 1, cv2.GC_INIT_WITH_RECT)
    return Image.fromarray(((found == cv2.GC_FGD) | (found == cv2.GC_PR_FGD)).astype(np.uint8) * 255)


def found(task: Any, mask: Image.Image, specks: Any) -> Regions:
    """
    What is repainted at SDXL's size, each region with a cell.
    """
    edit = make_edit(task, mode="background" if task == "outpaint" else None, mask=Mask(specks=specks))
    it = regions(edit, mask.size, mask, Sizes(area=1024**2, max_area=1024**2, multiple=64))
    require_cells(edit, it)
    return it


@pytest.mark.parametrize("name", ["astronaut", pytest.param("coffee", marks=pytest.mark.slow), pytest.param("camera", marks=pytest.mark.slow)])
def test_what_is_cut_out_of_a_photograph_can_be_edited(name):
    """
    A mask by grabCut has specks and holes that no latent cell sees: ignored, less than 1% of the mask is another; kept, it is refused.
    """
    mask = cut_out(getattr(data, name)())
    for task, drawn in (("inpaint", np.asarray(mask)), ("outpaint", 255 - np.asarray(mask))):
        with pytest.raises(MaskError, match=f"'disc', {task}: .* would vanish"):
            found(task, mask, "keep")
        assert 0 < (np.asarray(found(task, mask, "ignore").repainted) != drawn).mean() < 0.01


def specked(folder: Path) -> Path:
    """
    Two scenes; the first one's mask has a speck of 4x6 pixels at (2, 2), and its object a hole of 4x4.
    """
    write_dataset(folder)
    with Image.open(folder / "0-mask.png") as image:
        mask = image.convert("L")
    mask.paste(255, (60, 60, 110, 110))
    mask.paste(0, (82, 83, 86, 87))
    mask.paste(255, (2, 2, 6, 8))
    mask.save(folder / "0-mask.png")
    return folder


@pytest.fixture
def asked(tmp_path, random_pair) -> dict[str, Any]:
    """
    A quick run over the scenes.
    """
    return {
        "name": "specks",
        "dataset": str(specked(tmp_path / "scenes")),
        "checkpoint": str(random_pair),
        "tracking": "off",
        "runs_folder": str(tmp_path / "runs"),
        "hyperparameters": {"denoising": {"num_inference_steps": 2}},
    }


def test_specks_are_named_where_they_are_ignored(asked):
    """
    The document of a mask with specks says that they are ignored, one without is what 0.1.0 wrote; the notes of run and picture say it too.
    """
    resolved = resolve(RunSpec.from_parameters(**asked))
    edits = json.loads(resolved.spec.to_json())["edits"]
    assert [edit["settings"]["mask"].get("specks") for edit in edits] == ["ignore", "ignore", None, None]
    assert [line for line in resolved.said if SPECKS in line] == [f"scene-0 inpaint and 1 more: {SPECKS}"]
    pictures = run(resolved)
    assert [SPECKS in picture.notes for picture in pictures] == [True, True, False, False]
    with Image.open(pictures[0].mask_image) as mask:
        assert mask.crop((0, 0, 4, 4)).getextrema() == (0, 0)
    with Image.open(pictures[1].mask_image) as mask:
        assert mask.crop((0, 0, 4, 4)).getextrema() == (255, 255)


def test_a_mask_of_which_something_vanishes_is_refused_before_the_run(asked):
    """
    Every sample and task with a region that no latent cell sees is named at once, with its place in the picture's own pixels.
    """
    asked["hyperparameters"]["mask"] = {"specks": "keep", "kernel_size": 1}
    with pytest.raises(SpecError) as caught:
        resolve(RunSpec.from_parameters(**asked))
    inpaint, outpaint = caught.value.problems
    assert "sample 'scene-0', inpaint: 1 of the regions to repaint would vanish" in inpaint
    assert "about 4x6 pixels at (2, 2)" in inpaint
    assert "sample 'scene-0', outpaint: 1 of the holes in the object's mask would vanish" in outpaint


def test_by_code_specks_are_ignored_too(random_pair, scene):
    """
    `generate` leaves them out, with a warning, and its edit says so; of a mask without any it says what 0.1.0 said.
    """
    image, mask = scene
    speck = mask.copy()
    speck.paste(255, (0, 0, 3, 3))
    plain = generate(make_edit(), image, mask, cpu(random_pair))
    with pytest.warns(CautionWarning, match="the mask has specks"):
        cleaned = generate(make_edit(), image, speck, cpu(random_pair))
    assert cleaned.image == plain.image
    assert (plain.edit.settings.mask.specks, cleaned.edit.settings.mask.specks) == ("keep", "ignore")
    kept = generate(make_edit(mask=Mask(specks="keep")), image, speck, cpu(random_pair))
    assert kept.image != plain.image
