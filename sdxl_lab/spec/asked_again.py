"""How a run or one of its pictures is asked for again: by parameters that the gate takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sdxl_lab.settings.hyperparams import replace
from sdxl_lab.settings.sections import OF_THE_PROMPT
from sdxl_lab.spec.edit import Edit
from sdxl_lab.spec.hyperparameters import CommonHyperparameters
from sdxl_lab.spec.parameters import plain
from sdxl_lab.spec.run_spec import RUNS_FOLDER
from sdxl_lab.tasks import TASKS

if TYPE_CHECKING:
    from sdxl_lab.spec.resolved_spec import ResolvedSpec

WORDS = ("prompt", "negative_prompt", "seed", "seeds", *OF_THE_PROMPT)
"""What a single picture has of its own, whatever its run was asked for."""


def with_files(hyperparameters: Mapping[str, Any], files: Mapping[str, Any]) -> dict[str, Any]:
    """Say where the files of adapters are.

    Args:
        hyperparameters: Nested and sparse.
        files: By `AdapterIdentity.path`; what nobody asks for is passed over.

    Returns:
        A copy with these files.
    """
    told = dict(hyperparameters)
    for path, file in files.items():
        kind, _, name = path.partition(".")
        if name in (named := hyperparameters.get(kind, {})):
            told = replace(told, path, {"file": file}) if isinstance(named[name], str) else replace(told, f"{path}.file", file)
    return told


def as_parameters(edit: Edit, resolved: ResolvedSpec) -> dict[str, Any]:
    """Write the parameters that continue from one picture: its sample, task, prompt and seed, and the settings that were chosen.

    Args:
        edit: The picture.
        resolved: The run it belongs to.

    Returns:
        Nested plain values for YAML and for `RunSpec.from_parameters`, which plans exactly this picture from them.

    Examples:
        >>> as_parameters(resolved.spec.edits[0], resolved.spec)["hyperparameters"]
        {'denoising': {'num_inference_steps': 3}, 'prompt': 'a blue star on grass', 'seed': -732}
    """
    spec, takes = resolved.spec, TASKS[edit.task].takes
    given = spec.given(edit.task)
    own = {key: given.pop(key) for key in takes.model_fields if key in given and key not in CommonHyperparameters.model_fields}
    if not edit.settings.canvas.extends:
        given.pop("canvas", None)
    if "size" in given and (size := edit.settings.size.given):  # what an aspect came to, whatever it comes to later
        given["size"] = dict(zip(("width", "height"), size, strict=True))
    given = {key: value for key, value in given.items() if key not in WORDS and value != {}}
    words = {"prompt": edit.prompt, "negative_prompt": edit.negative_prompt, "seed": edit.seed}
    given |= {key: value for key, value in words.items() if value is not None}
    for key, value in own.items():
        if value != takes.model_fields[key].default:
            given = replace(given, f"{edit.task}.{key}", value)
    parameters: dict[str, Any] = {
        "name": spec.name,
        "dataset": spec.dataset,
        "checkpoint": spec.checkpoint,
        "samples": [edit.sample],
        "tasks": [edit.task],
        "hyperparameters": plain(given),
    }
    if spec.tracking != "auto":
        parameters["tracking"] = spec.tracking
    if spec.runs_folder != RUNS_FOLDER:
        parameters["runs_folder"] = spec.runs_folder
    return parameters
