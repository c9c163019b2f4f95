"""float32 where diffusers takes torch's default dtype, which is the whole process's: another thread may set it at any time, as loading a model does.

Schedulers and pipelines name a dtype nearly everywhere. The places that do not, and that change a picture, are mended here.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

MADE = (torch.ones, torch.tensor)
"""What those places make fractions with."""


class SinglePrecision(TorchFunctionMode):
    """While the block runs, `MADE` make float32 in this thread, unless they are told another dtype; each call of torch takes a microsecond more."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call one of torch's functions so."""
        given = {"dtype": torch.float32} if func in MADE else {}
        return func(*args, **given | (kwargs or {}))


class _LCM:
    """LCMScheduler, whose whole timestep times a fraction is of the default dtype."""

    def get_scalings_for_boundary_condition_discrete(self, timestep: torch.Tensor) -> Any:
        scheduler: Any = super()
        return scheduler.get_scalings_for_boundary_condition_discrete(timestep.float())


class _UniPC:
    """UniPCMultistepScheduler, whose `torch.ones` makes a matrix float64 where that is the default; torch refuses to solve it for float32."""

    def multistep_uni_p_bh_update(self, *args: Any, **kwargs: Any) -> Any:
        scheduler: Any = super()
        return _solved(scheduler.multistep_uni_p_bh_update, *args, **kwargs)

    def multistep_uni_c_bh_update(self, *args: Any, **kwargs: Any) -> Any:
        scheduler: Any = super()
        return _solved(scheduler.multistep_uni_c_bh_update, *args, **kwargs)


MENDED = {"LCMScheduler": _LCM, "UniPCMultistepScheduler": _UniPC}


@cache
def mended(kind: type[Any]) -> type[Any]:
    """The class of a scheduler whose steps do not depend on torch's default dtype.

    Args:
        kind: One of diffusers' schedulers.
    """
    mending = MENDED.get(kind.__name__)
    return type(kind.__name__, (mending, kind), {"__module__": kind.__module__}) if mending else kind


def _solved(update: Any, *args: Any, **kwargs: Any) -> Any:
    try:
        return update(*args, **kwargs)
    except RuntimeError:  # it changes nothing, so it can be made again
        with SinglePrecision():
            return update(*args, **kwargs)
