"""What is asked of a bench, laid over what lies on it: through the one gate to a picture that has only to be made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sdxl_lab.bench.opened import Opened
from sdxl_lab.datasets import inputs
from sdxl_lab.records.session import SessionFolder
from sdxl_lab.runs.made_from import absent
from sdxl_lab.runs.single import Planned, asked, planned
from sdxl_lab.settings.hyperparams import merge
from sdxl_lab.spec.homes import laid_out
from sdxl_lab.spec.identities import AdapterIdentity
from sdxl_lab.spec.parameters import plain
from sdxl_lab.spec.run_spec import SpecError
from sdxl_lab.tasks import TASKS


def plan(
    on_bench: Opened,
    session: SessionFolder,
    *,
    task: str | None,
    words: Mapping[str, Any],
    settings: Mapping[str, Any],
    checkpoint: str | Path,
    folder: Path,
) -> Planned:
    """Find out all that can be wrong with a picture before it is made.

    Args:
        on_bench: What it is made from, and what an earlier picture or a sample says of words and settings.
        session: That will keep it.
        task: One of `TASKS`; None for what lies on the bench tells.
        words: Prompt, negative prompt and seed, None where they are left to what lies on the bench.
        settings: Flat or by section, over those of an earlier picture.
        checkpoint: As in `RunSpec`.
        folder: Where what code gave is written.

    Raises:
        LabError: It cannot be made.
    """
    name = task or on_bench.task_for(settings)
    if not isinstance(name, str) or name not in TASKS:
        raise SpecError([f"task: got {name!r}; allowed are {', '.join(TASKS)}"])
    wanted = on_bench.words_for(name) | {key: value for key, value in words.items() if value is not None}
    if wanted["prompt"] is None:
        raise SpecError(["prompt: got None, and what lies on the bench has none of its own; give a text, the empty one included"])
    spec = asked(
        name,
        wanted,
        _over(on_bench.settings, name, settings),
        checkpoint=checkpoint,
        name=session.name,
        dataset=on_bench.written or inputs.NAME,
        sample=on_bench.name if on_bench.written else None,
        tracking=session.tracking,
    )
    dataset, unused = on_bench.dataset_for(spec, name, folder, session.sample_named)
    try:
        return planned(spec, dataset, unused=unused)
    except SpecError as error:
        raise SpecError([_of_lost(line, on_bench.lost) for line in error.problems], error.subject) from None


def _of_lost(line: str, lost: Sequence[AdapterIdentity]) -> str:
    """What is wrong, or, where a file is meant that an earlier picture was made with, what that file was."""
    beginnings = {f"hyperparameters.{one.path}.file: got {one.file!r}; there is no such file": one for one in lost}
    one = next((one for beginning, one in beginnings.items() if line.startswith(beginning)), None)
    return f"hyperparameters.{one.path}.file: the picture was made with {absent([one])}, and go on from it again" if one else line


def _over(settings: Mapping[str, Any], task: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of an earlier picture with some changed, flat or by section."""
    if not settings:
        return dict(changes)
    laid, twice = laid_out(task, plain(changes))
    if twice:
        raise SpecError(twice)
    own = laid.pop(task)
    asked_size = {key: own[key] for key in ("size",) if key in own}  # an aspect is not laid over sides
    return merge(merge(settings, laid), own) | asked_size
