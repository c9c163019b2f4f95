"""How the pocket checkpoint is trained and measured."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from sdxl_lab.pocket.training.examples import example
from sdxl_lab.pocket.training.pool import Pool


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global build_text_encoders, build_tokenizer, card, encode, loop, MAX_TOKENS, stats, tokenize, torch, words
    import torch
    from scipy import stats

    from sdxl_lab.pocket.training import card, loop
    from sdxl_lab.pocket.training.architecture import MAX_TOKENS, build_text_encoders, build_tokenizer, words
    from sdxl_lab.pocket.training.diffusion import encode, tokenize


class KilledError(Exception):
    """Stands for a process that ends in the middle of training."""


def _fit(folder, *, steps=12, dies_at=None):
    def loss(model, step):
        if step == dies_at:
            raise KilledError
        return (model(torch.randn(8, 3)) - 1).square().mean()

    return loop.fit("line", lambda: torch.nn.Linear(3, 1), loss, steps=steps, learning_rate=0.05, folder=folder)


def test_a_killed_training_goes_on_where_it_was_saved(tmp_path, monkeypatch):
    """
    Training that is killed and started again ends with the weights of one that was left alone, bit for bit.
    """
    alone = _fit(tmp_path / "alone")
    monkeypatch.setattr(loop, "SAVE_EVERY_S", 0)
    with pytest.raises(KilledError):
        _fit(tmp_path / "killed", dies_at=7)
    resumed = _fit(tmp_path / "killed")
    assert torch.equal(alone.weight, resumed.weight)
    assert torch.equal(alone.bias, resumed.bias)


def test_a_finished_training_is_only_loaded(tmp_path):
    """
    A stage that is done returns its weights without a step.
    """
    first = _fit(tmp_path)
    assert torch.equal(first.weight, _fit(tmp_path, dies_at=0).weight)


def test_the_learning_rate_rises_stays_and_falls_to_nothing():
    """
    The schedule is linear over the first 100 steps, flat, and linear over the last 30%.
    """
    shares = [loop._share_of_peak(step, 1000) for step in range(1000)]
    assert shares[0] == pytest.approx(0.01)
    assert shares[99:700] == [1] * 601
    assert np.allclose(np.diff(shares[700:]), -1 / 300)


def test_a_pool_draws_the_examples_of_its_seeds(tmp_path):
    """
    The kept pictures of a pool are those of its examples, in order, and are drawn once.
    """
    pool = Pool("few", 40, 5)
    pictures = pool.pictures(tmp_path)
    assert all(np.array_equal(pictures[i], np.asarray(example(40 + i).draw())) for i in range(5))
    written = (tmp_path / "few-pictures.npy").stat().st_mtime_ns
    pool.pictures(tmp_path)
    assert (tmp_path / "few-pictures.npy").stat().st_mtime_ns == written


@pytest.mark.slow
def test_the_tokenizer_is_the_same_in_every_process():
    """
    A training that goes on in another process gives each token the number it had.
    """
    code = "from sdxl_lab.pocket.training.architecture import build_tokenizer; print(sorted(build_tokenizer().get_vocab().items()))"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert other.strip() == str(sorted(build_tokenizer().get_vocab().items()))


def test_the_tokenizer_knows_the_words_and_spells_the_rest():
    """
    Each of the world's words is one token; any other text falls to known bytes, never to the unknown token.
    """
    tokenizer = build_tokenizer()
    assert all(len(tokenizer.tokenize(word)) == 1 for word in words())
    strange = tokenizer("Zwölf Boxkämpfer 抓住 👍 !?", add_special_tokens=False).input_ids
    assert tokenizer.unk_token_id not in strange
    assert tokenizer.decode(strange).replace(" ", "") == "zwölfboxkämpfer抓住👍!?"


def test_text_is_read_as_the_pipelines_read_it():
    """
    Training's token and pooled embeddings are those of diffusers' own `encode_prompt`.
    """
    from diffusers import StableDiffusionXLPipeline

    tokenizer = build_tokenizer()
    encoders = dict(zip(("text_encoder", "text_encoder_2"), build_text_encoders(tokenizer), strict=True))
    pipeline = StableDiffusionXLPipeline(
        vae=None, unet=None, scheduler=None, tokenizer=tokenizer, tokenizer_2=tokenizer, **encoders, add_watermarker=False
    )  # fmt: skip
    hidden, _, pooled, _ = pipeline.encode_prompt("a red star on grass", device="cpu", do_classifier_free_guidance=False)
    ours = encode(torch.nn.ModuleDict(encoders).eval(), tokenize(tokenizer, ["a red star on grass"]))
    assert hidden.shape == (1, MAX_TOKENS, 128)
    assert torch.equal(ours[0], hidden)
    assert torch.equal(ours[1], pooled)


@pytest.mark.parametrize(("hits", "count"), [(0, 20), (13, 20), (199, 216), (216, 216)])
def test_shares_have_wilsons_interval(hits, count):
    """
    A share's interval is Wilson's, as scipy computes it.
    """
    figure = card.share("x", [True] * hits + [False] * (count - hits))
    expected = stats.binomtest(hits, count).proportion_ci(method="wilson")
    assert (figure.value, figure.low, figure.high) == pytest.approx((100 * hits / count, 100 * expected.low, 100 * expected.high), abs=1e-6)


def test_means_have_a_bootstrap_interval():
    """
    A mean's interval is close to the normal one for many normal numbers, and the same at every call.
    """
    numbers = np.random.RandomState(1).normal(5, 2, 400)
    figure = card.mean("x", numbers, " dB")
    half = 1.96 * numbers.std() / 20
    assert (figure.low, figure.high) == pytest.approx((numbers.mean() - half, numbers.mean() + half), abs=0.03)
    assert figure == card.mean("x", numbers, " dB")


def test_the_card_changes_between_its_marks_alone(tmp_path):
    """
    Rewriting the model card replaces the table, keeps the words around it, and doing it twice changes nothing.
    """
    path = tmp_path / "README.md"
    path.write_text("before\n<!-- figures -->\nold\n<!-- end of figures -->\nafter\n")
    card.rewrite([card.share("colour", [True] * 9 + [False])], path)
    first = path.read_text()
    card.rewrite([card.share("colour", [True] * 9 + [False])], path)
    assert path.read_text() == first
    assert first.startswith("before\n<!-- figures -->\n| figure")
    assert "| colour | 90.0% | 59.6 to 98.2 | 10 |" in first
    assert first.endswith("<!-- end of figures -->\nafter\n")
    assert "old" not in first
