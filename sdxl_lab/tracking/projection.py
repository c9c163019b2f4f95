"""A record, finished or not, as one Comet experiment shows it: plain values and the paths of files. No SDK here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sdxl_lab.files.digests import digest_of_file, once_a_file
from sdxl_lab.records.folder import RunFolder
from sdxl_lab.records.picture import Picture
from sdxl_lab.settings.documents import written
from sdxl_lab.settings.hyperparams import flatten
from sdxl_lab.spec.edit import Edit, apart
from sdxl_lab.tasks import TASKS
from sdxl_lab.tracking.disclosure import public_notebook
from sdxl_lab.tracking.key import experiment_key

VERSION = 2
"""Of what a record is projected to. What was confirmed under another one is left as it is; 1 is 0.1.0's, whose notes do not say so."""

NAME_LIMIT = 100
"""Comet cuts names at 100 characters."""
VALUE_LIMIT = 1000
"""Comet cuts parameters and others at 1000 characters."""

_digest = once_a_file(digest_of_file)
"""A run that is followed is projected after each picture."""


@dataclass(frozen=True, kw_only=True)
class File:
    """A picture or a file of an experiment.

    Attributes:
        name: As Comet lists it; the same in every run with the same seeds, and in all that have one for each sample.
        step: Index of the sample, from 0; None for what belongs to the whole run.
        path: Where it lies here.
        sha256: Of its bytes. It goes along as metadata, so that what Comet holds can be compared without a download.
        metadata: What else goes along.
    """

    name: str
    step: int | None
    path: Path
    sha256: str
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Projection:
    """All that an experiment holds, of a run as far as it has come.

    Attributes:
        key: The experiment's, drawn once for the run's folder.
        name: The run's.
        tags: Tasks, and the group of runs it belongs to.
        parameters: Flat, with Comet's separator `|`; one value a key for the whole run.
        others: What identifies the run.
        metrics: (name, step) to number; those of a sample's further pictures are called as these are, so that no point stands for two.
        images: The files of all pictures and, once it is written, the contact sheet.
        assets: prompts.csv and, once they are written, the report and the executed notebook.
    """

    key: str
    name: str
    tags: tuple[str, ...]
    parameters: Mapping[str, Any]
    others: Mapping[str, Any]
    metrics: Mapping[tuple[str, int], float]
    images: tuple[File, ...]
    assets: tuple[File, ...]


def project(run: RunFolder, scratch: Path) -> Projection:
    """Read a run's record as an experiment.

    Args:
        run: A run, done or not.
        scratch: An existing folder for copies that are made to be sent.

    Returns:
        The experiment, the same for the same record wherever it lies.

    Raises:
        RecordError: The folder holds no run.
        DiskError: The key cannot be written.
    """
    pictures = run.pictures()
    images = [*_images(run, pictures)]
    if run.contact_sheet.is_file():
        images.append(_file("contact-sheet", None, run.contact_sheet))
    assets = [_file("prompts.csv", None, run.prompts_file)] if run.prompts_file.is_file() else []
    if run.report_file.is_file() and not run.report_pictures.is_dir():  # Comet shows an asset by itself
        assets.append(_file("report.html", None, run.report_file))
    if copy := _public_copy(run.executed_notebook, scratch):
        assets.append(_file("executed.ipynb", None, copy))
    return Projection(
        key=experiment_key(run),
        name=run.resolved.spec.name,
        tags=tuple(_tags(run)),
        parameters=_parameters(run),
        others=_others(run),
        metrics=dict(_metrics(pictures)),
        images=tuple(images),
        assets=tuple(assets),
    )


def _public_copy(notebook: Path, scratch: Path) -> Path | None:
    """A copy without paths; none as long as the notebook is absent or torn, since then it is run again."""
    copy = scratch / "executed.ipynb"
    try:
        copy.write_bytes(public_notebook(notebook.read_bytes()))
    except (FileNotFoundError, ValueError):
        return None
    return copy


def _file(name: str, step: int | None, path: Path, metadata: Mapping[str, Any] | None = None) -> File:
    sha256 = _digest(path)
    return File(name=name, step=step, path=path, sha256=sha256, metadata={**(metadata or {}), "file_sha256": sha256})


def _images(run: RunFolder, pictures: Sequence[Picture]) -> Iterator[File]:
    edits = {edit.key: edit for edit in run.resolved.edits}
    seen: set[Path] = set()
    for picture in pictures:
        settings = written(edits[picture.key])["settings"]
        words = {"sample": picture.sample, "task": picture.task}
        made = (
            words
            | {
                "prompt": picture.prompt,
                "negative_prompt": picture.negative_prompt,
                "seed": picture.seed,
                "sha256": picture.sha256,
                "base_steps": picture.base_steps,
                "refiner_steps": picture.refiner_steps,
                "steps": picture.base_steps + picture.refiner_steps,
                "settings": settings,
                "picture_id": picture.picture_id,
            }
            | ({"notes": list(picture.notes)} if picture.notes else {})
        )
        of_sample = [picture.image.with_name(role.of_sample) for role in TASKS[picture.task].roles if role.of_sample]
        for path in dict.fromkeys([*of_sample, *picture.files.values()]):
            metadata = {"sample": picture.sample} if path in of_sample else made if path == picture.image else words
            if path not in seen:
                yield _file(path.stem, picture.step, path, metadata)
            seen.add(path)


def _parameters(run: RunFolder) -> dict[str, Any]:
    """One value a key for the whole run; the keys are the same in every run with these tasks, so that runs can be compared."""
    resolved = run.resolved
    samples = tuple(dict.fromkeys(edit.sample for edit in resolved.edits))
    parameters: dict[str, Any] = {
        "dataset": resolved.dataset.name,
        "checkpoint": resolved.checkpoint.name,
        "samples": _short(", ".join(samples)),
        "dtype": resolved.dtype,
        "threads": resolved.threads,
        "device": resolved.device,
    }
    for task in dict.fromkeys(edit.task for edit in resolved.edits):
        edits = [edit for edit in resolved.edits if edit.task == task]
        settings = written(edits[0])["settings"]
        words = {name: _common([getattr(edit, name) for edit in edits]) for name in ("prompt", "negative_prompt")} | {"seed": _common(_seeds(edits))}
        every = json.dumps(list({edit.sample: [edit.sample, edit.prompt, edit.negative_prompt] for edit in edits}.values())).encode()
        parameters |= flatten({task: settings | words | {"prompts_sha256": hashlib.sha256(every).hexdigest()}})
    return {short_name(path.replace(".", "|")): value for path, value in parameters.items()}


def _others(run: RunFolder) -> dict[str, Any]:
    resolved, record = run.resolved, run.record
    version = f":{resolved.dataset.version}" if resolved.dataset.version and ":" not in resolved.dataset.name else ""
    others = {
        "run_id": resolved.run_id,
        "dataset": resolved.dataset.name + version,
        "dataset_digest": resolved.dataset.digest,
        "checkpoint": resolved.checkpoint.name,
        "checkpoint_revision": resolved.checkpoint.revision,
        "checkpoint_digest": resolved.checkpoint.digest,
        "finished": record.get("finished"),
        "instruction_set": record.get("instruction_set"),
    }
    versions = {f"version.{name}": version for name, version in record.get("versions", {}).items()}
    return {short_name(name): _short(value) for name, value in (others | versions).items() if value is not None}


def _tags(run: RunFolder) -> list[str]:
    tasks = list(dict.fromkeys(edit.task for edit in run.resolved.edits))
    runs_folder = run.path.resolve().parent
    # Only the lab's own layout names a group; any other folder's name is the user's business.
    return [*tasks, short_name(runs_folder.name)] if runs_folder.parent.name == "runs" else tasks


def _metrics(pictures: Sequence[Picture]) -> Iterator[tuple[tuple[str, int], float]]:
    for picture in pictures:
        numbers = {"seconds": picture.seconds, "base_steps": picture.base_steps, "refiner_steps": picture.refiner_steps, **picture.metrics}
        for name, number in numbers.items():
            yield (short_name(f"{apart(picture.task, '-', picture.seed, picture.ordinal)}/{name}"), picture.step), number


def short_name(name: str) -> str:
    """Shorten a name as Comet would, but so that different names stay different.

    Args:
        name: Of any length.

    Returns:
        At most 100 characters: the name itself, or its beginning and eight digits of its SHA-256.
    """
    if len(name) <= NAME_LIMIT:
        return name
    return f"{name[: NAME_LIMIT - 9]}~{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _seeds(edits: Sequence[Edit]) -> list[int | str]:
    """The seed of each sample, or its seeds in words."""
    seeds: dict[str, list[int]] = {}
    for edit in edits:
        seeds.setdefault(edit.sample, []).append(edit.seed)
    return [own[0] if len(own) == 1 else ", ".join(map(str, own)) for own in seeds.values()]


def _common(values: list[Any]) -> Any:
    return _short(values[0]) if all(value == values[0] for value in values) else "one for each sample"


def _short(value: Any) -> Any:
    return value if not isinstance(value, str) or len(value) <= VALUE_LIMIT else value[: VALUE_LIMIT - 1] + "…"
