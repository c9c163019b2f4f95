"""LoRAs and embeddings of Stable Diffusion 1 and 2 against diffusers' own, and those of one family on another's checkpoint."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from sdxl_lab.adapters import Put
from sdxl_lab.adapters.embeddings import Embedding
from sdxl_lab.settings.sections import Denoising, EditSettings, PictureSize
from sdxl_lab.spec.edit import Edit
from tests.support.edits import NEGATIVE, PROMPT, SEED, cpu, same
from tests.support.embeddings import ONE, SEVERAL, write_embedding
from tests.support.first_generations import TEXT_WIDTHS
from tests.support.loras import as_diffusers, as_kohya, as_older, loaded_by_diffusers, matrices, put_of, write

STEPS = 3
CLASSES = {
    "text_to_image": "StableDiffusionPipeline",
    "image_to_image": "StableDiffusionImg2ImgPipeline",
    "inpaint": "StableDiffusionInpaintPipeline",
}
GENERATIONS = {"sd1": 1, "sd2": 2}


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global diffusers, torch, generate, read, state_of, TrajectoryCache
    import diffusers
    import torch

    from sdxl_lab.checkpoints.model_state import state_of
    from sdxl_lab.generation.generate import generate
    from sdxl_lab.generation.trajectory import TrajectoryCache
    from sdxl_lab.runs.adapted import read


@cache
def pipeline(task: str, folder: Path) -> Any:
    """
    Diffusers' own, loaded once.
    """
    loaded = getattr(diffusers, CLASSES[task]).from_pretrained(folder, safety_checker=None, feature_extractor=None, requires_safety_checker=False)
    loaded.set_progress_bar_config(disable=True)
    return loaded


def plain(loaded: Any, prompt: str = PROMPT, negative_prompt: str = NEGATIVE, **arguments: Any) -> Any:
    """
    What it makes of a prompt.
    """
    loaded.scheduler = diffusers.EulerDiscreteScheduler.from_config(loaded.scheduler.config)
    told = dict(num_inference_steps=STEPS, guidance_scale=5.0, generator=torch.Generator().manual_seed(SEED))
    return loaded(prompt=prompt, negative_prompt=negative_prompt, **told, **arguments).images[0]


def edit_of(task: str = "text_to_image", prompt: str = PROMPT, negative_prompt: str = NEGATIVE) -> Edit:
    """
    The same asked of the lab.
    """
    size = {"size": PictureSize(width=64, height=64)} if task == "text_to_image" else {}
    settings = EditSettings(denoising=Denoising(num_inference_steps=STEPS, guidance_scale=5.0, strength=1.0 if not size else 0.99), **size)
    if task == "image_to_image":
        settings = settings.model_copy(update={"denoising": settings.denoising.model_copy(update={"strength": 0.8})})
    return Edit(sample="disc", task=task, prompt=prompt, negative_prompt=negative_prompt, seed=SEED, settings=settings)


def by_peft(put: list[Put]) -> dict[str, Any]:
    """
    Weights as `set_adapters` takes them, in the order of what the files hold.
    """
    ordered = sorted(put, key=lambda one: one.content.digest)
    text = {one.name: one.asked.weight if one.asked.text_encoder_weight is None else one.asked.text_encoder_weight for one in ordered}
    return {one.name: {"unet": one.asked.weight, "text_encoder": text[one.name]} for one in ordered}


@pytest.fixture(scope="module", params=GENERATIONS)
def folder(request) -> Path:
    """
    A checkpoint of each generation.
    """
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def loras(tmp_path_factory, folder) -> dict[str, Path]:
    """
    LoRAs for UNet and text encoder: as diffusers names layers, as it did before peft, and as kohya's scripts do, `lora_te_` among them.
    """
    at = tmp_path_factory.mktemp("loras")
    return {
        "moon": write(at / "moon.safetensors", as_diffusers(matrices(folder, 1))),
        "old": write(at / "old.safetensors", as_older(matrices(folder, 3))),
        "sun": write(at / "sun.safetensors", as_kohya(matrices(folder, 2, rank=8), 4.0, alone=True)),
    }


WEIGHTS: dict[str, dict[str, Any]] = {
    "diffusers'": {"moon": 1.0},
    "older": {"old": 0.7},
    "kohya's": {"sun": 0.8},
    "both": {"moon": {"weight": 0.8, "text_encoder_weight": 0.25}, "sun": -0.5},
}


@pytest.mark.parametrize("weights", WEIGHTS)
def test_loras_on_equal_diffusers_own(folder, loras, weights):
    """
    With LoRAs on its models, a picture is bit for bit the one that diffusers makes after `load_lora_weights` and `set_adapters`.
    """
    put = put_of(loras, WEIGHTS[weights])
    with loaded_by_diffusers(pipeline("text_to_image", folder), loras, by_peft(put)) as loaded:
        expected = plain(loaded, width=64, height=64)
    made = generate(edit_of(), None, None, cpu(folder).with_adapters(put)).image
    assert same(expected, made)
    assert not same(made, generate(edit_of(), None, None, cpu(folder)).image)


@pytest.mark.parametrize("task", ["image_to_image", "inpaint"])
def test_each_task_has_them(folder, loras, scene, task):
    """
    Pictures that are made from others are diffusers' too.
    """
    (image, mask), put = scene, put_of(loras, WEIGHTS["both"])
    edit = edit_of(task)
    given = {"image": image, "strength": edit.settings.denoising.strength} | (
        {"mask_image": mask, "width": 64, "height": 64} if task == "inpaint" else {}
    )
    with loaded_by_diffusers(pipeline(task, folder), loras, by_peft(put)) as loaded:
        expected = plain(loaded, **given)
    assert same(expected, generate(edit, image, mask if task == "inpaint" else None, cpu(folder).with_adapters(put)).raw)


@pytest.fixture(scope="module")
def words(tmp_path_factory, folder) -> tuple[Put, ...]:
    """
    Embeddings of one vector and of three, in the layouts of the web UI's files and of diffusers' own.
    """
    at, width = tmp_path_factory.mktemp("embeddings"), TEXT_WIDTHS[1 if cpu(folder).base.text_encoder.config.hidden_size == TEXT_WIDTHS[1] else 2]
    files = {
        ONE: write_embedding(at / "one.safetensors", 1, seed=1, widths={"emb_params": width}),
        SEVERAL: write_embedding(at / "several.safetensors", 3, seed=3, widths={SEVERAL: width}),
    }
    put = [read("embeddings", f"of-{place}", Embedding(file=str(file), token=token), file)[0] for place, (token, file) in enumerate(files.items())]
    return tuple(sorted(put, key=lambda one: one.digest))


@pytest.mark.parametrize("text", [f"a red star, {ONE}", f"{SEVERAL} a star", f"a {ONE} star {SEVERAL}, {ONE}", "a red star"])
def test_embeddings_on_equal_diffusers_own(folder, words, text):
    """
    With embeddings on its text encoder, a picture is bit for bit the one that diffusers makes after `load_textual_inversion`, in either prompt.
    """
    loaded = getattr(diffusers, CLASSES["text_to_image"]).from_pretrained(
        folder, safety_checker=None, feature_extractor=None, requires_safety_checker=False
    )
    loaded.set_progress_bar_config(disable=True)
    for one in words:
        loaded.load_textual_inversion(one.asked.file, token=one.asked.token)
    for texts in ((text, "blurry"), ("a star", text)):
        expected = plain(loaded, *texts, width=64, height=64)
        assert same(expected, generate(edit_of("text_to_image", *texts), None, None, cpu(folder).with_adapters(words)).image)


def test_off_again_leaves_nothing(folder, loras, words):
    """
    After pictures with all of them the models are as they were loaded, and make the picture without, from the same cache too.
    """
    checkpoint, cache = cpu(folder), TrajectoryCache()
    before, edit = state_of(checkpoint.base), edit_of("text_to_image", f"a star {ONE}")
    expected = generate(edit, None, None, checkpoint, trajectories=cache).image
    on = generate(edit, None, None, checkpoint.with_adapters((*words, *put_of(loras, WEIGHTS["both"]))), trajectories=cache).image
    assert not same(expected, on)
    assert state_of(checkpoint.base) == before
    assert same(expected, generate(edit, None, None, checkpoint, trajectories=cache).image)
    assert same(expected, generate(edit, None, None, checkpoint, trajectories=TrajectoryCache()).image)


def named(kind: str, names: dict[str, Path]) -> dict[str, Any]:
    """
    Adapters as hyperparameters have them.
    """
    return {kind: {name: {"file": str(file)} for name, file in names.items()}}


def refused(checkpoint: Path, hyperparameters: dict[str, Any]) -> list[str]:
    """
    Why a run with them is refused.
    """
    from sdxl_lab.runs.resolution import resolve
    from sdxl_lab.spec.run_spec import RunSpec, SpecError

    common: Any = dict(name="x", dataset="pocket-prompts", samples=["01-red-circle"], tasks=["text_to_image"], tracking="off")
    with pytest.raises(SpecError) as caught:
        resolve(RunSpec.from_parameters(**common, checkpoint=str(checkpoint), hyperparameters=hyperparameters))
    return list(caught.value.problems)


def test_a_lora_of_another_family_is_refused_both_ways(tmp_path, random_pair, sd1, sd2):
    """
    SDXL's on one text encoder, and one of one text encoder on SDXL or on the other generation: one line for the file, which says what it is for.
    """
    files = {
        "xl": write(tmp_path / "xl.safetensors", as_kohya(matrices(random_pair / "base", 1))),
        "peft": write(tmp_path / "peft.safetensors", as_diffusers(matrices(random_pair / "base", 1))),
        "one": write(tmp_path / "one.safetensors", as_kohya(matrices(sd1, 2), alone=True)),
        "two": write(tmp_path / "two.safetensors", as_kohya(matrices(sd2, 2), alone=True)),
        "text": write(tmp_path / "text.safetensors", as_kohya(matrices(sd1, 2, parts=("text_encoder",)), alone=True)),
    }
    xl = "it is for Stable Diffusion XL, of two text encoders by its layers' names, and the checkpoint has one text encoder; take a LoRA for"
    older = "it is for Stable Diffusion 1 or 2, of one text encoder by its layers' names, and the checkpoint has two text encoders; take a LoRA for"
    expected = {
        (sd1, "xl"): xl,
        (sd2, "peft"): xl,
        (random_pair, "one"): older,
        (random_pair, "text"): older,
        (sd2, "one"): "of its .* layers are of other widths",
        (sd1, "two"): "of its .* layers are of other widths",
    }
    for (checkpoint, name), said in expected.items():
        [line] = refused(checkpoint, named("loras", {name: files[name]}))
        assert re.search(rf"loras\.{name}\.file: got .*; .*{said}", line), line


def test_the_family_is_named_by_the_width_of_the_text(tmp_path, sd1):
    """
    Real widths of cross attention are known by name: 768 is Stable Diffusion 1's, 1024 that of 2, 2048 XL's.
    """
    layer = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"
    for width, family in {768: "Stable Diffusion 1", 1024: "Stable Diffusion 2", 2048: "Stable Diffusion XL"}.items():
        tensors = {f"{layer}.lora_down.weight": torch.ones(2, width), f"{layer}.lora_up.weight": torch.ones(320, 2)}
        [line] = refused(sd1, named("loras", {"wide": write(tmp_path / "wide.safetensors", tensors)}))
        assert f"its cross attention reads text {width} wide, as that of {family}; take a LoRA for" in line


def test_an_embedding_of_another_family_is_refused_both_ways(tmp_path, random_pair, sd1, sd2):
    """
    Vectors for two text encoders on a checkpoint of one, for one on a checkpoint of two, and of the other generation's width: one line each.
    """
    files = {
        "xl": write_embedding(tmp_path / "xl.safetensors"),
        "one": write_embedding(tmp_path / "one.safetensors", widths={"emb_params": TEXT_WIDTHS[1]}),
        "published": write_embedding(tmp_path / "published.safetensors", widths={"string_to_param": 768}),
        "second": write_embedding(tmp_path / "second.safetensors", widths={"<second>": 1024}),
    }
    expected = {
        (
            sd1,
            "xl",
        ): "for the two text encoders of Stable Diffusion XL, have clip_l 16 and clip_g 24 numbers, and the checkpoint's one text encoder has 16",
        (random_pair, "one"): "for one text encoder, have 16 numbers, and the checkpoint's have clip_l 16 and clip_g 24; take a file with both",
        (sd2, "one"): "for one text encoder, have 16 numbers, and the checkpoint's one text encoder has 24; take an embedding for it",
        (random_pair, "published"): "have 768 numbers, as Stable Diffusion 1 has them",
        (sd1, "second"): "have 1024 numbers, as Stable Diffusion 2 has them",
    }
    for (checkpoint, name), said in expected.items():
        [line] = refused(checkpoint, named("embeddings", {name: files[name]}))
        assert re.search(rf"embeddings\.{name}\.file: got .*; .*{said}", line), line
