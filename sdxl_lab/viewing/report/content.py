"""Records → the plain values of a report: its axes, its pictures, what is missing and why."""

from __future__ import annotations

import json
import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sdxl_lab.datasets import inputs
from sdxl_lab.records.kept import KeptPicture, RunOfOne
from sdxl_lab.records.picture import Picture
from sdxl_lab.records.run_files import RunFiles
from sdxl_lab.settings.documents import canonical
from sdxl_lab.settings.sections import Compute
from sdxl_lab.spec.edit import Edit
from sdxl_lab.spec.homes import named_among
from sdxl_lab.spec.lacking import NOT_APPLICABLE, lacks, reason
from sdxl_lab.spec.resolved_spec import ResolvedSpec
from sdxl_lab.tasks import RESULT, TASKS
from sdxl_lab.viewing import flattened
from sdxl_lab.viewing.compare import telling_names, words_of
from sdxl_lab.viewing.report.files import Gallery
from sdxl_lab.viewing.report.recipes import recipe_of

REPORT_FORMAT = 1
LARGEST_EXACT = 2**53 - 1
"""A browser reads larger whole numbers rounded, so they are written as texts."""
MOST_RUN_COLUMNS = 12

OF_A_RUN = (
    *("checkpoint", "checkpoint.digest", "dataset", "dataset.digest", "compute.dtype", "compute.threads", "compute.device"),
    *(f"compute.{key}" for key in Compute.model_fields if key not in (*flattened.CHOSEN, "offload")),
)
"""What of a whole run may show in its pictures, in the order in which it becomes an axis; how models are offloaded does not."""

PictureState = Literal["done", "failed", "missing"]


@dataclass(frozen=True, kw_only=True)
class Missing:
    """A planned run that has no folder, or whose pictures were not all made.

    Attributes:
        resolved: What it would make.
        message: Why it failed; None if nobody tried, or somebody still does.
    """

    resolved: ResolvedSpec
    message: str | None = None


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One planned picture.

    Attributes:
        resolved: The run it belongs to.
        folder: Where that is recorded; None if it was never begun.
        edit: What is asked.
        picture: What was made, if it was.
        message: Why it was not, if that is known.
    """

    resolved: ResolvedSpec
    folder: RunFiles | None
    edit: Edit
    picture: Picture | None
    message: str | None

    @property
    def state(self) -> PictureState:
        """Whether it was made, and else whether it was tried."""
        return "done" if self.picture else "failed" if self.message is not None else "missing"

    @property
    def kept(self) -> KeptPicture | None:
        """What its session says of it; None of a run's picture."""
        return self.folder.kept if isinstance(self.folder, RunOfOne) else None

    @property
    def settings(self) -> dict[str, Any]:
        """All that tells it from other pictures, by dotted path."""
        whole = flattened.of_run(self.resolved)
        of_run = {path: whole[path] for path in OF_A_RUN} | self.resolved.on_models
        return flattened.of_edit(self.edit, self.resolved) | of_run | flattened.variation_of(self.edit, self.resolved)

    def lacks(self, path: str) -> bool:
        """Whether its checkpoint's family has no such setting."""
        return reason(path, lacks(self.resolved.checkpoint.family)) is not None


def entries_of(folders: Iterable[RunFiles], missing: Iterable[Missing]) -> list[Entry]:
    """List the planned pictures of some runs, each once.

    Args:
        folders: Runs that were begun, at least.
        missing: Others, or the same, with why they failed.

    Returns:
        In the order of the runs, and of the edits of each.
    """
    absent = {item.resolved.run_id: item for item in missing}
    found: dict[str, RunFiles] = {}
    for folder in folders:
        run_id = folder.resolved.run_id
        if run_id not in found or (folder.is_done and not found[run_id].is_done):
            found[run_id] = folder
    entries: list[Entry] = []
    for run_id, folder in found.items():
        made = {picture.key: picture for picture in folder.pictures()}
        message = absent[run_id].message if run_id in absent else None
        for edit in folder.resolved.edits:
            picture = made.get(edit.key)
            entries.append(Entry(resolved=folder.resolved, folder=folder, edit=edit, picture=picture, message=None if picture else message))
    for run_id, item in absent.items():
        if run_id not in found:
            entries += [Entry(resolved=item.resolved, folder=None, edit=edit, picture=None, message=item.message) for edit in item.resolved.edits]
    return entries


def content_of(entries: Sequence[Entry], gallery: Gallery, title: str) -> dict[str, Any]:
    """Put together all that a report shows, but for the pictures themselves.

    Args:
        entries: The planned pictures.
        gallery: Takes the pictures in.
        title: The headline.

    Returns:
        Plain values for JSON; pictures are named by the sha256 of their pixels.
    """
    settings = [{path: exact(value) for path, value in entry.settings.items()} for entry in entries]
    runs = _runs(entries)
    labels = [runs[entry.resolved.run_id]["label"] for entry in entries]
    varying = varying_of(entries, settings, [(entry.edit.sample, entry.edit.task) for entry in entries])
    for entry, flat in zip(entries, settings, strict=True):
        flat |= {path: NOT_APPLICABLE for path in varying if entry.lacks(path)}
    # A task that does not take a setting has none.
    values = {path: _ordered([flat.get(path) for flat in settings]) for path in ["sample", "task", *varying]}
    values["run"] = list(dict.fromkeys(labels))
    axes = {path: found for path, found in values.items() if len(found) > 1} or {"sample": values["sample"]}
    places = {path: {canonical(value): index for index, value in enumerate(found)} for path, found in axes.items()}
    order = {run_id: index for index, run_id in enumerate(runs)}
    unique: dict[str, int] = {}
    pictures = []
    for entry, flat, label in zip(entries, settings, labels, strict=True):
        written = flat | {"run": label}
        pictures.append(
            {
                "at": [place[canonical(written.get(path))] for path, place in places.items()],
                "run": order[entry.resolved.run_id],
                "settings": unique.setdefault(canonical(flat), len(unique)),
                **_picture(entry, gallery),
            }
        )
    has_seeds = any(entry.resolved.ordinals[entry.edit.key] for entry in entries)
    x, y = _first_axes(axes, [path for path in varying if path != "seed" or not has_seeds], runs, within=["seed"] if has_seeds else [])
    return {
        "format": REPORT_FORMAT,
        "title": title,
        "axes": [{"path": path, "name": _name_of(path, axes, entries), "values": found} for path, found in axes.items()],
        "x": x,
        "y": y,
        "varying": varying,
        "unnamed": inputs.SAMPLE,
        "roles": list(dict.fromkeys(role.name for entry in entries for role in TASKS[entry.edit.task].roles if role != RESULT)),
        "metrics": _metrics(entries, pictures),
        "runs": list(runs.values()),
        "settings": [json.loads(key) for key in unique],
        "pictures": pictures,
    }


def _runs(entries: Sequence[Entry]) -> dict[str, dict[str, Any]]:
    """What is known of each run, by `run_id`; a name that several runs have is told apart by the first digits of that."""
    by_id = {entry.resolved.run_id: entry for entry in entries}
    names = [entry.resolved.spec.name for entry in by_id.values()]
    runs: dict[str, dict[str, Any]] = {}
    for run_id, entry in by_id.items():
        name = entry.resolved.spec.name
        record = entry.folder.record if entry.folder else {}
        runs[run_id] = {
            "label": name if names.count(name) == 1 else f"{name} {run_id[:6]}",
            "name": name,
            "run_id": run_id,
            "folder": entry.folder.top.resolve().name if entry.folder else None,
            "finished": record.get("finished"),
            "instruction_set": record.get("instruction_set"),
            "versions": record.get("versions", {}),
        }
    return runs


def _picture(entry: Entry, gallery: Gallery) -> dict[str, Any]:
    picture = entry.picture
    if picture is None:
        return {"state": entry.state, "message": entry.message}
    evaluations = picture.base_steps + picture.refiner_steps
    costs = {"steps": evaluations, "base_steps": picture.base_steps, "refiner_steps": picture.refiner_steps, "seconds_spent": picture.seconds}
    kept = entry.kept
    of_session = {"number": kept.number, "starred": kept.is_starred, "note": kept.note} if kept else {}
    return {
        "state": "done",
        **of_session,
        "sha256": gallery.add(picture.image),
        **{role: gallery.add(path) for role, path in picture.files.items() if role != RESULT.name},
        "width": picture.width,
        "height": picture.height,
        "file": picture.image.relative_to(entry.folder.top).as_posix() if entry.folder else picture.image.name,
        "metrics": {**picture.metrics, **costs},
        "picture_id": picture.picture_id,
        **({"weights": weights} if (weights := flattened.weights_in(entry.edit, picture.notes)) else {}),
        **({"seen": picture.frame.told((picture.width, picture.height))} if picture.frame else {}),
        **({"templates": templates} if (templates := flattened.templates_in(entry.edit, entry.resolved)) else {}),
        "notes": list(picture.notes),
        **(recipe_of(entry.edit, entry.folder, picture) if entry.folder else {}),
    }


def _metrics(entries: Sequence[Entry], pictures: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What is said of each metric, the telling ones first; `first` are those of them that differ between runs, or else between pictures."""
    values: dict[str, dict[tuple[str, str], set[float]]] = {}
    for entry, picture in zip(entries, pictures, strict=True):
        for name, number in picture.get("metrics", {}).items():
            values.setdefault(name, {}).setdefault((entry.edit.sample, entry.edit.task), set()).add(number)
    names = [name for name in telling_names(values) if name in values]
    between_runs = [name for name in names if any(len(numbers) > 1 for numbers in values[name].values())]
    between_pictures = [name for name in names if len(set().union(*values[name].values())) > 1]
    first = between_runs or between_pictures or names
    metrics = []
    for name in dict.fromkeys([*names, *values]):
        words = words_of(name)
        metrics.append({"name": name, "unit": words.unit, "better": words.better, "sentence": words.sentence, "first": name in first})
    return metrics


def varying_of(entries: Sequence[Entry], settings: Sequence[Mapping[str, Any]], places: Sequence[Hashable]) -> list[str]:
    """Find the settings that differ between pictures of one sample and task; what only tells samples or tasks apart is none.

    Args:
        entries: Pictures.
        settings: What tells each of them from others.
        places: The sample and task of each, by whatever names them.

    Returns:
        Dotted paths; seeds are among them.
    """
    first: dict[Hashable, dict[str, tuple[Entry, Mapping[str, Any]]]] = {}
    paths: dict[str, None] = {}
    for entry, place, flat in zip(entries, places, settings, strict=True):
        alike = first.setdefault(place, {})
        alike.setdefault(entry.resolved.checkpoint.family, (entry, flat))
        for other, theirs in alike.values():
            if theirs is not flat:
                differ = (path for path, value in flat.items() if canonical(value) != canonical(theirs.get(path)))
                paths |= dict.fromkeys(path for path in differ if not other.lacks(path))
    for adapter in dict.fromkeys(adapter.path for entry in entries for adapter in entry.resolved.asked_for):
        for path in _told_elsewhere(adapter, paths, settings):
            paths.pop(path)
    for name in ("checkpoint", "dataset"):  # the digest is an axis only where the name doesn't tell
        if name in paths:
            paths.pop(f"{name}.digest", None)
    for name in ("prompt", "negative_prompt"):  # what was replaced or drawn in it tells
        given = {(place, flattened.given_words(entry.edit, entry.resolved)[name]) for place, entry in zip(places, entries, strict=True)}
        if len(given) == len(first):
            paths.pop(name, None)
    return list(paths)


def _told_elsewhere(adapter: str, paths: Iterable[str], settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Which of an adapter's file and settings are no axes: where it is not everywhere, that is one difference, and not one of each."""
    there = [flat for flat in settings if adapter in flat]
    own = [path for path in paths if path.startswith(f"{adapter}.")]
    alike = [path for path in own if len({canonical(flat.get(path)) for flat in there}) == 1]
    is_told = adapter in paths and len(alike) < len(own) and len({flat[adapter] for flat in there}) == 1
    return [*alike, adapter] if is_told else alike


def _first_axes(axes: Mapping[str, list[Any]], varying: Sequence[str], runs: Mapping[str, Any], *, within: Sequence[str]) -> tuple[str, str | None]:
    """Choose what is seen first: settings against each other where most combinations were planned, runs side by side, or what varies in one."""
    combinations = math.prod(len(axes[path]) for path in varying)
    if varying and (len(runs) > MOST_RUN_COLUMNS or len(runs) > combinations / 2):
        order = sorted(varying, key=lambda path: (path != "seed", len(axes[path])))  # a row a seed, whatever else there is to see
        chosen = [order[-1], *order[:-1][-1:]]
    else:
        chosen = ["run"] if len(runs) > 1 and (varying or not within) else list(within)
    chosen += [path for path in (("sample", "task") if chosen else ("task", "sample")) if path in axes]
    chosen += [path for path in axes if path not in chosen and (path != "run" or not chosen)]
    return chosen[0], chosen[1] if len(chosen) > 1 else None


def _name_of(path: str, axes: Mapping[str, list[Any]], entries: Sequence[Entry]) -> str:
    """What an axis is called: in short, and runs of one picture each what they are."""
    return "picture" if path == "run" and all(entry.kept for entry in entries) else named_among(path, axes)


def _ordered(values: Iterable[Any]) -> list[Any]:
    """Each value once: numbers by size after None, anything else as it comes."""
    unique = list({canonical(value): value for value in values}.values())
    if all(value is None or (isinstance(value, int | float) and not isinstance(value, bool)) for value in unique):
        return sorted(unique, key=lambda value: -math.inf if value is None else value)
    return unique


def exact(value: Any) -> Any:
    """A setting's value as the page has it: what a browser would round is a text."""
    return str(value) if isinstance(value, int) and abs(value) > LARGEST_EXACT else value
