"""Embeddings of weighted and long prompts against diffusers, compel, and published formulas written out here."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from sdxl_lab.prompts.compel_marks import has_marks
from sdxl_lab.prompts.reading import PromptError, Reading, Words, read, words
from sdxl_lab.settings.sections import Compute
from tests.support.edits import calls
from tests.support.pages import PAGES
from tests.support.weighted_prompts import A1111, COMFY, COMPEL, Weighed

if TYPE_CHECKING:
    from sdxl_lab.checkpoints.checkpoint import Checkpoint

Embedded = tuple[Any, Any]

LONG = "a red star on grass beside a very small chestnut tree, seen from above, "
MARKED = {"a1111": A1111, "comfy": COMFY}
WHERE = ["base", "refiner"]


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global accelerate, Compel, CompelForSDXL, ImageToImageStage, TextToImageStage, PENULTIMATE, TrajectoryCache, build_scheduler, fits_in, load, torch
    import accelerate
    import torch
    from compel import Compel, CompelForSDXL, ReturnedEmbeddingsType

    from sdxl_lab.checkpoints.loading import load
    from sdxl_lab.generation.encoding import fits_in
    from sdxl_lab.generation.stages import ImageToImageStage, TextToImageStage
    from sdxl_lab.generation.trajectory import TrajectoryCache, build_scheduler

    PENULTIMATE = ReturnedEmbeddingsType.PENULTIMATE_HIDDEN_STATES_NON_NORMALIZED


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    """The built-in one, whose tokenizer reads 30 tokens at once."""
    return load("pocket", Compute(device="cpu", threads=1))


def said(checkpoint: Checkpoint, text: str, negative: str | None = None, *, syntax: str, long_prompt: str = "cut") -> Words:
    """
    What prompts say to all tokenizers of a checkpoint.
    """
    return words(text, negative, syntax=syntax, long_prompt=long_prompt, fits=fits_in([checkpoint.base, checkpoint.refiner]))


def stage_of(checkpoint: Checkpoint, where: str, says: Words, cache: Any = None) -> Any:
    """
    The base's or the refiner's stage of a picture from words.
    """
    pipeline, kind = getattr(checkpoint, where), {"base": TextToImageStage, "refiner": ImageToImageStage}[where]
    scheduler = build_scheduler("euler", pipeline.scheduler.config)
    cache = TrajectoryCache() if cache is None else cache
    told = {"role": where, "scheduler": scheduler, "latent_mask": None, "words": says, "cache": cache, "scope": "models"}
    told |= {"in_text": None, "instead": {}}
    return kind.of(pipeline, **told)


def embedded(checkpoint: Checkpoint, where: str, text: str, *, cache: Any = None, **how: str) -> Embedded:
    """
    What the lab makes of one prompt.
    """
    says = said(checkpoint, text, **how)
    embeds, _, pooled, _ = stage_of(checkpoint, where, says, cache).encode_prompt("", do_classifier_free_guidance=False, negative_prompt=None)
    return embeds, pooled


def plainly(checkpoint: Checkpoint, where: str, text: str) -> Embedded:
    """
    What diffusers' own pipeline makes of a text.
    """
    with torch.no_grad():
        embeds, _, pooled, _ = getattr(checkpoint, where).encode_prompt(text, device="cpu", do_classifier_free_guidance=False)
    return embeds, pooled


def by_hand(checkpoint: Checkpoint, where: str, parts: Weighed, rule: str, *, goes_on: bool) -> Embedded:
    """
    The published formula on what each encoder gives for tokens that are put together here.
    """
    pipeline = getattr(checkpoint, where)
    pairs = [(pipeline.tokenizer_2, pipeline.text_encoder_2)]
    if where == "base":
        pairs.insert(0, (pipeline.tokenizer, pipeline.text_encoder))
    columns, pooled = [], None
    for tokenizer, model in pairs:
        hidden = []
        nothing = tokenizer("", padding="max_length", max_length=32, return_tensors="pt").input_ids
        with torch.no_grad():
            empty = model(nothing, output_hidden_states=True).hidden_states[-2]
        for part in parts:
            tokens = [(token, weight) for text, weight in part for token in tokenizer(text).input_ids[1:-1]] or [(None, 1.0)]
            for start in range(0, len(tokens), 30) if goes_on else [0]:
                chunk = [pair for pair in tokens[start : start + 30] if pair[0] is not None]
                rest = 31 - len(chunk)
                ids = [tokenizer.bos_token_id, *(token for token, _ in chunk), tokenizer.eos_token_id, *[tokenizer.pad_token_id] * (rest - 1)]
                weights = torch.tensor([1.0, *(weight for _, weight in chunk), *[1.0] * rest])[None, :, None]
                with torch.no_grad():
                    output = model(torch.tensor([ids]), output_hidden_states=True)
                z = output.hidden_states[-2]
                pooled = output[0] if not hidden and model is pipeline.text_encoder_2 else pooled
                hidden.append(z * weights * (z.mean() / (z * weights).mean()) if rule == "a1111" else empty + weights * (z - empty))
        columns.append(torch.cat(hidden, dim=1))
    return torch.cat(columns, dim=-1), pooled


def equal(expected: Embedded, actual: Embedded) -> bool:
    """
    Whether embeddings and pooled ones agree to the last bit.
    """
    return all(torch.equal(one, other) for one, other in zip(expected, actual, strict=True))


def near(expected: Embedded, actual: Embedded) -> bool:
    """
    Whether they agree but for the order of rounding.
    """
    pairs = list(zip(expected, actual, strict=True))
    return all(one.shape == other.shape and torch.allclose(one, other, rtol=1e-5, atol=1e-6 * float(one.abs().max())) for one, other in pairs)


@pytest.mark.parametrize("where", ["base", pytest.param("refiner", marks=pytest.mark.slow)])
@pytest.mark.parametrize("syntax", ["a1111", "comfy"])
def test_weights_are_applied_as_published(checkpoint, where, syntax):
    """
    Each prompt's embeddings are those of the tool's formula on its tokens and weights, and the pooled ones those of its first chunk without weights.
    """
    for text, parts in MARKED[syntax].items():
        for long_prompt in ("cut", "chunks"):
            expected = by_hand(checkpoint, where, parts, syntax, goes_on=long_prompt == "chunks")
            assert near(expected, embedded(checkpoint, where, text, syntax=syntax, long_prompt=long_prompt)), (text, long_prompt)


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("syntax", ["plain", "a1111", "comfy", "compel"])
def test_a_prompt_without_weights_is_what_diffusers_makes_of_it(checkpoint, where, syntax):
    """
    Where nothing is weighed, every syntax gives the very embeddings of diffusers' own `encode_prompt` of the text without marks, cut as it cuts.
    """
    texts = ["", "a red star", "🎉 étoile rouge, 星", "a close-up of a red star, 1.5 m", LONG]
    marked = {r"a \(red\) star": "a (red) star", "(a red star:1.0)": "a red star", "a (r:1.0)(ed:1.0) star": "a red star"}
    for text, bare in ({text: text for text in texts} | (marked if syntax in MARKED else {})).items():
        assert equal(plainly(checkpoint, where, bare), embedded(checkpoint, where, text, syntax=syntax)), text


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("syntax", ["plain", "a1111", "comfy", "compel"])
def test_chunks_of_a_prompt_that_fits_are_what_cutting_leaves(checkpoint, where, syntax):
    """
    A prompt that fits into one chunk gives the same embeddings, bit for bit, whatever becomes of longer ones.
    """
    for text in ["a red star", "a (red) star", "a (red:1.3) star", "a red++ star", ""]:
        cut, chunks = (embedded(checkpoint, where, text, syntax=syntax, long_prompt=how) for how in ("cut", "chunks"))
        assert equal(cut, chunks), text


@pytest.mark.parametrize("where", WHERE)
def test_a_long_prompt_goes_on_in_chunks(checkpoint, where):
    """
    The first chunk is diffusers' own of the prompt, cut; each later one is diffusers' own of the tokens that it holds, one behind another.
    """
    tokenizer = checkpoint.base.tokenizer
    word = "red star "
    assert len(tokenizer(word).input_ids) == 4
    text = word * 40  # 80 tokens: two chunks of 30 and one of 20
    embeds, pooled = embedded(checkpoint, where, text, syntax="plain", long_prompt="chunks")
    whole, last = (plainly(checkpoint, where, word * count) for count in (15, 10))
    assert equal((torch.cat([whole[0], whole[0], last[0]], dim=1), whole[1]), (embeds, pooled))


@pytest.mark.parametrize("how", ["cut", "chunks"])
def test_compel_reads_prompts_as_it_does_alone(checkpoint, how):
    """
    Base and refiner get, bit for bit, what compel's own objects give: for the base's encoders side by side, and for the refiner's one.
    """
    refiner = checkpoint.refiner
    for text in (*(COMPEL if how == "cut" else COMPEL[-3:]), LONG):
        alone = CompelForSDXL(checkpoint.base)
        for each in (alone.compel_1, alone.compel_2):
            each.conditioning_provider.truncate_to_model_max_length = how == "cut"
        conditioning = alone(text)
        expected = (conditioning.embeds, conditioning.pooled_embeds)
        assert equal(expected, embedded(checkpoint, "base", text, syntax="compel", long_prompt=how)), text
        second = Compel(
            tokenizer=refiner.tokenizer_2,
            text_encoder=refiner.text_encoder_2,
            returned_embeddings_type=PENULTIMATE,
            requires_pooled=True,
            truncate_long_prompts=how == "cut",
        )
        assert equal(second([text]), embedded(checkpoint, "refiner", text, syntax="compel", long_prompt=how)), text


UNTOUCHED = (
    "",
    " \t\n",
    "a close-up, 16:9, f/1.8, 1,000 stars",
    "rock-and-roll - live -5 +5 --ar",
    "[red|blue] {a|b} <x> #1 * ~ ^ = _ @ $ & % / | `",
    "it's 5.5; e.g. “quoted” words … étoile",
    "red,blue,星,½,٣",
    "🎉\u200d🎉 a\u0301 \u00a0 \u2028 x",
    "(red)",
    "red,🎉 red,_x ,,",
    "a\u00a0- b\u00a0+",
    "x-- y",
)


def test_what_has_no_marks_for_us_has_none_for_compel(checkpoint):
    """
    Of every text in which no mark is seen, compel itself gives the very embeddings of diffusers, so that it need not be asked.
    """
    unmarked = [text for text in UNTOUCHED if not has_marks(text)]
    assert unmarked == list(UNTOUCHED[:8])
    for text in unmarked:
        alone = CompelForSDXL(checkpoint.base)
        for each in (alone.compel_1, alone.compel_2):
            each.conditioning_provider.truncate_to_model_max_length = True
        conditioning = alone(text)
        assert equal(plainly(checkpoint, "base", text), (conditioning.embeds, conditioning.pooled_embeds)), text


def test_what_compel_cannot_read_is_one_error(checkpoint):
    """
    Where compel itself ends with an error of its own, the lab's names the prompt and what to do.
    """
    text = '("a red star", "on grass").and(1, 0.5)'
    with pytest.raises(AttributeError):
        CompelForSDXL(checkpoint.base)(text)
    with pytest.raises(PromptError, match=r"compel .* cannot read the prompt .*a red star.*; change its marks"):
        embedded(checkpoint, "base", text, syntax="compel")


@pytest.mark.parametrize(("syntax", "text"), [("compel", "a red++ star"), ("a1111", "a (red:1.3) star"), ("comfy", "a (red:1.3) star")])
def test_encoders_that_are_offloaded_give_the_same(checkpoint, syntax, text):
    """
    Encoders whose weights are elsewhere between their calls, as sequential offloading leaves them, give the same embeddings.
    """
    base = checkpoint.base
    copies = {name: copy.deepcopy(getattr(base, name)) for name in ("text_encoder", "text_encoder_2", "vae", "unet")}
    offloaded = type(base)(**base.components | copies)
    for model in copies.values():
        accelerate.cpu_offload(model, execution_device=torch.device("cpu"))
    assert copies["text_encoder_2"].device.type == "meta"
    elsewhere = SimpleNamespace(base=offloaded, refiner=offloaded)
    assert equal(embedded(checkpoint, "base", text, syntax=syntax), embedded(elsewhere, "base", text, syntax=syntax))


def test_the_web_uis_rule_may_turn_all_words_around(checkpoint):
    """
    Where a mean is close to zero, restoring it multiplies what has no weight by the factor that the page of prompts names; `comfy` leaves it alone.
    """
    wide = checkpoint.base.text_encoder_2.config.hidden_size
    texts = ("a red star in the snow", "a (red:1.2) star in the snow")
    beginning = {
        (text, rule): embedded(checkpoint, "base", text, syntax=rule)[0][0, 0, -wide:].detach() for text in texts for rule in ("a1111", "comfy")
    }
    plain, weighed = (beginning[text, "a1111"] for text in texts)
    factor = float(weighed.sum() / plain.sum())
    assert torch.allclose(weighed, plain * factor, atol=1e-5)
    assert f"is {factor:.2f},".replace("-", "\N{MINUS SIGN}") in PAGES["docs/prompts.md"].read_text()
    assert torch.equal(beginning[texts[1], "comfy"], plain)


@pytest.mark.parametrize("syntax", ["a1111", "comfy"])
def test_weights_beyond_numbers_are_one_error(checkpoint, syntax):
    """
    A weight that leaves no number is named, with what to choose instead.
    """
    with pytest.raises(PromptError, match=r"a prompt weighs up to .*, which outgrows float32; choose weights from 0\.5 to 1\.5"):
        embedded(checkpoint, "base", f"a (red:{'9' * 50}) star", syntax=syntax)


NEGATIVES: list[tuple[str, str, str]] = [
    ("plain", LONG, "blurry"),
    ("plain", "a red star", LONG),
    ("a1111", f"{LONG} (thorns:1.3)", "blurry BREAK (dark:1.2)"),
    ("comfy", "a (red:1.3) star BREAK on grass", ""),
    ("compel", f"{LONG} thorns++", "blurry+"),
    ("compel", '("a red star", "on grass").and()', "blurry"),
]


@pytest.mark.parametrize(("syntax", "prompt", "negative"), NEGATIVES)
def test_both_prompts_get_one_length(checkpoint, syntax, prompt, negative):
    """
    The shorter of the two is followed by the empty prompt's chunk as often as needed, as compel pads it; what comes before is its own.
    """
    says = said(checkpoint, prompt, negative, syntax=syntax, long_prompt="chunks")
    embeds, against, *_ = stage_of(checkpoint, "base", says).encode_prompt("", do_classifier_free_guidance=True, negative_prompt=negative)
    assert embeds.shape == against.shape
    alone = [embedded(checkpoint, "base", text, syntax=syntax, long_prompt="chunks")[0] for text in (prompt, negative)]
    empty, _ = plainly(checkpoint, "base", "")
    for own, padded in zip(alone, (embeds, against), strict=True):
        missing = (padded.shape[1] - own.shape[1]) // 32
        assert torch.equal(torch.cat([own, *[empty] * missing], dim=1), padded)
    if syntax == "compel":
        conditioning = CompelForSDXL(checkpoint.base)(prompt, negative_prompt=negative)
        assert torch.equal(conditioning.embeds, embeds)
        assert torch.equal(conditioning.negative_embeds, against)


def test_no_negative_prompt_is_zeros_of_the_same_length(checkpoint):
    """
    Where a checkpoint forces zeros for no negative prompt, there are as many as the prompt has tokens.
    """
    assert checkpoint.base.config.force_zeros_for_empty_prompt
    stage = stage_of(checkpoint, "base", said(checkpoint, LONG, syntax="plain", long_prompt="chunks"))
    embeds, against, _, pooled = stage.encode_prompt("", do_classifier_free_guidance=True, negative_prompt=None)
    assert embeds.shape[1] > 32
    assert embeds.shape == against.shape
    assert not against.any()
    assert not pooled.any()


def test_what_base_and_refiner_share_is_encoded_once(checkpoint):
    """
    Of a weighted prompt each chunk goes through each encoder once, and a second prompt of the same words with other weights through none.
    """
    cache = TrajectoryCache()
    with calls(checkpoint.base.text_encoder, checkpoint.base.text_encoder_2) as counts:
        for where in WHERE:
            embedded(checkpoint, where, "a (red:1.3) star", syntax="a1111", cache=cache)
        embedded(checkpoint, "base", "a (red:1.2) star", syntax="a1111", cache=cache)
    assert counts == [1, 1]


def never(texts: Sequence[str]) -> bool:
    """
    No text fits.
    """
    return not texts


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a red star", "a1111"), ("a red star", "plain")),
        (("(a red star:1.0)", "a1111"), ("a red star", "comfy")),
        (("a red, close-up star", "compel"), ("a red, close-up star", "plain")),
        ((r"a \(red\) star", "comfy"), ("a (red) star", "plain")),
        (("a red star BREAK on grass", "a1111"), ("a red star BREAK on grass", "comfy")),
        (("a (red:1.1) star", "a1111"), ("a (red) star", "a1111")),
    ],
)
def test_what_says_the_same_is_the_same_reading(one, other):
    """
    Prompts that are written differently and mean the same have one reading, by which trajectories are found.
    """

    def reading(text: str, syntax: str) -> Reading:
        return read(text, syntax=syntax, long_prompt="cut", fits=never)

    assert reading(*one) == reading(*other)


def test_readings_differ_wherever_embeddings_do(checkpoint):
    """
    Of all prompts and syntaxes here, two with one reading have the same embeddings, and two with different embeddings have different readings.
    """
    found: dict[Any, Any] = {}
    texts = [*list(A1111)[4:24], *list(COMFY)[5:15], *COMPEL[:4]]
    for text in texts:
        for syntax in ("plain", "a1111", "comfy", "compel"):
            reading = said(checkpoint, text, syntax=syntax).prompt
            embeds = embedded(checkpoint, "base", text, syntax=syntax)
            assert equal(found.setdefault(reading, embeds), embeds), (text, syntax)
    assert len(found) > 50
