"""Text encoders that know vectors beyond those of their own table, which is left as it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from sdxl_lab.adapters._adapter import Tensor

DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "F64": torch.float64}

MISTAKEN = 2


class _Longer(torch.nn.Module):
    """A table of vectors, and others after those: of the numbers from `first` on."""

    def __init__(self, own: torch.nn.Module, first: int, rows: torch.Tensor) -> None:
        super().__init__()
        self.own = own
        self._first, self._rows = first, (rows,)  # in a tuple, so that nobody moves or counts them as weights

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        is_new = ids >= self._first
        vectors = self.own(ids.masked_fill(is_new, 0))
        new = self._rows[0].to(vectors.device)[(ids - self._first).clamp(min=0)]
        return torch.where(is_new.unsqueeze(-1), new, vectors)


@contextmanager
def longer(encoders: Mapping[int, Any], tokenizers: Mapping[int, Any], rows: Sequence[Tensor]) -> Iterator[None]:
    """Let text encoders know more vectors for the length of a block.

    Configurations of the hub, SDXL's among them, call 2 the token that ends a text. It is another, with the highest number, and by that transformers
    finds it, whose place tells the whole text: new tokens have higher ones, so that a text would end where the last of them stands.

    Args:
        encoders: Each once, by its `id`.
        tokenizers: By the same: its own, which knows none of the new tokens.
        rows: Those of one embedding after the other.
    """
    before = [(encoder, encoder.get_input_embeddings()) for encoder in encoders.values()]
    misled = [(module, encoder) for encoder in encoders.values() for module in encoder.modules() if getattr(module, "eos_token_id", None) == MISTAKEN]
    try:
        for encoder, own in before:
            more = torch.cat([as_torch(each).to(encoder.dtype) for each in rows])
            encoder.set_input_embeddings(_Longer(own, len(tokenizers[id(encoder)]), more))
        for module, encoder in misled:
            module.eos_token_id = tokenizers[id(encoder)].eos_token_id
        yield
    finally:
        for module, _ in misled:
            module.eos_token_id = MISTAKEN
        for encoder, own in before:
            encoder.set_input_embeddings(own)


def as_torch(tensor: Tensor) -> torch.Tensor:
    """A copy of a file's tensor, in the file's type, aligned as torch's own are: libraries may round sums otherwise that begin anywhere."""
    return torch.frombuffer(bytearray(tensor.data), dtype=DTYPES[tensor.dtype]).reshape(tensor.shape).clone()
