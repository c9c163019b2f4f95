"""An offline archive as the SDK writes it. Runs in a process of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from sdxl_lab.comet import worker
from sdxl_lab.comet.dialogue import serve
from sdxl_lab.tracking.experiment import File
from sdxl_lab.tracking.logs import LOGS


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
    for name, step, value in job["metrics"]:
        experiment.curr_step = step  # else what has no step would get that of the point before it
        experiment.log_metric(name, value, step=step)
    for kind, log in LOGS.items():
        for file in job["files"][kind]:
            experiment.curr_step = file["step"]
            log(experiment, File(**file | {"path": Path(file["path"])}))
    experiment.end()
    yield {}
