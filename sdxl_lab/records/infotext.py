"""The text `parameters` of a PNG, as the tools around AUTOMATIC1111's web UI read it: prompt, negative prompt, one line of settings."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from pathlib import PurePath
from types import MappingProxyType
from typing import Any

from sdxl_lab.adapters import ADAPTERS, SUFFIX
from sdxl_lab.settings.schedulers import SCHEDULERS
from sdxl_lab.settings.sections import Denoising, EditSettings, Refiner
from sdxl_lab.spec.cautions import is_spaced
from sdxl_lab.spec.edit import Edit
from sdxl_lab.spec.identities import AdapterIdentity, CheckpointIdentity
from sdxl_lab.tasks import TASKS

KEYWORD = "parameters"

_LABEL = re.compile(r"(negative prompt|steps)(?=:)", re.IGNORECASE)
_FIELD = re.compile(r'\s*([\w -]+): ("(?:\\.|[^"\\])*"|[^,]*)(?:,|$)')


_ASKING = re.compile(r"<(?=\w+:)")
"""Where those tools may read that a file is asked for, as modules/extra_networks.py of AUTOMATIC1111/stable-diffusion-webui has it."""

_PARTING = str.maketrans("", "", ":,<>")

TEMPLATES = {"prompt": "Template", "negative_prompt": "Negative Template"}
"""As Dynamic Prompts calls what a prompt was drawn from."""


def write(
    edit: Edit,
    checkpoint: CheckpointIdentity,
    *,
    size: tuple[int, int],
    version: str,
    adapters: Sequence[tuple[AdapterIdentity, Any]] = (),
    template: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Describe a picture in the field's conventional names.

    The prompts are put on one line each, and a space comes before a colon that would read as a label, and into `<lora:...>`, which was text. SDXL's
    tokenizers see none of it. What those tools ask for in the prompt stands behind it.

    Args:
        edit: The picture.
        checkpoint: What made it.
        size: (width, height) of the picture in pixels.
        version: Of sdxl_lab.
        adapters: What is on the checkpoint's models, each with the section that asks for it.
        template: What its prompts were before words of them were replaced or drawn.

    Returns:
        Two or three lines; the last one holds the settings.
    """
    settings = edit.settings
    fields: dict[str, object] = {
        **_of_schedule(settings.denoising),
        "Seed": edit.seed,
        "Size": f"{size[0]}x{size[1]}",
        "Model hash": checkpoint.digest[:10],
        "Model": _one_line(checkpoint.name),
        **_of_region(settings, TASKS[edit.task].untaken),
        **_of_refiner(settings.denoising, settings.refiner),
    }
    known = [(adapter, asked, _called(adapter)) for adapter, asked in adapters if asked is not None]
    for kind in dict.fromkeys(adapter.kind for adapter, _, _ in known):
        hashes = [f"{name}: {adapter.known_as[:12]}" for adapter, _, name in known if adapter.kind == kind and adapter.known_as]
        fields[ADAPTERS[kind].label] = ", ".join(hashes)
    asked_for = [ADAPTERS[adapter.kind].in_prompt(name, asked) for adapter, asked, name in known]
    prompt = " ".join(filter(None, [_words(edit.prompt), *asked_for]))
    if settings.prompt_syntax not in ("plain", "a1111"):  # theirs, and what they read whatever is meant
        fields["Prompt syntax"] = settings.prompt_syntax
    if settings.long_prompt != "cut":
        fields["Long prompt"] = settings.long_prompt
    fields |= {TEMPLATES[name]: _one_line(text) for name, text in template.items()}
    fields["Version"] = f"sdxl_lab {_one_line(version)}"
    negative = [f"Negative prompt: {_words(edit.negative_prompt)}"] if edit.negative_prompt else []
    listed = ", ".join(f"{name}: {_quoted(str(value))}" for name, value in fields.items())
    return "\n".join([prompt, *negative, listed])


def _of_schedule(denoising: Denoising) -> dict[str, object]:
    sampler = SCHEDULERS[denoising.scheduler]
    return {
        "Steps": denoising.num_inference_steps,
        "Sampler": sampler.label,
        **({"Schedule type": "Karras"} if denoising.karras and not sampler.is_karras else {}),
        **({"Timestep spacing": denoising.timestep_spacing} if denoising.timestep_spacing and is_spaced(denoising) else {}),
        "CFG scale": f"{denoising.guidance_scale:g}",
    }


def _of_region(settings: EditSettings, untaken: Collection[str]) -> dict[str, object]:
    """What is repainted, how far, and how it is put back; of what the task takes."""
    mask = settings.mask
    fields: dict[str, object] = {}
    if "denoising.strength" not in untaken:
        fields["Denoising strength"] = f"{settings.denoising.strength:g}"
    if "mask.feather_px" not in untaken:
        fields["Mask blur"] = mask.blur_px or mask.feather_px
    if mask.soft != "off":
        fields |= {"Soft inpainting enabled": True, "Soft mask": mask.soft}
    if mask.fill != "original":
        fields |= {"Masked content": "fill"} if mask.fill == "blur" else {"Mask fill": mask.fill}
    if mask.color_match:
        fields["Color match"] = mask.color_match
    if mask.blend != "alpha":
        fields["Mask blend"] = mask.blend
    if settings.crop.padding_mask_crop is not None:
        fields |= {"Inpaint area": "Only masked", "Masked area padding": settings.crop.padding_mask_crop}
    return fields


def _of_refiner(denoising: Denoising, refiner: Refiner) -> dict[str, object]:
    fields: dict[str, object] = {}
    if denoising.high_noise_frac is not None and denoising.handover != "sdedit":
        fields["Refiner switch at"] = f"{denoising.high_noise_frac:g}"
    if denoising.handover == "sdedit":
        fields["Refiner denoising strength"] = f"{refiner.strength:g}"
    if denoising.is_refined and refiner.guidance_scale is not None:
        fields["Refiner CFG scale"] = f"{refiner.guidance_scale:g}"
    return fields


def differing(text: str, expected: str) -> dict[str, tuple[str, str]]:
    """Compare two texts by their fields.

    Args:
        text: One, which may be anything.
        expected: The other, as `write` writes it.

    Returns:
        Name to the value in the one and in the other, for each field of `expected` that is not the same.
    """
    found, known = _fields(text.replace("< ", "<")), _fields(expected.replace("< ", "<"))  # which was not always there
    return {name: (found.get(name, ""), value) for name, value in known.items() if found.get(name, "") != value}


def _fields(text: str) -> dict[str, str]:
    *words, settings = text.split("\n")
    prompt, _, negative = "\n".join(words).partition("\nNegative prompt: ")
    return {"Prompt": prompt, "Negative prompt": negative} | dict(_FIELD.findall(settings))


def _called(adapter: AdapterIdentity) -> str:
    """As those tools know it: an embedding by its word, what is asked for in a prompt by its file, without the signs that part theirs."""
    path = PurePath(adapter.file or "")
    name = path.stem if ADAPTERS[adapter.kind].is_known_by_tensors and path.suffix == SUFFIX else adapter.name
    return _one_line(name.translate(_PARTING))


def _words(prompt: str) -> str:
    return _ASKING.sub("< ", _LABEL.sub(r"\1 ", _one_line(prompt)))


def _one_line(text: str) -> str:
    """The text with a space in place of each line break and each control character."""
    return "".join(" " if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") else character for character in text).strip()


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False) if re.search(r'[,:"\\]', value) else value
