"""From what a prompt says to embeddings: chunks of tokens through the text encoders, weighed, one behind another."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch

from sdxl_lab.adapters.embeddings import learned_by, written_out
from sdxl_lab.prompts.reading import Fits, PromptError, Reading

Encoded = tuple[torch.Tensor, Any]
"""The hidden state that a pipeline reads, (1, tokens, width), and the pooled one, (1, width), or None where it reads none."""

LEAST, MOST = 0.5, 2.0
"""Within these, restoring the mean changes a prompt less than weights do; below 0 it turns all of it around."""

Encode = Callable[[str, Any, tuple[int, ...]], Encoded]
"""Runs a text encoder, named and given, over the tokens of one chunk."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TextEncoder:
    """A tokenizer and the model it is for.

    Attributes:
        name: Of the model, in its pipeline.
        tokenizer: transformers' own.
        model: Likewise.
    """

    name: str
    tokenizer: Any
    model: Any

    def ids(self, text: str) -> list[int]:
        """The tokens of a text, without those of beginning and end."""
        return self.tokenizer(self.written_out(text), add_special_tokens=False, truncation=False, verbose=False).input_ids

    def written_out(self, text: str) -> str:
        """A text in which a word that stands for several vectors is as many tokens."""
        return written_out(text, learned_by(self.tokenizer))

    @property
    def room(self) -> int:
        """Tokens that fit between beginning and end."""
        return self.tokenizer.model_max_length - 2

    def chunk(self, ids: Sequence[int]) -> tuple[int, ...]:
        """The tokens of a chunk, with beginning, end and padding."""
        padding = [self.tokenizer.pad_token_id] * (self.room - len(ids))
        return (self.tokenizer.bos_token_id, *ids, self.tokenizer.eos_token_id, *padding)


def text_encoders(pipeline: Any, instead: Mapping[int, Any] = MappingProxyType({})) -> list[TextEncoder]:
    """Those of a pipeline, of which a refiner has but the second, and Stable Diffusion 1 and 2 but the first.

    Args:
        pipeline: diffusers' own, loaded.
        instead: What is used in place of some of its components, by the `id` of these.
    """
    pairs = (("text_encoder", "tokenizer"), ("text_encoder_2", "tokenizer_2"))
    return [
        TextEncoder(name=name, tokenizer=instead.get(id(tokenizer), tokenizer), model=model)
        for name, key in pairs
        if (model := getattr(pipeline, name, None)) is not None and (tokenizer := getattr(pipeline, key)) is not None
    ]


def fits_in(pipelines: Sequence[Any], instead: Mapping[int, Any] = MappingProxyType({})) -> Fits:
    """See whether texts fit into a chunk of each tokenizer of some pipelines.

    Args:
        pipelines: diffusers' own, loaded.
        instead: As for `text_encoders`.
    """
    encoders = [encoder for pipeline in pipelines for encoder in text_encoders(pipeline, instead)]
    return lambda texts: all(sum(len(encoder.ids(text)) for text in texts) <= encoder.room for encoder in encoders)


def hidden_and_pooled(model: Any, ids: tuple[int, ...], device: Any) -> Encoded:
    """Run a text encoder over a chunk as diffusers does for Stable Diffusion XL, which reads the last hidden state but one.

    Args:
        model: transformers' own.
        ids: Its tokens.
        device: Where it computes.
    """
    output = model(torch.tensor([ids], device=device), output_hidden_states=True)
    return output.hidden_states[-2], output[0]


def last_hidden(model: Any, ids: tuple[int, ...], device: Any) -> Encoded:
    """Run a text encoder over a chunk as diffusers does for Stable Diffusion 1 and 2, which read the last hidden state, normalized.

    Args:
        model: transformers' own.
        ids: Its tokens.
        device: Where it computes.
    """
    return model(torch.tensor([ids], device=device))[0], None


def encoded(encoders: Sequence[TextEncoder], reading: Reading, encode: Encode, hear: Callable[[float], object] = id) -> Encoded:
    """Encode what a prompt says, chunk by chunk.

    A fragment's tokens are those of its text alone, so that each token has the weight of one fragment; a mark in the middle of a word parts it.

    Args:
        encoders: Of a pipeline.
        reading: What it says; nothing that compel reads.
        encode: Runs one of them.
        hear: Told by how much each chunk is multiplied to restore its mean.

    Returns:
        Embeddings of all encoders side by side, and the pooled one of the last encoder's first chunk, which no weight has touched.
    """
    hidden: list[torch.Tensor] = []
    pooled: list[Any] = []
    for encoder in encoders:
        found = [(encode(encoder.name, encoder.model, encoder.chunk(ids)), weights) for ids, weights in _chunks(encoder, reading)]
        empty, _ = encode(encoder.name, encoder.model, encoder.chunk([])) if reading.weighting == "comfy" else found[0][0]
        hidden.append(torch.cat([weighed(state, weights, reading.weighting, empty, hear) for (state, _), weights in found], dim=1))
        pooled.append(found[0][0][1])
    tokens = max(state.shape[1] for state in hidden)
    padded = [
        lengthened(state, tokens, lambda encoder=encoder: encode(encoder.name, encoder.model, encoder.chunk([]))[0])
        for state, encoder in zip(hidden, encoders, strict=True)
    ]
    return torch.cat(padded, dim=-1), pooled[-1]


def weighed(
    state: torch.Tensor, weights: Sequence[float], weighting: str | None, empty: torch.Tensor, hear: Callable[[float], object] = id
) -> torch.Tensor:
    """Weigh the tokens of a chunk.

    `a1111` multiplies each by its weight and restores the mean over all; `comfy` moves each away from its place in the empty prompt.

    Args:
        state: Hidden states, (1, tokens, width).
        weights: One for each token.
        weighting: `a1111` or `comfy`; None leaves them as they are, as do weights of 1.
        empty: The empty prompt's hidden states.
        hear: Told by how much `a1111` multiplies all to restore the mean.

    Raises:
        PromptError: What comes of it is no number.

    Source:
        modules/sd_emphasis.py of AUTOMATIC1111/stable-diffusion-webui, `EmphasisOriginal`; comfy/sd1_clip.py of comfyanonymous/ComfyUI,
        `ClipTokenWeightEncoder`.
    """
    if weighting is None or all(weight == 1.0 for weight in weights):
        return state
    if not torch.isfinite(state).all():
        return state  # as the encoder's own fault, to whoever looks for it
    factors = torch.tensor(weights, dtype=torch.float32, device=state.device)[None, :, None]
    whole = state.float()
    if weighting == "a1111":
        scaled = whole * factors
        restoring = whole.mean() / scaled.mean()
        hear(float(restoring))
        found = scaled * restoring
    else:
        away = empty.float()
        found = torch.where(factors == 1.0, whole, (whole - away) * factors + away)
    found = found.to(state.dtype)
    if not torch.isfinite(found).all():
        heaviest = max(weights, key=abs)
        dtype = str(state.dtype).removeprefix("torch.")
        raise PromptError(f"a prompt weighs up to {heaviest:g}, which outgrows {dtype}; choose weights from 0.5 to 1.5.")
    return found


def restored_by(scope: Hashable, in_text: Hashable, reading: Reading) -> Hashable:
    """Under which a cache has what `encoded` told of a prompt.

    Args:
        scope: The models.
        in_text: What is on them.
        reading: What the prompt says.
    """
    return ("restored by", scope, in_text, reading)


def spoiling(factors: Sequence[float]) -> str | None:
    """Say that restoring the mean does to a prompt what no weight was to do; None where it does not.

    Args:
        factors: What `encoded` told: 1 where a mean was kept.
    """
    odd = max((factor for factor in factors if not LEAST <= factor <= MOST), key=lambda factor: abs(factor - 1), default=None)
    if odd is None:
        return None
    return (
        f"to keep the mean of its embeddings, prompt_syntax a1111 multiplied all of them by {odd:.2g} once the words were weighed, which spoils the "
        "picture; take other weights, or prompt_syntax comfy"
    )


def lengthened(embeds: torch.Tensor, tokens: int, empty: Callable[[], torch.Tensor]) -> torch.Tensor:
    """Embeddings of so many tokens at least: what is missing is the empty prompt's, as often as needed.

    Args:
        embeds: (1, tokens, width).
        tokens: A multiple of the tokens of a chunk.
        empty: Makes those of the empty prompt.
    """
    if (missing := tokens - embeds.shape[1]) <= 0:
        return embeds
    chunk = empty()
    return torch.cat([embeds, *[chunk] * (missing // chunk.shape[1])], dim=1)


def _chunks(encoder: TextEncoder, reading: Reading) -> Iterator[tuple[list[int], list[float]]]:
    """Tokens of each chunk, and weights of these with beginning, end and padding."""
    for part in reading.parts:
        tokens = [(token, fragment.weight) for fragment in part for token in encoder.ids(fragment.text)]
        starts = range(0, max(len(tokens), 1), encoder.room) if reading.goes_on else [0]
        for start in starts:
            ids, weights = (
                [token for token, _ in tokens[start : start + encoder.room]],
                [weight for _, weight in tokens[start : start + encoder.room]],
            )
            yield ids, [1.0, *weights, 1.0, *[1.0] * (encoder.room - len(ids))]
