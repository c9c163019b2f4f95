"""The switches of torch that change what it computes: one list, for the keys of caches and for putting them back."""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Iterator
from functools import partial
from typing import Any


def switches() -> Iterator[tuple[Callable[[], Any], Callable[[Any], Any]]]:
    """What reads each switch, and what sets it. torch must be imported."""
    torch: Any = sys.modules["torch"]
    yield torch.get_default_dtype, torch.set_default_dtype
    yield torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms
    yield torch.get_float32_matmul_precision, torch.set_float32_matmul_precision
    for device in ("cpu", "cuda"):
        yield partial(torch.is_autocast_enabled, device), partial(torch.set_autocast_enabled, device)
        yield partial(torch.get_autocast_dtype, device), partial(torch.set_autocast_dtype, device)
    owners = [(torch.backends.cudnn, name) for name in ("enabled", "benchmark", "deterministic", "allow_tf32")]
    owners += [(torch.backends.cuda.matmul, name) for name in ("allow_tf32", "allow_fp16_reduced_precision_reduction")]
    for owner, name in owners:
        yield partial(getattr, owner, name), partial(setattr, owner, name)


def arithmetic() -> Hashable:
    """How the switches stand, for use in the keys of caches. torch must be imported.

    The default dtype is none of them: no picture depends on it, and while one is made another thread may set it, as loading a model does.
    """
    default_dtype = sys.modules["torch"].get_default_dtype
    return tuple(str(get()) for get, _ in switches() if get is not default_dtype)
