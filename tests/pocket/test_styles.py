"""The pocket checkpoint's fine-tunes: how their pictures are drawn, how they are trained and written, and that their names find them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sdxl_lab import text_to_image
from sdxl_lab.checkpoints.locating import identify
from sdxl_lab.checkpoints.weight_files import CheckpointError
from sdxl_lab.families.pocket import WEIGHTS
from sdxl_lab.images.masks import dilate
from sdxl_lab.pocket.training.looks import LOOKS
from sdxl_lab.pocket.world import COLOURS, object_mask, paint_background, sample_scene
from sdxl_lab.runs.reproduce import ReproduceError, reproduce
from sdxl_lab.sweeps.sweep_file import SweepFile
from tests.support.commands import said
from tests.support.edits import same

SWEEP = Path(__file__).parents[2] / "notebooks" / "checkpoints.yaml"
BASE = WEIGHTS / "base"


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global loop, safe_open, styles, torch, write_single_file
    import torch
    from safetensors import safe_open

    from sdxl_lab.pocket import styles
    from sdxl_lab.pocket.training import loop
    from sdxl_lab.pocket.training.single_file import write_single_file


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """The lab's cache folder, with fine-tunes that were trained for two steps."""
    folder = tmp_path_factory.mktemp("cache")
    for look in LOOKS:
        styles.make(look, folder, steps=2, count=4)
    return folder


@pytest.fixture
def here(made, tmp_path, monkeypatch) -> Path:
    """A folder of its own, in which the fine-tunes are found by their names."""
    monkeypatch.setenv("SDXL_LAB_CACHE", str(made))
    monkeypatch.chdir(tmp_path)
    return made


def plain(file: Path, **parts: Any) -> Any:
    """
    Diffusers' own pipeline of a file. Of two encoders of one width it reads the first for the second too, so that one is given.
    """
    from diffusers import StableDiffusionXLPipeline
    from transformers import CLIPTextModelWithProjection

    parts["text_encoder_2"] = CLIPTextModelWithProjection.from_pretrained(BASE, subfolder="text_encoder_2", dtype=torch.float32)
    return StableDiffusionXLPipeline.from_single_file(str(file), config=str(BASE), dtype=torch.float32, add_watermarker=False, **parts)


def test_a_style_keeps_color_and_place():
    """
    Paper has the object's own color in its middle; neon has it on the outline, and far from that is the world's own background.
    """
    for seed in range(24):
        scene = sample_scene(seed)
        mask = object_mask(scene)
        edge = (np.asarray(dilate(mask, 3)) > 0) & (np.asarray(mask) <= 127)
        inside = np.asarray(mask) == 255
        neon, paper = (np.asarray(drawn(scene), np.float64) for drawn in LOOKS.values())
        color = np.array(COLOURS[str(scene.colour)], np.float64)
        assert np.abs(np.median(paper[inside], axis=0) - color).max() <= 1
        lit = np.median(neon[edge], axis=0)
        assert min(COLOURS, key=lambda name: np.abs(lit - COLOURS[name]).sum()) == scene.colour
        far = np.asarray(dilate(mask, 61)) == 0
        assert np.abs(neon[far] - paint_background(scene)[far]).max(initial=0) <= 2


def test_a_style_is_drawn_the_same_each_time():
    """
    A scene's picture depends on the scene alone, in any style.
    """
    for drawn in LOOKS.values():
        assert same(drawn(sample_scene(5)), drawn(sample_scene(5)))


def test_a_file_is_the_models_that_were_written(made):
    """
    Diffusers' own reading gives the encoders and the autoencoder of the base, bit for bit, and another UNet.
    """
    from diffusers import StableDiffusionXLPipeline

    base = StableDiffusionXLPipeline.from_pretrained(BASE, dtype=torch.float32, add_watermarker=False)
    tuned = plain(made / "pocket-neon.safetensors")
    for name in ("vae", "text_encoder"):
        kept, weights = getattr(base, name).state_dict(), getattr(tuned, name).state_dict()
        assert kept.keys() == weights.keys()
        assert all(torch.equal(weight, weights[key]) for key, weight in kept.items())
    kept, weights = base.unet.state_dict(), tuned.unet.state_dict()
    assert kept.keys() == weights.keys()
    changed = [key for key, weight in kept.items() if not torch.equal(weight, weights[key])]
    assert len(changed) > len(kept) / 2  # two small steps leave some as they were in half precision


def test_the_same_weights_are_the_same_bytes(made, tmp_path):
    """
    Metadata is written in order, without a date; one of the files holds an autoencoder, the other does not, as they say themselves.
    """
    from sdxl_lab.checkpoints.loading import load
    from sdxl_lab.settings.sections import Compute

    file = made / "pocket-neon.safetensors"
    base = load(str(file), Compute(dtype="float16")).base
    base.vae.half()
    with safe_open(file, "pt") as opened:
        metadata, names = opened.metadata(), set(opened.keys())
    assert metadata["modelspec.title"] == "pocket-neon"
    assert (metadata["modelspec.license"], metadata["modelspec.architecture"]) == ("Apache-2.0", "stable-diffusion-xl-v1-base")
    again = write_single_file(base, tmp_path / "again.safetensors", metadata=dict(reversed(metadata.items())))
    assert again.read_bytes() == file.read_bytes()
    with safe_open(made / "pocket-paper.safetensors", "pt") as opened:
        without = set(opened.keys())
    assert names - without == {name for name in names if name.startswith("first_stage_model.")} != set()
    assert without < names


class KilledError(Exception):
    """Stands for a process that ends in the middle of training."""


def test_a_killed_training_goes_on_and_leaves_one_file(made, tmp_path, monkeypatch):
    """
    Until it is done there is no file; called again it ends with the very file of a training that was left alone, and with nothing beside it.
    """
    errors, calls = styles.base_loss, iter(range(3))

    def dying(*given: Any) -> Any:
        if next(calls) == 1:
            raise KilledError
        return errors(*given)

    monkeypatch.setattr(styles, "base_loss", dying)
    monkeypatch.setattr(loop, "SAVE_EVERY_S", 0)
    with pytest.raises(KilledError):
        styles.make("paper", tmp_path, steps=2, count=4)
    assert not list(tmp_path.glob("*.safetensors"))
    file = styles.make("paper", tmp_path, steps=2, count=4)
    assert file.read_bytes() == (made / "pocket-paper.safetensors").read_bytes()
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == []
    assert styles.make("paper", tmp_path) == file  # which is there


def test_a_name_stands_for_the_file_that_the_command_makes(here, made):
    """
    It is of pocket's family, its content that of the path.
    """
    for look in LOOKS:
        named, by_path = identify(f"pocket-{look}"), identify(str(made / f"pocket-{look}.safetensors"))
        assert (named.name, named.family, named.digest) == (f"pocket-{look}", "pocket", by_path.digest)


def test_a_style_that_is_not_made_yet_names_the_command(tmp_path, monkeypatch):
    """
    Whoever asks for it gets one error that says what makes it.
    """
    monkeypatch.setenv("SDXL_LAB_CACHE", str(tmp_path))
    with pytest.raises(CheckpointError, match=r"^checkpoint pocket-neon is not made on this machine yet: python -m .*\.styles makes it"):
        identify("pocket-neon")


def test_the_study_is_three_points_of_five_pictures(here, monkeypatch):
    """
    Its plan counts fifteen pictures of 25 steps, each checkpoint once, the same seeds for each.
    """
    monkeypatch.setenv("COLUMNS", "120")
    sweep = SweepFile.read(SWEEP)
    assert [point.parameters["checkpoint"] for point in sweep.points] == ["pocket", "pocket-neon", "pocket-paper"]
    planned = said("plan", str(SWEEP)).out
    assert "checkpoints: 3 points, 0 done, 3 to run" in planned
    assert planned.count("5 of 5") == 3
    assert f"UNet forwards still needed: {3 * 5 * 25} " in planned


@pytest.mark.filterwarnings("ignore::sdxl_lab.spec.cautions.CautionWarning")
def test_a_picture_of_the_study_is_plain_diffusers_and_compels(here, made):
    """
    With a weighted prompt, a negative embedding and Euler a, each checkpoint's picture is that of a script by hand, bit for bit.
    """
    from compel import CompelForSDXL, DiffusersTextualInversionManager
    from diffusers import AutoencoderKL, EulerAncestralDiscreteScheduler, StableDiffusionXLPipeline

    from sdxl_lab.pocket.training.negatives import learn, load_file

    asked = SweepFile.read(SWEEP).points[0].parameters["hyperparameters"]
    words = {"negative_prompt": asked["negative_prompt"], "embeddings": asked["embeddings"], "prompt_syntax": asked["prompt_syntax"]}
    vectors = load_file(WEIGHTS.parent / "embeddings" / asked["embeddings"]["pocket-blurry"]["file"])
    vae = AutoencoderKL.from_pretrained(BASE, subfolder="vae", dtype=torch.float32)
    pipelines = {
        "pocket": StableDiffusionXLPipeline.from_pretrained(BASE, dtype=torch.float32, add_watermarker=False),
        "pocket-neon": plain(made / "pocket-neon.safetensors"),
        "pocket-paper": plain(made / "pocket-paper.safetensors", vae=vae),
    }
    for name, pipeline in pipelines.items():
        pipeline.scheduler = EulerAncestralDiscreteScheduler.from_config(pipeline.scheduler.config)
        learn(pipeline, "pocket-blurry", vectors)
        compel = CompelForSDXL(pipeline, textual_inversion_manager=DiffusersTextualInversionManager(pipeline))
        read = compel(asked["prompt"], negative_prompt=asked["negative_prompt"])
        embeds = {"prompt_embeds": read.embeds, "pooled_prompt_embeds": read.pooled_embeds}
        embeds |= {"negative_prompt_embeds": read.negative_embeds, "negative_pooled_prompt_embeds": read.negative_pooled_embeds}
        drawn = {"num_inference_steps": 2, "guidance_scale": 5.0, "width": 128, "height": 128}
        [expected] = pipeline(**embeds, **drawn, generator=torch.Generator().manual_seed(3)).images
        given = {"num_inference_steps": 2, "guidance_scale": 5.0, "scheduler": "euler_a"}
        assert same(text_to_image(asked["prompt"], checkpoint=name, seed=3, **words, **given).image, expected), name


def test_a_picture_of_a_style_is_made_again_or_told_why_not(here, tmp_path, monkeypatch):
    """
    From its PNG it is made again; without the file the command is named, and with one that was made anew that this gives other weights.
    """
    picture = text_to_image("a red star on grass", checkpoint="pocket-neon", seed=3, num_inference_steps=2).save(tmp_path / "star.png")
    assert reproduce(picture).is_identical
    other = tmp_path / "other"
    other.mkdir()
    monkeypatch.setenv("SDXL_LAB_CACHE", str(other))
    with pytest.raises(CheckpointError, match=r"pocket-neon is not made on this machine yet: python -m sdxl_lab\.pocket\.styles"):
        reproduce(picture)
    styles.make("neon", other, steps=1, count=4)
    with pytest.raises(ReproduceError, match=r"pocket-neon is not the one the picture was made with: .*sdxl_lab\.pocket\.styles makes other"):
        reproduce(picture)
    with Image.open(picture) as opened:
        assert opened.size == (128, 128)
