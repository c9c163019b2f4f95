"""The layout that Stable Diffusion was published in, one file for all models: what weights are called in it, without torch."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

UNET, EMA, VAE, TEXT = "model.diffusion_model.", "model_ema.", "first_stage_model.", "conditioner.embedders."
"""How the names of each model's weights begin; `EMA` those of the UNet's averages over its training, `TEXT` those of XL's text encoders."""

CLIP, OPEN_CLIP = "cond_stage_model.transformer.", "cond_stage_model.model."
"""The same of the one text encoder of Stable Diffusion 1, and of 2."""

_OPEN_CLIP = re.compile(rf"(?:{re.escape(OPEN_CLIP)}|{re.escape(TEXT)}0\.model\.)(.+)")

UNUSED = re.compile(re.escape(OPEN_CLIP) + r"(transformer\.resblocks\.23\..*|text_projection|logit_scale)")
"""What files of Stable Diffusion 2 hold of OpenCLIP's ViT-H beyond the 23 layers that give its words."""

FIRST_LAYER = f"{UNET}input_blocks.0.0.weight"
COUNTERS = (f"{EMA}decay", f"{EMA}num_updates")
"""What lies beside the averages, and is none."""

PARAMETERIZATIONS = {"eps": "epsilon", "v": "v_prediction"}
"""What a UNet predicts, as the configurations have it that checkpoints were published with, and as schedulers do."""

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
        The weight's name; None if no UNet of Stable Diffusion has one of this average.
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


def text_names(names: Iterable[str], generation: int) -> dict[str, str]:
    """Find the weights of the text encoder of a generation before XL.

    Some trainers leave `text_model.` out of Stable Diffusion 1's; SD-Turbo's file calls Stable Diffusion 2's as if it were XL's.

    Args:
        names: Of a file's weights.
        generation: 1 or 2.

    Returns:
        By the name in the layout the one under which it is stored.
    """
    if generation == 2:
        spelled = {f"{OPEN_CLIP}{match[1]}": match[0] for name in names if (match := _OPEN_CLIP.fullmatch(name))}
        return {name: stored for name, stored in spelled.items() if not UNUSED.fullmatch(name)}
    held = [name for name in names if name.startswith(CLIP)]
    return {f"{CLIP}text_model.{name.removeprefix(CLIP).removeprefix('text_model.')}": name for name in held}


def parameterization(config: object) -> str | None:
    """What the configuration that a checkpoint was published with, a .yaml, says that its UNet predicts (`LatentDiffusion`, ldm of latent-diffusion).

    Args:
        config: As it was read.

    Returns:
        `epsilon`, which is also what it means where it does not say, or `v_prediction`; None if it is no such configuration.

    Raises:
        KeyError: It predicts something else, which it is called by.
    """
    params = config
    for key in ("model", "params"):
        params = params.get(key) if isinstance(params, dict) else None
    if not isinstance(params, dict):
        return None
    return PARAMETERIZATIONS[str(params.get("parameterization", "eps"))]
