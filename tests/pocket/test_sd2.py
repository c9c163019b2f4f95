"""The small Stable Diffusion 2: its files, its figures, what it is trained with, and that the lab makes of it what diffusers does."""

# pyright: reportCallIssue=false, reportOperatorIssue=false
# `from_pipe` says less than it gives, and a scene with a shape has a color.

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sdxl_lab.families import FAMILIES
from sdxl_lab.families.pocket_sd2 import WEIGHTS
from sdxl_lab.pocket.world import HELD_OUT, draw, object_mask
from sdxl_lab.settings.sections import Compute, Denoising, EditSettings, Mask
from sdxl_lab.spec.edit import Edit

NAMES = ("pocket-sd2", "pocket-sd2-inpaint")


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global architecture, autoencoder, caption_of, diffusers, diffusion, evaluate, fitting, generate, load, load_judge, mask_of, pictures
    global safe_open, torch
    import diffusers
    import torch
    from safetensors import safe_open

    from sdxl_lab.checkpoints.loading import load
    from sdxl_lab.generation.generate import generate
    from sdxl_lab.pocket.training import preview as fitting
    from sdxl_lab.pocket.training.judge import load_judge
    from sdxl_lab.pocket.training.sd2 import architecture, autoencoder, diffusion, evaluate, pictures
    from sdxl_lab.pocket.training.sd2.masks import caption_of, mask_of


@pytest.fixture(scope="module")
def checkpoints() -> dict[str, Any]:
    """Both, loaded once, by their names."""
    return {name: load(name, Compute(device="cpu", threads=1)) for name in NAMES}


@pytest.fixture(scope="module")
def plain() -> dict[str, Any]:
    """The same by diffusers alone."""
    loaded = {
        NAMES[0]: diffusers.StableDiffusionPipeline.from_pretrained(WEIGHTS / "base", dtype=torch.float32),
        NAMES[1]: diffusers.StableDiffusionInpaintPipeline.from_pretrained(WEIGHTS / "inpaint", dtype=torch.float32),
    }
    for pipeline in loaded.values():
        pipeline.set_progress_bar_config(disable=True)
    return loaded


def test_the_weights_are_small_half_precision_safetensors():
    """
    Both folders take at most 16 MB together, and hold nothing but fp16 tensors and JSON.
    """
    files = [path for name in NAMES for path in Path(str(FAMILIES["pocket-sd2"].names[name])).rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 16e6
    assert {path.suffix for path in files} == {".safetensors", ".json"}
    for path in files:
        if path.suffix == ".safetensors":
            with safe_open(path, "pt") as tensors:
                assert {tensors.get_slice(name).get_dtype() for name in tensors.keys()} == {"F16"}  # noqa: SIM118


def test_plain_diffusers_loads_both_as_stable_diffusion_2(plain):
    """
    Plain pipelines load them: one text encoder, no filter, linear projections, 4 and 9 channels, 16x16 latents, epsilon by the known schedule.
    """
    for pipeline, channels in zip(plain.values(), (4, 9), strict=True):
        assert type(pipeline.text_encoder).__name__ == "CLIPTextModel"
        assert pipeline.safety_checker is None
        assert (pipeline.unet.config.in_channels, pipeline.unet.config.out_channels) == (channels, 4)
        assert pipeline.unet.config.use_linear_projection
        assert pipeline.unet.config.sample_size * pipeline.vae_scale_factor == 64
        told = pipeline.scheduler.config
        assert (told.prediction_type, told.beta_schedule, told.beta_start, told.beta_end) == ("epsilon", "scaled_linear", 0.00085, 0.012)


def test_what_both_share_is_the_same():
    """
    Autoencoder, text encoder, tokenizer and scheduler of one are those of the other, byte for byte.
    """
    shared = [path.relative_to(WEIGHTS / "base") for path in (WEIGHTS / "base").rglob("*") if path.is_file() and path.parent.name != "unet"]
    for path in shared:
        if path.name != "model_index.json":
            assert (WEIGHTS / "base" / path).read_bytes() == (WEIGHTS / "inpaint" / path).read_bytes()


@pytest.mark.parametrize("kernel_size", [1, 9])
@pytest.mark.parametrize("name", NAMES)
def test_an_edit_is_diffusers_own(checkpoints, plain, name, kernel_size):
    """
    An inpainted picture of 64 pixels is the one of diffusers alone, bit for bit in the mask, and the input around it.
    """
    a = evaluate.asked(4)
    image, mask = pictures.halved(a.image), pictures.halved(a.mask)
    denoising = Denoising(num_inference_steps=6, guidance_scale=6.0, strength=0.99)
    settings = EditSettings(denoising=denoising, mask=Mask(kernel_size=kernel_size, specks="keep"))
    made = generate(Edit(sample="", task="inpaint", prompt="a red star on grass", seed=5, settings=settings), image, mask, checkpoints[name])

    pipeline = diffusers.StableDiffusionInpaintPipeline.from_pipe(plain[name], requires_safety_checker=False)
    pipeline.set_progress_bar_config(disable=True)
    region = np.asarray(made.mask_image) >= 128
    expected = pipeline(
        "a red star on grass",
        image=image,
        mask_image=Image.fromarray(region),
        num_inference_steps=6,
        guidance_scale=6.0,
        strength=0.99,
        generator=torch.Generator().manual_seed(5),
        width=64,
        height=64,
    ).images[0]
    assert (np.asarray(made.image)[region] == np.asarray(expected)[region]).all()
    assert (np.asarray(made.image)[~region] == np.asarray(image)[~region]).all()


def test_a_picture_from_words_is_diffusers_own(checkpoints, plain):
    """
    A picture of the checkpoint's own size is the one of diffusers alone, bit for bit.
    """
    settings = EditSettings(denoising=Denoising(num_inference_steps=6, guidance_scale=6.0))
    made = generate(
        Edit(sample="", task="text_to_image", prompt="a blue ring at night", seed=3, settings=settings), None, None, checkpoints[NAMES[0]]
    )
    expected = plain[NAMES[0]](
        "a blue ring at night", num_inference_steps=6, guidance_scale=6.0, generator=torch.Generator().manual_seed(3), width=64, height=64
    )
    assert made.image.size == (64, 64)
    assert (np.asarray(made.image) == np.asarray(expected.images[0])).all()


@pytest.mark.slow
def test_its_prompts_mean_something(checkpoints):
    """
    Of 24 unseen edits with dilated masks the judge sees the color that was asked for in 18, and the background in 22.
    """
    edits = [evaluate.asked(900 + i) for i in range(24)]
    made = evaluate.inpaint(edits, checkpoints[NAMES[1]], evaluate.DILATED, "edits")
    verdicts = load_judge().judge([evaluate.enlarged(picture) for picture in made])
    assert sum(evaluate.right(verdicts, [a.wanted for a in edits], "colour")) >= 18
    assert sum(evaluate.right(verdicts, [a.wanted for a in edits], "background")) >= 22


def test_the_judge_knows_scenes_of_64_pixels():
    """
    True scenes at half their size, scaled up, are judged as they are drawn in all of forty.
    """
    scenes = [pictures.SQUARE.scene(i) for i in range(40)]
    scenes = [scene for scene in scenes if scene.shape]
    verdicts = load_judge().judge([evaluate.enlarged(pictures.halved(draw(scene))) for scene in scenes])
    for kind in evaluate.KINDS:
        assert all(evaluate.right(verdicts, scenes, kind))


def test_a_pool_has_whole_scenes_of_half_the_size():
    """
    Pictures are 64 pixels of scenes of 128, or 96 of 192; their captions name what is there, and no held-out pair is among them.
    """
    for pool, size in ((pictures.SQUARE, (64, 64)), (pictures.WIDE, (96, 64)), (pictures.TALL, (64, 96))):
        assert pool.draw(0).shape == (size[1], size[0], 3)
        assert (pool.scene(0).width, pool.scene(0).height) == (2 * size[0], 2 * size[1])
        scenes, captions = [pool.scene(i) for i in range(200)], [pool.caption(i) for i in range(200)]
        assert not {(scene.colour, scene.shape) for scene in scenes} & HELD_OUT
        assert all(scene.colour in caption and scene.shape in caption for scene, caption in zip(scenes, captions, strict=True) if scene.shape)


def test_masks_are_as_their_kind_says(monkeypatch):
    """
    An object's own mask is its drawn one; a dilated one and a box hold it whole; all but the object holds no more of it than its edge.
    """
    from sdxl_lab.pocket.training.sd2 import masks

    scenes = [i for i in range(60) if pictures.SQUARE.scene(i).shape]
    for kind in ("object", "object, dilated", "box around it", "all but the object", "all"):
        monkeypatch.setattr(masks, "KINDS", {kind: 1.0})
        for i in scenes[:12]:
            mask = np.asarray(mask_of(pictures.SQUARE, i)) >= 128
            own = np.asarray(pictures.halved(object_mask(pictures.SQUARE.scene(i)))) >= 128
            if kind == "object":
                assert (mask == own).all()
            elif kind == "all but the object":
                assert (mask & own).sum() < 0.1 * own.sum()  # pixels of its edge
                assert mask.any()
            else:
                assert mask[own].all()
    assert caption_of(pictures.SQUARE, scenes[0]) == pictures.SQUARE.caption(scenes[0])


def test_a_widened_unet_paints_as_it_did():
    """
    A UNet of 9 channels with the other's weights predicts the same, whatever mask and masked picture it is shown.
    """
    torch.manual_seed(0)
    narrow, wide = architecture.build_unet(), architecture.build_unet(architecture.INPAINT_CHANNELS)
    wide.load_state_dict(diffusion.widened(narrow.state_dict()))
    latents, seen, text = torch.randn(2, 4, 16, 16), torch.randn(2, 5, 16, 16), torch.randn(2, 32, 64)
    with torch.no_grad():
        expected, found = narrow(latents, 7, text).sample, wide(torch.cat([latents, seen], dim=1), 7, text).sample
    torch.testing.assert_close(found, expected)


def test_balanced_latents_decode_to_the_same_picture():
    """
    Once balanced, latents have mean 0 and variance 1 in each channel, their noise is scaled likewise, and what is decoded stays.
    """
    torch.manual_seed(0)
    vae = architecture.build_vae()
    shown = torch.rand(6, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        before, decoded = vae.encode(shown).latent_dist, vae(shown).sample
        autoencoder.balance(vae, before.mean)
        after = vae.encode(shown).latent_dist
        torch.testing.assert_close(after.mean.mean(dim=(0, 2, 3)), torch.zeros(4), atol=1e-4, rtol=0)
        torch.testing.assert_close(after.mean.std(dim=(0, 2, 3)), torch.ones(4))
        torch.testing.assert_close(after.std * before.mean.std(dim=(0, 2, 3))[:, None, None], before.std)
        torch.testing.assert_close(vae(shown).sample, decoded, atol=1e-4, rtol=0)


def test_the_card_has_the_figures_of_the_command():
    """
    The table's rows are those that the command measures, each with its interval; and what is aimed at is reached.
    """
    text = evaluate.CARD.read_text()
    table = text.split("<!-- figures -->")[1].split("<!-- end of figures -->")[0]
    rows = {cells[1].strip(): cells for line in table.strip().splitlines()[2:] if (cells := line.split("|"))}
    assert {f"{name}, {masks} mask: {kind}" for name, masks in evaluate.INPAINTED for kind in ("color", "shape", "background")} <= set(rows)
    aimed = rows["pocket-sd2-inpaint, dilated mask: color"]
    assert int(aimed[4]) >= 200
    assert float(aimed[2].strip().rstrip("%")) >= 85
    low, high = (float(number) for number in aimed[3].split("to"))
    assert low < float(aimed[2].strip().rstrip("%")) < high


@pytest.mark.slow
def test_its_preview_is_the_fitted_one():
    """
    The numbers of the family are those that the fit finds; another machine may move the last digit.
    """
    found = fitting.fit(*fitting.cells(load(NAMES[0]).base.vae, range(fitting.FIRST_SEED, fitting.FIRST_SEED + 500)))
    held = FAMILIES["pocket-sd2"].preview
    assert held
    np.testing.assert_allclose(found.matrix, held.matrix, atol=2e-4)
    np.testing.assert_allclose(found.bias, held.bias, atol=2e-4)
