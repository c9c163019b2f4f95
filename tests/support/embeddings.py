"""Files of embeddings, of random vectors or given ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

ONE, SEVERAL = "<one>", "<several>"
WIDTHS = {"clip_l": 16, "clip_g": 24}
"""Of the random checkpoints' text encoders."""
POCKET = {"clip_l": 64, "clip_g": 64}


def write_embedding(
    path: Path, count: int = 1, *, seed: int = 0, widths: Mapping[str, int] = WIDTHS, dtype: Any = None, rows: Mapping[str, Any] | None = None
) -> Path:
    """
    Write a .safetensors file with vectors for both text encoders.
    """
    import torch
    from safetensors.torch import save_file

    random = torch.Generator().manual_seed(seed)
    made = rows or {key: torch.randn(count, width, generator=random) * 0.3 for key, width in widths.items()}
    save_file({key: tensor.to(dtype or tensor.dtype).contiguous() for key, tensor in made.items()}, path)
    return path


def vectors(path: Path) -> dict[str, Any]:
    """
    What a file holds, as torch reads it.
    """
    from safetensors.torch import load_file

    return load_file(path)
