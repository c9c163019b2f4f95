"""Single files that are no checkpoint for this lab are one error that says what they are and what to do, before a kernel is started."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sdxl_lab.checkpoints.locating import identify
from sdxl_lab.checkpoints.weight_files import CheckpointError
from sdxl_lab.settings.sections import Compute
from tests.support.fine_tunes import UNET, VAE, averages, pocket_pipeline, write_fine_tune, write_shards


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global require_weights, save_file, settle, torch
    import torch
    from safetensors.torch import save_file

    from sdxl_lab.checkpoints.settling import settle
    from sdxl_lab.checkpoints.whole_weights import require_weights


@pytest.fixture(scope="module")
def tuned(tmp_path_factory) -> dict[str, Any]:
    """The weights of a whole single file of pocket's shapes."""
    return write_fine_tune(pocket_pipeline(), tmp_path_factory.mktemp("tuned") / "tuned.safetensors")


Weights = dict[str, Any]
FIRST, LAST = f"{UNET}input_blocks.0.0.weight", f"{UNET}out.2.weight"
TEXT = "conditioner.embedders.1.model.text_projection"
CHANGES: dict[str, tuple[Callable[[Weights], Weights], str]] = {
    "a LoRA": (lambda weights: {"lora_unet_mid.lora_down.weight": weights[FIRST]}, r"is a LoRA, where a base .{20}"),
    "an embedding": (
        lambda weights: {"clip_g": weights[FIRST], "clip_l": weights[FIRST]},
        r"is an embedding .*; give it as hyperparameters.embeddings",
    ),
    "a VAE": (
        lambda weights: {name.removeprefix(VAE): weight for name, weight in weights.items() if VAE in name},
        "is a VAE alone, .* that it belongs to",
    ),
    "a UNet": (lambda weights: {name: weight for name, weight in weights.items() if UNET in name}, "is a UNet alone, .* that it belongs to"),
    "averages alone": (lambda weights: averages(weights), "is a UNet alone"),
    "a text encoder": (lambda weights: {"text_model.encoder.layers.0.mlp.fc1.bias": weights[FIRST]}, "is a text encoder alone"),
    "nothing": (lambda weights: {}, "of no kind that is known here .*holds nothing"),
    "no UNet": (lambda weights: {name: weight for name, weight in weights.items() if UNET not in name}, "holds no UNet"),
    "three channels": (lambda weights: weights | {FIRST: weights[FIRST][:, :3]}, "takes 3 channels; allowed are 4 or 9"),
    "for inpainting": (lambda weights: weights | {FIRST: torch.zeros(48, 9, 3, 3)}, "does not say how its models are built"),
    "a number for a layer": (lambda weights: weights | {FIRST: torch.zeros(())}, "takes 0 channels; allowed are 4 or 9"),
    "scaled 8 bits": (lambda weights: weights | {"scaled_fp8": torch.zeros(2)}, "in 8 bits with scales .* take its file in 16 bits"),
    "whole numbers": (
        lambda weights: weights | {LAST: weights[LAST].to(torch.int8)},
        "is quantized: .*out.2.weight is stored as I8; take its file in 16 bits",
    ),
    "some averages": (
        lambda weights: weights | {name: weight for name, weight in averages(weights).items() if not name.endswith("out2weight")},
        "holds no EMA weights of 1 of its UNet's .*out.2.weight first; leave compute.weights out",
    ),
    "averages of something else": (
        lambda weights: {name: weight for name, weight in weights.items() if UNET not in name} | {"model_ema.diffusion_modelmystery": torch.zeros(1)},
        "holds model_ema.diffusion_modelmystery, which is of no UNet of Stable Diffusion;",
    ),
    "a weight less": (
        lambda weights: {name: weight for name, weight in weights.items() if name != LAST},
        r"lacks 1 of the \d+ weights of its unet, conv_out",
    ),
    "half of it": (
        lambda weights: {name: weight for name, weight in weights.items() if "output_blocks" not in name},
        r"lacks \d+ of the \d+ weights of its unet, up_blocks.0.* first|holds another unet",
    ),
    "an encoder's weight less": (
        lambda weights: {name: weight for name, weight in weights.items() if name != TEXT},
        "1 of the .* of its text_encoder_2",
    ),
    "another shape": (
        lambda weights: weights | {LAST: weights[LAST][:, :8]},
        r"holds conv_out.weight of its unet in shape \[4, 8, 3, 3\], and .* asks for",
    ),
    "Playground 2.5": (lambda weights: weights | {"edm_mean": torch.zeros(4)}, "is Playground 2.5, where"),
    "v-prediction by EDM": (lambda weights: weights | {"edm_vpred.sigma_max": torch.zeros(1)}, "is a model of EDM's v-prediction, where"),
}


@pytest.mark.parametrize("case", CHANGES)
def test_what_a_file_is_instead_is_said_before_it_is_loaded(tuned, tmp_path, case):
    """
    `plan` looks for what `load` needs: no file comes further that lacks something of it.
    """
    change, said = CHANGES[case]
    file = tmp_path / "some.safetensors"
    save_file({name: weight.contiguous().clone() for name, weight in change(dict(tuned)).items()}, file)
    with pytest.raises(CheckpointError, match=said) as caught:
        looked_at(file)
    assert str(file) in str(caught.value)


def looked_at(file: Path) -> None:
    """
    What a plan looks at.
    """
    identity = identify(str(file))
    settle(Compute(weights="ema" if "model_ema" in file.read_bytes()[:1000000].decode("latin1") else None), identity)
    require_weights(identity)


def drop_shard(folder: Path) -> None:
    """
    Remove the second one.
    """
    (folder / "cut-00002-of-00002.safetensors").unlink()


def point_elsewhere(folder: Path, name: str = "../cut-00001-of-00002.safetensors") -> None:
    """
    Have the index name a file that does not lie beside it.
    """
    index = folder / "cut.safetensors.index.json"
    content = json.loads(index.read_text())
    index.write_text(json.dumps({"weight_map": dict.fromkeys(content["weight_map"], name)}))


SHARDS: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "one missing": (drop_shard, "cut", r"cut-00002-of-00002\.safetensors is missing; copy or download"),
    "one cut off": (
        lambda folder: (folder / "cut-00002-of-00002.safetensors").write_bytes(b"x" * 99),
        "cut",
        r"00002\.safetensors \(99 bytes\) is no whole",
    ),
    "outside": (point_elsewhere, "cut", r"index\.json names no shards"),
    "an absolute path": (lambda folder: point_elsewhere(folder, "/etc/x.safetensors"), "cut", "names no shards"),
    "a pickle": (lambda folder: point_elsewhere(folder, "cut.ckpt"), "cut", "names no shards"),
    "no index": (
        lambda folder: (folder / "cut.safetensors.index.json").unlink(),
        "cut-00001-of-00002.safetensors",
        r"is one of 2 shards, and cut\.safetensors\.index\.json, which lists them, is not beside it",
    ),
    "an index of nothing": (lambda folder: (folder / "cut.safetensors.index.json").write_text("[]"), "cut", "is no JSON object"),
}


@pytest.mark.parametrize("case", SHARDS)
def test_shards_that_are_not_all_there_are_named(tuned, tmp_path, case):
    """
    One that is missing or cut off by its name; an index that leads out of its folder is none.
    """
    spoil, given, said = SHARDS[case]
    write_shards(tuned, tmp_path, "cut")
    spoil(tmp_path)
    with pytest.raises(CheckpointError, match=said):
        identify(str(tmp_path / given))


def test_what_a_choice_of_weights_needs_is_said(tuned, tmp_path, random_pair):
    """
    A file without averages has none to give, and a folder in diffusers' layout does not tell which it holds; nor is another file taken for a VAE.
    """
    file = tmp_path / "some.safetensors"
    save_file(tuned, file)
    with pytest.raises(CheckpointError, match=r"compute.weights is 'ema', but .*some.safetensors holds no EMA weights; leave it out"):
        settle(Compute(weights="ema"), identify(str(file)))
    for asked in ("ema", "plain"):
        with pytest.raises(CheckpointError, match=f"is '{asked}', but .* is in diffusers' layout, .* leave it out, or give a single file"):
            settle(Compute(weights=asked), identify(str(random_pair)))
    shutil.copy(file, tmp_path / "some.vae.safetensors")
    with pytest.raises(CheckpointError, match=r"some\.vae\.safetensors is a base of Stable Diffusion XL, where a VAE alone is needed"):
        identify(str(file))


def test_eight_bits_without_scales_are_widened(tuned, tmp_path):
    """
    A file that stores its UNet in 8 bits holds the very numbers that are computed with.
    """
    from sdxl_lab.checkpoints.loading import load

    stored = {name: weight.to(torch.float8_e4m3fn) if name.startswith(UNET) else weight for name, weight in tuned.items()}
    save_file(stored, tmp_path / "eight.safetensors")
    weight = load(str(tmp_path / "eight.safetensors"), Compute(device="cpu")).base.unet.conv_in.weight
    assert torch.equal(weight, stored[FIRST].to(torch.float32))
