"""The table of a run's pictures, `prompts.csv`, which Comet's Data panel joins across runs."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any

from sdxl_lab.settings.documents import written
from sdxl_lab.settings.hyperparams import flatten
from sdxl_lab.spec.edit import Edit
from sdxl_lab.spec.resolved_spec import ResolvedSpec


def prompts_table(resolved: ResolvedSpec) -> bytes:
    """Write every picture of a run as one row: step, sample, task, prompts, seed, then each setting by its dotted path.

    What was on the models has a column each, as have prompts before words of them were replaced or drawn.

    Args:
        resolved: The run.

    Returns:
        CSV in UTF-8. None is an empty cell.
    """
    steps = _steps(resolved)
    rows = [_row(steps[edit.sample], edit) | resolved.on_models | _templates(resolved.template_of(edit)) for edit in resolved.edits]
    text = io.StringIO()
    # Keys that came after 0.1.0 are there where some picture needs them.
    columns = dict.fromkeys(column for row in rows for column in row)
    writer = csv.DictWriter(text, fieldnames=list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _row(step: int, edit: Edit) -> dict[str, Any]:
    words = written(edit)
    settings = words.pop("settings")
    return {"step": step, **words, **flatten(settings)}


def _templates(template: Mapping[str, str]) -> dict[str, str]:
    return {f"{name} template": text for name, text in template.items()}


def step_of(resolved: ResolvedSpec, sample: str) -> int:
    """Number a sample: Comet steps through pictures by it.

    Args:
        resolved: The run.
        sample: Name of one of its samples.

    Returns:
        Its index in the dataset, from 0; in a record of 0.1.0, which does not tell, its index among the run's samples.
    """
    return _steps(resolved)[sample]


def _steps(resolved: ResolvedSpec) -> dict[str, int]:
    return {sample: step for step, sample in enumerate(dict.fromkeys(edit.sample for edit in resolved.edits))} | (resolved.steps or {})
