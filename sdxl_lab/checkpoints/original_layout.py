"""The layout that Stable Diffusion XL was published in, one file for all models: what weights are called in it, without torch."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

UNET, EMA, VAE, TEXT = "model.diffusion_model.", "model_ema.", "first_stage_model.", "conditioner.embedders."
"""How the names of each model's weights begin; `EMA` those of the UNet's averages over its training."""

FIRST_LAYER = f"{UNET}input_blocks.0.0.weight"
COUNTERS = (f"{EMA}decay", f"{EMA}num_updates")
"""What lies beside the averages, and is none."""

_WORD = re.compile(
    r"diffusion_model|(?:in|out)put_blocks|middle_block|time_embed|label_emb|transformer_blocks|(?:in|out|emb)_layers|skip_connection|attn\d|norm\d?"
    r"|to_(?:[qkv]|out)|proj_in|proj_out|proj|ff|net|op|conv|out|weight|bias|\d+"
)
_PAIRED = ("input_blocks", "output_blocks", "label_emb")
"""After these stand two numbers, the second of one digit."""


def averaged(name: str) -> str:
    """What the average of a UNet's weight is called: without dots, as torch wants it of buffers (`LitEma`, ldm/modules/ema.py of latent-diffusion).

    Args:
        name: Of the weight, such as `model.diffusion_model.out.2.bias`.
    """
    return f"{EMA}{name.removeprefix('model.').replace('.', '')}"


def parameter(average: str) -> str | None:
    """Find of which weight something is the average.

    Args:
        average: As `averaged` names it.

    Returns:
        The weight's name; None if no UNet of Stable Diffusion XL has one of this average.
    """
    flat = average.removeprefix(EMA)
    words = _WORD.findall(flat)
    if "".join(words) != flat:
        return None
    dotted = [f"{word[:-1]}.{word[-1]}" if word.isdigit() and before in _PAIRED else word for before, word in zip(["", *words], words, strict=False)]
    return ".".join(["model", *dotted])


def averages(names: Iterable[str]) -> list[str]:
    """The names among some that are of averages."""
    return [name for name in names if name.startswith(EMA) and name not in COUNTERS]


def scheduling(names: Iterable[str]) -> Mapping[str, str | bool]:
    """What a file says of the noise that its UNet was trained on, as keys of a scheduler's configuration.

    Fine-tunes that predict v hold an empty `v_pred`, and `ztsnr` where they were trained down to a signal of zero: ComfyUI reads both
    (comfy/supported_models.py, `SDXL.model_type`), and trainers write them for it.

    Args:
        names: Of the file's weights.
    """
    held = set(names)
    if "v_pred" not in held:
        return {}
    return {"prediction_type": "v_prediction", **({"rescale_betas_zero_snr": True} if "ztsnr" in held else {})}
