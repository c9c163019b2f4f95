"""Numbers that were measured of recorded pictures afterwards: where they lie beside the record, and how pictures that are read have them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sdxl_lab.files.digests import once_a_file
from sdxl_lab.files.disk import write_changed
from sdxl_lab.records import machine
from sdxl_lab.records.picture import Picture

FOLDER = "measures"
"""Below the folder of a run or a session, a file a column; the record itself never changes."""
FORMAT = 1
NAME = re.compile(r"[\w.-]{1,100}")

Key = tuple[str, str]
"""Of a picture `picture_id`, which says what was asked, and the sha256 of its pixels, which says what came of it."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """One metric of the pictures of a run or a session, as a file of `FOLDER` has it.

    Attributes:
        name: Of the column, as records and comparisons name metrics.
        identity: What computed it, by content; equal identities give equal numbers.
        numbers: By picture; None where the metric is not defined.
    """

    name: str
    identity: Mapping[str, Any]
    numbers: Mapping[Key, float | None] = field(default_factory=dict)


def key_of(picture: Picture) -> Key:
    """By what a picture's numbers are found again."""
    return str(picture.picture_id), picture.sha256


def files_of(place: Path) -> tuple[Path, ...]:
    """The files of measures beside a record, sorted.

    Args:
        place: The folder of a run or a session.
    """
    return tuple(sorted((place / FOLDER).glob("*.json")))


def columns_of(place: Path) -> tuple[Column, ...]:
    """Read what was measured afterwards; what can't be read is passed over, and measured again when it is asked for.

    Args:
        place: The folder of a run or a session.
    """
    columns = []
    for file in files_of(place):
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            columns.append(_read(file))
    return tuple(columns)


def with_measures(picture: Picture, columns: Iterable[Column]) -> Picture:
    """A picture with the numbers that were measured of it afterwards, behind those that its record has; those stay what they are.

    Args:
        picture: As recorded, with its `picture_id`.
        columns: As `columns_of` reads them.
    """
    key = key_of(picture)
    found = {column.name: number for column in columns if (number := column.numbers.get(key)) is not None and column.name not in picture.metrics}
    return replace(picture, metrics={**picture.metrics, **found}) if found else picture


def keep(place: Path, column: Column, said: Mapping[str, Any], titles: Mapping[Key, str]) -> Path:
    """Write a column beside a record, whole or not at all.

    Args:
        place: The folder of a run or a session.
        column: All of it, numbers that were there before included.
        said: More for who opens the file: the metric's words, and what computed it as people write it.
        titles: What pictures are called, by their keys.

    Returns:
        The file.

    Raises:
        DiskError: It can't be written.
    """
    pictures = [
        {"picture": titles.get(key, ""), "picture_id": key[0], "sha256": key[1], "number": number} for key, number in sorted(column.numbers.items())
    ]
    document = {
        "format": FORMAT,
        "metric": column.name,
        **said,
        "identity": dict(column.identity),
        "versions": {"sdxl_lab": machine.versions()["sdxl_lab"]},
        "pictures": pictures,
    }
    file = place / FOLDER / f"{column.name}.json"
    write_changed(file, (json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode())
    return file


@once_a_file
def _read(file: Path) -> Column:
    document = json.loads(file.read_bytes())
    if document["format"] != FORMAT or not NAME.fullmatch(document["metric"]) or not isinstance(document["identity"], dict):
        raise ValueError("of another version")
    numbers = {(str(each["picture_id"]), str(each["sha256"])): _number(each["number"]) for each in document["pictures"]}
    return Column(name=document["metric"], identity=document["identity"], numbers=numbers)


def _number(said: Any) -> float | None:
    if said is None:
        return None
    if isinstance(said, bool) or not isinstance(said, int | float) or not math.isfinite(said):
        raise ValueError(f"got {said!r} as a number")
    return float(said)
