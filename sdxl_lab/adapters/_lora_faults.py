"""What is wrong with LoRAs for a checkpoint, known without its weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from sdxl_lab.adapters._adapter import Models, Put
from sdxl_lab.adapters._lora_content import Content
from sdxl_lab.adapters._lora_names import WIDTHS, Places, listed


def of_files(put: Sequence[Put], models: Models) -> Iterator[tuple[str, str]]:
    """Which files have layers that the checkpoint has not, or of another width, or are called as those of another family.

    Args:
        put: LoRAs, those of weight 0 too.
        models: The checkpoint's.
    """
    lines = {one.name: _of_encoders(one.content, models) for one in put}
    parts = dict.fromkeys(layer.part for one in put if lines[one.name] is None for layer in one.content.layers)
    places = {part: Places.in_weights(models.weights(part)) for part in parts}
    for one in put:
        if line := lines[one.name] or _misfit(one.content, places):
            yield f"{one.name}.file", f"{line}; take a LoRA for {WIDTHS.get(models.text_width or 0, 'this checkpoint')}"


def of_names(put: Sequence[Put]) -> Iterator[tuple[str, str]]:
    """Which are there twice.

    Args:
        put: LoRAs that are to be on.
    """
    first: dict[str, str] = {}
    for one in put:
        if (known := first.setdefault(one.content.digest, one.name)) != one.name:
            yield f"{one.name}.file", f"it is the same LoRA as {known}; leave one of them out, and give the other the sum of the weights"


def _of_encoders(content: Content, models: Models) -> str | None:
    """That the names of a file's layers are those of checkpoints with more text encoders, or fewer: the first one's layers may fit all the same."""
    needed, has = content.text_encoders, len(models.text_encoders)
    if needed in (None, has):
        return None
    family = "Stable Diffusion XL" if needed == 2 else WIDTHS.get(content.text_width or 0, "Stable Diffusion 1 or 2")
    words = {1: "one text encoder", 2: "two text encoders"}
    return f"it is for {family}, of {words[needed]} by its layers' names, and the checkpoint has {words.get(has, 'none')}"


def _misfit(content: Content, places: dict[str, Places]) -> str | None:
    found = [(layer, places[layer.part].path(layer.name)) for layer in content.layers]
    width, count = content.text_width, len(content.layers)
    family = f"; its cross attention reads text {width} wide, as that of {WIDTHS[width]}" if width in WIDTHS else ""
    if strange := [layer.own for layer, path in found if path is None]:
        return f"{len(strange)} of its {count} layers are none of this checkpoint's, {listed(strange)}{family}"
    named = Counter((layer.part, path) for layer, path in found)
    if twice := [f"{layer.part}.{layer.name}" for layer, path in found if named[layer.part, path] > 1]:
        return f"it has more than one LoRA for a layer, {listed(twice)}, which are names of one"
    wrong = [(layer, shape) for layer, path in found if path and not layer.fits(shape := places[layer.part].shapes[path])]
    if not wrong:
        return None
    layer, shape = wrong[0]
    got = f"{layer.own} is for weights of {[layer.up.shape[0], *layer.down.shape[1:]]}, and the checkpoint's are {[*shape]}"
    return f"{len(wrong)} of its {count} layers are of other widths: {got}{family}"
