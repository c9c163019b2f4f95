"""The built-in embedding: that its file is what it is said to be, that nothing else was trained, and that it does what it is for."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from sdxl_lab import text_to_image
from sdxl_lab.metrics import sharpness_inside
from tests.support.edits import same


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global card, embedding, encode, negatives, safe_open, stats, StableDiffusionXLPipeline, tokenize, torch
    import torch
    from diffusers import StableDiffusionXLPipeline
    from safetensors import safe_open
    from scipy import stats

    from sdxl_lab.pocket.training import card, embedding, negatives
    from sdxl_lab.pocket.training.diffusion import encode, tokenize


@pytest.fixture(scope="module")
def base():
    """The checkpoint's base, by plain diffusers, of which nothing needs a gradient."""
    pipeline = StableDiffusionXLPipeline.from_pretrained(negatives.WEIGHTS / "base", dtype=torch.float32, add_watermarker=False)
    for model in (pipeline.text_encoder, pipeline.text_encoder_2, pipeline.unet, pipeline.vae):
        model.requires_grad_(False)
    return pipeline


def _everything(pipeline):
    models = {name: model for name, model in pipeline.components.items() if isinstance(model, torch.nn.Module)}
    return {f"{name}.{key}": weight for name, model in models.items() for key, weight in model.state_dict().items()}


def test_the_file_is_the_one_that_the_model_card_speaks_of():
    """
    Its digest and its number of vectors stand in the model card.
    """
    said = card.CARD.read_text()
    assert hashlib.sha256(embedding.FILE.read_bytes()).hexdigest() in said
    assert f"{embedding.VECTORS} vectors" in said


def test_the_file_fits_both_text_encoders_of_the_checkpoint(base):
    """
    It holds as many finite fp16 vectors for either text encoder, as wide as its own, in less than 100 KB.
    """
    assert embedding.FILE.stat().st_size < 100e3
    with safe_open(embedding.FILE, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    widths = {"clip_l": base.text_encoder.config.hidden_size, "clip_g": base.text_encoder_2.config.hidden_size}
    assert {name: tuple(rows.shape) for name, rows in tensors.items()} == {name: (embedding.VECTORS, width) for name, width in widths.items()}
    assert all(rows.dtype == torch.float16 and bool(torch.isfinite(rows).all()) for rows in tensors.values())


def test_vectors_are_trained_as_diffusers_reads_them(base):
    """
    Training encodes the word, alone and after a caption, as a pipeline that has loaded the vectors, bit for bit.
    """
    vectors = embedding.begun(base)
    texts = ["pocket-blurry", "a red star on grass pocket-blurry"]
    every = " ".join(embedding.tokens_of("pocket-blurry"))
    tokenizer = embedding.taught(base.tokenizer, embedding.tokens_of("pocket-blurry"))
    tokens = tokenize(tokenizer, [text.replace("pocket-blurry", every) for text in texts])
    hidden, pooled = encode(embedding.encoders_with(base, vectors), tokens)
    loaded = StableDiffusionXLPipeline.from_pretrained(negatives.WEIGHTS / "base", dtype=torch.float32, add_watermarker=False)
    negatives.learn(loaded, "pocket-blurry", {name: rows.detach() for name, rows in vectors.named_parameters()})
    expected, _, expected_pooled, _ = loaded.encode_prompt(texts, do_classifier_free_guidance=False)
    assert torch.equal(hidden, expected)
    assert torch.equal(pooled, expected_pooled)


def test_nothing_but_the_new_vectors_is_trained(base, tmp_path):
    """
    The loss has a gradient for every new vector and for no weight of the checkpoint, which training leaves as it was, bit for bit.
    """
    before = {name: weight.clone() for name, weight in _everything(base).items()}
    loss = embedding.loss_of(base, tmp_path, embedding.BlurredPool("few", 40, 4))
    torch.manual_seed(0)
    vectors = embedding.begun(base)
    gradients = torch.autograd.grad(loss(vectors, 0), list(vectors.parameters()))
    assert all(bool((gradient.abs().sum(dim=1) > 0).all()) for gradient in gradients)
    first = {name: rows.detach().clone() for name, rows in vectors.named_parameters()}
    trained = embedding.fit("few", lambda: vectors, loss, steps=2, learning_rate=0.1, folder=tmp_path)
    assert not any(torch.equal(first[name], rows) for name, rows in trained.named_parameters())
    after = _everything(base)
    assert before.keys() == after.keys()
    assert all(torch.equal(weight, after[name]) and after[name].grad is None for name, weight in before.items())


def test_the_lab_makes_of_it_what_diffusers_makes(tmp_path, monkeypatch):
    """
    A picture with it by its bare name in the lab is the one of plain diffusers after `load_textual_inversion` for each encoder, bit for bit.
    """
    monkeypatch.chdir(tmp_path)
    asked = {"negative_prompt": embedding.NAME, "num_inference_steps": 2, "guidance_scale": 3.0}
    made = text_to_image("a red star on grass", embeddings={embedding.NAME: {"file": embedding.FILE.name}}, seed=7, **asked)
    [expected] = negatives.pipelines()[0]("a red star on grass", width=128, height=128, generator=torch.Generator().manual_seed(7), **asked).images
    assert same(made.image, expected)


def test_all_that_it_is_trained_on_is_blurred():
    """
    Each picture has less than a quarter of the sharpness that its scene has.
    """
    white = Image.new("L", (128, 128), 255)
    for index in range(6):
        example = embedding.BLURRED.example(index)
        blurred, clear = (sharpness_inside(view.draw(), white) or 0 for view in (example, replace(example, aesthetic_score=6.5)))
        assert 0 < blurred < 0.25 * clear


def test_a_ratio_is_geometric():
    """
    It is scipy's geometric mean of the ratios, and the other way round its reciprocal, interval and all.
    """
    first, second = np.random.RandomState(0).lognormal(size=(2, 40))
    there, back = card.ratio("there", first, second), card.ratio("back", second, first)
    assert there.value == pytest.approx(100 * stats.gmean(first / second))
    assert (there.low, there.high) == pytest.approx((1e4 / back.high, 1e4 / back.low))


def test_text_is_put_between_its_marks_alone(tmp_path):
    """
    What stands around the marks of a name, other marks included, is left as it is.
    """
    text = "a\n<!-- figures -->\nold\n<!-- end of figures -->\nb\n<!-- figures of it -->\nolder\n<!-- end of figures of it -->\nc\n"
    (tmp_path / "card.md").write_text(text)
    card.put("new | line", "figures of it", tmp_path / "card.md")
    assert (tmp_path / "card.md").read_text() == text.replace("older", "new | line")


@pytest.mark.slow
def test_it_sharpens_more_than_words_that_mean_nothing():
    """
    Of 24 pairs of each kind, the interval of its sharpness is above that without a negative prompt, and above that of random words.
    """
    for _, wanted, made in negatives.measured(24, steps=20, arms=list(negatives.ARMS)[:3], guidance_scales=[negatives.GUIDANCE_SCALE]):
        sharp = {arm: negatives.sharpness(pictures, wanted) for arm, pictures in made.items()}
        word = sharp.pop("`pocket-blurry`")
        assert sharp
        assert all(card.ratio(arm, word, other).low > 100 for arm, other in sharp.items())
