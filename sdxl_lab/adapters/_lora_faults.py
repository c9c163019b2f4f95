"""What is wrong with LoRAs for a checkpoint, known without its weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from sdxl_lab.adapters._adapter import Models, Put
from sdxl_lab.adapters._lora_content import Content
from sdxl_lab.adapters._lora_names import WIDTHS, Places, listed


def of_files(put: Sequence[Put], models: Models) -> Iterator[tuple[str, str]]:
    """Which files have layers that the checkpoint has not, or of another width.

    Args:
        put: LoRAs, those of weight 0 too.
        models: The checkpoint's.
    """
    parts = dict.fromkeys(layer.part for one in put for layer in one.content.layers)
    places = {part: Places.in_weights(models.weights(part)) for part in parts}
    for one in put:
        if line := _misfit(one.content, places):
            yield f"{one.name}.file", line


def of_names(put: Sequence[Put]) -> Iterator[tuple[str, str]]:
    """Which are there twice.

    Args:
        put: LoRAs that are to be on.
    """
    first: dict[str, str] = {}
    for one in put:
        if (known := first.setdefault(one.content.digest, one.name)) != one.name:
            yield f"{one.name}.file", f"it is the same LoRA as {known}; leave one of them out, and give the other the sum of the weights"


def _misfit(content: Content, places: dict[str, Places]) -> str | None:
    found = [(layer, places[layer.part].path(layer.name)) for layer in content.layers]
    width, count = content.text_width, len(content.layers)
    family = f"; its cross attention reads text {width} wide, as that of {WIDTHS[width]}" if width in WIDTHS else ""
    if strange := [layer.own for layer, path in found if path is None]:
        return f"{len(strange)} of its {count} layers are none of this checkpoint's, {listed(strange)}{family}; take a LoRA for this checkpoint"
    named = Counter((layer.part, path) for layer, path in found)
    if twice := [f"{layer.part}.{layer.name}" for layer, path in found if named[layer.part, path] > 1]:
        return f"it has more than one LoRA for a layer, {listed(twice)}, which are names of one; take another file"
    wrong = [(layer, shape) for layer, path in found if path and not layer.fits(shape := places[layer.part].shapes[path])]
    if not wrong:
        return None
    layer, shape = wrong[0]
    got = f"{layer.own} is for weights of {[layer.up.shape[0], *layer.down.shape[1:]]}, and the checkpoint's are {[*shape]}"
    return f"{len(wrong)} of its {count} layers are of other widths: {got}{family}; take a LoRA for this checkpoint"
