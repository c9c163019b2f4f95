"""Whether a pipeline's folder is one of Stable Diffusion, whole, and of parts that fit each other: by its configuration alone, without torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sdxl_lab.checkpoints.weight_files import SUFFIX, CheckpointError
from sdxl_lab.families import family_of, recognized

INDEX = "model_index.json"
MODELS = ("unet", "vae", "text_encoder", "text_encoder_2")
SHARED = ("vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2")
"""What a refiner takes from its base, as far as its index names it at all."""

UNREAD = ("safety_checker", "feature_extractor", "image_encoder")
"""What pipelines of Stable Diffusion 1 and 2 are made without, whatever their index names."""

LIBRARIES = ("diffusers", "transformers")
CLASSES = {
    "unet": ("UNet2DConditionModel",),
    "vae": ("AutoencoderKL",),
    "text_encoder": ("CLIPTextModel", "CLIPTextModelWithProjection"),
    "text_encoder_2": ("CLIPTextModelWithProjection",),
}
PREDICTIONS = ("epsilon", "v_prediction", "sample")
OTHER_NOISE = ("FlowMatch", "EDM")
"""How diffusers' schedulers begin their names whose noise is not the one that SDXL's UNets were trained on."""

SIZE_IDS = {False: 6, True: 5}
"""How many numbers of micro-conditioning a UNet is told, without and with an aesthetic score (arXiv:2307.01952, section 2.2)."""


def read_json(path: Path) -> dict[str, Any]:
    """Read a configuration file.

    Raises:
        CheckpointError: It is missing, or no JSON object.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise CheckpointError(f"{path} is missing; {_whole_folder(path)}") from None
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}; make it readable, or copy the checkpoint elsewhere.") from None
    except ValueError as error:
        raise CheckpointError(f"{path} is no JSON ({error}); copy or download it again.") from None
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} is no JSON object, but {type(content).__name__}; copy or download it again.")
    return content


def components_in(index: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the components that an index says are there, less those that are never read."""
    named = (name for name, value in index.items() if not name.startswith("_") and isinstance(value, list) and value and value[0] is not None)
    unread = UNREAD if "safety_checker" in index else ()  # no pipeline of SDXL has one
    return tuple(name for name in named if name not in unread)


def check_configuration(folder: Path, *, is_refiner: bool = False) -> None:
    """See that a pipeline's configuration is all there, of Stable Diffusion XL or of 1 and 2, and that its numbers fit each other.

    Args:
        folder: As diffusers saves it, with or without weights.
        is_refiner: Whether VAE, text encoders and tokenizers come from the base, and may be missing here.

    Raises:
        CheckpointError: It names the part, the file, and what to do.
    """
    _check_whole(folder)
    index = read_json(folder / INDEX)
    named, encoders = components_in(index), family_of(recognized(folder)).text_encoders
    needed = ("vae", *encoders, *(_tokenizer_of(encoder) for encoder in encoders))
    foreign = [name for name in named if index[name][0] not in LIBRARIES]
    if foreign:
        raise CheckpointError(
            f"{folder / INDEX} takes {foreign[0]} from {index[foreign[0]][0]!r}; allowed are {' and '.join(LIBRARIES)}: a checkpoint brings "
            "no code of its own."
        )
    for component, allowed in CLASSES.items():
        if component in named and (len(index[component]) != 2 or index[component][1] not in allowed):
            raise CheckpointError(
                f"{folder / INDEX} names {index[component]!r} as {component}; allowed is {' or '.join(allowed)}: take a checkpoint of SDXL."
            )
    for component in ("unet", "scheduler", *(() if is_refiner else needed)):
        if component not in named:
            refiner = " If it is a refiner, put it into a folder `refiner` beside its base." if not is_refiner and "unet" in named else ""
            raise CheckpointError(f"{folder / INDEX} names no {component}; a pipeline of Stable Diffusion XL is needed.{refiner}")
    has_sizes = is_refiner or "text_encoder_2" in encoders
    _check_unet(folder, has_sizes=has_sizes)
    _check_scheduler(folder)
    if is_refiner:
        return
    _check_vae(folder)
    for encoder in encoders:
        _check_tokenizer(folder / _tokenizer_of(encoder), folder / encoder / "config.json")
    numbers = [_Numbers(folder / encoder / "config.json") for encoder in encoders]
    text = sum(each["hidden_size"] for each in numbers)
    if has_sizes:
        _check_widths(folder, text=text, pooled=numbers[-1]["projection_dim"], index=index)
    else:
        _require_widths(folder, {"cross_attention_dim": (text, "its text encoder gives")})


def check_pair(base: Path, refiner: Path) -> None:
    """See that a refiner's UNet reads what the base's text_encoder_2 gives.

    Args:
        base: Folder of its configuration; likewise `refiner`.
        refiner: Its own text_encoder_2, if it has one, is not used.

    Raises:
        CheckpointError: It does not.
    """
    second, index = _Numbers(base / "text_encoder_2" / "config.json"), read_json(refiner / INDEX)
    text = second["hidden_size"]
    if "text_encoder" in components_in(index):
        text += _Numbers(base / "text_encoder" / "config.json")["hidden_size"]
    _check_widths(refiner, text=text, pooled=second["projection_dim"], index=index)


class _Numbers:
    """The whole numbers of a configuration, each of which must be there."""

    def __init__(self, path: Path, note: str = "") -> None:
        self._path, self._content, self._note = path, read_json(path), note

    def __getitem__(self, key: str) -> int:
        value = self._content.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            got = f"has {key} {value!r}" if key in self._content else f"has no {key}"
            raise CheckpointError(f"{self._path} {got}; it must be a whole number of 1 or more{self._note}: copy or download the file again.")
        return value


def _tokenizer_of(encoder: str) -> str:
    """What the tokenizer of a text encoder is called, and its folder."""
    return encoder.replace("text_encoder", "tokenizer")


def _check_unet(folder: Path, *, has_sizes: bool) -> None:
    path = folder / "unet" / "config.json"
    unet = read_json(path)
    if not has_sizes:
        if unet.get("in_channels") not in (4, 9):
            raise CheckpointError(
                f"{path} takes {unet.get('in_channels')} channels; allowed are 4, or 9 for inpainting: what was made for depth, larger pictures or "
                "instructions is no checkpoint here."
            )
        numbers = _Numbers(path, " (of Stable Diffusion 1: sample_size 64, the side of its latents)")
        for key in ("sample_size", "cross_attention_dim"):
            _ = numbers[key]
        return
    if unet.get("in_channels") not in (4, 9) or unet.get("addition_embed_type") != "text_time":
        raise CheckpointError(
            f"{path} takes {unet.get('in_channels')} channels and {unet.get('addition_embed_type')!r} conditioning; allowed are "
            "4 or 9 channels and 'text_time', as Stable Diffusion XL has."
        )
    numbers = _Numbers(path, " (of SDXL's base: sample_size 128, the side of its latents)")
    for key in ("sample_size", "cross_attention_dim", "addition_time_embed_dim", "projection_class_embeddings_input_dim"):
        _ = numbers[key]


def _check_vae(folder: Path) -> None:
    path = folder / "vae" / "config.json"
    channels = _Numbers(path)["latent_channels"]
    if channels != 4:
        raise CheckpointError(f"{path} has latents of {channels} channels; the UNet takes 4: take the VAE of Stable Diffusion XL.")
    blocks = read_json(path).get("block_out_channels")
    if not isinstance(blocks, list) or not blocks:
        raise CheckpointError(f"{path} has no list block_out_channels, which says how much smaller latents are: copy or download the file again.")


def _check_scheduler(folder: Path) -> None:
    path = folder / "scheduler" / "scheduler_config.json"
    scheduler = read_json(path)
    name, prediction = str(scheduler.get("_class_name", "")), scheduler.get("prediction_type", "epsilon")
    if not name.endswith("Scheduler") or name.startswith(OTHER_NOISE):
        raise CheckpointError(
            f"{path} is of class {name or 'no name'}; allowed are diffusers' schedulers of Stable Diffusion XL's noise, such as "
            "EulerDiscreteScheduler: take another checkpoint, or that file from its source."
        )
    if "num_train_timesteps" in scheduler:
        _ = _Numbers(path)["num_train_timesteps"]
    if prediction not in PREDICTIONS:
        raise CheckpointError(f"{path} has prediction_type {prediction!r}; allowed are {', '.join(PREDICTIONS)}: copy or download the file again.")


def _check_tokenizer(folder: Path, encoder: Path) -> None:
    limit, positions = _Numbers(folder / "tokenizer_config.json")["model_max_length"], _Numbers(encoder)["max_position_embeddings"]
    words, room = _vocabulary(folder), _Numbers(encoder)["vocab_size"]
    for got, allowed, things in ((limit, positions, "tokens a text"), (words, room, "words")):
        if got > allowed:
            raise CheckpointError(
                f"{folder} makes {got} {things}, and {encoder} reads {allowed}; they are not of one checkpoint: copy both from one source."
            )


def _vocabulary(folder: Path) -> int:
    """How many words a tokenizer knows: in a file of its own, or in one with everything else."""
    whole = folder / "tokenizer.json"
    if not whole.is_file() and (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
        return len(read_json(folder / "vocab.json"))
    if not whole.is_file():
        raise CheckpointError(f"{folder} has no vocabulary: tokenizer.json, or vocab.json and merges.txt, are missing; {_whole_folder(whole)}")
    vocabulary = read_json(whole).get("model")
    words = vocabulary.get("vocab") if isinstance(vocabulary, dict) else None
    if not isinstance(words, dict) or not words:
        raise CheckpointError(f"{whole} holds no vocabulary; copy or download it again.")
    return len(words)


def _check_widths(folder: Path, *, text: int, pooled: int, index: Mapping[str, Any]) -> None:
    count = SIZE_IDS[bool(index.get("requires_aesthetics_score"))]
    told = count * _Numbers(folder / "unet" / "config.json")["addition_time_embed_dim"] + pooled
    given = {
        "cross_attention_dim": (text, "its text encoders give"),
        "projection_class_embeddings_input_dim": (told, f"text_encoder_2 and {count} sizes give"),
    }
    _require_widths(folder, given)


def _require_widths(folder: Path, widths: Mapping[str, tuple[int, str]]) -> None:
    """See that a UNet takes numbers as wide as others give them."""
    path = folder / "unet" / "config.json"
    unet = _Numbers(path)
    for key, (given, what) in widths.items():
        if unet[key] != given:
            raise CheckpointError(
                f"{path} has {key} {unet[key]}, but {what} {given}; the UNet and the text encoders are not of one checkpoint: copy all of them "
                "from one source."
            )


def _check_whole(folder: Path) -> None:
    """See that a folder is no model by itself, as those of consistency models are published."""
    if (folder / INDEX).exists() or not (folder / "config.json").is_file():
        return
    name = str(read_json(folder / "config.json").get("_class_name") or "model")
    what = {"UNet2DConditionModel": "a UNet", "AutoencoderKL": "a VAE"}.get(name, f"a {name}")
    place = {"UNet2DConditionModel": "unet", "AutoencoderKL": "vae"}.get(name)
    advice = f", or put it in place of `{place}` in a copy of the folder of the checkpoint that it was made from" if place else ""
    raise CheckpointError(f"{folder} is {what} alone, without {INDEX}; give the whole checkpoint that it belongs to{advice}.")


def _whole_folder(path: Path) -> str:
    """What to do about a folder that lacks a file."""
    single = sorted(file.name for file in path.parent.glob("*") if file.suffix.lower() == SUFFIX) if path.name == INDEX else []
    if single:
        return f"the folder holds {single[0]}: if that is the whole checkpoint, give the file itself."
    return f"a pipeline's folder as diffusers saves it is needed, {INDEX} first: copy or download the checkpoint again."
