"""What a .safetensors file holds, by its header alone: names and shapes of its weights, and which kind of file that makes it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdxl_lab.errors import LabError
from sdxl_lab.files.digests import until_changed

SUFFIX = ".safetensors"
BASE, REFINER, VAE_ALONE = "a base of Stable Diffusion XL", "a refiner of Stable Diffusion XL", "a VAE alone"
FIRST, SECOND = "Stable Diffusion 1", "Stable Diffusion 2"
GENERATIONS: Mapping[str | None, int] = {FIRST: 1, SECOND: 2}
"""Those before XL, as families know them."""

BASES = (BASE, FIRST, SECOND)
"""What a checkpoint may be."""

KINDS: Mapping[str, str] = {
    "a LoRA": r"(lora_(unet|te\d?)_|.*\.(lora_[AB]|lora_(up|down)|hada_w1_a|lokr_w1(_a)?|dora_scale)\b|.*[._]lora(_linear_layer)?\.(down|up)\.).*",
    "an embedding (textual inversion)": r"(clip_[lg]|emb_params|string_to_param|<.+>|\*)",
    "a ControlNet": r"(control_model\.|controlnet_|control_|.*controlnet_(down|mid)_block|input_hint_block\.).*",
    "an IP-Adapter": r"(ip_adapter|image_proj)\..*",
    "a Flux model": r"(model\.diffusion_model\.)?(double_blocks|single_blocks)\..*",
    "Stable Diffusion 3": r"(model\.diffusion_model\.)?joint_blocks\..*",
    "Stable Cascade or Würstchen": r"((.*\.)?clip_txt_mapper|.*\.channelwise|(.*\.)?embedding_1x1)\..*",
    "Stable Video Diffusion": r".*\.time_(stack|mixer)\..*",
    "motion for AnimateDiff": r".*\bmotion_modules\..*",
    "Stable Diffusion 2 for depth maps": r"depth_model\..*",
    "an upscaler of Stable Diffusion": r"low_scale_model\..*",
    "Stable unCLIP": r"noise_augmentor\..*",
    "PixArt": r"(model\.diffusion_model\.)?(scale_shift_table|t_block\..*)",
    "Playground 2.5": r"edm_(mean|std)",
    "a model of EDM's v-prediction": r"edm_vpred\..*",
    REFINER: r"conditioner\.embedders\.0\.model\..*",
    BASE: r"conditioner\.embedders\.1\..*",
    SECOND: r"cond_stage_model\.model\..*",
    FIRST: r"cond_stage_model\..*",
    "a UNet alone": r"(model\.diffusion_model\.(input_blocks|middle_block)\.|model_ema\.diffusion_model|(unet\.)?down_blocks\.).*",
    VAE_ALONE: r"(first_stage_model\.)?(encoder|decoder)\.(conv_in|mid|mid_block|down|up|down_blocks|up_blocks)\..*",
    "a text encoder alone": r"(text_model|transformer\.(text_model|resblocks)|encoder\.(layers|block))\..*",
}
"""Kinds of files that people have beside checkpoints, and a name of a weight that tells them, the most telling first."""

ADAPTER = "give it as hyperparameters.{0}.NAME.file, in paint by -p {0}.NAME.file FILE, and a checkpoint beside it"
PART = "give the whole checkpoint that it belongs to"
ADVICE: Mapping[str | None, str] = {
    "a LoRA": ADAPTER.format("loras"),
    "an embedding (textual inversion)": ADAPTER.format("embeddings"),
    BASE: "its place beside a base has a refiner's name: give the file another, or put a refiner there",
    REFINER: "call it refiner.safetensors, put it beside a base, and give the base",
    FIRST: "its place beside a base has a refiner's name: give the file another, or put a refiner there",
    SECOND: "its place beside a base has a refiner's name: give the file another, or put a refiner there",
    "a UNet alone": PART,
    VAE_ALONE: PART,
    "a text encoder alone": PART,
}
"""What to do instead; of other kinds, to take another checkpoint."""


class CheckpointError(LabError):
    """A checkpoint that is not there, not whole, or not one this lab can use."""


@contextlib.contextmanager
def safe_file(path: Path) -> Iterator[Any]:
    """A .safetensors file, opened.

    Raises:
        CheckpointError: It is missing, cut off, or something else by that name, as a pointer of Git LFS is.
    """
    from safetensors import SafetensorError, safe_open

    try:
        # As numpy's, since torch would be imported for nothing: only names and shapes are read.
        with safe_open(path, "np") as file:
            yield file
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing; copy or download the checkpoint again.") from None
    except (SafetensorError, OSError) as error:
        size_bytes = path.stat().st_size
        raise CheckpointError(
            f"{path} ({size_bytes} bytes) is no whole .safetensors file: {other_than_weights(path) or error}. Download it again (with `git lfs pull` "
            "if it came by git)."
        ) from error


_CAN_RUN_CODE = "which can run code when it is loaded and is not read"
_BEGINNINGS = {
    r"PK\x03\x04": f"a zip archive, as PyTorch's .pt and .ckpt are, {_CAN_RUN_CODE}",
    r"\x80[\x02-\x05][^\x00]": f"a pickle, {_CAN_RUN_CODE}",
    r"\s*<(!doctype|html|\?xml|!--)": "a web page, such as one that asks to sign in",
    r"version https://git-lfs": "a pointer of Git LFS, in place of the file",
    r"GGUF": "a GGUF file",
    r'\s*\{\s*"\w': "a text, such as a server's answer",
    r"$": "empty",
}
"""How files begin that people come to have by a wrong name, and what these are. A .safetensors file begins with a small number in eight bytes."""


def other_than_weights(path: Path) -> str | None:
    """What a file is by its first bytes that is no .safetensors file; None if these do not tell.

    Args:
        path: One that safetensors cannot read.
    """
    try:
        with path.open("rb") as held:
            begins = held.read(64)
    except OSError:
        return None
    return next((said for beginning, said in _BEGINNINGS.items() if re.match(beginning.encode(), begins, re.IGNORECASE)), None)


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a file says of its weights.

    Attributes:
        shapes: By a weight's name; likewise `dtypes`, as safetensors writes them: `F16`.
        dtypes: What each is stored as.
        metadata: What else whoever wrote the file said of it.
    """

    shapes: Mapping[str, tuple[int, ...]]
    dtypes: Mapping[str, str]
    metadata: Mapping[str, str]

    @classmethod
    def of_all(cls, headers: Iterable[Header]) -> Header:
        """That of several files together."""
        listed = list(headers)
        parts = ({name: value for header in listed for name, value in getattr(header, part).items()} for part in ("shapes", "dtypes", "metadata"))
        return cls(**dict(zip(("shapes", "dtypes", "metadata"), parts, strict=True)))


@until_changed(lambda path: [path], most=64)
def header_of(path: Path) -> Header:
    """What a file says of its weights; none of them is read.

    Raises:
        CheckpointError: As in `safe_file`.
    """
    with safe_file(path) as file:
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - the file is no mapping
        shapes = {name: tuple(weight.get_shape()) for name, weight in slices.items()}
        return Header(shapes=shapes, dtypes={name: weight.get_dtype() for name, weight in slices.items()}, metadata=file.metadata() or {})


def shapes_in(path: Path) -> Mapping[str, tuple[int, ...]]:
    """Names and shapes of a file's weights; none of them is read.

    Raises:
        CheckpointError: As in `safe_file`.
    """
    return header_of(path).shapes


def require_kind(path: Path, names: Iterable[str], *wanted: str) -> None:
    """See that a file holds what is needed.

    Args:
        path: The file, for the message.
        names: Of its weights.
        *wanted: Of `KINDS`, what it may be.

    Raises:
        CheckpointError: It is of another kind. Says which, and what to do.
    """
    listed = list(names)
    kind = kind_of(listed)
    if kind in wanted:
        return
    found = kind or f"of no kind that is known here (it holds {', '.join(listed[:3]) or 'nothing'})"
    advice = ADVICE.get(kind, "this version runs Stable Diffusion XL, 1 and 2: give a checkpoint of one of them")
    needed = "a base of Stable Diffusion XL, 1 or 2" if wanted == BASES else " or ".join(wanted)
    raise CheckpointError(f"{path} is {found}, where {needed} is needed; {advice}.")


def kind_of(names: Iterable[str]) -> str | None:
    """Tell which kind of file holds weights of these names.

    Args:
        names: Of its weights.

    Returns:
        One of `KINDS`, or None if no name tells.
    """
    listed = list(names)
    kind = next((kind for kind, pattern in KINDS.items() if any(re.fullmatch(pattern, name) for name in listed)), None)
    # SD-Turbo's file calls its text encoder as a refiner's does (sgm of generative-models); what no refiner lacks is where its UNet is told the size.
    return SECOND if kind == REFINER and not any("label_emb" in name for name in listed) else kind
