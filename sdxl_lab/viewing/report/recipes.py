"""A recorded picture → the texts that make it again: parameters for `sdxl-lab run -f`, and the line that other tools read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from sdxl_lab.records import infotext
from sdxl_lab.records.picture import Picture
from sdxl_lab.records.run_files import RunFiles
from sdxl_lab.spec.edit import Edit
from sdxl_lab.viewing.onward import parameters_of_picture, version_of

_PLAIN_KEY = re.compile(r"[A-Za-z]\w*")
_OTHERWISE = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}
"""Names that YAML reads as something else."""
_OF_A_MACHINE = ("runs_folder",)


def recipe_of(edit: Edit, folder: RunFiles, picture: Picture) -> dict[str, str]:
    """Write how a picture is made again, without a path of the machine that made it.

    Args:
        edit: What was asked.
        folder: The run that it is recorded in.
        picture: What was made.

    Returns:
        `parameters`, YAML that plans this one picture, and `infotext`, as it stands in the PNG.
    """
    resolved, version = folder.resolved, version_of(folder)
    parameters = parameters_of_picture(edit, resolved, version)
    text = "\n".join(_lines({key: value for key, value in parameters.items() if key not in _OF_A_MACHINE}))
    if resolved.dataset.is_of_call:
        place = f"{folder.top.resolve().name}/{picture.image.relative_to(folder.top).as_posix()}"
        text = f"# What it was made from is kept with it: sdxl-lab show {place} --as-parameters names it as a dataset.\n{text}"
    return {
        "parameters": f"{text}\n",
        "infotext": infotext.write(
            edit,
            resolved.checkpoint,
            size=(picture.width, picture.height),
            version=version or "",
            adapters=[(adapter, resolved.asked_of(adapter)) for adapter in resolved.adapters],
            template=resolved.template_of(edit),
        ),
    }


def _lines(values: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    """YAML by lines whose values are JSON, which any YAML reads: a tenth of the time that PyYAML takes."""
    for key, value in values.items():
        name = key if _PLAIN_KEY.fullmatch(key) and key.lower() not in _OTHERWISE else _json(key)
        if isinstance(value, Mapping) and value:
            yield f"{indent}{name}:"
            yield from _lines(value, f"{indent}  ")
        else:
            yield f"{indent}{name}: {_json(value)}"


def _json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    if isinstance(value, float) and "." not in text:
        return text.replace("e", ".0e")  # without a point YAML 1.1, which papermill reads, takes 1e-05 for a text
    # YAML takes some letters that JSON lets stand for ends of lines, and refuses others.
    return text if text.isprintable() else "".join(letter if letter.isprintable() else f"\\U{ord(letter):08x}" for letter in text)
