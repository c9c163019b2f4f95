"""What `generation/stages/` takes for granted of diffusers' inpainting pipeline, so that a version that changes it says where to look."""

from __future__ import annotations

import ast
import inspect
import textwrap
from types import SimpleNamespace
from typing import Any

import pytest

from sdxl_lab.families import FAMILIES
from tests.support.edits import make_edit

PIPELINE: Any
CALL: ast.FunctionDef
VERSION: str


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global CALL, DiagonalGaussianDistribution, PIPELINE, Stage, VERSION, VaeImageProcessor, base_call, diffusers, logging, randn_tensor
    import diffusers
    from diffusers.image_processor import VaeImageProcessor
    from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
    from diffusers.utils import logging
    from diffusers.utils.torch_utils import randn_tensor

    from sdxl_lab.generation.inputs import base_call
    from sdxl_lab.generation.stages.inpaint import InpaintStage as Stage

    PIPELINE, VERSION = diffusers.StableDiffusionXLInpaintPipeline, f"diffusers {diffusers.__version__}"
    CALL = code_of(PIPELINE.__call__)


PARAMETERS = {
    "get_timesteps": "num_inference_steps strength device denoising_start",
    "prepare_latents": "batch_size num_channels_latents height width dtype device generator latents image timestep is_strength_max add_noise "
    "return_noise return_image_latents",
    "prepare_mask_latents": "mask masked_image batch_size height width dtype device generator do_classifier_free_guidance",
    "encode_prompt": "prompt prompt_2 device num_images_per_prompt do_classifier_free_guidance negative_prompt negative_prompt_2 prompt_embeds "
    "negative_prompt_embeds pooled_prompt_embeds negative_pooled_prompt_embeds lora_scale clip_skip",
    "_encode_vae_image": "image generator",
}
"""Of each method that the stage overrides, without self."""


def code_of(method: Any) -> ast.FunctionDef:
    """
    The statements of a method.
    """
    [function] = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(method)))).body
    assert isinstance(function, ast.FunctionDef)
    return function


def called(name: str) -> tuple[ast.Call, ast.expr]:
    """
    How the pipeline calls a function or a method of its own, the one time that it does, and what it puts the result into.
    """
    found = [
        (node.value, node.targets[0])
        for node in ast.walk(CALL)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and ast.unparse(node.value.func) == name
    ]
    assert len(found) == 1, f"{VERSION} calls {name} {len(found)} times in one picture; see how often Stage expects it"
    return found[0]


def test_the_stage_overrides_what_is_listed_here():
    """
    Each method of the pipeline that the stage has its own of stands in this file.
    """
    own = {name for name, value in vars(Stage).items() if inspect.isfunction(value) and hasattr(PIPELINE, name)}
    assert own == PARAMETERS.keys(), f"say in PARAMETERS what Stage takes for granted of {own ^ PARAMETERS.keys()}"


@pytest.mark.parametrize("name", PARAMETERS)
def test_overridden_methods_take_what_they_took(name):
    """
    Their parameters have the names and the order that the stage's own read.
    """
    got = [parameter for parameter in inspect.signature(getattr(PIPELINE, name)).parameters if parameter != "self"]
    assert got == PARAMETERS[name].split(), (
        f"{VERSION} has other parameters of {name}; see what Stage.{name} does with each of them, and with new ones"
    )


@pytest.mark.parametrize(
    ("name", "positional", "keywords", "results"),
    [
        ("get_timesteps", 3, "denoising_start", "timesteps num_inference_steps"),
        ("prepare_latents", 8, "image timestep is_strength_max add_noise return_noise return_image_latents", "latents_outputs"),
        ("prepare_mask_latents", 9, "", "mask masked_image_latents"),
        (
            "encode_prompt",
            0,
            "prompt prompt_2 device num_images_per_prompt do_classifier_free_guidance negative_prompt negative_prompt_2 prompt_embeds "
            "negative_prompt_embeds pooled_prompt_embeds negative_pooled_prompt_embeds lora_scale clip_skip",
            "prompt_embeds negative_prompt_embeds pooled_prompt_embeds negative_pooled_prompt_embeds",
        ),
    ],
)
def test_the_pipeline_calls_them_as_it_did(name, positional, keywords, results):
    """
    It gives by position what the stage unpacks by position, and by name what it reads by name, and unpacks as many results as the stage returns.
    """
    call, target = called(f"self.{name}")
    assert len(call.args) == positional, f"{VERSION} gives {name} {len(call.args)} arguments by position; see what Stage.{name} unpacks"
    got = {keyword.arg for keyword in call.keywords}
    assert got == set(keywords.split()), f"{VERSION} gives {name} other keywords ({got ^ set(keywords.split())}); see which Stage.{name} reads"
    names = ast.unparse(target).strip("()").replace(",", "").split()
    assert names == results.split(), f"{VERSION} takes other results from {name}; see what Stage.{name} returns"


def test_latents_come_in_the_order_they_came():
    """
    Latents, noise and image latents, the last only where the UNet has four channels.
    """
    unpacked = [
        ast.unparse(node.targets[0]) for node in ast.walk(CALL) if isinstance(node, ast.Assign) and ast.unparse(node.value) == "latents_outputs"
    ]
    assert unpacked == ["(latents, noise, image_latents)", "(latents, noise)"], f"{VERSION} unpacks latents otherwise; see Stage.prepare_latents"


def test_a_step_ends_with_the_callback_that_may_change_latents():
    """
    It is called with the pipeline, the step's number, its timestep and a dictionary, after the blend with what is around the mask.
    """
    call, _ = called("callback_on_step_end")
    got = [ast.unparse(argument) for argument in call.args]
    assert got == ["self", "i", "t", "callback_kwargs"], f"{VERSION} calls the callback with {got}; see `remember` in Stage.run"
    lines = ast.unparse(CALL).splitlines()
    order = [next(place for place, line in enumerate(lines) if text in line) for text in BLEND_THEN_CALLBACK]
    assert order == sorted(order), f"{VERSION} has another order of step, blend and callback; see what the states of Stage.run hold"


BLEND_THEN_CALLBACK = ("self.scheduler.step(", "init_mask * latents", "= callback_on_step_end(self", "callback_outputs.pop('latents'")


def test_an_interrupted_pipeline_makes_no_further_step():
    """
    The flag that the stage sets is the one that the loop reads, and it begins unset.
    """
    assert PIPELINE.interrupt.fget(SimpleNamespace(_interrupt="as set")) == "as set", f"{VERSION} has no flag _interrupt; see Stage.run"
    lines = [line.strip() for line in ast.unparse(CALL).splitlines()]
    assert "self._interrupt = False" in lines, f"{VERSION} does not reset _interrupt; see Stage.run"
    assert lines[lines.index("if self.interrupt:") + 1] == "continue", f"{VERSION} does not pass over steps when it is interrupted; see Stage.run"


def test_what_the_stage_reads_of_a_pipeline_is_made_where_it_was():
    """
    `vae_scale_factor` and `image_processor` are made with the pipeline, and the picture is decoded through that processor.
    """
    made = {ast.unparse(target) for node in ast.walk(code_of(PIPELINE.__init__)) if isinstance(node, ast.Assign) for target in node.targets}
    assert {"self.vae_scale_factor", "self.image_processor"} <= made, f"{VERSION} makes them elsewhere; see Stage.of"
    assert "self.image_processor.postprocess(image, output_type=output_type)" in ast.unparse(CALL), f"{VERSION} decodes otherwise; see _Decoded"
    assert next(iter(list(inspect.signature(VaeImageProcessor.postprocess).parameters)[1:])) == "image", f"see _Decoded.postprocess, {VERSION}"
    assert list(inspect.signature(randn_tensor).parameters)[:4] == ["shape", "generator", "device", "dtype"], f"see prepare_mask_latents, {VERSION}"
    for name in ("sample", "mode"):
        assert hasattr(DiagonalGaussianDistribution, name), f"{VERSION} has no {name} of a VAE's distribution; see Stage._posterior"


def test_the_pipeline_takes_what_it_is_called_with():
    """
    Every argument that the stages give has that name.
    """
    taken = inspect.signature(PIPELINE.__call__).parameters.keys()
    given = {*base_call(make_edit(), (64, 64)), "image", "mask_image", "denoising_start", "aesthetic_score", "negative_aesthetic_score"}
    given |= {"generator", "output_type", "callback_on_step_end"}
    assert given <= taken, f"{VERSION} takes no {', '.join(sorted(given - taken))}; see generation/inputs.py and generation/generate.py"


def test_every_family_has_the_pipeline_that_the_stage_is():
    """
    A stage is built around the models of the pipeline that a family names.
    """
    for name, family in FAMILIES.items():
        assert issubclass(Stage, getattr(diffusers, family.pipelines["inpaint"])), f"{name} names another pipeline than Stage is"


def test_loading_finds_the_progress_bar_that_it_replaces():
    """
    Diffusers shows the components of a pipeline by a function that can be exchanged.
    """
    for name in ("tqdm", "disable_progress_bar", "enable_progress_bar"):
        assert callable(getattr(logging, name, None)), f"{VERSION} has no {name} in its logging; see _failures_named in checkpoints/files.py"
