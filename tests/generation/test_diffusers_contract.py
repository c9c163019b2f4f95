"""What `generation/stages/` takes for granted of diffusers' pipelines, so that a version that changes it says where to look."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from sdxl_lab.families import FAMILIES
from sdxl_lab.settings.sections import Conditioning
from tests.support.edits import make_edit

VERSION: str


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global DiagonalGaussianDistribution, STAGES, Stage, VERSION, VaeImageProcessor, base_call, diffusers, logging, randn_tensor, stage_of
    import diffusers
    from diffusers.image_processor import VaeImageProcessor
    from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
    from diffusers.utils import logging
    from diffusers.utils.torch_utils import randn_tensor

    from sdxl_lab.generation.inputs import base_call
    from sdxl_lab.generation.stages import STAGES, Stage, stage_of

    VERSION = f"diffusers {diffusers.__version__}"


@dataclass(frozen=True, kw_only=True)
class Overridden:
    """A method of a pipeline that a stage has its own of.

    Attributes:
        takes: Its parameters, without self.
        positional: How many arguments `__call__` gives it by position; None where another method calls it.
        keywords: Those that it gives by name.
        results: What it unpacks the result into.
    """

    takes: str
    positional: int | None = None
    keywords: str = ""
    results: str = ""


@dataclass(frozen=True, kw_only=True)
class Granted:
    """What a stage takes for granted of its pipeline.

    Attributes:
        pipeline: Name of diffusers' class.
        overridden: By name, beside `encode_prompt`, which all have.
        images: What it is called with beside `base_call`.
        step: What stands in the code of a step, in this order.
    """

    pipeline: str
    overridden: dict[str, Overridden]
    images: tuple[str, ...] = ()
    step: tuple[str, ...] = field(default=("self.scheduler.step(", "= callback_on_step_end(self", "callback_outputs.pop('latents'"))


TEXTS = (
    "prompt prompt_2 device num_images_per_prompt do_classifier_free_guidance negative_prompt negative_prompt_2 prompt_embeds "
    "negative_prompt_embeds pooled_prompt_embeds negative_pooled_prompt_embeds lora_scale clip_skip"
)
ENCODE_PROMPT = Overridden(
    takes=TEXTS,
    positional=0,
    keywords=TEXTS,
    results="prompt_embeds negative_prompt_embeds pooled_prompt_embeds negative_pooled_prompt_embeds",
)
SD_TEXTS = "prompt device num_images_per_prompt do_classifier_free_guidance negative_prompt prompt_embeds negative_prompt_embeds lora_scale clip_skip"
SD_ENCODE_PROMPT = Overridden(
    takes=SD_TEXTS,
    positional=5,
    keywords="prompt_embeds negative_prompt_embeds lora_scale clip_skip",
    results="prompt_embeds negative_prompt_embeds",
)
GUIDANCE = Overridden(takes="w embedding_dim dtype")
DEVICE = Overridden(takes="")
EXPANDED = Overridden(takes="prompt tokenizer")
GET_TIMESTEPS = Overridden(
    takes="num_inference_steps strength device denoising_start",
    positional=3,
    keywords="denoising_start",
    results="timesteps num_inference_steps",
)

MASK_LATENTS = Overridden(
    takes="mask masked_image batch_size height width dtype device generator do_classifier_free_guidance",
    positional=9,
    results="mask masked_image_latents",
)
NOISE = Overridden(takes="batch_size num_channels_latents height width dtype device generator latents", positional=8, results="latents")

GRANTED = {
    "InpaintStage": Granted(
        pipeline="StableDiffusionXLInpaintPipeline",
        overridden={
            "_execution_device": DEVICE,
            "_maybe_convert_prompt": EXPANDED,
            "encode_prompt": ENCODE_PROMPT,
            "get_guidance_scale_embedding": GUIDANCE,
            "get_timesteps": GET_TIMESTEPS,
            "prepare_latents": Overridden(
                takes="batch_size num_channels_latents height width dtype device generator latents image timestep is_strength_max add_noise "
                "return_noise return_image_latents",
                positional=8,
                keywords="image timestep is_strength_max add_noise return_noise return_image_latents",
                results="latents_outputs",
            ),
            "prepare_mask_latents": MASK_LATENTS,
            "_encode_vae_image": Overridden(takes="image generator"),
        },
        images=("image", "mask_image"),
        step=("self.scheduler.step(", "init_mask * latents", "= callback_on_step_end(self", "callback_outputs.pop('latents'"),
    ),
    "ImageToImageStage": Granted(
        pipeline="StableDiffusionXLImg2ImgPipeline",
        overridden={
            "_execution_device": DEVICE,
            "_maybe_convert_prompt": EXPANDED,
            "encode_prompt": ENCODE_PROMPT,
            "get_guidance_scale_embedding": GUIDANCE,
            "get_timesteps": GET_TIMESTEPS,
            "prepare_latents": Overridden(
                takes="image timestep batch_size num_images_per_prompt dtype device generator add_noise", positional=8, results="latents"
            ),
        },
        images=("image",),
    ),
    "TextToImageStage": Granted(
        pipeline="StableDiffusionXLPipeline",
        overridden={
            "_execution_device": DEVICE,
            "_maybe_convert_prompt": EXPANDED,
            "encode_prompt": ENCODE_PROMPT,
            "get_guidance_scale_embedding": GUIDANCE,
            "interrupt": Overridden(takes=""),
            "prepare_latents": NOISE,
        },
    ),
    "SDInpaintStage": Granted(
        pipeline="StableDiffusionInpaintPipeline",
        overridden={
            "_execution_device": DEVICE,
            "_maybe_convert_prompt": EXPANDED,
            "encode_prompt": SD_ENCODE_PROMPT,
            "get_guidance_scale_embedding": GUIDANCE,
            "get_timesteps": Overridden(
                takes="num_inference_steps strength device",
                positional=0,
                keywords="num_inference_steps strength device",
                results="timesteps num_inference_steps",
            ),
            "prepare_latents": Overridden(
                takes="batch_size num_channels_latents height width dtype device generator latents image timestep is_strength_max return_noise "
                "return_image_latents",
                positional=8,
                keywords="image timestep is_strength_max return_noise return_image_latents",
                results="latents_outputs",
            ),
            "prepare_mask_latents": MASK_LATENTS,
            "_encode_vae_image": Overridden(takes="image generator"),
        },
        images=("image", "mask_image"),
        step=("self.scheduler.step(", "init_mask * latents", "= callback_on_step_end(self", "callback_outputs.pop('latents'"),
    ),
    "SDImageToImageStage": Granted(
        pipeline="StableDiffusionImg2ImgPipeline",
        overridden={
            "_execution_device": DEVICE,
            "_maybe_convert_prompt": EXPANDED,
            "encode_prompt": SD_ENCODE_PROMPT,
            "get_guidance_scale_embedding": GUIDANCE,
            "get_timesteps": Overridden(takes="num_inference_steps strength device", positional=3, results="timesteps num_inference_steps"),
            "prepare_latents": Overridden(
                takes="image timestep batch_size num_images_per_prompt dtype device generator", positional=7, results="latents"
            ),
        },
        images=("image",),
    ),
    "SDTextToImageStage": Granted(
        pipeline="StableDiffusionPipeline",
        overridden={
            "_execution_device": DEVICE,
            "_maybe_convert_prompt": EXPANDED,
            "encode_prompt": SD_ENCODE_PROMPT,
            "get_guidance_scale_embedding": GUIDANCE,
            "interrupt": Overridden(takes=""),
            "prepare_latents": NOISE,
        },
    ),
}
"""By stage."""

OVERRIDDEN = [(name, method) for name, granted in GRANTED.items() for method, overridden in granted.overridden.items() if overridden.takes]
CALLED = [(name, method) for name, method in OVERRIDDEN if GRANTED[name].overridden[method].positional is not None]


def pipeline_of(name: str) -> Any:
    """
    Diffusers' own, of a stage.
    """
    return getattr(diffusers, GRANTED[name].pipeline)


def stage_named(name: str) -> Any:
    """
    The lab's own.
    """
    return STAGES[GRANTED[name].pipeline]


def code_of(method: Any) -> ast.FunctionDef:
    """
    The statements of a method.
    """
    [function] = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(method)))).body
    assert isinstance(function, ast.FunctionDef)
    return function


def call_of(name: str) -> ast.FunctionDef:
    """
    The statements of a stage's pipeline, when it is called.
    """
    return code_of(pipeline_of(name).__call__)


def called(name: str, function: str) -> tuple[ast.Call, ast.expr]:
    """
    How the pipeline calls a function or a method of its own, the one time that it does, and what it puts the result into.
    """
    found = [
        (node.value, node.targets[0])
        for node in ast.walk(call_of(name))
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and ast.unparse(node.value.func) == function
    ]
    assert len(found) == 1, f"{VERSION} calls {function} {len(found)} times in one picture; see how often {name} expects it"
    return found[0]


def test_each_stage_stands_here_with_its_pipeline():
    """
    This file speaks of every class that makes pictures, each around one of diffusers'.
    """
    assert {stage.__name__ for stage in STAGES.values()} == GRANTED.keys(), "say in GRANTED what the other stage takes for granted"
    for name, stage in STAGES.items():
        assert pipeline_of(stage.__name__).__name__ == name
        assert stage.__bases__[-1] is pipeline_of(stage.__name__), f"{name} comes after what the lab has of its own"


@pytest.mark.parametrize("name", GRANTED)
def test_the_stage_overrides_what_is_listed_here(name):
    """
    Each method or property of the pipeline that the stage has its own of stands in this file.
    """
    pipeline, kinds = pipeline_of(name), [kind for kind in stage_named(name).__mro__ if issubclass(kind, Stage)]
    defined = {key: value for kind in reversed(kinds) for key, value in vars(kind).items()}
    own = {key for key, value in defined.items() if (inspect.isfunction(value) or isinstance(value, property)) and hasattr(pipeline, key)}
    listed = GRANTED[name].overridden.keys()
    assert own == listed, f"say in GRANTED what {name} takes for granted of {own ^ listed}"


@pytest.mark.parametrize(("name", "method"), OVERRIDDEN)
def test_overridden_methods_take_what_they_took(name, method):
    """
    Their parameters have the names and the order that the stage's own read.
    """
    got = [parameter for parameter in inspect.signature(getattr(pipeline_of(name), method)).parameters if parameter != "self"]
    assert got == GRANTED[name].overridden[method].takes.split(), (
        f"{VERSION} has other parameters of {method}; see what {name}.{method} does with each of them, and with new ones"
    )


@pytest.mark.parametrize(("name", "method"), CALLED)
def test_the_pipeline_calls_them_as_it_did(name, method):
    """
    It gives by position what the stage unpacks by position, and by name what it reads by name, and unpacks as many results as the stage returns.
    """
    call, target = called(name, f"self.{method}")
    expected = GRANTED[name].overridden[method]
    assert len(call.args) == expected.positional, f"{VERSION} gives {method} {len(call.args)} arguments by position; see what {name}.{method} unpacks"
    got = {keyword.arg for keyword in call.keywords}
    assert got == set(expected.keywords.split()), f"{VERSION} gives {method} other keywords; see which {name}.{method} reads"
    names = ast.unparse(target).strip("()").replace(",", "").split()
    assert names == expected.results.split(), f"{VERSION} takes other results from {method}; see what {name}.{method} returns"


@pytest.mark.parametrize("name", ["InpaintStage", "SDInpaintStage"])
def test_latents_come_in_the_order_they_came(name):
    """
    Latents, noise and image latents, the last only where the UNet has four channels.
    """
    unpacked = [
        ast.unparse(node.targets[0])
        for node in ast.walk(call_of(name))
        if isinstance(node, ast.Assign) and ast.unparse(node.value) == "latents_outputs"
    ]
    assert unpacked == ["(latents, noise, image_latents)", "(latents, noise)"], f"{VERSION} unpacks latents otherwise; see Stage.prepare_latents"


@pytest.mark.parametrize("name", GRANTED)
def test_a_step_ends_with_the_callback_that_may_change_latents(name):
    """
    It is called with the pipeline, the step's number, its timestep and a dictionary, after the blend with what is around a mask.
    """
    call, _ = called(name, "callback_on_step_end")
    got = [ast.unparse(argument) for argument in call.args]
    assert got == ["self", "i", "t", "callback_kwargs"], f"{VERSION} calls the callback with {got}; see `remember` in Stage.run"
    lines = ast.unparse(call_of(name)).splitlines()
    order = [next(place for place, line in enumerate(lines) if text in line) for text in GRANTED[name].step]
    assert order == sorted(order), f"{VERSION} has another order of step, blend and callback; see what the states of Stage.run hold"


@pytest.mark.parametrize("name", GRANTED)
def test_an_interrupted_pipeline_makes_no_further_step(name):
    """
    The flag that the stage sets is the one that the loop reads, once a step and before anything else, and it begins unset.
    """
    pipeline, code = pipeline_of(name), call_of(name)
    assert pipeline.interrupt.fget(SimpleNamespace(_interrupt="as set")) == "as set", f"{VERSION} has no flag _interrupt; see Stage.run"
    assert "self._interrupt = False" in [line.strip() for line in ast.unparse(code).splitlines()], f"{VERSION} does not reset it; see Stage.run"
    [loop] = [node for node in ast.walk(code) if isinstance(node, ast.For) and ast.unparse(node.iter) == "enumerate(timesteps)"]
    assert ast.unparse(loop.body[0]) == "if self.interrupt:\n    continue", (
        f"{VERSION} does not pass over steps when it is interrupted; see Stage.run"
    )
    asked = [node for node in ast.walk(code) if isinstance(node, ast.Attribute) and node.attr in ("interrupt", "_interrupt")]
    assert len(asked) == 2, f"{VERSION} asks for the flag more than once a step; see TextToImage.interrupt"


@pytest.mark.parametrize(("name", "expected"), [("TextToImageStage", ["self.scheduler.set_begin_index(0)"]), ("SDTextToImageStage", [])])
def test_noise_is_made_when_the_timesteps_are_known(name, expected):
    """
    Between `prepare_latents` of text to image, which restores the scheduler, and the first step, the scheduler is told its first index at most.
    """
    lines = [line.strip() for line in ast.unparse(call_of(name)).splitlines()]
    before, begun, loop = (
        next(place for place, line in enumerate(lines) if text in line)
        for text in ("= retrieve_timesteps(self.scheduler", "latents = self.prepare_latents(", "for i, t in enumerate(timesteps)")
    )
    assert before < begun < loop, f"{VERSION} has another order; see TextToImage.prepare_latents"
    told = [line for line in lines[begun:loop] if re.search(r"self\.scheduler\.\w+\(", line)]
    assert told == expected, f"{VERSION} tells the scheduler {told}; see TextToImage.prepare_latents"


@pytest.mark.parametrize("name", GRANTED)
def test_what_the_stage_reads_of_a_pipeline_is_made_where_it_was(name):
    """
    `vae_scale_factor` and `image_processor` are made with the pipeline, and the picture is decoded through that processor.
    """
    initialized = code_of(pipeline_of(name).__init__)
    made = {ast.unparse(target) for node in ast.walk(initialized) if isinstance(node, ast.Assign) for target in node.targets}
    assert {"self.vae_scale_factor", "self.image_processor"} <= made, f"{VERSION} makes them elsewhere; see Stage.of"
    assert "self.image_processor.postprocess(image, output_type=output_type" in ast.unparse(call_of(name)), f"{VERSION} decodes otherwise"


def test_what_the_stages_are_made_of_is_what_it_was():
    """
    The image processor, the noise and the VAE's distribution have the methods and the parameters that the stages use.
    """
    assert next(iter(list(inspect.signature(VaeImageProcessor.postprocess).parameters)[1:])) == "image", f"see _Decoded.postprocess, {VERSION}"
    assert list(inspect.signature(randn_tensor).parameters)[:4] == ["shape", "generator", "device", "dtype"], f"see prepare_mask_latents, {VERSION}"
    for name in ("sample", "mode"):
        assert hasattr(DiagonalGaussianDistribution, name), f"{VERSION} has no {name} of a VAE's distribution; see Stage._posterior"


@pytest.mark.parametrize("name", GRANTED)
def test_the_pipeline_takes_what_it_is_called_with(name):
    """
    Every argument that a stage gives has that name, and what the stage passes over, its pipeline takes nowhere.
    """
    pipeline, stage, is_xl = pipeline_of(name), stage_named(name), "XL" in GRANTED[name].pipeline
    taken, made_with = (inspect.signature(method).parameters.keys() for method in (pipeline.__call__, pipeline.__init__))
    edit = make_edit()
    told = Conditioning.model_validate(dict.fromkeys(Conditioning.model_fields, (64, 64)))
    edit = edit.model_copy(update={"settings": edit.settings.model_copy(update={"conditioning": told})})
    given = {*base_call(edit, (64, 64)), *GRANTED[name].images, "generator", "output_type", "callback_on_step_end"}
    xl = FAMILIES["sdxl"].pipelines
    if any(stage_of(xl, work, "refiner") is stage for work in xl):
        given |= {"denoising_start", "aesthetic_score", "negative_aesthetic_score"}
    missing = given - stage.passes_over - taken
    assert not missing, f"{VERSION} takes no {', '.join(sorted(missing))}; see generation/inputs.py and generation/generate.py"
    settings = {"requires_aesthetics_score", "force_zeros_for_empty_prompt"} if is_xl else set()
    settings |= FAMILIES["sdxl" if is_xl else "sd"].told.keys()
    assert settings - stage.passes_over <= made_with, f"{VERSION} is made otherwise; see Stage.of"
    assert not stage.passes_over & (taken | made_with), f"{VERSION} takes what {name} passes over"


def test_every_family_has_the_pipeline_that_a_stage_is_built_around():
    """
    Checkpoints are loaded as the pipeline that their family names, one of a stage's, and its models are handed to all stages.
    """
    for name, family in FAMILIES.items():
        assert set(family.pipelines.values()) <= {granted.pipeline for granted in GRANTED.values()}, f"{name} names a pipeline of no stage"


def test_loading_finds_the_progress_bar_that_it_replaces():
    """
    Diffusers shows the components of a pipeline by a function that can be exchanged.
    """
    for name in ("tqdm", "disable_progress_bar", "enable_progress_bar"):
        assert callable(getattr(logging, name, None)), f"{VERSION} has no {name} in its logging; see failures_named in checkpoints/files.py"
