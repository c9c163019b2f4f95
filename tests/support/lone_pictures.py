"""Pictures of which nothing is left but the PNG, and copies of them with other descriptions."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image, PngImagePlugin

from sdxl_lab.runs.experiment import run
from sdxl_lab.runs.resolution import resolve
from sdxl_lab.settings.hyperparams import merge
from sdxl_lab.spec.resolved_spec import ResolvedSpec
from sdxl_lab.spec.run_spec import RunSpec

QUICK: dict[str, Any] = {"denoising": {"num_inference_steps": 6}, "compute": {"threads": 1, "device": "cpu"}}


def make(folder: Path, *, dataset: Path | str, checkpoint: Path | str, task: str = "inpaint", sample: str, **hyperparameters: Any) -> Path:
    """One picture of a run whose folder is then removed: nothing is left but the PNG."""
    parameters: dict[str, Any] = {"name": "made", "dataset": str(dataset), "checkpoint": str(checkpoint), "samples": [sample], "tasks": [task]}
    parameters |= {"tracking": "off", "runs_folder": str(folder / "runs"), "hyperparameters": merge(QUICK, hyperparameters)}
    [picture] = run(resolve(RunSpec.from_parameters(**parameters)))
    kept = picture.image.rename(folder / f"{task}.png")
    shutil.rmtree(folder / "runs")
    return kept


def content_of(picture: Path) -> dict[str, Any]:
    """The picture's description, read by Pillow."""
    with Image.open(picture) as image:
        return json.loads(image.info["sdxl_lab"])


def rewritten(picture: Path, to: Path, change: Callable[[dict[str, Any]], Any], *, consistent: bool = True) -> Path:
    """A copy whose description was changed, with a run_id to match or the old one."""
    content = content_of(picture)
    change(content)
    if consistent:
        values = {key: value for key, value in content["resolved"].items() if key not in ("format", "run_id")}
        content["resolved"]["run_id"] = ResolvedSpec.model_validate(values).run_id
    return with_text(picture, to, json.dumps(content))


def with_text(picture: Path, to: Path, text: str) -> Path:
    """A copy with another text chunk sdxl_lab."""
    with Image.open(picture) as image:
        chunks = PngImagePlugin.PngInfo()
        chunks.add_text("sdxl_lab", text)
        chunks.add_text("parameters", image.info["parameters"])
        image.save(to, pnginfo=chunks)
    return to
