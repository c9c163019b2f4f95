"""The bytes of tensors that are alive at once while a model works, counted one by one; no memory needs to be behind them."""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Live(TorchDispatchMode):
    """
    While the block runs, counts what it makes; `peak_bytes` is the most.
    """

    def __init__(self) -> None:
        super().__init__()
        self.peak_bytes = 0
        self._held: dict[int, tuple[int, int]] = {}

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """
        Make what is asked for, and see what is alive then.
        """
        output = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(output):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                key, (count, _) = storage._cdata, self._held.get(storage._cdata, (0, 0))
                self._held[key] = count + 1, storage.nbytes()
                weakref.finalize(tensor, self._let_go, key)
        self.peak_bytes = max(self.peak_bytes, sum(size_bytes for _, size_bytes in self._held.values()))
        return output

    def _let_go(self, key: int) -> None:
        count, size_bytes = self._held.pop(key)
        if count > 1:
            self._held[key] = count - 1, size_bytes


def unet_peak_bytes(unet: Any, cells: int, *, sizes: int) -> int:
    """
    What a UNet without numbers holds in a guided step at so many latent cells a side, besides weights and a matrix of all pairs.
    """
    config = unet.config
    with torch.device("meta"), torch.no_grad(), Live() as seen:
        told = {
            "time_ids": torch.empty(2, sizes),
            "text_embeds": torch.empty(2, config.projection_class_embeddings_input_dim - sizes * config.addition_time_embed_dim),
        }
        words = torch.empty(2, 77, config.cross_attention_dim)
        unet(torch.empty(2, config.in_channels, cells, cells), 1.0, encoder_hidden_states=words, added_cond_kwargs=told)
    return seen.peak_bytes
