"""Runs → the rows of a comparison: which runs are one row, and what differs between rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sdxl_lab.errors import LabError
from sdxl_lab.records.finding import RunLike, runs_at
from sdxl_lab.records.kept import RunOfOne
from sdxl_lab.records.picture import Picture
from sdxl_lab.records.run_files import RecordError, RunFiles
from sdxl_lab.settings.documents import canonical
from sdxl_lab.settings.hyperparams import closest
from sdxl_lab.spec.edit import Edit
from sdxl_lab.spec.lacking import NOT_APPLICABLE, lacks, reason
from sdxl_lab.spec.resolved_spec import ResolvedSpec
from sdxl_lab.tasks import TASKS
from sdxl_lab.viewing import flattened
from sdxl_lab.wording import counted, few

WORDS = ("prompt", "negative_prompt", "seed")
"""What belongs to a sample, unless parameters replace it."""

MOST_NAMES = 10
"""How many rows a message lists, at most: a session has hundreds."""


class CompareError(LabError):
    """Runs that cannot be compared as asked."""


@dataclass(frozen=True, kw_only=True)
class Values:
    """More than one value of a setting within one row, such as the seeds of a dataset's samples.

    Attributes:
        count: How many.
    """

    count: int

    def __str__(self) -> str:
        return f"{self.count} values"


@dataclass(frozen=True, kw_only=True, eq=False)
class Row:
    """One run, or several that differ in nothing but their seeds.

    Attributes:
        name: What it is called; no other row is.
        runs: At least one, none twice.
        pictures: Those that are whole, each once.
        planned: How many there are to be.
    """

    name: str
    runs: tuple[RunFiles, ...]
    pictures: tuple[Picture, ...]
    planned: int

    @property
    def is_starred(self) -> bool:
        """Whether it holds a picture of a session that was starred."""
        return any(isinstance(run, RunOfOne) and run.kept.is_starred for run in self.runs)


def found(paths: Iterable[RunLike | Path | str]) -> list[RunFiles]:
    """Find runs, each folder once; each picture of a session is a run of one.

    Args:
        paths: Folders of runs and sessions, or folders above some, such as a sweep's; and single pictures of sessions.

    Returns:
        In the order given; those below a folder by path, the pictures of a session in the order in which they were made.

    Raises:
        CompareError: A path holds no run, or none is given.
    """
    try:
        runs = runs_at(paths)
    except RecordError as error:
        raise CompareError(str(error)) from error
    if not runs:
        raise CompareError(
            "there is no run to compare; give folders of runs (each holds a spec.json) or sessions, or folders of these, such as a sweep's"
        )
    return runs


def rows_of(runs: Sequence[RunFiles], task: str | None, *, pool_seeds: bool) -> tuple[list[Row], dict[str, list[Any]], list[str]]:
    """Put runs into rows, and find what differs between these.

    Args:
        runs: What `found` found.
        task: Pictures of this task alone; of all if None.
        pool_seeds: Whether runs that differ in nothing but seeds are one row.

    Returns:
        The rows, in the order of their first runs. Dotted name of each setting that differs to its value in each row, None if the row has
        none. A setting of one task begins with that task, unless all that take it have it alike. And what is to be said: one line each.

    Raises:
        CompareError: No run has anything to do with the task.
        RecordError: A folder holds no run.
    """
    groups: dict[str, dict[str, RunFiles]] = {}
    described: dict[str, _Described] = {}
    notes: list[str] = []
    others_of_sessions = 0
    for run in runs:
        description = _Described.of(run, task)
        if not description.edits:
            if isinstance(run, RunOfOne):
                others_of_sessions += 1
            else:
                notes.append(f"{run.path.name} has no {task} pictures: left out")
            continue
        seeds = "" if pool_seeds else canonical(sorted((list(key), value) for key, value in description.seeds.items()))
        key = description.signature + seeds
        described[key] = described[key].with_seeds(description) if key in described else description
        others = groups.setdefault(key, {})
        run_id = run.resolved.run_id
        if run_id in others:
            notes.append(f"{run.path} is recorded twice, in {others[run_id].path} too: counted once")
        if run_id not in others or (run.is_done and not others[run_id].is_done):
            others[run_id] = run
    if not groups:
        raise CompareError(f"got {called(runs)} without {task} pictures; leave out --task, or give others")
    if others_of_sessions:
        notes.append(f"{counted(others_of_sessions, 'picture of a session is', 'pictures of sessions are')} of another task: left out")
    differing = _differing([described[key] for key in groups], task)
    names = _names([list(group.values()) for group in groups.values()], differing)
    rows = []
    for name, group in zip(names, groups.values(), strict=True):
        members = tuple(group.values())
        # Runs whose seeds overlap have some pictures in common.
        pictures = {picture.key: picture for run in members for picture in run.pictures() if task in (None, picture.task)}
        planned = {edit.key for run in members for edit in run.resolved.edits if task in (None, edit.task)}
        rows.append(Row(name=name, runs=members, pictures=tuple(pictures.values()), planned=len(planned)))
    notes += [f"{row.name} is not done: {len(row.pictures)} of {counted(row.planned, 'picture')}" for row in rows if len(row.pictures) < row.planned]
    return rows, differing, notes + _environments([run for row in rows for run in row.runs])


def row_named(rows: Sequence[Row], reference: RunFiles | Path | str | None) -> Row:
    """Find the row that is meant.

    Args:
        rows: At least one.
        reference: A run's folder, its name, the first digits of its `run_id`, a row's name or its number from 1; of a picture of a session its PNG,
            its name, `<session>-<number>`, or the first digits of its `picture_id`. None for the first row.

    Returns:
        The row.

    Raises:
        CompareError: No row is meant, or several.
    """
    if reference is None:
        return rows[0]
    text = str(reference.path if isinstance(reference, RunFiles) else reference)
    path = Path(text).resolve()
    numbered = rows[int(text) - 1] if text.isdecimal() and 1 <= int(text) <= len(rows) else None
    tests = (
        lambda row: any(run.path.resolve() == path for run in row.runs),
        lambda row: row.name == text,
        lambda row: any(text in (run.resolved.spec.name, run.path.name) for run in row.runs),
        lambda row: len(text) >= 6 and any(text == name[: len(text)] for run in row.runs for name in _digests(run)),
        lambda row: row is numbered,
    )
    for test in tests:
        meant = [row for row in rows if test(row)]
        if len(meant) == 1:
            return meant[0]
        if meant:
            names = few([row.name for row in meant], MOST_NAMES)
            raise CompareError(f"the reference {text!r} may be {names}; give the folder of the run, or the picture of the session, that is meant")
    names = [row.name for row in rows]
    hint = f" Did you mean {near}?" if (near := closest(text, names)) else ""
    raise CompareError(f"got the reference {text!r}, which is none of the runs compared: {few(names)}.{hint}")


@dataclass(frozen=True, kw_only=True, eq=False)
class _Described:
    """What a run, or several, is by its settings: flat ones by picture, and those of the whole run; and what its checkpoint's family has not."""

    edits: Mapping[tuple[str, str], Mapping[str, Any]]
    seeds: Mapping[tuple[str, str], Sequence[int]]
    whole: Mapping[str, Any]
    lacks: Mapping[str, str]

    @classmethod
    def of(cls, run: RunFiles, task: str | None) -> _Described:
        resolved = run.resolved
        edits = [edit for edit in resolved.edits if task in (None, edit.task)]
        seeds: dict[tuple[str, str], list[int]] = {}
        for edit in edits:
            seeds.setdefault((edit.sample, edit.task), []).append(edit.seed)
        return cls(
            edits={
                (edit.sample, edit.task): {path: value for path, value in _asked(edit, resolved).items() if path not in ("sample", "task", "seed")}
                for edit in edits
            },
            seeds={key: sorted(own) for key, own in seeds.items()},
            whole=flattened.of_run(resolved),
            lacks=lacks(resolved.checkpoint.family),
        )

    @property
    def signature(self) -> str:
        edits = sorted(([*key, values] for key, values in self.edits.items()), key=lambda item: item[:2])
        return canonical([edits, self.whole])

    def with_seeds(self, other: _Described) -> _Described:
        seeds = {key: sorted({*values, *other.seeds[key]}) for key, values in self.seeds.items()}
        return replace(self, seeds=seeds)

    def has_no(self, path: str) -> bool:
        """Whether the checkpoint's family has no such setting."""
        return reason(path, self.lacks) is not None

    def values(self, task: str, path: str) -> dict[str, Any]:
        """A setting's value for each sample of a task; none where the task does not take it."""
        if path == "seed":
            return {sample: tuple(seeds) for (sample, of), seeds in self.seeds.items() if of == task}
        return {sample: values[path] for (sample, of), values in self.edits.items() if of == task and path in values}


def _asked(edit: Edit, resolved: ResolvedSpec) -> dict[str, Any]:
    """What is asked of a picture: words that are replaced or drawn differ as that does, and not once more in each prompt."""
    return flattened.of_edit(edit, resolved) | flattened.given_words(edit, resolved) | flattened.variation_of(edit, resolved)


def _differing(rows: Sequence[_Described], task: str | None) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {}
    for path in dict.fromkeys(path for row in rows for path in row.whole):
        values = [row.whole.get(path) for row in rows]
        name, _, last = path.partition(".")
        if len(set(map(canonical, values))) > 1 and not (last == "digest" and name in columns):
            columns[path] = values
    samples = [sorted({sample for sample, _ in row.edits}) for row in rows]
    if len(set(map(canonical, samples))) > 1:
        columns["samples"] = [names[0] if len(names) == 1 else Values(count=len(names)) for names in samples]
    tasks = [sorted({of for _, of in row.edits}) for row in rows]
    if len(set(map(canonical, tasks))) > 1:
        columns["tasks"] = [", ".join(names) for names in tasks]
    settings = dict.fromkeys([path for row in rows for values in row.edits.values() for path in values] + ["seed"])
    kinds = [task] if task else list(TASKS)
    for path in settings:
        cells = {of: [NOT_APPLICABLE if row.has_no(path) else _cell(row.values(of, path), several=path == "seed") for row in rows] for of in kinds}
        differ = [of for of in kinds if _differs([row.values(of, path) for row in rows], is_word=path in WORDS)]
        alike = all(len({canonical(str(cells[of][index])) for of in kinds if rows[index].values(of, path)}) <= 1 for index in range(len(rows)))
        if not differ:
            continue
        if alike or task:
            columns[path] = [
                next((cells[of][index] for of in kinds if rows[index].values(of, path)), cells[kinds[0]][index]) for index in range(len(rows))
            ]
        else:
            columns |= {f"{of}.{path}": cells[of] for of in differ}
    return columns


def _differs(rows: Sequence[Mapping[str, Any]], *, is_word: bool) -> bool:
    """Whether rows have another value for a sample they share; of what is no word of a sample's own, also for others."""
    shared: dict[str, set[str]] = {}
    for row in rows:
        for sample, value in row.items():
            shared.setdefault(sample, set()).add(canonical(value))
    if any(len(values) > 1 for values in shared.values()):
        return True
    return not is_word and len({tuple(sorted(set(map(canonical, row.values())))) for row in rows if row}) > 1


def _cell(values: Mapping[str, Any], *, several: bool) -> Any:
    unique = {canonical(item): item for value in values.values() for item in (value if several else [value])}
    if not unique:
        return None
    return next(iter(unique.values())) if len(unique) == 1 else Values(count=len(unique))


def called(runs: Sequence[RunFiles]) -> str:
    """What runs are called together: runs, and pictures of sessions."""
    pictures = sum(isinstance(run, RunOfOne) for run in runs)
    parts = [counted(len(runs) - pictures, "run")] if len(runs) > pictures or not pictures else []
    return " and ".join([*parts, *([counted(pictures, "picture of a session", "pictures of sessions")] if pictures else [])])


def _digests(run: RunFiles) -> Iterable[str]:
    """What names a run by its content."""
    yield run.resolved.run_id
    if isinstance(run, RunOfOne):
        yield run.kept.picture_id


def _names(groups: Sequence[Sequence[RunFiles]], differing: Mapping[str, Sequence[Any]]) -> list[str]:
    names = []
    for index, runs in enumerate(groups):
        own = list(dict.fromkeys(run.resolved.spec.name for run in runs))
        label = " ".join(f"{path.rpartition('.')[2]}={shown(values[index])}" for path, values in differing.items() if path != "seed")
        tells = label and not all(isinstance(run, RunOfOne) for run in runs)  # what a session's pictures differ in are whole prompts
        names.append(own[0] if len(own) == 1 else label if tells else f"{own[0]} and {len(own) - 1} more")
    for apart in (lambda run: f" {run.resolved.run_id[:6]}", lambda run: f" in {run.path}"):
        names = [name if names.count(name) == 1 else name + apart(runs[0]) for name, runs in zip(names, groups, strict=True)]
    return names


def _environments(runs: Sequence[RunFiles]) -> list[str]:
    """Say what else differs, as far as records tell: versions and instruction sets change pixels a little, and times a lot."""
    known: dict[str, dict[str, None]] = {}
    for run in runs:
        record = run.record
        facts = {f"versions.{name}": value for name, value in dict(record.get("versions") or {}).items()}
        facts |= {"instruction_set": record["instruction_set"]} if record.get("instruction_set") else {}
        for name, value in facts.items():
            known.setdefault(name, {})[str(value)] = None
    return [f"{name} differs between these runs: {', '.join(values)}" for name, values in known.items() if len(values) > 1]


def shown(value: Any) -> str:
    """A setting's value as short text."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)
