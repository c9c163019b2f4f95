"""A run's record, finished or not, as one experiment shows it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from sdxl_lab.comet.worker import CODE, is_asked
from sdxl_lab.files.disk import write_whole
from sdxl_lab.images.png import png
from sdxl_lab.records.folder import RunFolder
from sdxl_lab.records.picture import Picture
from sdxl_lab.records.sweep import SweepFolder
from sdxl_lab.settings.arguments import written as written_as_yaml
from sdxl_lab.settings.documents import written
from sdxl_lab.settings.hyperparams import flatten
from sdxl_lab.spec.edit import Edit, apart
from sdxl_lab.spec.identities import DatasetIdentity
from sdxl_lab.spec.resolved_spec import ResolvedSpec
from sdxl_lab.tasks import TASKS
from sdxl_lab.tracking.disclosure import code_of, public_notebook
from sdxl_lab.tracking.experiment import HTML_LIMIT_BYTES, File, Projection, digest_of, file_of, short, short_name
from sdxl_lab.tracking.key import experiment_key
from sdxl_lab.tracking.naming import FILE, command_of, public_parameters, title_of
from sdxl_lab.tracking.parameters import earlier_keys, parameters_of
from sdxl_lab.viewing.before_after import LAYOUT, before_after
from sdxl_lab.viewing.compare.costs import COSTS, RENAMED
from sdxl_lab.viewing.compare.intervals import mean_interval


def of_run(run: RunFolder, scratch: Path) -> Projection:
    """Read a run's record as an experiment.

    Args:
        run: A run, done or not.
        scratch: An existing folder for copies, and for what is made to be sent.

    Returns:
        The experiment, the same for the same record wherever it lies.

    Raises:
        RecordError: The folder holds no run.
        DiskError: The key cannot be written.
    """
    pictures, resolved = run.pictures(), run.resolved
    title, command, parameters = title_of(resolved), command_of(run), parameters_of(resolved)
    images = [*_images(run, pictures, title), *_sheets(run, pictures, title, scratch)]
    if run.contact_sheet.is_file():
        images.append(file_of("contact-sheet", None, run.contact_sheet, {"run": title}))
    assets = [file_of(path.name, None, path) for path in _assets(run, command, scratch)]
    notebook = _public_copy(run.executed_notebook, scratch)
    return Projection(
        key=experiment_key(run),
        name=title,
        description=command,
        tags=tags_of((edit.task for edit in resolved.edits), run.path),
        parameters=parameters,
        others=_others(run),
        metrics=dict([*_metrics(pictures), *(_means(pictures) if run.is_done and len(pictures) == len(resolved.edits) else ())]),
        images=tuple(images),
        assets=tuple(assets),
        html=file_of(run.report_file.name, None, run.report_file) if is_one_page(run, HTML_LIMIT_BYTES) else None,
        notebook=file_of(notebook.name, None, notebook) if notebook else None,
        code=_code(notebook, scratch) if notebook and is_asked(CODE) else None,
        obsolete=earlier_keys(resolved) - parameters.keys(),
    )


def _assets(run: RunFolder, command: str, scratch: Path) -> Iterator[Path]:
    """What people download, as far as it is there."""
    if run.prompts_file.is_file():
        yield run.prompts_file
    if command.endswith(f" -f {FILE}"):
        write_whole(scratch / FILE, written_as_yaml(public_parameters(run)).encode())
        yield scratch / FILE
    if is_one_page(run):
        yield run.report_file


def is_one_page(record: RunFolder | SweepFolder, most_bytes: float = math.inf) -> bool:
    """Whether there is a report, with its pictures in it: Comet shows a page by itself.

    Args:
        record: With a report, or without.
        most_bytes: How large it may be.
    """
    page = record.report_file
    return page.is_file() and not record.report_pictures.is_dir() and page.stat().st_size <= most_bytes


def _public_copy(notebook: Path, scratch: Path) -> Path | None:
    """A copy without paths; none as long as the notebook is absent or torn, since then it is run again."""
    copy = scratch / "executed.ipynb"
    try:
        copy.write_bytes(public_notebook(notebook.read_bytes()))
    except (FileNotFoundError, ValueError):
        return None
    return copy


def _code(notebook: Path, scratch: Path) -> File:
    """The code of a notebook's cells, as one script."""
    script = scratch / f"{notebook.stem}.py"
    script.write_text(code_of(notebook.read_bytes()), "utf-8")
    return file_of(script.name, None, script)


def _images(run: RunFolder, pictures: Sequence[Picture], title: str) -> Iterator[File]:
    edits = {edit.key: edit for edit in run.resolved.edits}
    seen: set[Path] = set()
    for picture in pictures:
        edit = edits[picture.key]
        asked = asked_of(picture, run.resolved, title)
        of_sample = [picture.image.with_name(role.of_sample) for role in TASKS[picture.task].roles if role.of_sample]
        for path in dict.fromkeys([*of_sample, *picture.files.values()]):
            shared = {"sample": picture.sample, "run": title}
            metadata = shared if path in of_sample else told(picture, edit) | asked if path == picture.image else asked
            if path not in seen:
                yield file_of(path.stem, picture.step, path, metadata)
            seen.add(path)


def _sheets(run: RunFolder, pictures: Sequence[Picture], title: str, scratch: Path) -> Iterator[File]:
    """Each picture before and after. They are known by what they are made from: the same sheet may have other bytes on another machine."""
    for picture in pictures:
        lines = (f"{picture.title} · {title}", picture.prompt)
        sources = [[role, digest_of(path)] for role, path in picture.files.items()]
        sha256 = hashlib.sha256(json.dumps([LAYOUT, lines, sources]).encode()).hexdigest()
        yield File(
            name=f"before-after-{picture.image.stem}",
            step=picture.step,
            path=scratch / f"before-after-{sha256}.png",
            sha256=sha256,
            metadata=asked_of(picture, run.resolved, title) | {"file_sha256": sha256},
            make=partial(_write_sheet, picture, lines),
        )


def _write_sheet(picture: Picture, lines: Sequence[str], path: Path) -> None:
    write_whole(path, png(before_after(picture, lines)))


def asked_of(picture: Picture, resolved: ResolvedSpec, title: str) -> dict[str, Any]:
    """What is said of each file of a picture: sample and task, words and seed, and what was set for them.

    Args:
        picture: As it is recorded.
        resolved: The run it belongs to.
        title: What the run is called in Comet.
    """
    words = {"prompt": picture.prompt, "negative_prompt": picture.negative_prompt, "seed": picture.seed}
    given = {key: value for key, value in resolved.spec.given(picture.task).items() if key not in ("compute", "seeds", *words)}
    return words_of(picture) | {"run": title} | words | {"set": flatten(given)}


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
    by_compel = {"compel": edit.compel} if edit.compel else {}
    seen = {"seen": picture.frame.told((picture.width, picture.height))} if picture.frame else {}
    return words_of(picture) | made | by_compel | seen | ({"notes": list(picture.notes)} if picture.notes else {})


def numbers_of(picture: Picture) -> dict[str, float]:
    """What was measured of a picture: name to number."""
    return {"seconds": picture.seconds, "base_steps": picture.base_steps, "refiner_steps": picture.refiner_steps, **picture.metrics}


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
        "commit": record.get("commit"),
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


def _means(pictures: Sequence[Picture]) -> Iterator[tuple[tuple[str, None], float]]:
    """One number for the whole run: the mean of each metric over a task's pictures, and its interval where there is one.

    As in a comparison, costs are counted, not estimated, and have no interval.
    """
    found: dict[tuple[str, str], list[tuple[float, str]]] = {}
    for picture in pictures:
        for name, number in numbers_of(picture).items():
            found.setdefault((picture.task, name), []).append((number, picture.sample))
    for (task, name), pairs in found.items():
        interval = mean_interval([number for number, _ in pairs], [sample for _, sample in pairs])
        is_cost = RENAMED.get(name, name) in COSTS
        for end, number in (("", interval.mean), *(() if is_cost else ((".low", interval.low), (".high", interval.high)))):
            if number is not None:
                yield (short_name(f"mean/{task}/{name}{end}"), None), number


def _metrics(pictures: Sequence[Picture]) -> Iterator[tuple[tuple[str, int | None], float]]:
    for picture in pictures:
        for name, number in numbers_of(picture).items():
            yield (short_name(f"{apart(picture.task, '-', picture.seed, picture.ordinal)}/{name}"), picture.step), number
