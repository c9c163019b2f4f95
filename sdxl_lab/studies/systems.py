"""Records → what a study can show: pictures of one sample, task and seed, by the systems that made them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdxl_lab.datasets import inputs
from sdxl_lab.records.finding import RunLike, as_runs, recorded_at
from sdxl_lab.records.folder import RunFolder
from sdxl_lab.records.picture import Picture, is_whole
from sdxl_lab.records.run_files import RunFiles
from sdxl_lab.records.session import SessionFolder
from sdxl_lab.settings.documents import canonical
from sdxl_lab.spec.homes import named_among
from sdxl_lab.studies.trials import MOST_NAMES, StudyError
from sdxl_lab.tasks import TASKS
from sdxl_lab.viewing import flattened
from sdxl_lab.viewing.compare.rows import called, shown
from sdxl_lab.viewing.report.content import Entry, entries_of, varying_of
from sdxl_lab.wording import counted, few

OF_THE_MACHINE = ("compute.threads", "compute.device")
"""What nobody is asked about where anything else differs."""
LONGEST_VALUE = 40


@dataclass(frozen=True, kw_only=True)
class Place:
    """What the pictures of a trial have in common.

    Attributes:
        sample: What the sample is called; of pictures that were made by themselves, what they were made from and the prompt.
        task: What was done with it.
        seed: By which they were made.
        prompt: The text that was painted, where judges read it; the pictures of a trial then have it in common.
    """

    sample: str
    task: str
    seed: int
    prompt: str | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Found:
    """What some runs and sessions have to show.

    Attributes:
        settings: Label of each system to what sets it apart from the others, by dotted name.
        folders: Label to the folders of the runs and sessions that its pictures are of.
        pictures: By what they have in common, then by label. In each place are two or more.
        notes: What is to be said, one line each.
    """

    settings: Mapping[str, Mapping[str, Any]]
    folders: Mapping[str, tuple[Path, ...]]
    pictures: Mapping[Place, Mapping[str, Picture]]
    notes: tuple[str, ...]


def found_at(paths: Iterable[RunLike | Path | str], *, by_prompt: bool, roles: Sequence[str] = ()) -> Found:
    """Find recorded pictures, and tell the systems apart that made them: pictures that differ in nothing but sample, task and seed are of one.

    Args:
        paths: Folders of runs, sweeps and sessions, or folders above some.
        by_prompt: Whether only pictures with one prompt are compared.
        roles: Files that a picture must have beside the result, such as `input`.

    Raises:
        StudyError: There are no pictures, they are all of one system, no two of them can be compared, or some are not as they were recorded.
        RecordError: A path holds no record.
    """
    recorded = recorded_at(paths)
    runs = as_runs(recorded)
    _check_whole([each for each in recorded if isinstance(each, SessionFolder)], [run for run in runs if isinstance(run, RunFolder)])
    entries = [entry for entry in entries_of(runs, ()) if _shows(entry, roles)]
    if not entries:
        raise _unshown(runs, roles)
    samples = _samples_of(entries)
    values = [entry.settings for entry in entries]
    differing = varying_of(entries, values, [(sample, entry.edit.task) for sample, entry in zip(samples, entries, strict=True)])
    varying = _asked_about([path for path in differing if path not in _of_samples(entries, values)])
    systems = _of_whole_runs(entries, [{path: flat[path] for path in varying if path in flat} for flat in values], varying)
    labels = _labels(systems, varying)
    notes = [note for run in runs if isinstance(run, RunFolder) and (note := _unfinished(run))]
    if len(labels) < 2:
        raise _one_system(runs, entries, samples)
    pictures: dict[Place, dict[str, Picture]] = {}
    folders: dict[str, dict[Path, None]] = {}
    for entry, sample, system in zip(entries, samples, systems, strict=True):
        if entry.picture is None or entry.folder is None:
            continue
        edit, label = entry.edit, labels[canonical(system)]
        place = Place(sample=sample, task=edit.task, seed=edit.seed, prompt=edit.prompt if by_prompt else None)
        pictures.setdefault(place, {}).setdefault(label, entry.picture)
        folders.setdefault(label, {})[entry.folder.top] = None
    shared = {place: by_system for place, by_system in pictures.items() if len(by_system) > 1}
    if not shared:
        same = "sample, task, seed and prompt" if by_prompt else "sample, task and seed"
        names = few(list(labels.values()), MOST_NAMES, between="; ")
        raise StudyError(
            f"got {counted(len(labels), 'system')} ({names}), and no two of them have a picture of the same {same}; "
            "give runs over the same samples and seeds"
        )
    there = {label for by_system in shared.values() for label in by_system}
    if lonely := [label for label in folders if label not in there]:
        notes.append(f"left out, since nothing is to be compared with their pictures: {few(lonely, MOST_NAMES, between='; ')}")
    settings = {labels[canonical(system)]: dict(system) for system in systems if labels[canonical(system)] in there}
    return Found(settings=settings, folders={label: tuple(folders[label]) for label in settings}, pictures=shared, notes=tuple(notes))


def _one_system(runs: Sequence[RunFiles], entries: Sequence[Entry], samples: Sequence[str]) -> StudyError:
    """There is nothing to choose between, because all is alike, or because nothing is of the same sample, so that nobody can tell."""
    by_place: dict[tuple[str, str], set[str]] = {}
    for entry, sample in zip(entries, samples, strict=True):
        by_place.setdefault((sample, entry.edit.task), set()).add(entry.resolved.run_id)
    if len({entry.resolved.run_id for entry in entries}) > 1 and all(len(made_by) == 1 for made_by in by_place.values()):
        return StudyError(
            f"got {called(runs)}, and no two of them have a picture of the same sample and task; give runs over the same samples and seeds"
        )
    alike = ", which differ in nothing but samples, tasks and seeds" if len(runs) > 1 else ""
    return StudyError(f"got {called(runs)}{alike}: that is one system, and there is nothing to choose between; give runs that differ in a setting")


def _unshown(runs: Sequence[RunFiles], roles: Sequence[str]) -> StudyError:
    got = f"got {called(runs)}"
    tasks = list(dict.fromkeys(entry.edit.task for entry in entries_of(runs, ()) if entry.picture))
    if not (roles and tasks):
        return StudyError(f"{got}, and no picture that was made; give others")
    able = [name for name, task in TASKS.items() if set(roles) <= {role.name for role in task.roles}]
    return StudyError(
        f"question: {got} of {' and '.join(tasks)}, whose pictures were made without {' and '.join(roles)}, so that none is an edit; ask --question "
        f"better or prompt, or give runs of {' or '.join(able)}"
    )


def _shows(entry: Entry, roles: Sequence[str]) -> bool:
    return entry.picture is not None and set(roles) <= {role.name for role in TASKS[entry.edit.task].roles}


def _check_whole(sessions: Sequence[SessionFolder], runs: Sequence[RunFolder]) -> None:
    """Pictures that were recorded and are gone or changed are no gap to be passed over: somebody would wonder at the count."""
    lost = [f"{run.path.name} ({gone} of {run.count})" for run in runs if (gone := run.count - len(run.pictures()))]
    for session in sessions:
        kept = [each for each in session.recorded() if not each.is_deleted]
        if gone := sum(not is_whole(each.recorded) for each in kept):
            lost.append(f"{session.path.name} ({gone} of {len(kept)})")
    if lost:
        raise StudyError(
            f"pictures that were recorded are not there any more, or have other pixels: {few(lost, MOST_NAMES)}; "
            "run the same again, which makes what is missing, or leave these out"
        )


def _samples_of(entries: Sequence[Entry]) -> list[str]:
    """What the sample of each is called. Where there was no dataset it is what was given and the prompt, told apart by digests."""
    named: dict[str, dict[str, None]] = {}
    known = []
    for entry in entries:
        edit, dataset = entry.edit, entry.resolved.dataset
        if dataset.name == inputs.NAME:
            prompt = flattened.given_words(edit, entry.resolved)["prompt"]
            called = prompt if edit.sample == inputs.SAMPLE else f"{edit.sample}: {prompt}"
            known.append((str(called), dataset.digest))
        else:
            known.append((edit.sample, ""))
        named.setdefault(known[-1][0], {})[known[-1][1]] = None
    return [name if len(named[name]) == 1 else f"{name} {digest[:6]}".strip() for name, digest in known]


def _of_samples(entries: Sequence[Entry], values: Sequence[Mapping[str, Any]]) -> set[str]:
    """Which prompts are those of samples: a run has several of them."""
    found: dict[tuple[str, str], set[str]] = {}
    for entry, flat in zip(entries, values, strict=True):
        for name in ("prompt", "negative_prompt"):
            found.setdefault((name, entry.resolved.run_id), set()).add(canonical(flat.get(name)))
    return {name for (name, _), texts in found.items() if len(texts) > 1}


def _asked_about(varying: Sequence[str]) -> list[str]:
    asked = [path for path in varying if path not in ("seed", *OF_THE_MACHINE)]
    return asked or [path for path in varying if path != "seed"]


class ByTask(dict[str, Any]):
    """Values of one setting by task, where one run has several."""


System = tuple[tuple[str, Any], ...]


def _of_whole_runs(entries: Sequence[Entry], known: Sequence[Mapping[str, Any]], varying: Sequence[str]) -> list[System]:
    """What differs, for each picture: where its run has one value for each task it is those of all, so that a run is one system."""
    by_run: dict[str, dict[str, dict[str, Mapping[str, Any]]]] = {}
    for entry, flat in zip(entries, known, strict=True):
        by_run.setdefault(entry.resolved.run_id, {}).setdefault(entry.edit.task, {})[canonical(flat)] = flat
    systems = []
    for entry, flat in zip(entries, known, strict=True):
        by_task = by_run[entry.resolved.run_id]
        if all(len(alike) == 1 for alike in by_task.values()):
            of_tasks = {task: next(iter(alike.values())) for task, alike in by_task.items()}
            systems.append(tuple((path, _of_tasks(path, of_tasks)) for path in varying))
        else:
            systems.append(tuple((path, flat.get(path)) for path in varying))
    return systems


def _of_tasks(path: str, of_tasks: Mapping[str, Mapping[str, Any]]) -> Any:
    """A setting's value, or its values by task; a task without the setting says nothing."""
    found = {task: flat[path] for task, flat in of_tasks.items() if path in flat}
    return ByTask(found) if len(set(map(canonical, found.values()))) > 1 else next(iter(found.values()), None)


def _labels(systems: Sequence[System], varying: Sequence[str]) -> dict[str, str]:
    """What each system is called, by its key: what differs, in short."""
    unique = {canonical(system): system for system in systems}
    texts = [", ".join(f"{named_among(path, varying)} {_short(value)}" for path, value in system) for system in unique.values()]
    counts, seen = Counter(texts), Counter[str]()
    labels = {}
    for key, text in zip(unique, texts, strict=True):
        seen[text] += 1
        labels[key] = text if counts[text] == 1 else f"{text} ({seen[text]})"
    return labels


def _short(value: Any) -> str:
    if isinstance(value, ByTask):
        return ", ".join(f"{_short(own)} ({task})" for task, own in value.items())
    text = "none" if value is None else " ".join(shown(value).split())
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"


def _unfinished(run: RunFolder) -> str | None:
    made, planned = len(run.pictures()), len(run.resolved.edits)
    return f"{run.path.name} is not done: {made} of {counted(planned, 'picture')}" if made < planned else None
