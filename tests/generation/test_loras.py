"""LoRAs against diffusers with peft, and models that know nothing of them afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import sdxl_lab
from sdxl_lab.adapters._lora_names import Places, _as_published
from sdxl_lab.adapters.embeddings import Embedding
from sdxl_lab.adapters.loras import LORAS, Lora
from sdxl_lab.settings.sections import Denoising, EditSettings, PictureSize, Refiner
from sdxl_lab.spec.edit import Edit
from tests.support.edits import NEGATIVE, PROMPT, SEED, calls, cpu, crossed, make_edit, same
from tests.support.embeddings import write_embedding
from tests.support.loras import CONVOLUTIONS, ENDS, as_diffusers, as_kohya, as_older, by_peft, loaded_by_diffusers, matrices, put_of, two_files, write
from tests.support.plain import pipeline, plain

STEPS = 4
QUICKLY: dict[str, Any] = dict(width=64, height=64, num_inference_steps=STEPS, guidance_scale=5.0)

KINDS = {
    "text_to_image": ("StableDiffusionXLPipeline", "StableDiffusionXLImg2ImgPipeline"),
    "image_to_image": ("StableDiffusionXLImg2ImgPipeline",) * 2,
    "inpaint": ("StableDiffusionXLInpaintPipeline",) * 2,
}
"""By task, diffusers' pipelines of base and refiner."""

POCKET = Path(sdxl_lab.__file__).parent / "pocket" / "weights"
OF_SDXL: dict[str, Any] = dict(
    block_out_channels=(32, 64, 64),
    down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    layers_per_block=2,
    transformer_layers_per_block=(1, 2, 10),
    attention_head_dim=(2, 4, 4),
    norm_num_groups=8,
)
"""How deep its UNet is, and narrow."""


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global diffusers, torch, generate, load, read, state_of, TrajectoryCache
    import diffusers
    import torch

    from sdxl_lab.checkpoints.loading import load
    from sdxl_lab.checkpoints.model_state import state_of
    from sdxl_lab.generation.generate import generate
    from sdxl_lab.generation.trajectory import TrajectoryCache
    from sdxl_lab.runs.adapted import read


@pytest.fixture(scope="module")
def files(tmp_path_factory, random_pair) -> dict[str, Path]:
    """
    As `two_files` has them.
    """
    return two_files(tmp_path_factory.mktemp("loras"), random_pair / "base")


def edit_of(task: str = "text_to_image", **denoising: Any) -> Edit:
    """
    A picture of few steps.
    """
    if task == "inpaint":
        return make_edit(**{"guidance_scale": 5.0, "num_inference_steps": STEPS, **denoising})
    refiner = denoising.pop("refiner", None) or Refiner()
    size = {"size": PictureSize(width=64, height=64)} if task == "text_to_image" else {}
    told = {"num_inference_steps": STEPS, "guidance_scale": 5.0, **denoising}
    settings = EditSettings(denoising=Denoising(**told), refiner=refiner, **size)
    return Edit(sample="disc", task=task, prompt=PROMPT, negative_prompt=NEGATIVE, seed=SEED, settings=settings)


def given_to(task: str, scene: Any) -> tuple[dict[str, Any], tuple[Any, Any]]:
    """
    What diffusers and the lab are given besides words.
    """
    image, mask = scene
    return {
        "text_to_image": (dict(width=64, height=64), (None, None)),
        "image_to_image": (dict(image=image, strength=0.99), (image, None)),
        "inpaint": (dict(image=image, mask_image=mask, width=64, height=64, strength=0.99), (image, mask)),
    }[task]


WEIGHTS: dict[str, dict[str, Any]] = {
    "one": {"moon": 1.0},
    "kohya's": {"sun": 0.8},
    "both": {"moon": 0.3, "sun": 0.8},
    "negative": {"moon": -1.5, "sun": 0.4},
    "other in text": {"moon": {"weight": 0.8, "text_encoder_weight": 0.25}, "sun": {"weight": 0.5, "text_encoder_weight": -0.5}},
    "not in text": {"moon": {"weight": 0.8, "text_encoder_weight": 0}},
    "in text alone": {"moon": {"weight": 0, "text_encoder_weight": 0.8}, "sun": 0.4},
}


@pytest.mark.parametrize("weights", WEIGHTS)
def test_on_equals_diffusers_own(random_pair, files, weights):
    """
    With LoRAs on its models, a picture is bit for bit the one that diffusers makes after `load_lora_weights` and `set_adapters`.
    """
    put = put_of(files, WEIGHTS[weights])
    with loaded_by_diffusers(pipeline(KINDS["text_to_image"][0], random_pair / "base")[0], files, by_peft(put)):
        expected = plain(KINDS["text_to_image"][0], random_pair / "base", "euler", **QUICKLY)
    made = generate(edit_of(), None, None, cpu(random_pair).with_adapters(put)).image
    assert same(expected, made)
    assert not same(made, generate(edit_of(), None, None, cpu(random_pair)).image)


@pytest.mark.parametrize("task", ["image_to_image", "inpaint"])
def test_each_task_has_them(random_pair, files, scene, task):
    """
    Pictures that are made from others are diffusers' too.
    """
    put, (given, inputs) = put_of(files, WEIGHTS["both"]), given_to(task, scene)
    with loaded_by_diffusers(pipeline(KINDS[task][0], random_pair / "base")[0], files, by_peft(put)):
        expected = plain(KINDS[task][0], random_pair / "base", "euler", num_inference_steps=STEPS, guidance_scale=5.0, **given)
    assert same(expected, generate(edit_of(task, strength=0.99), *inputs, cpu(random_pair).with_adapters(put)).raw)


HANDOVERS: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    # what the lab is asked, and what diffusers' base and refiner are called with
    "stock": ({"high_noise_frac": 0.6, "handover": "stock"}, {"denoising_end": 0.6}, {"denoising_start": 0.6}),
    "sdedit": ({"handover": "sdedit", "refiner": Refiner(strength=0.4)}, {}, {"strength": 0.4}),
    "consistent": ({"high_noise_frac": 0.6}, {"denoising_end": 0.6}, {"denoising_start": 0.6}),
}

QUICK = (("text_to_image", "consistent"), ("inpaint", "stock"))


@pytest.mark.filterwarnings("ignore:.* no effect")  # of words alone and under euler, stock makes the picture of consistent
@pytest.mark.parametrize(
    ("task", "handover", "reads"),
    [
        case
        for case in crossed(["text_to_image", "inpaint"], HANDOVERS, [False, True], quick=lambda task, handover, _: (task, handover) in QUICK)
        if case.values[:2] != ("inpaint", "consistent")  # diffusers has none with a mask
    ],
)
def test_the_refiner_has_them_where_it_is_told_to(random_pair, files, scene, task, handover, reads):
    """
    Base with LoRAs and refiner without any are two calls of diffusers; with `refiner` the refiner reads by the base's text encoder with them.
    """
    asked, first, second = HANDOVERS[handover]
    put = put_of(files, {name: {"weight": weight, "refiner": reads} for name, weight in WEIGHTS["both"].items()})
    (given, inputs), (of_base, of_refiner) = given_to(task, scene), KINDS[task]
    shared: dict[str, Any] = dict(num_inference_steps=5, guidance_scale=5.0)
    base, refiner = pipeline(of_base, random_pair / "base")[0], pipeline(of_refiner, random_pair / "refiner")[0]
    own = refiner.text_encoder_2
    with loaded_by_diffusers(base, files, by_peft(put)):
        latents = plain(of_base, random_pair / "base", "euler", output_type="latent", **given, **shared, **first)
        refiner.text_encoder_2 = base.text_encoder_2 if reads else own
        again = {key: value for key, value in given.items() if key == "mask_image" or (task == "inpaint" and key in ("width", "height", "strength"))}
        image = latents[None] if latents.ndim == 3 else latents
        expected = plain(of_refiner, random_pair / "refiner", "euler", image=image, **again | shared | second)
        refiner.text_encoder_2 = own
    edit = edit_of(task, num_inference_steps=5, strength=0.99, **asked)
    assert same(expected, generate(edit, *inputs, cpu(random_pair).with_adapters(put)).raw)


def test_a_refiner_that_reads_with_them_is_the_unsplit_run(twin_pair, files):
    """
    With LoRAs on the text encoders alone and the same UNet twice, a hand-over is none.
    """
    told = {name: {"weight": 0, "text_encoder_weight": 0.7, "refiner": True} for name in files}
    checkpoint = cpu(twin_pair).with_adapters(put_of(files, told))
    split = generate(edit_of(high_noise_frac=0.6), None, None, checkpoint)
    assert same(generate(edit_of(), None, None, checkpoint).image, split.image)
    assert split.refiner_steps >= 2


SPELLED: dict[str, Any] = {
    "diffusers": as_diffusers,
    "older diffusers": as_older,
    "kohya": lambda made: as_kohya(made, 2.0),
    "kohya without alpha": as_kohya,
    "kohya, blocks as published": lambda made: as_kohya(made, 2.0, published=True),
}


@pytest.mark.parametrize(
    ("spelled", "dtype"),
    crossed(SPELLED, ["float32", "float16", "bfloat16"], quick=lambda spelled, dtype: (dtype == "float32") != (spelled in ("diffusers", "kohya"))),
)
def test_whoever_wrote_the_file(random_pair, tmp_path, spelled, dtype):
    """
    However a file names its layers, and in whichever precision it holds them, it is read as diffusers reads it.
    """
    base = random_pair / "base"
    file = write(tmp_path / "moon.safetensors", SPELLED[spelled](matrices(base, 5)), dtype=getattr(torch, dtype))
    put = put_of({"moon": file}, {"moon": 0.9})
    with loaded_by_diffusers(pipeline(KINDS["text_to_image"][0], base)[0], {"moon": file}, by_peft(put)):
        expected = plain(KINDS["text_to_image"][0], base, "euler", **QUICKLY)
    assert same(expected, generate(edit_of(), None, None, cpu(random_pair).with_adapters(put)).image)


@pytest.mark.parametrize("spelled", ["diffusers", "kohya", "kohya, blocks as published"])
def test_convolutions_have_them_too(random_pair, tmp_path, spelled):
    """
    A LoCon, which changes convolutions as well, is diffusers' own.
    """
    base = random_pair / "base"
    made = matrices(base, 6, parts=["unet"], ends={"unet": (*ENDS["unet"], *CONVOLUTIONS)}, size=0.1)
    file = write(tmp_path / "moon.safetensors", SPELLED[spelled](made))
    put = put_of({"moon": file}, {"moon": 0.9})
    with loaded_by_diffusers(pipeline(KINDS["text_to_image"][0], base)[0], {"moon": file}, {"moon": 0.9}):
        expected = plain(KINDS["text_to_image"][0], base, "euler", **QUICKLY)
    assert same(expected, generate(edit_of(), None, None, cpu(random_pair).with_adapters(put)).image)


@pytest.mark.parametrize("depth", ["sdxl", "pocket"])
def test_blocks_are_numbered_as_published(depth):
    """
    Each layer of a UNet of SDXL's depth, and of the pocket checkpoint's, is found under the number that diffusers takes for it.
    """
    from diffusers import UNet2DConditionModel
    from diffusers.loaders.lora_conversion_utils import _convert_non_diffusers_lora_to_diffusers, _maybe_map_sgm_blocks_to_diffusers
    from diffusers.utils.state_dict_utils import convert_unet_state_dict_to_peft

    own: Any = UNet2DConditionModel.load_config(POCKET / "base", subfolder="unet")
    config = {**own, **(OF_SDXL if depth == "sdxl" else {})}
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(config)
    places = Places.in_weights({name: tuple(weight.shape) for name, weight in unet.state_dict().items()})
    published = dict(_as_published(places.shapes))
    assert set(published.values()) == set(places.shapes)
    for name, path in published.items():
        layer = f"lora_unet_{name.replace('.', '_')}"
        named = _maybe_map_sgm_blocks_to_diffusers({f"{layer}.lora_{end}.weight": None for end in ("down", "up")}, unet.config)
        found = convert_unet_state_dict_to_peft(_convert_non_diffusers_lora_to_diffusers(named)[0])
        assert set(found) == {f"unet.{path}.lora_{letter}.weight" for letter in "AB"}


def with_syntax(edit: Edit, text: str, syntax: str) -> Edit:
    """
    The same with another prompt.
    """
    return edit.model_copy(update={"prompt": text, "settings": edit.settings.model_copy(update={"prompt_syntax": syntax, "long_prompt": "chunks"})})


@pytest.mark.filterwarnings("ignore:prompt. compel makes the pooled embedding")
@pytest.mark.parametrize(("syntax", "text"), {"a1111": "a (red:1.3) {} BREAK grass", "comfy": "a (red:0.7) {}", "compel": "a (red)1.3 {}"}.items())
def test_weighed_words_and_embeddings_are_read_with_them(random_pair, files, tmp_path, syntax, text):
    """
    However a prompt is encoded, text encoders with LoRAs on them read it, and a word that was trained as the word whose vectors it has.
    """
    pair, put = cpu(random_pair), put_of(files, {"moon": {"weight": 0.5, "refiner": True}})
    ids = pair.base.tokenizer("star").input_ids[1:-1]
    encoders = {"clip_l": pair.base.text_encoder, "clip_g": pair.base.text_encoder_2}
    rows = {key: encoder.get_input_embeddings().weight[ids].detach() for key, encoder in encoders.items()}
    file = write_embedding(tmp_path / "word.safetensors", rows=rows)
    word, _ = read("embeddings", "word", Embedding(file=str(file), token="a-word"), file)
    edit = edit_of(high_noise_frac=0.5)
    plain_words, trained, without = (
        generate(with_syntax(edit, text.format(one), syntax), None, None, pair.with_adapters(on)).image
        for one, on in (("star", put), ("a-word", [word, *put]), ("star", []))
    )
    assert same(plain_words, trained)
    assert not same(plain_words, without)


def test_off_again_leaves_nothing(random_pair, files):
    """
    After pictures with LoRAs, models and pictures without are what they were, and so they are when a picture ends in an error.
    """
    pair, edit, put = cpu(random_pair), edit_of(high_noise_frac=0.5), put_of(files, WEIGHTS["both"])
    before, states = generate(edit, None, None, pair).image, (state_of(pair.base), state_of(pair.refiner))

    def interrupt(_step: Any) -> None:
        raise KeyboardInterrupt

    generate(edit, None, None, pair.with_adapters(put))
    with pytest.raises(KeyboardInterrupt):
        generate(edit, None, None, pair.with_adapters(put), on_step=interrupt)
    assert (state_of(pair.base), state_of(pair.refiner)) == states
    for model in (pair.base.unet, pair.base.text_encoder, pair.base.text_encoder_2):
        assert not any(type(module).__module__.startswith("peft") for module in model.modules())
        assert not hasattr(model, "peft_config")
        assert not getattr(model, "_hf_peft_config_loaded", False)
    assert same(before, generate(edit, None, None, pair).image)


def test_what_is_remembered_is_never_another_sets(random_pair, files):
    """
    From one cache, whatever came before, each set makes the picture that it makes alone, with the forwards of a picture without any.
    """
    pair, cache, edit = cpu(random_pair), TrajectoryCache(), edit_of(high_noise_frac=0.5)
    sets = [put_of(files, told) for told in ({}, {"moon": 0.5}, {"moon": 1.0}, {"sun": 1.0}, WEIGHTS["both"], WEIGHTS["not in text"])]
    alone = [generate(edit, None, None, pair.with_adapters(put)).image for put in sets]
    counted = []
    for put, expected in [*zip(sets, alone, strict=True), *zip(sets, alone, strict=True)]:
        with calls(pair.base.unet, pair.refiner.unet, pair.base.text_encoder, pair.base.text_encoder_2) as forwards:
            assert same(expected, generate(edit, None, None, pair.with_adapters(put), trajectories=cache).image)
        counted.append(tuple(forwards))
    unets, texts = {forwards[:2] for forwards in counted[:6]}, [forwards[2:] for forwards in counted[:6]]
    assert unets == {(2, 2)}
    # The refiner reads without them: what the first set left. The last set changes no text encoder.
    assert texts == [(2, 2)] * 5 + [(0, 0)]
    assert counted[6:] == [(0, 0, 0, 0)] * 6
    assert not any(same(one, other) for place, one in enumerate(alone) for other in alone[:place])


def test_the_refiner_alone_costs_its_own_text(random_pair, files):
    """
    A refiner that reads without a LoRA of the text encoders encodes both prompts again; one that reads with it, or with one of the UNet, nothing.
    """
    pair, edit = cpu(random_pair), edit_of(high_noise_frac=0.5)
    counted = {}
    for told in ({"weight": 0.5}, {"weight": 0.5, "refiner": True}, {"weight": 0.5, "text_encoder_weight": 0}):
        with calls(pair.base.unet, pair.refiner.unet, pair.base.text_encoder_2) as forwards:
            generate(edit, None, None, pair.with_adapters(put_of(files, {"moon": told})))
        counted[str(told)] = tuple(forwards)
    assert list(counted.values()) == [(2, 2, 4), (2, 2, 2), (2, 2, 2)]


def test_names_are_no_matter_and_weights_are(files):
    """
    A digest is of what a file holds, and of the weights that have an effect.
    """

    def digest(name: str = "moon", **told: Any) -> str:
        return put_of(files, {name: {"weight": 0.5, **told}})[0].digest

    assert digest() == digest(text_encoder_weight=0.5)
    assert digest(text_encoder_weight=0.0) == digest(text_encoder_weight=0.0, refiner=True)
    others = [digest(), digest("sun"), digest(weight=0.6), digest(text_encoder_weight=0.4), digest(text_encoder_weight=0.0), digest(refiner=True)]
    assert len(set(others)) == len(others)


def test_nothing_is_neutral_but_weight_0(files):
    """
    Only where neither half has a weight a LoRA is as none.
    """
    content = put_of(files, {"moon": 1})[0].content
    asked = {
        (weight, text): Lora(file="x.safetensors", weight=weight, text_encoder_weight=text) for weight in (0.0, 0.5) for text in (None, 0.0, -0.5)
    }
    assert {told for told, lora in asked.items() if LORAS.is_neutral(lora, content)} == {(0.0, None), (0.0, 0.0)}
