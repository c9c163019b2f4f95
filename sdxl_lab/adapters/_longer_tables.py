"""Text encoders that know vectors beyond those of their own table, which is left as it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from sdxl_lab.adapters._adapter import Tensor

DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "F64": torch.float64}


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
def longer(encoders: Mapping[int, Any], first: Mapping[int, int], rows: Sequence[Tensor]) -> Iterator[None]:
    """Let text encoders know more vectors for the length of a block.

    Args:
        encoders: Each once, by its `id`.
        first: By the same: the number of the first of the new vectors.
        rows: Those of one embedding after the other.
    """
    before = [(encoder, encoder.get_input_embeddings()) for encoder in encoders.values()]
    try:
        for encoder, own in before:
            encoder.set_input_embeddings(_Longer(own, first[id(encoder)], torch.cat([_tensor(each).to(encoder.dtype) for each in rows])))
        yield
    finally:
        for encoder, own in before:
            encoder.set_input_embeddings(own)


def _tensor(rows: Tensor) -> torch.Tensor:
    return torch.frombuffer(bytearray(rows.data), dtype=DTYPES[rows.dtype]).reshape(rows.shape)
