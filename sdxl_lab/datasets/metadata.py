"""A dataset's metadata.json as it is written: the text read, not yet what its samples hold."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sdxl_lab.datasets.metadata_fields import TOP_FIELDS, misplaced
from sdxl_lab.errors import LabError

SMALLEST_METADATA = """\
{"samples": [{"name": "octopus", "image": "images/octopus.png", "mask": "masks/octopus.png",
              "inpaint": {"prompt": "a red octopus on a beach"}}]}"""
"""The least that a dataset's metadata.json must hold."""

LARGEST_BYTES = 16 << 20
"""Of a file that lists samples."""


class ArtifactError(LabError):
    """A dataset that can't be found, or that isn't as it must be."""


def read_metadata(folder: Path, *, as_recorded: bool) -> tuple[list[Any], dict[str, Any]]:
    """Read a folder's metadata.json.

    Args:
        folder: Where it lies.
        as_recorded: As in `samples.read_samples`.

    Returns:
        The entries of "samples", not yet checked, and the other fields.

    Raises:
        ArtifactError: It is not there, or cannot be read so.
    """
    path = folder / "metadata.json"
    if not path.is_file():
        raise _layout_error(f"{folder} has no metadata.json")
    if path.stat().st_size > LARGEST_BYTES:
        raise ArtifactError(f"{path} has {path.stat().st_size:,} bytes; at most {LARGEST_BYTES:,} are read: split the dataset")
    try:
        metadata = json.loads(path.read_bytes().decode("utf-8-sig"), object_pairs_hook=_without_duplicates)
    except json.JSONDecodeError as error:
        raise _layout_error(f"{path} isn't valid JSON: {error}") from None
    except UnicodeDecodeError as error:
        raise _layout_error(f"{path} isn't UTF-8 text: {error}") from None
    except RecursionError:
        raise _layout_error(f"{path} is nested too deeply") from None
    except OSError as error:
        raise ArtifactError(f"{path} can't be read: {error}") from None
    broken = None if as_recorded else next((where for where, text in _texts(metadata) if not encodable(text)), None)
    if broken is not None:
        raise ArtifactError(f"{path}: {broken} holds half a character, such as \\ud83d without the \\ude00 that makes it an emoji; write both halves")
    if isinstance(metadata, dict) and not as_recorded and (found := misplaced(metadata, TOP_FIELDS)):
        raise ArtifactError(f"{path}: {found}")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("samples"), list):
        found = f"an object with the fields {sorted(metadata)}" if isinstance(metadata, dict) else kind_of(metadata)
        raise _layout_error(f'{path} must hold an object with a list "samples", and holds {found}')
    if not metadata["samples"]:
        raise _layout_error(f'{path} has an empty list "samples"')
    return metadata["samples"], {key: value for key, value in metadata.items() if key != "samples"}


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ArtifactError(f"metadata.json names the field {next(key for key in keys if keys.count(key) > 1)!r} twice in one object; keep one")
    return fields


def _texts(metadata: Any) -> Iterator[tuple[str, str]]:
    """Every text in a value of JSON, with its path, such as `samples[0].inpaint.prompt`."""
    left = [("", metadata)]
    while left:
        path, value = left.pop()
        if isinstance(value, str):
            yield path, value
        elif isinstance(value, dict):
            left += [(f"{path}.{key}".lstrip("."), below) for key, below in value.items()]
            left += [(f"the name of a field of {path or 'the whole'}", key) for key in value]
        elif isinstance(value, list):
            left += [(f"{path}[{index}]", below) for index, below in enumerate(value)]


def _layout_error(what: str) -> ArtifactError:
    return ArtifactError(f"{what}. The smallest metadata.json that works, beside the files it names:\n\n{SMALLEST_METADATA}")


def encodable(name: str) -> bool:
    """Whether a text has no half of a character, so that it can be written as UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def kind_of(value: object) -> str:
    """Describe a JSON value for a message, shortened."""
    if value is None:
        return "nothing"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
