"""Embeddings against diffusers' own `load_textual_inversion`, and models that know nothing of them afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sdxl_lab.adapters import Put
from sdxl_lab.adapters.embeddings import EMBEDDINGS, Embedding, written_out
from sdxl_lab.settings.sections import Compute, Denoising, EditSettings, PictureSize
from sdxl_lab.spec.edit import Edit
from tests.support.edits import SEED, calls, cpu, same
from tests.support.embeddings import ONE, SEVERAL, vectors, write_embedding

WORDS = {"of one": f"a red star, {ONE}", "of several": f"{SEVERAL} a star", "both": f"a {ONE} star {SEVERAL}, {ONE}", "none": "a red star"}


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
def files(tmp_path_factory) -> dict[str, Path]:
    """
    A token to the file of its embedding, of one vector and of three.
    """
    folder = tmp_path_factory.mktemp("embeddings")
    return {token: write_embedding(folder / f"{token}.safetensors", count, seed=count) for token, count in ((ONE, 1), (SEVERAL, 3))}


@pytest.fixture(scope="module")
def both(files) -> tuple[Put, ...]:
    """
    The two, in the order in which a run has them.
    """
    put = [read("embeddings", f"of-{place}", Embedding(file=str(file), token=token), file)[0] for place, (token, file) in enumerate(files.items())]
    return tuple(sorted(put, key=lambda one: one.digest))


@pytest.fixture(scope="module")
def by_diffusers(random_pair, files, both) -> dict[str, Any]:
    """
    Base and refiner as diffusers loads them, with both embeddings loaded by its own means into each text encoder and tokenizer.
    """
    base = diffusers.StableDiffusionXLPipeline.from_pretrained(random_pair / "base", add_watermarker=False)
    refiner = diffusers.StableDiffusionXLImg2ImgPipeline.from_pretrained(random_pair / "refiner", add_watermarker=False)
    for put in both:
        held = vectors(Path(put.asked.file))
        for pipeline in (base, refiner):
            for key, encoder, tokenizer in (("clip_l", "text_encoder", "tokenizer"), ("clip_g", "text_encoder_2", "tokenizer_2")):
                if getattr(pipeline, encoder) is not None:
                    own = {"text_encoder": getattr(pipeline, encoder), "tokenizer": getattr(pipeline, tokenizer)}
                    pipeline.load_textual_inversion(held[key], token=put.asked.token, **own)
        for pipeline in (base, refiner):
            pipeline.set_progress_bar_config(disable=True)
    return {"base": base, "refiner": refiner}


def edit_of(prompt: str, negative_prompt: str | None = "blurry", **denoising: Any) -> Edit:
    """
    A picture from words.
    """
    settings = EditSettings(
        denoising=Denoising(**{"num_inference_steps": 4, "guidance_scale": 5.0, **denoising}), size=PictureSize(width=64, height=64)
    )
    return Edit(sample="words", task="text_to_image", prompt=prompt, negative_prompt=negative_prompt, seed=SEED, settings=settings)


def by_plain(pipeline: Any, prompt: str, negative_prompt: str | None = "blurry", **arguments: Any) -> Any:
    """
    What diffusers makes of it.
    """
    pipeline.scheduler = diffusers.EulerDiscreteScheduler.from_config(pipeline.scheduler.config)
    words = dict(prompt=prompt, negative_prompt=negative_prompt, num_inference_steps=4, guidance_scale=5.0)
    made = pipeline(**words, **arguments, generator=torch.Generator().manual_seed(SEED)).images
    return made if arguments.get("output_type") == "latent" else made[0]


@pytest.mark.parametrize("words", WORDS)
@pytest.mark.parametrize("where", ["prompt", "negative_prompt"])
def test_on_equals_diffusers_own(random_pair, both, by_diffusers, words, where):
    """
    With embeddings on its models, a picture is bit for bit the one that diffusers makes after `load_textual_inversion` for each encoder.
    """
    texts = (WORDS[words], "blurry") if where == "prompt" else ("a star", WORDS[words])
    expected = by_plain(by_diffusers["base"], *texts, width=64, height=64)
    assert same(expected, generate(edit_of(*texts), None, None, cpu(random_pair).with_adapters(both)).image)


def test_the_refiner_reads_them_too(random_pair, both, by_diffusers):
    """
    A refiner, which has a tokenizer of its own and the base's second text encoder, makes what diffusers' makes once it has learned the words too.
    """
    text = WORDS["both"]
    latents = by_plain(by_diffusers["base"], text, width=64, height=64, denoising_end=0.5, output_type="latent")
    expected = by_plain(by_diffusers["refiner"], text, image=latents, denoising_start=0.5)
    edit = edit_of(text, high_noise_frac=0.5)
    assert same(expected, generate(edit, None, None, cpu(random_pair).with_adapters(both)).image)
    assert not same(expected, generate(edit, None, None, cpu(random_pair)).image)


def test_off_again_leaves_nothing(random_pair, both):
    """
    After pictures with embeddings, models, tokenizers and pictures without are what they were, and so they are when a picture ends in an error.
    """
    pair, edit = cpu(random_pair), edit_of(WORDS["both"], high_noise_frac=0.5)
    before, states = generate(edit, None, None, pair).image, (state_of(pair.base), state_of(pair.refiner))

    def interrupt(_step: Any) -> None:
        raise KeyboardInterrupt

    generate(edit, None, None, pair.with_adapters(both))
    with pytest.raises(KeyboardInterrupt):
        generate(edit, None, None, pair.with_adapters(both), on_step=interrupt)
    assert (state_of(pair.base), state_of(pair.refiner)) == states
    assert same(before, generate(edit, None, None, pair).image)


def test_with_and_without_share_nothing(random_pair, both):
    """
    Nothing that is remembered of other embeddings, or of none, is used: each set costs all its forwards, and makes the picture that it makes alone.
    """
    pair, cache, edit = cpu(random_pair), TrajectoryCache(), edit_of(WORDS["both"], high_noise_frac=0.5)
    sets = [(), both, both[:1], both[1:]]
    alone = [generate(edit, None, None, pair.with_adapters(put)).image for put in sets]
    counted = []
    for put, expected in [*zip(sets, alone, strict=True), *zip(sets, alone, strict=True)]:
        with calls(pair.base.unet, pair.refiner.unet, pair.base.text_encoder_2) as forwards:
            assert same(expected, generate(edit, None, None, pair.with_adapters(put), trajectories=cache).image)
        counted.append(tuple(forwards))
    assert len(set(counted[:4])) == 1
    assert all(counted[0])
    assert counted[4:] == [(0, 0, 0)] * 4
    assert not any(same(one, other) for place, one in enumerate(alone) for other in alone[:place])


WRITTEN = {
    "plain": ("plain", "cut", "a {} on grass"),
    "a1111": ("a1111", "cut", "a ({}:1.3) on grass"),
    "comfy": ("comfy", "cut", "a ({}:0.7) on grass"),
    "compel": ("compel", "cut", "a ({})1.3 on grass"),
    "chunks": ("a1111", "chunks", "a (blue ring:1.2), " * 6 + "a ({}:1.3) on grass BREAK {}"),
}
"""Ways to write a prompt: syntax, what becomes of a long one, and the prompt."""


@pytest.mark.filterwarnings("ignore:prompt. compel makes the pooled embedding")
@pytest.mark.parametrize("way", WRITTEN)
def test_rows_of_words_are_these_words(random_pair, tmp_path, way):
    """
    An embedding whose vectors are those of two words makes the picture of these words, weighed and in chunks too.
    """
    syntax, long_prompt, text = WRITTEN[way]
    pair = cpu(random_pair)
    ids = pair.base.tokenizer("red star").input_ids[1:-1]
    encoders = {"clip_l": pair.base.text_encoder, "clip_g": pair.base.text_encoder_2}
    rows = {key: encoder.get_input_embeddings().weight[ids].detach() for key, encoder in encoders.items()}
    file = write_embedding(tmp_path / "words.safetensors", rows=rows)
    put, _ = read("embeddings", "words", Embedding(file=str(file), token="two-words"), file)
    assert len(ids) == 2

    def made(words: str, put: Any) -> Any:
        edit = edit_of(text.replace("{}", words), high_noise_frac=0.5)
        asked = {"prompt_syntax": syntax, "long_prompt": long_prompt}
        edit = edit.model_copy(update={"settings": edit.settings.model_copy(update=asked)})
        return generate(edit, None, None, pair.with_adapters(put)).image

    assert same(made("red star", []), made("two-words", [put]))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_vectors_of_half_precision_equal_diffusers(random_pair, tmp_path, dtype):
    """
    A file of another precision than the models' is brought to theirs as diffusers does it.
    """
    file = write_embedding(tmp_path / "half.safetensors", 2, dtype=getattr(torch, dtype))
    put, _ = read("embeddings", "half", Embedding(file=str(file), token="<half>"), file)
    base = diffusers.StableDiffusionXLPipeline.from_pretrained(random_pair / "base", add_watermarker=False)
    base.set_progress_bar_config(disable=True)
    held = vectors(file)
    base.load_textual_inversion(held["clip_l"], token="<half>", text_encoder=base.text_encoder, tokenizer=base.tokenizer)
    base.load_textual_inversion(held["clip_g"], token="<half>", text_encoder=base.text_encoder_2, tokenizer=base.tokenizer_2)
    expected = by_plain(base, "a <half> star", width=64, height=64)
    assert same(expected, generate(edit_of("a <half> star"), None, None, cpu(random_pair).with_adapters([put])).image)


def test_capitals_mean_the_same(random_pair, both):
    """
    As with all words of a prompt, capitals make no difference, also for embeddings of several vectors.
    """
    pair = cpu(random_pair).with_adapters(both)
    small, large = (generate(edit_of(text), None, None, pair).image for text in (WORDS["both"], WORDS["both"].upper()))
    assert same(small, large)


def test_a_longer_token_is_not_taken_for_the_shorter_one():
    """
    A token that begins as another does is written out as itself.
    """
    text = "<ab> <ab-2>, <ab>"
    assert written_out(text, ()) == text
    assert written_out(text, ("<ab>", "<ab>_1", "<ab-2>")) == "<ab> <ab>_1 <ab-2>, <ab> <ab>_1"


@pytest.mark.parametrize("offload", ["model", "sequential", "group"])
def test_offloaded_encoders_read_them(random_pair, both, offload):
    """
    Where models or their layers wait elsewhere until they are called, the same vectors come out, and the hooks stay as they were.
    """
    from sdxl_lab.checkpoints.configurations import MODELS
    from sdxl_lab.checkpoints.offload import Residence

    pair, edit = cpu(random_pair), edit_of(WORDS["both"])
    away = diffusers.StableDiffusionXLPipeline.from_pretrained(random_pair / "base", add_watermarker=False)
    Residence(torch.device("cpu"), offload).admit(away, MODELS)
    texts: dict[str, Any] = {}
    for name, pipeline in (("here", pair.base), ("away", away)):
        parts = {key: pipeline.components[key] for key in ("vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "unet", "scheduler")}
        with EMBEDDINGS.on([pipeline], both) as instead:
            stage = diffusers.StableDiffusionXLPipeline(**{key: instead.get(id(part), part) for key, part in parts.items()}, add_watermarker=False)
            texts[name] = stage.encode_prompt(edit.prompt, do_classifier_free_guidance=False)[::2]
    assert all(torch.equal(one, other) for one, other in zip(texts["here"], texts["away"], strict=True))
    assert type(away.text_encoder.get_input_embeddings()) is torch.nn.Embedding


def test_a_text_ends_where_it_ends(random_pair, both, tmp_path):
    """
    Where a checkpoint's configuration names the end of a text wrongly, as SDXL's on the hub does, a picture is the one of the right configuration.
    """
    import json
    import shutil

    wrong = tmp_path / "wrong"
    shutil.copytree(random_pair, wrong)
    for part, name in (("base", "text_encoder"), ("base", "text_encoder_2"), ("refiner", "text_encoder_2")):
        file = wrong / part / name / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"eos_token_id": 2}))
    pair = load(str(wrong), Compute(device="cpu", threads=1))
    state = state_of(pair.base)
    for text in (WORDS["both"], WORDS["none"]):
        edit = edit_of(text, high_noise_frac=0.5)
        expected = generate(edit, None, None, cpu(random_pair).with_adapters(both)).image
        assert same(expected, generate(edit, None, None, pair.with_adapters(both)).image)
    assert state_of(pair.base) == state
    base = diffusers.StableDiffusionXLPipeline.from_pretrained(wrong / "base", add_watermarker=False)
    assert base.text_encoder_2.text_model.eos_token_id == 2
