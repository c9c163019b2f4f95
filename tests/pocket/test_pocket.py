"""The built-in checkpoint: that its files are what diffusers expects, and that its prompts mean something."""

from __future__ import annotations

import pytest
from PIL import Image

from sdxl_lab.pocket.world import draw, sample_scene
from sdxl_lab.settings.hyperparams import replace
from sdxl_lab.settings.sections import Compute, Mask
from sdxl_lab.spec.edit import Edit


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global \
        asked, \
        DILATION_PX, \
        generate, \
        hue_rule, \
        load, \
        load_judge, \
        measure, \
        peak_signal_to_noise, \
        right, \
        safe_open, \
        StableDiffusionXLImg2ImgPipeline, \
        StableDiffusionXLInpaintPipeline, \
        torch, \
        WEIGHTS
    import torch
    from diffusers import StableDiffusionXLImg2ImgPipeline, StableDiffusionXLInpaintPipeline
    from safetensors import safe_open

    from sdxl_lab.checkpoints.loading import load
    from sdxl_lab.generation.generate import generate
    from sdxl_lab.pocket.training.evaluate import DILATION_PX, asked, hue_rule, measure, right
    from sdxl_lab.pocket.training.fidelity import peak_signal_to_noise
    from sdxl_lab.pocket.training.judge import load_judge
    from sdxl_lab.pocket.training.train import WEIGHTS


@pytest.fixture(scope="module")
def pocket():
    """The checkpoint, loaded once."""
    return load("pocket", Compute())


@pytest.fixture(scope="module", params=[8, pytest.param(30, marks=pytest.mark.slow)])
def inpainted(request, pocket):
    """Unseen edits and what became of them in so many steps, masks dilated."""

    def picture(a):
        edit = a.edit(mask=Mask(kernel_size=2 * DILATION_PX + 1)).model_dump(exclude_unset=True)
        edit = Edit.model_validate(replace(edit, "settings.denoising.num_inference_steps", request.param))
        return generate(edit, a.image, a.mask, pocket).image

    edits = [asked(900 + i) for i in range(12)]
    return edits, [picture(a) for a in edits]


def test_the_weights_are_small_half_precision_safetensors():
    """
    Base, refiner and judge take at most 30 MB and hold nothing but fp16 tensors and JSON.
    """
    files = [path for path in WEIGHTS.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 30e6
    assert {path.suffix for path in files} == {".safetensors", ".json"}
    for path in files:
        if path.suffix == ".safetensors":
            with safe_open(path, "pt") as tensors:
                assert {tensors.get_slice(name).get_dtype() for name in tensors.keys()} == {"F16"}  # noqa: SIM118


def test_plain_diffusers_loads_and_runs_the_pair():
    """
    Base and refiner load by diffusers' own `from_pretrained`, and the base's latents refine to an RGB picture.
    """
    base = StableDiffusionXLInpaintPipeline.from_pretrained(WEIGHTS / "base", dtype=torch.float32, add_watermarker=False)
    refiner = StableDiffusionXLImg2ImgPipeline.from_pretrained(WEIGHTS / "refiner", dtype=torch.float32, add_watermarker=False)
    for pipeline in (base, refiner):
        pipeline.set_progress_bar_config(disable=True)
    call = {"prompt": "a red star on grass", "num_inference_steps": 4, "generator": torch.Generator().manual_seed(0)}
    edges = {"image": Image.new("RGB", (128, 128), "gray"), "mask_image": Image.new("L", (128, 128), 255), "height": 128, "width": 128}
    latents = base(**call, **edges, strength=1.0, denoising_end=0.7, output_type="latent").images
    picture = refiner(**call, image=latents, denoising_start=0.7).images[0]
    assert (picture.mode, picture.size) == ("RGB", (128, 128))
    assert refiner.config["requires_aesthetics_score"]
    assert not refiner.config["force_zeros_for_empty_prompt"]


def test_the_masked_region_takes_the_color_asked_for(inpainted):
    """
    At least 9 of 12 inpainted objects have the asked color, by a rule that reads pixels alone.
    """
    edits, pictures = inpainted
    assert sum(hue_rule(picture, a) == a.wanted.colour for picture, a in zip(pictures, edits, strict=True)) >= 9


def test_the_background_stays(inpainted):
    """
    At least 11 of 12 inpainted pictures still show their background, by the judge.
    """
    edits, pictures = inpainted
    assert sum(right(load_judge().judge(pictures), [a.wanted for a in edits], "background")) >= 11


def test_the_judge_knows_true_scenes():
    """
    On 60 unseen scenes, held-out pairs among them, the judge is wrong at most once about each of color, shape and background.
    """
    scenes = [sample_scene(7_000_000 + i, held_out=i % 4 == 0) for i in range(60)]
    verdicts = load_judge().judge([draw(scene) for scene in scenes])
    for kind in ("colour", "shape", "background"):
        assert sum(right(verdicts, scenes, kind)) >= 59


def test_the_autoencoder_is_true(pocket):
    """
    Unseen scenes come back from the autoencoder with a PSNR of 29 dB or more on average.
    """
    figure, _ = peak_signal_to_noise(pocket.base.vae, [sample_scene(7_100_000 + i) for i in range(24)])
    assert figure.value >= 29


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_measuring_twice_gives_the_same_figures():
    """
    The model card's figures do not depend on the run that measured them.
    """
    assert measure(9) == measure(9)
