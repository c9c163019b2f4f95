"""Techniques that change what a checkpoint's models give, an entry of `ADAPTERS` a file; `ADAPTERS["name"] = ...` is how another comes.

Whatever is on the models stands in a resolved spec by content (`ResolvedSpec.adapters`), and so in `ComputedBy`, which names runs, pictures and
what caches keep.
"""

from __future__ import annotations

from sdxl_lab.adapters._adapter import (
    BUILT_IN,
    FILE,
    NO_DOTS,
    SUFFIX,
    Adapter,
    AdapterError,
    FromFile,
    Models,
    Named,
    Put,
    Tensor,
    is_name,
    without_dots,
)
from sdxl_lab.adapters.embeddings import EMBEDDINGS
from sdxl_lab.adapters.loras import LORAS

__all__ = [
    "ADAPTERS",
    "BUILT_IN",
    "FILE",
    "NO_DOTS",
    "SUFFIX",
    "Adapter",
    "AdapterError",
    "FromFile",
    "Models",
    "Named",
    "Put",
    "Tensor",
    "is_name",
    "without_dots",
]

ADAPTERS: dict[str, Adapter] = {"embeddings": EMBEDDINGS, "loras": LORAS}
"""By the name of its section."""
