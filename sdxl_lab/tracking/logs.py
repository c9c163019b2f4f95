"""How the SDK is told each kind of file of an experiment, live and into an archive. Runs in a worker."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from sdxl_lab.tracking.experiment import File, marked


def _log_curve(experiment: Any, file: File) -> None:
    curve = json.loads(file.ready().read_bytes())
    experiment.log_curve(curve["name"], curve["x"], curve["y"], step=file.step, metadata=dict(file.metadata))


LOGS: Mapping[str, Callable[[Any, File], Any]] = {
    "assets": lambda experiment, file: experiment.log_asset(str(file.ready()), file_name=file.name, step=file.step, metadata=dict(file.metadata)),
    "images": lambda experiment, file: experiment.log_image(str(file.ready()), name=file.name, step=file.step, metadata=dict(file.metadata)),
    "curves": _log_curve,
    "notebook": lambda experiment, file: experiment.log_notebook(str(file.ready())),
    "code": lambda experiment, file: experiment.log_code(str(file.ready()), code_name=file.name, metadata=dict(file.metadata)),
    "html": lambda experiment, file: experiment.log_html(marked(file), clear=True),
}
"""By kind, as a `Difference` names them, in the order in which they are sent. Before each the experiment's `curr_step` is to be the file's step."""
