"""A lab bench for Stable Diffusion XL: pictures from words, pictures and masks; compare them, and make any of them again.

The public face of the library: what notebooks use, each name with a short example. Nothing heavy is imported until a name is first used, so
`import sdxl_lab` stays instant.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sdxl_lab.bench.bench import Bench
    from sdxl_lab.datasets.sources import publish
    from sdxl_lab.distances.measuring import distance
    from sdxl_lab.distances.results import Distances
    from sdxl_lab.errors import LabError
    from sdxl_lab.generation.generate import generate
    from sdxl_lab.images.grid import contact_sheet
    from sdxl_lab.measures.measuring import Measured, measure
    from sdxl_lab.records.finding import find_runs
    from sdxl_lab.records.folder import RunFolder
    from sdxl_lab.runs.calls import image_to_image, inpaint, outpaint, text_to_image
    from sdxl_lab.runs.early import home
    from sdxl_lab.runs.experiment import finish, load, run
    from sdxl_lab.runs.made_picture import MadePicture
    from sdxl_lab.runs.reproduce import reproduce
    from sdxl_lab.runs.resolution import fetch, resolve
    from sdxl_lab.settings.sections import Canvas, Conditioning, Crop, Denoising, EditSettings, ImageReading, Mask, Refiner
    from sdxl_lab.spec.asked_again import as_parameters
    from sdxl_lab.spec.edit import Edit
    from sdxl_lab.spec.injected import check_parameters
    from sdxl_lab.spec.resolved_spec import ResolvedSpec
    from sdxl_lab.spec.run_spec import RunSpec, SpecError
    from sdxl_lab.studies.making import study
    from sdxl_lab.studies.result import study_result
    from sdxl_lab.sweeps.planner import plan
    from sdxl_lab.sweeps.sweep import Inline, sweep
    from sdxl_lab.sweeps.sweep_file import SweepFile
    from sdxl_lab.sweeps.workers import Workers
    from sdxl_lab.viewing.compare import Comparison, Row, compare, telling
    from sdxl_lab.viewing.display import Gallery, show
    from sdxl_lab.viewing.report import write_report as report

__all__ = [
    "Bench",
    "Canvas",
    "Comparison",
    "Conditioning",
    "Crop",
    "Denoising",
    "Distances",
    "Edit",
    "EditSettings",
    "Gallery",
    "ImageReading",
    "Inline",
    "LabError",
    "MadePicture",
    "Mask",
    "Measured",
    "Refiner",
    "ResolvedSpec",
    "Row",
    "RunFolder",
    "RunSpec",
    "SpecError",
    "SweepFile",
    "Workers",
    "as_parameters",
    "check_parameters",
    "compare",
    "contact_sheet",
    "distance",
    "fetch",
    "find_runs",
    "finish",
    "generate",
    "home",
    "image_to_image",
    "inpaint",
    "load",
    "measure",
    "outpaint",
    "plan",
    "publish",
    "report",
    "reproduce",
    "resolve",
    "run",
    "show",
    "study",
    "study_result",
    "sweep",
    "telling",
    "text_to_image",
]

_ROOMS = {
    "LabError": "errors",
    "RunSpec": "spec.run_spec",
    "SpecError": "spec.run_spec",
    "check_parameters": "spec.injected",
    "fetch": "runs.resolution",
    "resolve": "runs.resolution",
    "home": "runs.early",
    "load": "runs.experiment",
    "run": "runs.experiment",
    "finish": "runs.experiment",
    "show": "viewing.display",
    "Gallery": "viewing.display",
    "compare": "viewing.compare",
    "telling": "viewing.compare",
    "Comparison": "viewing.compare",
    "Row": "viewing.compare",
    "measure": "measures.measuring",
    "Measured": "measures.measuring",
    "distance": "distances.measuring",
    "Distances": "distances.results",
    "report": "viewing.report:write_report",
    "study": "studies.making",
    "study_result": "studies.result",
    "contact_sheet": "images.grid",
    "inpaint": "runs.calls",
    "outpaint": "runs.calls",
    "image_to_image": "runs.calls",
    "text_to_image": "runs.calls",
    "MadePicture": "runs.made_picture",
    "Bench": "bench.bench",
    "RunFolder": "records.folder",
    "find_runs": "records.finding",
    "reproduce": "runs.reproduce",
    "as_parameters": "spec.asked_again",
    "ResolvedSpec": "spec.resolved_spec",
    "generate": "generation.generate",
    "Edit": "spec.edit",
    "EditSettings": "settings.sections",
    "ImageReading": "settings.sections",
    "Denoising": "settings.sections",
    "Conditioning": "settings.sections",
    "Mask": "settings.sections",
    "Crop": "settings.sections",
    "Canvas": "settings.sections",
    "Refiner": "settings.sections",
    "SweepFile": "sweeps.sweep_file",
    "plan": "sweeps.planner",
    "sweep": "sweeps.sweep",
    "Workers": "sweeps.workers",
    "Inline": "sweeps.sweep",
    "publish": "datasets.sources",
}
"""Public name to the module that has it, `module:name` where it has another name there; in the order in which one meets them."""


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
    room, _, own_name = _ROOMS[name].partition(":")
    from sdxl_lab.process.imports import importing

    with importing:
        value = getattr(import_module(f"{__name__}.{room}"), own_name or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
