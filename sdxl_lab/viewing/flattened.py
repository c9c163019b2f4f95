"""All settings of a picture and of a run as one level: dotted path to value."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from sdxl_lab.prompts.cut import unread_of
from sdxl_lab.prompts.reading import weights_of
from sdxl_lab.settings.hyperparams import flatten
from sdxl_lab.spec.edit import Edit
from sdxl_lab.spec.homes import named_among
from sdxl_lab.spec.identities import AdapterIdentity
from sdxl_lab.spec.lacking import taken
from sdxl_lab.spec.resolved_spec import ResolvedSpec

CHOSEN = ("device", "dtype", "threads")
"""What of `Compute` a resolved run has settled."""
IN_COLUMNS = ("sample", "task", "seed", "prompt", "prompt_syntax", "denoising.num_inference_steps")
"""What lists of pictures tell anyway."""
LONGEST_CHANGE = 60


def of_edit(edit: Edit, resolved: ResolvedSpec) -> dict[str, Any]:
    """What is asked of one picture: sample, task, words, seed, and the settings that its task and its checkpoint's family have."""
    by_compel = {"compel": edit.compel} if edit.compel else {}
    return edit.model_dump(mode="json", exclude={"settings", "compel"}) | by_compel | flatten(taken(edit, resolved.checkpoint.family))


def variation_of(edit: Edit, resolved: ResolvedSpec) -> dict[str, str]:
    """What made other prompts of those that were given, by dotted path: words to what replaced them, and whether words were drawn."""
    varied = resolved.spec.variation(edit.task)
    words = {f"{name}_replace.{word}": text for name, words in varied.words.items() for word, text in words.items()}
    return words | ({"wildcards": "draw"} if varied.draws else {})


def given_words(edit: Edit, resolved: ResolvedSpec) -> dict[str, str | None]:
    """The prompts of a picture as they were given, before words of them were replaced or drawn."""
    return {"prompt": edit.prompt, "negative_prompt": edit.negative_prompt} | dict(resolved.template_of(edit))


def templates_in(edit: Edit, resolved: ResolvedSpec) -> dict[str, str]:
    """The prompts that became others, by `prompt template` and `negative_prompt template`."""
    return {f"{name} template": text for name, text in resolved.template_of(edit).items()}


def weights_in(edit: Edit, notes: Sequence[str]) -> dict[str, str]:
    """What each prompt of a picture weighs, by `prompt weights` and `negative_prompt weights`: absent where nothing is weighed.

    Args:
        edit: What was asked.
        notes: What was said of the picture, words that are left out among it.
    """
    syntax = edit.settings.prompt_syntax
    found = {name: weights_of(getattr(edit, name) or "", syntax, unread_of(name, notes)) for name in ("prompt", "negative_prompt")}
    return {f"{name} weights": ", ".join(map(str, weighed)) for name, weighed in found.items() if weighed}


def of_run(resolved: ResolvedSpec) -> dict[str, Any]:
    """What all pictures of a run share: checkpoint, what is on its models, dataset, and how it is computed."""
    checkpoint, dataset, compute = resolved.checkpoint, resolved.dataset, resolved.spec.compute
    return {
        "checkpoint": checkpoint.name,
        "checkpoint.digest": checkpoint.digest[:16],
        "dataset": dataset.name,
        "dataset.digest": dataset.digest[:16],
        "compute.device": resolved.device,
        "compute.dtype": resolved.dtype,
        "compute.threads": resolved.threads,
        **{f"compute.{key}": value for key, value in compute.model_dump(mode="json").items() if key not in CHOSEN},
        **resolved.on_models,
    }


def changes(pictures: Sequence[ResolvedSpec]) -> list[str]:
    """What was asked for each of some pictures that differs from what was asked for the one before, in short.

    Args:
        pictures: Runs of one picture each, in order. What has a column anyway is left out, and so is what only another task has.
    """
    flat = [of_edit(resolved.edits[0], resolved) | of_run(resolved) for resolved in pictures]
    on_models = [resolved.on_models for resolved in pictures]
    told = [""] if pictures else []
    for (before, were), (after, are) in pairwise(zip(flat, on_models, strict=True)):
        paths = [path for path in after if path in before and path not in (*IN_COLUMNS, *were, *are) and not path.endswith(".digest")]
        paths += dict.fromkeys((*were, *are))
        changed = [path for path in paths if before.get(path) != after.get(path)]
        told.append(", ".join(f"{named_among(path, after.keys() | before.keys())} {_in_short(after.get(path))}" for path in changed))
    return told


def _in_short(value: Any) -> str:
    if value is None:
        return "none"
    text = " ".join(f"{value:g}".split() if isinstance(value, float) else str(value).split())
    return text if len(text) <= LONGEST_CHANGE else f"{text[: LONGEST_CHANGE - 1]}…"


def files_on_models(resolved: ResolvedSpec) -> dict[str, str]:
    """What is asked to be on the checkpoint's models, as other tools tell it: the file of each, what is asked of it, and the file's sha256."""
    return {adapter.path: _file_on_models(adapter, resolved) for adapter in resolved.asked_for}


def _file_on_models(adapter: AdapterIdentity, resolved: ResolvedSpec) -> str:
    known = f"sha256 {adapter.sha256[:12]}" if adapter.sha256 else f"digest {adapter.digest[:12]}"
    tensors = f", sha256 of its tensors, as the web UI has it, {adapter.tensors_sha256[:12]}" if adapter.tensors_sha256 else ""
    return f"{resolved.told_of(adapter)}, {known}{tensors}"
