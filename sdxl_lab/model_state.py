"""Whether loaded models are still as they were loaded: weights, structure, hooks, switches."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any

import torch

LIBRARIES = ("accelerate", "diffusers", "transformers")


def state_of(pipeline: Any) -> Hashable:
    """Tell two states of a pipeline's models apart; generating pictures leaves the state as it is.

    Args:
        pipeline: A diffusers pipeline. Reads every weight once, where it lies; weights that are offloaded to the meta device are left out.

    Returns:
        A digest of components, configuration, weights, hooks and switches, for this process alone.
    """
    return hash(tuple(_parts(pipeline)))


def _parts(pipeline: Any) -> Iterator[Hashable]:
    yield repr(pipeline.config)
    for name, component in sorted(pipeline.components.items()):
        yield name, id(component), repr(getattr(component, "config", None))
        if not isinstance(component, torch.nn.Module):
            continue
        for path, module in component.named_modules():
            yield path, type(module), tuple(_switches(module))
        for path, tensor in [*component.named_parameters(), *component.named_buffers()]:
            if not tensor.is_meta:
                yield path, tensor.dtype, tuple(tensor.shape), _sum(tensor)


def _switches(module: torch.nn.Module) -> Iterator[Hashable]:
    """A module's own attributes: plain values, the kinds of others, and how many hooks there are besides the libraries' own."""
    for name, value in vars(module).items():
        if name in ("_forward_hooks", "_forward_pre_hooks"):
            # transformers adds some the first time that a model is called
            yield name, sum(getattr(hook, "__module__", "").partition(".")[0] not in LIBRARIES for hook in value.values())
        elif not name.startswith("_"):
            yield name, value if isinstance(value, bool | int | float | str | None) else type(value)


def _sum(tensor: torch.Tensor) -> int:
    """Over the bits, so that NaN equals itself and nothing is rounded."""
    bits = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[tensor.element_size()]
    return int(tensor.detach().contiguous().view(bits).sum())
