"""A session as one experiment shows it: its pictures in their order, with the parameters and numbers of the one that was starred last."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sdxl_lab.files.disk import write_whole
from sdxl_lab.records.kept import KeptPicture
from sdxl_lab.records.session import SessionFolder
from sdxl_lab.settings.documents import written
from sdxl_lab.settings.hyperparams import ABSENT, difference, flatten
from sdxl_lab.tasks import RESULT, TASKS, Role
from sdxl_lab.tracking.experiment import METADATA_SHA256, File, Projection, file_of, short, short_name
from sdxl_lab.tracking.key import experiment_key
from sdxl_lab.tracking.of_run import name_of, numbers_of, tags_of, told, words_of
from sdxl_lab.tracking.parameters import earlier_keys, parameters_of

TAG = "exploration"
PICTURE = "picture"
"""What Comet calls the results of every session, whatever was done, so that its Image panel steps through them in their order."""
TABLE = "pictures.csv"
WORDS = ("sample", "task", "prompt", "negative_prompt", "seed")
NOTHING = "-"
"""What an other says where the picture that is shown has none."""


def of_session(session: SessionFolder, scratch: Path) -> Projection:
    """Read a session as an experiment.

    Args:
        session: A session with a picture. A line that is damaged, or was changed by hand, is passed over.
        scratch: An existing folder, for the table of pictures.

    Returns:
        The experiment, the same for the same record wherever it lies.

    Raises:
        RecordError: The folder holds no session.
        DiskError: The key or the table cannot be written.
    """
    whole = {kept.picture_id: kept for kept in session.pictures() if kept.is_sound}
    recorded = [whole.get(kept.picture_id, kept) for kept in session.recorded() if kept.is_sound]
    pictures = [*whole.values()]
    asked = [_asked(kept) for kept in pictures]
    table = scratch / TABLE
    write_whole(table, _table(pictures, asked))
    shown = _shown(session, whole)
    parameters = _of_one(shown, recorded, lambda kept: parameters_of(kept.resolved))
    return Projection(
        key=experiment_key(session),
        name=short_name(session.name),
        tags=(TAG, *tags_of((kept.recorded.task for kept in pictures), session.path)),
        parameters=parameters,
        others=_others(session, shown, recorded, pictures),
        metrics=dict(_metrics(pictures)),
        images=tuple(_images(pictures, asked)),
        assets=(file_of(TABLE, None, table),),
        obsolete=frozenset[str]().union(*(earlier_keys(kept.resolved) for kept in recorded)) - parameters.keys(),
        places=frozenset(_places(kept for kept in recorded if kept.is_deleted or kept.picture_id in whole)),
    )


def _shown(session: SessionFolder, whole: Mapping[str, KeptPicture]) -> KeptPicture | None:
    """The picture that was starred last; where none is starred, the one that was asked for last."""
    starred = [whole[picture_id] for picture_id in session.marks.starred if picture_id in whole]
    latest = session.latest()
    return starred[-1] if starred else latest and whole.get(latest.picture_id)


def _of_one(
    shown: KeptPicture | None, recorded: Iterable[KeptPicture], read: Callable[[KeptPicture], Mapping[str, Any]], lacking: Any = None
) -> dict[str, Any]:
    """What is read of the picture that is shown, and `lacking` for what any other ever had: Comet deletes no key, and goes on showing its value."""
    return {key: lacking for kept in recorded for key in read(kept)} | dict(read(shown) if shown else {})


def _others(session: SessionFolder, shown: KeptPicture | None, recorded: Sequence[KeptPicture], pictures: Sequence[KeptPicture]) -> dict[str, Any]:
    specs = [kept.resolved for kept in pictures]
    of_all = {
        "session_id": session.about["id"],
        "began": str(session.about.get("began", NOTHING)),
        "pictures": len(pictures),
        "starred": sum(kept.is_starred for kept in pictures),
        "dataset": ", ".join(dict.fromkeys(name_of(spec.dataset) for spec in specs)),
        "checkpoint": ", ".join(dict.fromkeys(spec.checkpoint.name for spec in specs)),
    }
    of_shown = _of_one(shown, recorded, _identity, lacking=NOTHING)
    return {short_name(name): short(NOTHING if value in (None, "") else value) for name, value in (of_all | of_shown).items()}


def _identity(kept: KeptPicture) -> dict[str, Any]:
    """What names the picture that is shown, and its numbers: Comet's table shows the last point of a metric, which is another picture's."""
    resolved, made_with = kept.resolved, kept.of_part
    versions = made_with["versions"] if isinstance(made_with["versions"], Mapping) else {}
    return {
        "shown": kept.number,
        "picture_id": kept.picture_id,
        "dataset_digest": resolved.dataset.digest,
        "checkpoint_revision": resolved.checkpoint.revision,
        "checkpoint_digest": resolved.checkpoint.digest,
        "instruction_set": made_with["instruction_set"] and str(made_with["instruction_set"]),
        **{f"shown.{name}": number for name, number in numbers_of(kept.recorded).items()},
        **{f"version.{name}": str(version) for name, version in versions.items()},
    }


def _metrics(pictures: Iterable[KeptPicture]) -> Iterator[tuple[tuple[str, int | None], float]]:
    for kept in pictures:
        for name, number in numbers_of(kept.recorded).items():
            yield (short_name(f"{kept.recorded.task}/{name}"), kept.number), number


def _images(pictures: Sequence[KeptPicture], asked: Sequence[Mapping[str, Any]]) -> Iterator[File]:
    """Of each picture its files; the input once, beside the first picture that was made from it."""
    seen: set[Path] = set()
    for kept, before, now in zip(pictures, [*asked[:1], *asked], asked, strict=False):
        picture = kept.recorded
        for role in TASKS[picture.task].roles:
            path = picture.files[role.name]
            if role.of_sample is None or path not in seen:
                yield file_of(_name(role), kept.number, path, _metadata(kept, _changes(before, now)) if role == RESULT else words_of(picture))
            seen.add(path)


def _places(pictures: Iterable[KeptPicture]) -> Iterator[tuple[str, int]]:
    names = {_name(role) for task in TASKS.values() for role in task.roles}
    return ((name, kept.number) for kept in pictures for name in names)


def _name(role: Role) -> str:
    return PICTURE if role == RESULT else role.name


def _metadata(kept: KeptPicture, changes: Mapping[str, Any]) -> dict[str, Any]:
    """What is said of a picture, and a digest of it, by which Comet is seen to lack a later star or note."""
    metadata = told(kept.recorded, kept.resolved.edits[0]) | {
        "number": kept.number,
        "checkpoint": kept.resolved.checkpoint.name,
        "differs": changes,
        "starred": kept.is_starred,
        "note": kept.note,
    }
    return metadata | {METADATA_SHA256: hashlib.sha256(json.dumps(metadata, sort_keys=True).encode()).hexdigest()}


def _changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """What was turned from one picture to the next: dotted path to value, None for what it has not any more."""
    return {path: None if value is ABSENT else value for path, (_, value) in difference(before, now).items()}


def _asked(kept: KeptPicture) -> dict[str, Any]:
    """Words, checkpoint, and settings."""
    edit = written(kept.resolved.edits[0])
    settings = edit.pop("settings")
    return {"checkpoint": kept.resolved.checkpoint.name, **edit, **settings}


def _table(pictures: Sequence[KeptPicture], asked: Sequence[Mapping[str, Any]]) -> bytes:
    """A row a picture: its words, star and note, then each setting that differs in the session. CSV in UTF-8."""
    rows = [flatten(each) for each in asked]
    settings = [path for path in dict.fromkeys(path for row in rows for path in row) if path not in WORDS and _differs(path, rows)]
    text = io.StringIO()
    writer = csv.DictWriter(text, ["number", "picture_id", *WORDS, "starred", "note", *settings], lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    for kept, row in zip(pictures, rows, strict=True):
        writer.writerow(row | {"number": kept.number, "picture_id": kept.picture_id, "starred": kept.is_starred, "note": kept.note})
    return text.getvalue().encode("utf-8", "replace")


def _differs(path: str, rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a setting has two values, or some pictures of a task have it and others not; that a task knows no such setting is no difference."""
    having = [row for row in rows if path in row]
    tasks = {row["task"] for row in having}
    return any(row[path] != having[0][path] for row in having) or len(having) < sum(row["task"] in tasks for row in rows)
