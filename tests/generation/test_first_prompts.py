"""Prompts of Stable Diffusion 1 and 2: one text encoder, whose last hidden state, normalized, is read in every syntax."""

from __future__ import annotations

from typing import Any

import pytest

from sdxl_lab.settings.sections import Denoising, EditSettings, PictureSize
from sdxl_lab.spec.edit import Edit
from tests.support.edits import SEED, STEPS, cpu, same
from tests.support.plain import pipeline, plain
from tests.support.weighted_prompts import A1111, COMFY, COMPEL

KIND = "StableDiffusionPipeline"
WORD = "red star "
"""Two tokens, of the thirty that fit into a chunk."""


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global LAST, Compel, SDTextToImageStage, TrajectoryCache, build_scheduler, fits_in, generate, torch, words
    import torch
    from compel import Compel, ReturnedEmbeddingsType

    from sdxl_lab.generation.encoding import fits_in
    from sdxl_lab.generation.generate import generate
    from sdxl_lab.generation.stages import SDTextToImageStage
    from sdxl_lab.generation.trajectory import TrajectoryCache, build_scheduler
    from sdxl_lab.prompts.reading import words

    LAST = ReturnedEmbeddingsType.LAST_HIDDEN_STATES_NORMALIZED


def embedded(checkpoint: Any, text: str, **how: str) -> Any:
    """
    What the lab makes of a prompt.
    """
    says = words(text, None, fits=fits_in([checkpoint.base]), **{"long_prompt": "cut", **how})
    told = {"role": "base", "latent_mask": None, "words": says, "cache": TrajectoryCache(), "scope": "models", "in_text": None}
    stage = SDTextToImageStage.of(checkpoint.base, scheduler=build_scheduler("euler", checkpoint.base.scheduler.config), **told)
    embeds, nothing = stage.encode_prompt("", "cpu", 1, False)
    assert nothing is None
    return embeds


def encoded(checkpoint: Any, ids: list[int]) -> Any:
    """
    The last hidden state of the tokens of a chunk.
    """
    with torch.no_grad():
        return checkpoint.base.text_encoder(torch.tensor([ids])).last_hidden_state


def by_hand(checkpoint: Any, parts: Any, rule: str) -> Any:
    """
    The published formula on the first thirty tokens of each part, which are put together here.
    """
    tokenizer, found = checkpoint.base.tokenizer, []
    empty = encoded(checkpoint, [tokenizer.bos_token_id, tokenizer.eos_token_id, *[tokenizer.pad_token_id] * 30])
    for part in parts:
        chunk = [(token, weight) for text, weight in part for token in tokenizer(text).input_ids[1:-1]][:30]
        rest = 31 - len(chunk)
        z = encoded(
            checkpoint, [tokenizer.bos_token_id, *(token for token, _ in chunk), tokenizer.eos_token_id, *[tokenizer.pad_token_id] * (rest - 1)]
        )
        weights = torch.tensor([1.0, *(weight for _, weight in chunk), *[1.0] * rest])[None, :, None]
        found.append(z * weights * (z.mean() / (z * weights).mean()) if rule == "a1111" else empty + weights * (z - empty))
    return torch.cat(found, dim=1)


@pytest.mark.parametrize("syntax", ["a1111", "comfy"])
def test_weights_are_applied_as_published(sd2, syntax):
    """
    Each prompt's embeddings are those of the tool's formula on what the text encoder gives for its tokens, whatever it is padded with.
    """
    checkpoint: Any = cpu(sd2)
    assert checkpoint.base.tokenizer.pad_token_id != checkpoint.base.tokenizer.eos_token_id
    for text, parts in {"a1111": A1111, "comfy": COMFY}[syntax].items():
        expected, found = by_hand(checkpoint, parts, syntax), embedded(checkpoint, text, syntax=syntax)
        assert expected.shape == found.shape
        assert torch.allclose(expected, found, rtol=1e-5, atol=1e-6 * float(expected.abs().max())), text


@pytest.mark.parametrize("folder", ["sd1", "sd2"])
def test_a_prompt_without_weights_is_what_diffusers_makes_of_it(request, folder):
    """
    Where nothing is weighed, every syntax gives the very embeddings of diffusers' own `encode_prompt`.
    """
    checkpoint: Any = cpu(request.getfixturevalue(folder))
    for text in ("", "a red star", WORD * 40):
        with torch.no_grad():
            expected, _ = checkpoint.base.encode_prompt(text, "cpu", 1, False)
        for syntax in ("plain", "a1111", "comfy", "compel"):
            assert torch.equal(expected, embedded(checkpoint, text, syntax=syntax)), (text, syntax)


@pytest.mark.parametrize("how", ["cut", "chunks"])
def test_compel_reads_prompts_as_it_does_alone(sd1, how):
    """
    They are, bit for bit, what compel's own object gives for this kind of model.
    """
    checkpoint: Any = cpu(sd1)
    told: dict[str, Any] = dict(returned_embeddings_type=LAST, truncate_long_prompts=how == "cut", device="cpu")
    alone = Compel(tokenizer=checkpoint.base.tokenizer, text_encoder=checkpoint.base.text_encoder, **told)
    for text in COMPEL:
        assert torch.equal(alone([text]), embedded(checkpoint, text, syntax="compel", long_prompt=how)), text


def test_a_long_prompt_goes_on_beside_a_short_negative_one(sd2):
    """
    A picture of eighty tokens is diffusers' of as many, in chunks of thirty, and of a negative prompt that the empty one makes as long.
    """
    checkpoint: Any = cpu(sd2)
    settings = EditSettings(
        denoising=Denoising(num_inference_steps=STEPS, guidance_scale=5.0), size=PictureSize(width=64, height=64), long_prompt="chunks"
    )
    edit = Edit(sample="words", task="text_to_image", prompt=WORD * 40, negative_prompt="blurry", seed=SEED, settings=settings)
    loaded, _ = pipeline(KIND, sd2)
    with torch.no_grad():
        whole, last, negative, empty = (loaded.encode_prompt(text, "cpu", 1, False)[0] for text in (WORD * 15, WORD * 10, "blurry", ""))
    embeds = dict(prompt_embeds=torch.cat([whole, whole, last], dim=1), negative_prompt_embeds=torch.cat([negative, empty, empty], dim=1))
    expected = plain(KIND, sd2, "euler", prompt=None, negative_prompt=None, guidance_scale=5.0, width=64, height=64, **embeds)
    assert same(expected, generate(edit, None, None, checkpoint).raw)
