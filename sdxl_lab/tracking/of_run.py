"""A run's record, finished or not, as one experiment shows it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from sdxl_lab.records.folder import RunFolder
from sdxl_lab.records.picture import Picture
from sdxl_lab.settings.documents import written
from sdxl_lab.settings.hyperparams import flatten
from sdxl_lab.spec.edit import Edit, apart
from sdxl_lab.spec.resolved_spec import DatasetIdentity, ResolvedSpec
from sdxl_lab.tasks import TASKS
from sdxl_lab.tracking.disclosure import public_notebook
from sdxl_lab.tracking.experiment import File, Projection, file_of, short, short_name
from sdxl_lab.tracking.key import experiment_key


def of_run(run: RunFolder, scratch: Path) -> Projection:
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
        images.append(file_of("contact-sheet", None, run.contact_sheet))
    assets = [file_of("prompts.csv", None, run.prompts_file)] if run.prompts_file.is_file() else []
    if run.report_file.is_file() and not run.report_pictures.is_dir():  # Comet shows an asset by itself
        assets.append(file_of("report.html", None, run.report_file))
    if copy := _public_copy(run.executed_notebook, scratch):
        assets.append(file_of("executed.ipynb", None, copy))
    return Projection(
        key=experiment_key(run),
        name=run.resolved.spec.name,
        tags=tags_of((edit.task for edit in run.resolved.edits), run.path),
        parameters=parameters_of(run.resolved),
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


def _images(run: RunFolder, pictures: Sequence[Picture]) -> Iterator[File]:
    edits = {edit.key: edit for edit in run.resolved.edits}
    seen: set[Path] = set()
    for picture in pictures:
        words, made = words_of(picture), told(picture, edits[picture.key])
        of_sample = [picture.image.with_name(role.of_sample) for role in TASKS[picture.task].roles if role.of_sample]
        for path in dict.fromkeys([*of_sample, *picture.files.values()]):
            metadata = {"sample": picture.sample} if path in of_sample else made if path == picture.image else words
            if path not in seen:
                yield file_of(path.stem, picture.step, path, metadata)
            seen.add(path)


def words_of(picture: Picture) -> dict[str, Any]:
    """What is said of each file of a picture."""
    return {"sample": picture.sample, "task": picture.task}


def told(picture: Picture, edit: Edit) -> dict[str, Any]:
    """What is said of a picture beside its result.

    Args:
        picture: As it is recorded.
        edit: Which it was made for.
    """
    made = {
        "prompt": picture.prompt,
        "negative_prompt": picture.negative_prompt,
        "seed": picture.seed,
        "sha256": picture.sha256,
        "base_steps": picture.base_steps,
        "refiner_steps": picture.refiner_steps,
        "steps": picture.base_steps + picture.refiner_steps,
        "settings": written(edit)["settings"],
        "picture_id": picture.picture_id,
    }
    return words_of(picture) | made | ({"notes": list(picture.notes)} if picture.notes else {})


def numbers_of(picture: Picture) -> dict[str, float]:
    """What was measured of a picture: name to number."""
    return {"seconds": picture.seconds, "base_steps": picture.base_steps, "refiner_steps": picture.refiner_steps, **picture.metrics}


def parameters_of(resolved: ResolvedSpec) -> dict[str, Any]:
    """One value a key for the whole run; the keys are the same in every run with these tasks, so that runs can be compared.

    Args:
        resolved: The run.
    """
    samples = tuple(dict.fromkeys(edit.sample for edit in resolved.edits))
    parameters: dict[str, Any] = {
        "dataset": resolved.dataset.name,
        "checkpoint": resolved.checkpoint.name,
        "samples": short(", ".join(samples)),
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
    others = {
        "run_id": resolved.run_id,
        "dataset": name_of(resolved.dataset),
        "dataset_digest": resolved.dataset.digest,
        "checkpoint": resolved.checkpoint.name,
        "checkpoint_revision": resolved.checkpoint.revision,
        "checkpoint_digest": resolved.checkpoint.digest,
        "finished": record.get("finished"),
        "instruction_set": record.get("instruction_set"),
    }
    versions = {f"version.{name}": version for name, version in record.get("versions", {}).items()}
    return {short_name(name): short(value) for name, value in (others | versions).items() if value is not None}


def name_of(dataset: DatasetIdentity) -> str:
    """What a dataset is called, with its version: an artifact's own name in Comet."""
    return f"{dataset.name}:{dataset.version}" if dataset.version and ":" not in dataset.name else dataset.name


def tags_of(tasks: Iterable[str], folder: Path) -> tuple[str, ...]:
    """Tasks, and the group that a folder belongs to.

    Args:
        tasks: Their names, repeated or not.
        folder: A run's, or a session's.
    """
    group = folder.resolve().parent
    # Only the lab's own layout names a group; any other folder's name is the user's business.
    return (*dict.fromkeys(tasks), *([short_name(group.name)] if group.parent.name == "runs" else []))


def _metrics(pictures: Sequence[Picture]) -> Iterator[tuple[tuple[str, int | None], float]]:
    for picture in pictures:
        for name, number in numbers_of(picture).items():
            yield (short_name(f"{apart(picture.task, '-', picture.seed, picture.ordinal)}/{name}"), picture.step), number


def _seeds(edits: Sequence[Edit]) -> list[int | str]:
    """The seed of each sample, or its seeds in words."""
    seeds: dict[str, list[int]] = {}
    for edit in edits:
        seeds.setdefault(edit.sample, []).append(edit.seed)
    return [own[0] if len(own) == 1 else ", ".join(map(str, own)) for own in seeds.values()]


def _common(values: list[Any]) -> Any:
    return short(values[0]) if all(value == values[0] for value in values) else "one for each sample"
