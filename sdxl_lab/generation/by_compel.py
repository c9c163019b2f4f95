"""Prompts in compel's syntax, read and encoded by it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from sdxl_lab.adapters.embeddings import learned_by
from sdxl_lab.generation.encoding import Encoded, TextEncoder, lengthened
from sdxl_lab.process.imports import importing
from sdxl_lab.prompts.reading import PromptError, Reading, require_compel
from sdxl_lab.wording import printable


def by_compel(encoders: Sequence[TextEncoder], reading: Reading, device: Any, *, normalizes: bool) -> Encoded:
    """Encode a prompt as compel does: a pipeline's own encoders side by side, each by an object of its own, since `CompelForSDXL` knows no refiner.

    Args:
        encoders: Of a pipeline, the one that pools last.
        reading: What it says, one text as it was written.
        device: Where they compute.
        normalizes: Whether the pipeline reads the last hidden state, normalized, and nothing pooled; else the last but one, as it is.

    Returns:
        Embeddings, and the pooled one of the text with its marks.

    Raises:
        PromptError: compel is not installed, or cannot read it.
    """
    require_compel()
    text = reading.parts[0][0].text
    told = {"truncates": not reading.goes_on, "normalizes": normalizes}
    readers = [_reader(encoder, device, pools=encoder is encoders[-1] and not normalizes, **told) for encoder in encoders]
    try:
        found = [reader([text]) for reader in readers]
        hidden, pooled = (found, None) if normalizes else ([*found[:-1], found[-1][0]], found[-1][1])
        tokens = max(state.shape[1] for state in hidden)
        padded = [
            lengthened(state, tokens, lambda reader=reader: reader.conditioning_provider.empty_z)
            for state, reader in zip(hidden, readers, strict=True)
        ]
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # of any class: it has a parser of its own
        reason = printable(" ".join(str(error).split())[:200]) or type(error).__name__
        raise PromptError(
            f"compel {reading.compel} cannot read the prompt “{printable(' '.join(text.split())[:100])}”: {reason}; "
            "change its marks, or set prompt_syntax to plain."
        ) from error
    dtype = encoders[-1].model.dtype
    return torch.cat(padded, dim=-1).to(dtype), None if pooled is None else pooled.to(dtype)


class _WrittenOut:
    """What compel asks for words of several vectors. Its own makes a text of the tokens and tokens of that, which not every tokenizer gives back."""

    def __init__(self, encoder: TextEncoder) -> None:
        self._whole = {encoder.ids(token)[0]: encoder.ids(token) for token in learned_by(encoder.tokenizer)}

    def expand_textual_inversion_token_ids_if_necessary(self, token_ids: list[int]) -> list[int]:
        """All tokens of a word in place of its first."""
        return [token for first in token_ids for token in self._whole.get(first, [first])]


class _Placed:
    """A text encoder as compel sees it, which puts what it gives where that is: one that is offloaded is anywhere between its calls."""

    def __init__(self, model: Any, device: Any) -> None:
        self._model, self.device = model, device

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._model(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


def _reader(encoder: TextEncoder, device: Any, *, truncates: bool, pools: bool, normalizes: bool) -> Any:
    with importing:
        from compel import Compel, ReturnedEmbeddingsType

    kinds = ReturnedEmbeddingsType
    placed: Any = _Placed(encoder.model, device)
    words: Any = _WrittenOut(encoder) if learned_by(encoder.tokenizer) else None
    return Compel(
        tokenizer=encoder.tokenizer,
        text_encoder=placed,
        textual_inversion_manager=words,
        returned_embeddings_type=kinds.LAST_HIDDEN_STATES_NORMALIZED if normalizes else kinds.PENULTIMATE_HIDDEN_STATES_NON_NORMALIZED,
        truncate_long_prompts=truncates,
        requires_pooled=pools,
        device=device,
    )
