"""Latents at a glance: the linear map of each family, and what it is worth."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sdxl_lab.families import FAMILIES
from sdxl_lab.pocket.world import draw, sample_scene
from tests.support.edits import cpu, make_edit


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global fitting, generate, load, preview, torch
    import torch

    from sdxl_lab.checkpoints.loading import load
    from sdxl_lab.generation.generate import generate
    from sdxl_lab.generation.previews import preview
    from sdxl_lab.pocket.training import preview as fitting


def signal_to_noise(expected: Image.Image, actual: Image.Image) -> float:
    """
    PSNR of 8-bit pictures, in dB.
    """
    error = np.asarray(expected, float) - np.asarray(actual, float)
    return 10 * np.log10(255**2 / (error**2).mean())


def test_pockets_previews_look_like_the_pictures():
    """
    Of scenes that the map was not fitted to, previews are as near to what Pillow's box filter makes of the pictures as can be had linearly.
    """
    vae: Any = load("pocket").base.vae
    values = []
    for seed in range(9_000_000, 9_000_040):
        picture = draw(sample_scene(seed))
        pixels = torch.from_numpy(np.asarray(picture).astype(np.float32) / 127.5 - 1).permute(2, 0, 1)[None]
        with torch.no_grad():
            latents = vae.encode(pixels).latent_dist.mean * vae.config.scaling_factor
        values.append(signal_to_noise(picture.resize((16, 16), Image.Resampling.BOX), preview(latents, "pocket")))
    assert np.mean(values) > 18.5


@pytest.mark.slow
def test_pockets_map_is_the_fitted_one():
    """
    The numbers of the family are those that the fit finds; another machine may move the last digit.
    """
    seeds = range(fitting.FIRST_SEED, fitting.FIRST_SEED + 500)
    found, held = fitting.fit(*fitting.cells(load("pocket").base.vae, seeds)), FAMILIES["pocket"].preview
    assert held
    assert np.allclose(np.vstack([found.matrix, found.bias]), np.vstack([held.matrix, held.bias]), rtol=0, atol=2e-4)


def test_a_fit_finds_the_map_that_made_the_colors():
    """
    From colors that a linear map made of random latents, the fit finds that map.
    """
    random = np.random.RandomState(0)
    latents, matrix, bias = random.normal(size=(5, 4, 6, 6)), random.normal(size=(4, 3)), random.normal(size=3)
    colors = np.einsum("nchw,cr->nrhw", latents, matrix) + bias[None, :, None, None]
    found = fitting.fit(latents, colors)
    assert np.allclose(found.matrix, matrix, rtol=0, atol=1e-4)
    assert np.allclose(found.bias, bias, rtol=0, atol=1e-4)


@pytest.mark.parametrize("word", [word for word, family in FAMILIES.items() if family.preview])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_a_preview_is_one_pixel_a_cell(word, dtype):
    """
    Each pixel is (x + 1) / 2 of the map's x at its cell, reckoned one by one, whatever dtype the latents have; what is beyond black and white is cut.
    """
    latents = (3 * torch.randn(1, 4, 3, 5, generator=torch.Generator().manual_seed(0))).to(getattr(torch, dtype))
    shown, colors = preview(latents, word), FAMILIES[word].preview
    assert shown
    assert colors
    assert (shown.mode, shown.size) == ("RGB", (5, 3))
    for row in range(3):
        for column in range(5):
            cell = [float(number) for number in latents[0, :, row, column]]
            x = [sum(value * factors[i] for value, factors in zip(cell, colors.matrix, strict=True)) + colors.bias[i] for i in range(3)]
            expected = [min(255.0, max(0.0, 255 * (number + 1) / 2)) for number in x]
            got: Any = shown.getpixel((column, row))
            assert max(abs(wanted - level) for wanted, level in zip(expected, got, strict=True)) < 0.51


def test_a_family_that_nobody_knows_the_look_of_has_no_preview():
    """
    Without a map there is no picture, and no error.
    """
    assert preview(torch.zeros(1, 4, 2, 2), replace(FAMILIES["custom"], preview=None)) is None


def test_a_step_can_be_shown(random_pair, scene):
    """
    What a listener is given is what a preview takes, at every step of base and refiner.
    """
    checkpoint, sizes = cpu(random_pair), []
    word = checkpoint.identity.family
    edit = make_edit(num_inference_steps=4, strength=1.0, high_noise_frac=0.5)
    generate(edit, scene[0], scene[1], checkpoint, on_step=lambda step: sizes.append(preview(step.latents, word)))
    assert [shown.size for shown in sizes] == [(8, 8)] * 4
