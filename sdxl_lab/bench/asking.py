"""What is asked of a bench, laid over what lies on it: through the one gate to a picture that has only to be made."""

from __future__ import annotations

from collections.abc import Mapping
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
from sdxl_lab.spec.run_spec import RunSpec, SpecError
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
    if lost := [one for one in on_bench.lost if _is_taken_over(one, spec, name, settings)]:
        raise SpecError([f"hyperparameters.{one.path}.file: the picture was made with {absent([one])}, and go on from it again" for one in lost])
    dataset, unused = on_bench.dataset_for(spec, name, folder, session.sample_named)
    return planned(spec, dataset, unused=unused)


def _is_taken_over(adapter: AdapterIdentity, spec: RunSpec, task: str, changes: Mapping[str, Any]) -> bool:
    """Whether an earlier picture's adapter is meant by the file that it had, which any other may be called by now."""
    if adapter.name not in spec.hyperparameters.get(adapter.kind, {}):
        return False
    given = (laid_out(task, plain(changes))[0].get(adapter.kind) or {}).get(adapter.name)
    return not (isinstance(given, str) or (isinstance(given, Mapping) and "file" in given))


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
