"""A checkpoint that lacks a weight, or is another kind of file, is one error that says so, before a picture is made of random numbers."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sdxl_lab.checkpoints.configurations import SHARED
from sdxl_lab.checkpoints.locating import identify
from sdxl_lab.checkpoints.single_files import SingleFile
from sdxl_lab.checkpoints.weight_files import CheckpointError
from sdxl_lab.pocket.training.single_file import write_single_file
from sdxl_lab.settings.sections import Compute


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global load, load_file, outline, require_filled, require_weights, save_file, settle, torch
    import torch
    from safetensors.torch import load_file, save_file

    from sdxl_lab.checkpoints.loading import load
    from sdxl_lab.checkpoints.outlines import outline
    from sdxl_lab.checkpoints.settling import settle
    from sdxl_lab.checkpoints.whole_weights import require_filled, require_weights


CPU = Compute(device="cpu", threads=1)
STEM = "diffusion_pytorch_model.safetensors"


def rewrite(file: Path, change: Any) -> None:
    """
    Change the weights of a file.
    """
    weights = load_file(file)
    change(weights)
    save_file(weights, file, metadata={"format": "pt"})


LOST = {
    "base/unet": (STEM, "conv_in.bias"),
    "base/vae": (STEM, "decoder.conv_in.weight"),
    "base/text_encoder": ("model.safetensors", "final_layer_norm.weight"),
    "base/text_encoder_2": ("model.safetensors", "text_projection.weight"),
    "refiner/unet": (STEM, "conv_out.weight"),
}


@pytest.mark.parametrize(("folder", "change"), [*((folder, "lost") for folder in LOST), ("base/vae", "reshaped")])
def test_a_weight_that_is_missing_or_misshapen_is_named_by_plan_and_load(random_pair, tmp_path, folder, change):
    """
    Left to the libraries, a text encoder would be filled with random numbers, and a UNet would stay without any.
    """
    pair = shutil.copytree(random_pair, tmp_path / "pair")
    file, weight = LOST[folder]

    def spoil(weights: dict[str, torch.Tensor]) -> None:
        (name,) = (name for name in weights if name.removeprefix("text_model.") == weight)
        taken = weights.pop(name)
        if change == "reshaped":
            weights[name] = taken[None].contiguous()

    rewrite(pair / folder / file, spoil)
    identity = identify(str(pair))
    said = f"lacks 1 of .* {weight} first .*{file}" if change == "lost" else rf"{folder}/{file} holds {weight} of shape \[1, .* asks for"
    for use in (lambda: require_weights(identity), lambda: load(identity, CPU)):
        with pytest.raises(CheckpointError, match=said) as caught:
            use()
        assert folder in str(caught.value)


IMPOSSIBLE = {
    "text_encoder/config.json": ({"num_attention_heads": 3}, "text_encoder/config.json describes no CLIPTextModel .*attention heads"),
    "unet/config.json": ({"layers_per_block": "two"}, "unet/config.json describes no UNet2DConditionModel .*layers_per_block"),
    "scheduler/scheduler_config.json": ({"beta_schedule": "odd"}, "scheduler describes no EulerDiscreteScheduler .*odd is not implemented"),
}


@pytest.mark.parametrize("config", IMPOSSIBLE)
def test_a_configuration_that_describes_no_model_is_named_by_plan(random_pair, tmp_path, config):
    """
    What the libraries refuse to build is one error with the file and their reason.
    """
    pair = shutil.copytree(random_pair, tmp_path / "pair")
    changes, said = IMPOSSIBLE[config]
    file = pair / "base" / config
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    identity = identify(str(pair))
    look = (lambda: outline(identity, settle(CPU, identity))) if "scheduler" in config else (lambda: require_weights(identity))
    with pytest.raises(CheckpointError, match=said):
        look()


def test_a_single_file_that_lacks_a_weight_is_refused(random_pair, tmp_path):
    """
    Each of its models is looked at once the file was read.
    """
    file = write_single_file(load(str(random_pair), CPU).base, tmp_path / "single.safetensors")
    weights = load_file(file)
    for lost, named in (
        ("model.diffusion_model.out.2.weight", "its UNet or its VAE"),
        ("conditioner.embedders.0.transformer.text_model.final_layer_norm.weight", "1 weights of its text_encoder, final_layer_norm.weight"),
    ):
        save_file({name: weight for name, weight in weights.items() if name != lost}, file)
        single = SingleFile(file)
        single.check()
        with pytest.raises(CheckpointError, match=re.escape(str(file)) + f" lacks .*{named}"):
            require_filled(single.load(torch.float32, {}, configuration=random_pair / "base"), file)


def test_the_ending_of_a_single_file_may_be_in_capitals(random_pair, tmp_path):
    """
    It is the same checkpoint as under a name in small letters; so is a refiner.
    """
    pair = load(str(random_pair), CPU)
    file = write_single_file(pair.base, tmp_path / "BASE.SAFETENSORS")
    write_single_file(pair.refiner, tmp_path / "refiner.SAFETENSORS")
    small = shutil.copytree(tmp_path, tmp_path / "small", ignore=lambda *_: ["small"])
    (small / file.name).rename(small / "BASE.safetensors")
    (small / "refiner.SAFETENSORS").rename(small / "refiner.safetensors")
    assert identify(str(file)).digest != identify(str(small / "BASE.safetensors")).digest  # a digest is of names too
    loaded = SingleFile(file).load(torch.float32, {}, configuration=random_pair / "base")
    assert torch.equal(loaded.unet.conv_in.weight, pair.base.unet.conv_in.weight)
    shared = {name: getattr(pair.base, name) for name in SHARED}
    refiner = SingleFile(tmp_path / "refiner.SAFETENSORS", is_refiner=True).load(torch.float32, shared, configuration=random_pair / "refiner")
    assert torch.equal(refiner.unet.conv_in.weight, pair.refiner.unet.conv_in.weight)


FIRST, UNET, TEXT = "model.diffusion_model.input_blocks.0.0.weight", "model.diffusion_model.middle_block.0.in_layers.0.bias", "conditioner.embedders"
KINDS = {
    "Stable Diffusion 3": ["model.diffusion_model.joint_blocks.0.context_block.adaLN_modulation.1.bias", "first_stage_model.decoder.conv_in.weight"],
    "a Flux model": ["double_blocks.0.img_attn.norm.key_norm.scale", "single_blocks.0.linear1.bias"],
    "a LoRA": ["lora_unet_down_blocks_1_attentions_0_proj_in.alpha", "lora_te1_text_model_encoder_layers_0_mlp_fc1.lora_down.weight"],
    "a LoRA, by diffusers": ["unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_k.lora_A.weight"],
    "a LoRA, by older diffusers": ["unet.up_blocks.0.attentions.0.transformer_blocks.0.attn1.processor.to_k_lora.down.weight"],
    "an embedding": ["clip_g", "clip_l"],
    "an embedding, of one encoder": ["emb_params"],
    "a VAE alone": ["encoder.conv_in.weight", "decoder.mid.block_1.conv1.weight"],
    "a VAE alone, by diffusers": ["encoder.conv_in.weight", "decoder.mid_block.resnets.0.conv1.weight"],
    "a UNet alone": [FIRST, UNET],
    "a UNet alone, by diffusers": ["conv_in.weight", "down_blocks.0.resnets.0.conv1.weight"],
    "a text encoder alone": ["text_model.encoder.layers.0.layer_norm1.bias"],
    "a ControlNet": ["controlnet_cond_embedding.conv_in.weight", "down_blocks.0.resnets.0.conv1.weight"],
    "a refiner of Stable Diffusion XL": [FIRST, "model.diffusion_model.label_emb.0.0.weight", f"{TEXT}.0.model.positional_embedding"],
    "a model of EDM's v-prediction": [FIRST, "v_pred", "edm_vpred.sigma_max", f"{TEXT}.1.model.positional_embedding"],
    "Playground 2.5": [FIRST, "edm_mean", f"{TEXT}.1.model.positional_embedding"],
    "of no kind that is known here": ["mystery"],
}
"""Names of weights as they stand in published files of each kind."""


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_is_no_base_is_called_what_it_is(tmp_path, kind):
    """
    The names of its weights tell, before anything is loaded or asked of the hub; and there is advice what to do.
    """
    save_file({name: torch.zeros(1) for name in KINDS[kind]}, tmp_path / "some.safetensors")
    with pytest.raises(CheckpointError, match=rf"is {kind.partition(',')[0]}.*, where a base of Stable Diffusion XL, 1 or 2 is needed; .{{20}}"):
        identify(str(tmp_path / "some.safetensors"))


def test_a_base_in_a_refiners_place_is_refused(random_pair, tmp_path):
    """
    A base called refiner.safetensors is found out by its text encoders.
    """
    base = load(str(random_pair), CPU).base
    file = write_single_file(base, tmp_path / "refiner.safetensors")
    with pytest.raises(CheckpointError, match=r"is a base of Stable Diffusion XL, where a refiner .* is needed"):
        SingleFile(file, is_refiner=True).check()


@pytest.mark.parametrize("ending", ["ckpt", "pt", "PTH", "bin"])
def test_pickled_weights_are_refused_with_the_reason(tmp_path, ending):
    """
    They can run code when they are loaded.
    """
    (tmp_path / f"some.{ending}").write_bytes(b"PK")
    with pytest.raises(CheckpointError, match=rf"\.{ending} file, which can run code .* \.safetensors files alone; allowed are"):
        identify(str(tmp_path / f"some.{ending}"))


LOOK = """
import sys
from sdxl_lab.checkpoints.whole_weights import require_weights
from sdxl_lab.checkpoints.locating import identify
require_weights(identify(sys.argv[1]))
print("diffusers" in sys.modules)
"""


@pytest.mark.slow
def test_what_was_found_whole_is_known_to_be_in_the_next_process(random_pair, tmp_path, monkeypatch):
    """
    It builds no models to compare with, hence does not import diffusers; a checkpoint that has changed since is looked through anew.
    """
    monkeypatch.setenv("SDXL_LAB_CACHE", str(tmp_path / "cache"))
    pair = shutil.copytree(random_pair, tmp_path / "pair")

    def builds() -> bool:
        done = subprocess.run([sys.executable, "-c", LOOK, str(pair)], capture_output=True, text=True, check=True)
        return done.stdout == "True\n"

    before = [builds(), builds()]
    rewrite(pair / "base" / "unet" / STEM, lambda weights: weights["conv_in.bias"].add_(1))
    assert [*before, builds()] == [True, False, True]
