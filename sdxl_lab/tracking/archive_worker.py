"""An offline archive as the SDK writes it. Runs in a process of its own."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from sdxl_lab.comet import worker
from sdxl_lab.comet.dialogue import serve


def main() -> None:
    """Build archives until stdin closes."""
    serve({"build": _build}, lambda error: ("failed", f"{type(error).__name__}: {error}".splitlines()[0]), prepare=lambda: import_module("comet_ml"))


def _build(job: Mapping[str, Any], out: str) -> Iterator[Mapping[str, Any]]:
    """Say all of a projection to the SDK."""
    import comet_ml

    experiment = comet_ml.start(
        online=False,
        mode="create",
        experiment_key=job["key"],
        workspace=os.environ.get("COMET_WORKSPACE"),
        project_name=worker.project_name(),
        experiment_config=comet_ml.ExperimentConfig(**worker.switches(), offline_directory=out, name=job["name"], tags=job["tags"]),
    )
    experiment.log_parameters(job["parameters"])
    experiment.log_others(job["others"])
    # A step sticks to all that follows, so what has none comes first.
    for file in job["assets"]:
        experiment.log_asset(file["path"], file_name=file["name"], metadata=file["metadata"])
    if job["html"]:
        experiment.log_html(Path(job["html"]["path"]).read_text("utf-8"))
    if job["notebook"]:
        experiment.log_notebook(job["notebook"]["path"])
    for file in job["curves"]:
        experiment.log_curve(**json.loads(Path(file["path"]).read_bytes()), metadata=file["metadata"])
    of_the_whole = [point for point in job["metrics"] if point[1] is None]
    for name, _, value in of_the_whole:
        experiment.log_metric(name, value)
    for file in sorted(job["images"], key=lambda file: -1 if file["step"] is None else file["step"]):
        experiment.log_image(file["path"], name=file["name"], step=file["step"], metadata=file["metadata"])
    for name, step, value in job["metrics"]:
        if step is not None:
            experiment.log_metric(name, value, step=step)
    experiment.end()
    yield {}
