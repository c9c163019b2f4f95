"""Sessions, sweeps and answers of studies on disk: each is what one file says, as it was written by hand here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sdxl_lab.records.finding import find, recorded_in
from sdxl_lab.records.run_files import RecordError

POINT = {"label": "seed=3", "run_id": "0123456789abcdef", "folder": "seed-3", "pictures": 1, "values": {"seed": 3}, "failed": False}
WRITTEN = {
    "session": ("session.json", {"format": 1, "session": True, "id": "ab", "name": "tries", "tracking": "off"}),
    "sweep": ("sweep.json", {"format": 1, "sweep": True, "name": "seeds", "tracking": "off", "command": "", "points": [POINT]}),
    "study": ("result.json", {"format": 1, "preference": True, "rankings": []}),
}
KINDS = pytest.mark.parametrize("kind", WRITTEN)


def written(folder: Path, kind: str, **changes: Any) -> Path:
    """A folder of one kind, with some of its file's values changed."""
    name, values = WRITTEN[kind]
    (folder / name).write_text(json.dumps(values | changes))
    return folder


@KINDS
def test_a_folder_is_what_its_file_says(tmp_path, kind):
    """
    It is found by its file alone, and says what stands there.
    """
    folder = written(tmp_path, kind)
    [record] = find(folder)
    assert (record.kind, record.path, record.is_begun, record.tracking) == (kind, folder, True, "off")
    assert record.name == {"session": "tries", "sweep": "seeds"}.get(kind, folder.name)


@KINDS
def test_a_later_version_is_named_as_the_cause(tmp_path, kind):
    """
    A file of another format is said to be another version's, also where what it holds cannot be understood here.
    """
    record: Any = recorded_in(written(tmp_path, kind, format=2, points=[{"of": "tomorrow"}], name=None, rankings=None))
    assert not record.is_readable
    with pytest.raises(RecordError, match=r"another version of sdxl_lab.*update"):
        _ = record.about


@KINDS
@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"format": 1}'])
def test_a_file_that_is_not_whole_is_named(tmp_path, kind, text):
    """
    A damaged file, and another's that happens to be called so, is one error, which says what to do.
    """
    name = WRITTEN[kind][0]
    (tmp_path / name).write_text(text)
    record: Any = recorded_in(tmp_path)
    assert not record.is_readable
    with pytest.raises(RecordError, match=rf"{name} cannot be read \(.*\); \w"):
        _ = record.about


@KINDS
def test_values_of_a_wrong_kind_are_no_record(tmp_path, kind):
    """
    A file with everything in its place, and a number for what is a text or a list, is not read.
    """
    record: Any = recorded_in(written(tmp_path, kind, name=5, rankings=5))
    with pytest.raises(RecordError, match="cannot be read"):
        _ = record.about
