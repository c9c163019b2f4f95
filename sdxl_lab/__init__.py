"""A lab bench for Stable Diffusion XL image editing: inpaint, outpaint, compare, and make any picture again.

The public face of the library. Nothing heavy is imported until a name is first used, so `import sdxl_lab` stays instant.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sdxl_lab.errors import LabError
    from sdxl_lab.settings.sections import Edit, EditSettings
    from sdxl_lab.spec.resolved_spec import ResolvedSpec, as_parameters
    from sdxl_lab.spec.run_spec import RunSpec, SpecError

__all__ = ["Edit", "EditSettings", "LabError", "ResolvedSpec", "RunSpec", "SpecError", "as_parameters"]

_ROOMS = {
    "LabError": "errors",
    "Edit": "settings.sections",
    "EditSettings": "settings.sections",
    "ResolvedSpec": "spec.resolved_spec",
    "RunSpec": "spec.run_spec",
    "SpecError": "spec.run_spec",
    "as_parameters": "spec.resolved_spec",
}


def __getattr__(name: str) -> Any:
    """Import the room of a public name when it is first asked for.

    Args:
        name: One of `__all__`.

    Returns:
        What the room calls by that name.

    Raises:
        AttributeError: It is not a public name.
    """
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    value = getattr(import_module(f"{__name__}.{_ROOMS[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
