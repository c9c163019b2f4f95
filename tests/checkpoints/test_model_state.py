"""The state of loaded models: what changes it, and what does not."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.edits import cpu, make_edit


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global digest, generate, Lowercase, ROW, state_of, torch
    import torch
    from tokenizers.normalizers import Lowercase

    from sdxl_lab.checkpoints.model_state import ROW, digest, state_of
    from sdxl_lab.generation.generate import generate


@pytest.fixture
def base(random_pair) -> Any:
    """A pipeline of its own for each test, since each changes it."""
    return copy.deepcopy(cpu(random_pair).base)


def weight(pipeline: Any) -> torch.Tensor:
    """A square matrix of the UNet's attention, whose rows and columns can be exchanged."""
    return pipeline.unet.down_blocks[1].attentions[0].transformer_blocks[0].attn1.to_q.weight.data


def exchange(values: torch.Tensor, one: Any, other: Any) -> None:
    """Exchange two parts of a tensor."""
    values[one], values[other] = values[other].clone(), values[one].clone()


def exchange_parameters(pipeline: Any) -> None:
    """Exchange two parameters of one shape."""
    attention = pipeline.unet.down_blocks[1].attentions[0].transformer_blocks[0].attn1
    attention.to_q.weight, attention.to_k.weight = attention.to_k.weight, attention.to_q.weight


def add_tokens(pipeline: Any) -> None:
    """What a textual inversion does to a tokenizer."""
    pipeline.tokenizer.add_tokens(["<mine>"])


def lora(pipeline: Any) -> None:
    """What a LoRA does to a layer: the same weights, beside others."""
    attention = pipeline.unet.down_blocks[1].attentions[0].transformer_blocks[0].attn1

    class Beside(torch.nn.Module):
        def __init__(self, layer: torch.nn.Module) -> None:
            super().__init__()
            self.layer, self.down, self.scale = layer, torch.nn.Linear(64, 4, bias=False), 0.5

    attention.to_q = Beside(attention.to_q)


CHANGES: dict[str, Callable[[Any], object]] = {
    "a value": lambda base: weight(base)[3, 5].mul_(1.001),
    "the smallest change of a value": lambda base: weight(base).view(torch.int32)[3, 5].add_(1),
    "two values exchanged": lambda base: exchange(weight(base), (0, 1), (0, 2)),
    "two values exchanged far apart": lambda base: exchange(weight(base), (0, 1), (-1, -2)),
    "two rows exchanged": lambda base: exchange(weight(base), 0, 1),
    "rows shuffled": lambda base: weight(base).copy_(weight(base)[torch.arange(weight(base).shape[0]).roll(1)]),
    "columns reversed": lambda base: weight(base).copy_(weight(base).flip(1)),
    "a sign": lambda base: weight(base)[0, 0].neg_(),
    "all signs": lambda base: weight(base).neg_(),
    "two signs": lambda base: weight(base)[0, :2].neg_(),
    "a transposition": lambda base: weight(base).copy_(weight(base).T.clone()),
    "the order in memory": lambda base: base.unet.to(memory_format=torch.channels_last),
    "two parameters exchanged": exchange_parameters,
    "a bias removed": lambda base: setattr(base.unet.conv_in, "bias", None),
    "a buffer": lambda base: next(buffer for _, buffer in base.text_encoder.named_buffers()).add_(1),
    "a LoRA": lora,
    "training": lambda base: base.unet.train(mode=True),
    "a frozen parameter": lambda base: base.unet.requires_grad_(False),
    "a gradient": lambda base: setattr(base.unet.conv_in.weight, "grad", torch.zeros_like(base.unet.conv_in.weight)),
    "a hook": lambda base: base.unet.register_forward_hook(lambda *_: None),
    "a method of a model": lambda base: setattr(base.unet, "forward", functools.partial(base.unet.forward)),
    "a method of a pipeline": lambda base: setattr(base, "encode_prompt", functools.partial(base.encode_prompt)),
    "a method of a scheduler": lambda base: setattr(base.scheduler, "step", functools.partial(base.scheduler.step)),
    "a method of a tokenizer": lambda base: setattr(base.tokenizer, "encode", functools.partial(base.tokenizer.encode)),
    "an attention processor's setting": lambda base: setattr(next(iter(base.unet.attn_processors.values())), "scale", 0.3),
    "layers of a convolution": lambda base: setattr(base.unet.conv_in, "padding", (2, 2)),
    "a compiled model": lambda base: setattr(base.unet, "_compiled_call_impl", lambda *_: None),
    "tiles": lambda base: base.vae.enable_tiling(),
    "tokens": add_tokens,
    "a longest text": lambda base: setattr(base.tokenizer, "model_max_length", 9),
    "a normalizer of text": lambda base: setattr(base.tokenizer.backend_tokenizer, "normalizer", Lowercase()),
    "the dropout of a tokenizer": lambda base: setattr(base.tokenizer.backend_tokenizer.model, "dropout", 0.5),
    "a special token": lambda base: setattr(base.tokenizer, "pad_token", "!"),
    "a configuration": lambda base: base.register_to_config(force_zeros_for_empty_prompt=False),
    "a scheduler's configuration": lambda base: base.scheduler.register_to_config(timestep_spacing="trailing"),
    "a schedule": lambda base: base.scheduler.alphas_cumprod[3].add_(0.1),
    "a picture processor": lambda base: base.image_processor.register_to_config(do_normalize=False),
    "a picture processor's method": lambda base: setattr(base.image_processor, "preprocess", functools.partial(base.image_processor.preprocess)),
    "a setting of the pipeline": lambda base: setattr(base, "vae_scale_factor", 16),
    "another part": lambda base: setattr(base, "scheduler", type(base.scheduler).from_config(base.scheduler.config)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_seen(base, change):
    """
    Whatever changes what a pipeline computes, or would train, changes its state.
    """
    before = state_of(base)
    CHANGES[change](base)
    assert state_of(base) != before


def test_what_is_put_back_is_as_before(base):
    """
    Once a weight holds its own bits again, the state is the old one.
    """
    before, kept = state_of(base), weight(base).clone()
    assert state_of(base) == before
    weight(base).zero_()
    assert state_of(base) != before
    weight(base).copy_(kept)
    assert state_of(base) == before


def test_pictures_leave_the_state_as_it_is(random_pair, scene):
    """
    Neither the lab's pictures nor a plain call of the pipelines changes the state of base or refiner.
    """
    checkpoint = cpu(random_pair)
    before = state_of(checkpoint.base), state_of(checkpoint.refiner)
    for scheduler in ("euler", "euler_a"):
        generate(make_edit(high_noise_frac=0.6, scheduler=scheduler), scene[0], scene[1], checkpoint)
    call: dict[str, Any] = {
        "prompt": "a red star " * 20,
        "image": scene[0],
        "mask_image": scene[1],
        "width": 64,
        "height": 64,
        "num_inference_steps": 3,
    }
    checkpoint.base(**call, strength=0.9)
    assert (state_of(checkpoint.base), state_of(checkpoint.refiner)) == before


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64", "int64", "uint8", "bool"])
def test_every_exchange_of_two_numbers_is_seen(dtype):
    """
    However far apart two different numbers stand, also over the ends of rows and buffers, their exchange is seen; alike ones may be exchanged.
    """
    size = ROW * 5 + 11
    values = torch.zeros(size, dtype=getattr(torch, dtype))
    values[[7, ROW - 1, ROW, size - 1]] = 1
    known = digest([values])
    for one, other in [(7, 8), (7, 6), (7, ROW + 7), (ROW - 1, ROW + 1), (size - 1, size - 2), (ROW, 4 * ROW), (7, size - 3)]:
        exchange(values, one, other)
        assert digest([values]) != known
        exchange(values, one, other)
    exchange(values, 7, ROW)
    assert digest([values]) == known


def test_a_digest_is_that_of_the_numbers_not_of_their_place():
    """
    NaN equals itself, a copy equals its original, and numbers that lie with gaps or apart in memory equal those in a row.
    """
    values = torch.randn(300, 500, generator=torch.Generator().manual_seed(1))
    values[3, 4] = float("nan")
    gaps = torch.zeros(300, 1000)[:, ::2].copy_(values)
    split = [values[:100], values[100:]]
    assert digest([values]) == digest([values.clone()]) == digest([gaps]) == digest(split)
    assert digest([values]) != digest([values.T])
    assert digest([]) == ()


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_numbers_that_begin_anywhere_equal_their_copy(dtype):
    """
    Even many or not, numbers are digested alike wherever in memory they begin, and one alone whatever its stride.
    """
    values = torch.randn(2 * ROW + 2, generator=torch.Generator().manual_seed(3)).to(getattr(torch, dtype))
    for part in (values[1:], values[1:-1], values[2:-1], values[1:2], values.view(1, -1)[:, 3]):
        copy_of_it = torch.tensor(part.tolist(), dtype=values.dtype)
        assert digest([part]) == digest([copy_of_it])
        assert digest([part]) != digest([copy_of_it.neg()])


@pytest.mark.parametrize("dtype", ["float64", "int64"])
def test_a_digest_equals_sums_made_by_hand(monkeypatch, dtype):
    """
    The digest is of each row's sum of 32-bit words times weights, however large, in float64 as in integers, whatever is added at once.
    """
    from sdxl_lab.checkpoints import model_state

    weights = model_state._weights(torch.device("cpu"))
    monkeypatch.setattr(model_state, "_weights", lambda _: weights.to(getattr(torch, dtype)))
    values = torch.randn(ROW + 1000, generator=torch.Generator().manual_seed(2))
    words = torch.cat([values.view(torch.int32), torch.full((2 * ROW,), -(2**31), dtype=torch.int32)])
    factors = list(map(int, weights.tolist()))
    expected = [sum(a * b for a, b in zip(words.tolist()[start : start + ROW], factors, strict=False)) for start in range(0, len(words), ROW)]
    assert sorted(factors) == list(range(1, ROW + 1))
    for rows in (1, 2, 256):
        monkeypatch.setitem(model_state.WORDS_AT_ONCE, "cpu", rows * ROW)
        [found] = digest([words])  # pyright: ignore[reportGeneralTypeIssues]
        assert list(memoryview(found).cast("q")) == expected


def test_a_state_knows_ties():
    """
    Two layers that share a parameter are told from two that hold the same numbers.
    """
    one, other = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    pipeline = SimpleNamespace(config={}, components={"model": torch.nn.Sequential(one, other)})
    other.weight.data.copy_(one.weight.data)
    apart = state_of(pipeline)
    other.weight = one.weight
    assert state_of(pipeline) != apart
