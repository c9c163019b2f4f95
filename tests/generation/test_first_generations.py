"""Stable Diffusion 1 and 2 against diffusers' own pipelines: every kind of work, both kinds of UNet, both kinds of noise."""

# pyright: reportCallIssue=false, reportIndexIssue=false, reportOptionalMemberAccess=false, reportOperatorIssue=false
# A scene is a picture and its mask, and what an edit made of it has both.

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sdxl_lab.checkpoints.own_defaults import defaults
from sdxl_lab.checkpoints.weight_files import CheckpointError
from sdxl_lab.doctor import pictures
from sdxl_lab.settings.sections import Canvas, Compute, Denoising, EditSettings, Mask, PictureSize
from sdxl_lab.spec.edit import Edit
from tests.support.edits import KINDS, NEGATIVE, PROMPT, SEED, STEPS, calls, cpu, crossed, same
from tests.support.first_generations import write_first_generation
from tests.support.plain import CHANGES, UNCHECKED, plain

FOLDERS = ("sd1", "sd1_inpaint", "sd2", "sd2_inpaint")
WORK = {
    "text_to_image": "StableDiffusionPipeline",
    "image_to_image": "StableDiffusionImg2ImgPipeline",
    "inpaint": "StableDiffusionInpaintPipeline",
    "outpaint": "StableDiffusionInpaintPipeline",
}
MADE = [(folder, task) for folder in FOLDERS for task in WORK if "paint" in task or "inpaint" not in folder]
"""Which of them make what: a UNet that was trained to inpaint makes nothing else."""


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global CancelledError, NotFiniteError, generate, diffusers, load, load_file, save_file, torch, TrajectoryCache
    import diffusers
    import torch
    from safetensors.torch import load_file, save_file

    from sdxl_lab.checkpoints.loading import load
    from sdxl_lab.generation.finite import NotFiniteError
    from sdxl_lab.generation.generate import generate
    from sdxl_lab.generation.steps import CancelledError
    from sdxl_lab.generation.trajectory import TrajectoryCache


@pytest.fixture
def folder(request) -> Path:
    """One of FOLDERS."""
    return request.getfixturevalue(request.param)


def edit_of(task: str, *, negative_prompt: str | None = NEGATIVE, prompt: str = PROMPT, mask: Mask | None = None, **asked: Any) -> Edit:
    """
    An edit of the scene of 0.8 strength; what is no setting of `denoising` is one of the edit.
    """
    denoising = {"num_inference_steps": STEPS, "guidance_scale": 5.0} | ({} if task == "text_to_image" else {"strength": 0.8})
    denoising |= {key: asked.pop(key) for key in Denoising.model_fields if key in asked}
    size = PictureSize(width=64, height=64) if task == "text_to_image" else PictureSize()
    settings = EditSettings(denoising=Denoising(**denoising), size=size, mask=mask or Mask(), **asked)
    return Edit(sample="disc", task=task, prompt=prompt, negative_prompt=negative_prompt, seed=SEED, settings=settings)


def given(task: str, scene: Any) -> tuple[Any, Any]:
    """
    What a task takes of the scene.
    """
    return (None, None) if task == "text_to_image" else (scene[0], scene[1] if "paint" in task else None)


def told(task: str, scene: Any, *, strength: float = 0.8) -> dict[str, Any]:
    """
    The same as diffusers takes it: the mask as it is to be repainted, which outpainting turns around.
    """
    if task == "text_to_image":
        return dict(width=64, height=64)
    image, mask = scene
    if task == "image_to_image":
        return dict(image=image, strength=strength)
    return dict(image=image, mask_image=mask if task == "inpaint" else mask.point(lambda level: 255 - level), width=64, height=64, strength=strength)


def is_quick(made: tuple[str, str], scheduler: str) -> bool:
    """
    Whether a case is not left to the slow tests: one scheduler for all, and one of each kind where the UNet predicts v, or has nine channels.
    """
    return scheduler == "euler" or (scheduler in KINDS and made in (("sd2", "text_to_image"), ("sd1_inpaint", "inpaint")))


@pytest.mark.parametrize(("made", "scheduler"), crossed(MADE, CHANGES, quick=is_quick))
def test_every_kind_of_work_equals_the_plain_pipelines(request, scene, made, scheduler):
    """
    With the same seed, picture and mask, both generations make what diffusers' own pipelines do, with four channels and with nine.
    """
    name, task = made
    folder = request.getfixturevalue(name)
    expected = plain(WORK[task], folder, scheduler, guidance_scale=5.0, **told(task, scene))
    assert same(expected, generate(edit_of(task, scheduler=scheduler), *given(task, scene), cpu(folder)).raw)


@pytest.mark.filterwarnings("ignore:.* no effect")
@pytest.mark.parametrize("negative_prompt", [None, "", "snow"])
@pytest.mark.parametrize("guidance_scale", [1.0, 7.0])
@pytest.mark.parametrize("folder", ["sd1", "sd2_inpaint"], indirect=True)
def test_words_and_guidance_are_the_pipelines_own(scene, folder, guidance_scale, negative_prompt):
    """
    Each means what it means to diffusers: without a negative prompt guidance leads away from the empty one, and at 1 it is off.
    """
    asked: dict[str, Any] = dict(guidance_scale=guidance_scale, negative_prompt=negative_prompt)
    expected = plain(WORK["inpaint"], folder, "euler", **asked, **told("inpaint", scene, strength=1.0))
    assert same(expected, generate(edit_of("inpaint", strength=1.0, **asked), *scene, cpu(folder)).raw)


def test_what_the_unet_predicts_is_the_schedulers_to_say(tmp_path, sd2):
    """
    The same weights make another picture as those that predict v than as those that predict noise, under every scheduler, and diffusers' own.
    """
    noise = write_first_generation(tmp_path / "noise", 2)
    for scheduler in KINDS:
        pictures = []
        for folder in (sd2, noise):
            expected = plain(WORK["text_to_image"], folder, scheduler, guidance_scale=5.0, width=64, height=64)
            pictures.append(generate(edit_of("text_to_image", scheduler=scheduler), None, None, cpu(folder)).raw)
            assert same(expected, pictures[-1])
        assert not same(*pictures)


@pytest.mark.parametrize("task", ["text_to_image", "image_to_image", "inpaint"])
@pytest.mark.parametrize("folder", ["sd1", "sd2"], indirect=True)
def test_in_half_precision_all_of_it_is_half(scene, folder, task):
    """
    In float16 the autoencoder computes in it, too, as these pipelines need it, and attention is widened where the UNet's configuration says so.
    """
    checkpoint = load(str(folder), Compute(device="cpu", threads=1, dtype="float16"))
    base: Any = checkpoint.base
    assert {base.unet.dtype, base.text_encoder.dtype, base.vae.dtype} == {torch.float16}
    assert {each.upcast_attention for each in base.unet.modules() if type(each).__name__ == "Attention"} == {folder.name == "two"}
    made = generate(edit_of(task), *given(task, scene), checkpoint).raw
    whole = getattr(diffusers, WORK[task])(**base.components, requires_safety_checker=False)  # the models order their pixels for a CPU
    whole.scheduler = diffusers.EulerDiscreteScheduler.from_config(base.scheduler.config)
    asked = dict(prompt=PROMPT, negative_prompt=NEGATIVE, num_inference_steps=STEPS, guidance_scale=5.0, **told(task, scene))
    assert same(whole(**asked, generator=torch.Generator().manual_seed(SEED)).images[0], made)


def test_in_bfloat16_the_autoencoder_stays_wide(sd2):
    """
    A VAE bands in bfloat16, so it decodes in float32 what the UNet made.
    """
    checkpoint = load(str(sd2), Compute(device="cpu", threads=1, dtype="bfloat16"))
    base: Any = checkpoint.base
    assert (base.unet.dtype, base.vae.dtype) == (torch.bfloat16, torch.float32)
    whole = diffusers.StableDiffusionPipeline(**base.components, requires_safety_checker=False)
    whole.scheduler = diffusers.EulerDiscreteScheduler.from_config(base.scheduler.config)
    latents = whole(
        PROMPT, negative_prompt=NEGATIVE, num_inference_steps=STEPS, guidance_scale=5.0, width=64, height=64, output_type="latent",
        generator=torch.Generator().manual_seed(SEED),
    ).images  # fmt: skip
    with torch.no_grad():
        decoded = base.vae.decode(latents.float() / base.vae.config.scaling_factor).sample
    expected = whole.image_processor.postprocess(decoded)[0]
    assert same(expected, generate(edit_of("text_to_image"), None, None, checkpoint).raw)


@pytest.mark.parametrize("scheduler", crossed(["euler_a", "dpmpp_2m", "heun"], quick=lambda scheduler: scheduler != "heun"))
@pytest.mark.parametrize("made", [("sd2", "text_to_image"), ("sd1", "image_to_image"), ("sd2", "inpaint"), ("sd1_inpaint", "inpaint")])
def test_a_trajectory_is_gone_on_with_where_it_was_cut(request, scene, made, scheduler):
    """
    Stopped after any step and asked for again, a picture is the one that was made at once, and no step is computed twice.
    """
    name, task = made
    checkpoint = cpu(request.getfixturevalue(name))
    edit, inputs = edit_of(task, scheduler=scheduler), given(task, scene)
    with calls(checkpoint.base.unet) as counted:
        whole = generate(edit, *inputs, checkpoint)
    [forwards] = counted
    assert forwards == whole.base_steps
    cache = TrajectoryCache()

    def stop(step: Any) -> None:
        if step.done == 2:
            raise CancelledError

    with calls(checkpoint.base.unet) as counted:
        with pytest.raises(CancelledError):
            generate(edit, *inputs, checkpoint, trajectories=cache, on_step=stop)
        assert counted == [2]
        again = generate(edit, *inputs, checkpoint, trajectories=cache)
        assert same(whole.image, again.image)
        assert counted == [forwards]
        assert same(whole.image, generate(edit, *inputs, checkpoint, trajectories=cache).image)
        assert counted == [forwards]


def test_texts_and_pictures_are_encoded_once(sd1, scene):
    """
    Pictures that share a prompt and an input ask the text encoder and the encoder once, whatever else differs.
    """
    checkpoint, cache = cpu(sd1), TrajectoryCache()
    with calls(checkpoint.base.text_encoder, checkpoint.base.vae.encoder) as counted:
        for scheduler in ("euler", "ddim"):
            generate(edit_of("inpaint", scheduler=scheduler), *scene, checkpoint, trajectories=cache)
    assert counted == [2, 1]


@pytest.mark.filterwarnings("ignore:mask.soft softens", "ignore:mask.soft threshold tells")
@pytest.mark.parametrize(("folder", "method"), [("sd1", "threshold"), ("sd2_inpaint", "blend")], indirect=["folder"])
def test_a_soft_mask_without_grays_is_a_hard_one(scene, folder, method):
    """
    Asked for of black and white cells, either way of softness makes the hard mask's picture, and of a gradient another one.
    """
    image, mask = scene
    blocks = mask.resize((8, 8), Image.Resampling.NEAREST).resize((64, 64), Image.Resampling.NEAREST)
    binary = generate(edit_of("inpaint"), image, blocks, cpu(folder))
    gray = Image.fromarray(np.tile(np.linspace(0, 255, 64).round().astype(np.uint8), (64, 1)))
    with pytest.warns(match="mask.soft has no effect"):
        soft = generate(edit_of("inpaint", mask=Mask(soft=method)), image, blocks, cpu(folder))
    assert same(binary.raw, soft.raw)
    graded = generate(edit_of("inpaint", mask=Mask(soft=method)), image, gray, cpu(folder))
    assert not same(graded.raw, generate(edit_of("inpaint"), image, gray, cpu(folder)).raw)


def test_a_canvas_is_extended(sd2_inpaint, scene):
    """
    Beyond the borders of a picture the pipeline paints what it does when it is given the canvas and its border as a mask.
    """
    image, _ = scene
    canvas = Canvas(left_px=16, right_px=16)
    made = generate(edit_of("outpaint", mode="canvas", canvas=canvas, strength=1.0), image, None, cpu(sd2_inpaint))
    assert made.image.size == (96, 64)
    width, height = made.working_size
    shown = made.input_image.resize((width, height), Image.Resampling.LANCZOS)
    border = made.mask_image.resize((width, height), Image.Resampling.LANCZOS).point(lambda level: 255 * (level > 127))
    arguments: dict[str, Any] = dict(image=shown, mask_image=border, width=width, height=height, strength=1.0, guidance_scale=5.0)
    assert same(plain(WORK["outpaint"], sd2_inpaint, "euler", **arguments), made.raw)


def test_a_unet_of_nine_channels_inpaints_alone(sd1_inpaint):
    """
    Asked for a picture from words, it is refused with what can be done.
    """
    told = "has 9 input channels, since it was trained to inpaint, and text_to_image needs one with 4; take another checkpoint, such as sd15"
    with pytest.raises(CheckpointError, match=told):
        generate(edit_of("text_to_image"), None, None, cpu(sd1_inpaint))


def test_nothing_filters_pictures(sd1):
    """
    The checker that the folder's index names is neither loaded nor missed, and no picture is made black.
    """
    base: Any = cpu(sd1).base
    assert base.safety_checker is None
    assert base.config.requires_safety_checker is False
    assert not (sd1 / "safety_checker").exists()
    assert UNCHECKED["safety_checker"] is None


@pytest.mark.parametrize("task", ["text_to_image", "inpaint"])
def test_latent_cells_are_as_large_as_the_autoencoder_makes_them(tmp_path_factory, scene, task):
    """
    With a VAE of a level less, cells are of 4 pixels, and masks reach them as they do in diffusers.
    """
    folder = tmp_path_factory.getbasetemp() / "cells"
    if not folder.exists():
        write_first_generation(folder, 2, cell_px=4)
    checkpoint = cpu(folder)
    assert (checkpoint.sizes.cell_px, checkpoint.sizes.area) == (4, 64**2)
    expected = plain(WORK[task], folder, "euler", guidance_scale=5.0, **told(task, scene))
    assert same(expected, generate(edit_of(task), *given(task, scene), checkpoint).raw)


@pytest.mark.parametrize("made", [("sd2", "text_to_image"), ("sd1_inpaint", "inpaint")])
def test_the_doctor_compares_with_the_pipelines_themselves(request, made):
    """
    Its page says that the lab's picture is the one of plain diffusers, of whichever generation.
    """
    name, task = made
    [finding] = pictures.equality(str(request.getfixturevalue(name)))
    assert finding.line == f"{task} by the base: the picture that plain diffusers makes here, bit for bit"


def test_an_autoencoder_that_outgrows_half_precision_has_one_remedy(tmp_path, scene):
    """
    There is no VAE made for it before XL, so none is advised.
    """
    folder = write_first_generation(tmp_path / "outgrown", 1)
    file = folder / "vae" / "diffusion_pytorch_model.safetensors"
    weights = load_file(file)
    weights["decoder.conv_in.weight"].fill_(60000.0)
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(NotFiniteError, match=r"decoder gave .* outgrow half precision; set compute\.dtype to float32, or take another file"):
        generate(edit_of("inpaint"), *scene, load(str(folder), Compute(device="cpu", dtype="float16", threads=1)))


def test_words_are_guided_as_their_pipeline_would(sd1):
    """
    Steps and guidance that nobody gives are the defaults of diffusers' pipeline, those of XL being others.
    """
    own = inspect.signature(diffusers.StableDiffusionPipeline.__call__).parameters
    found = defaults(cpu(sd1).identity, task="text_to_image")["denoising"]
    assert {key: found[key] for key in ("num_inference_steps", "guidance_scale")} == {
        key: own[key].default for key in ("num_inference_steps", "guidance_scale")
    }
