"""What is no checkpoint of Stable Diffusion XL, 1 or 2 is one error that says what it is, before anything is downloaded or loaded."""

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
from sdxl_lab.spec.identities import CheckpointIdentity
from tests.support.loopback_hub import NOBODY, asked
from tests.support.original_layouts import CLIP, UNET, VAE, original


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global outline, save_file, settle, torch
    import torch
    from safetensors.torch import save_file

    from sdxl_lab.checkpoints.outlines import outline
    from sdxl_lab.checkpoints.settling import settle


@pytest.fixture(scope="module")
def first(sd1) -> dict[str, Any]:
    """The weights of Stable Diffusion 1 in the original layout."""
    return original(sd1)


@pytest.fixture(scope="module")
def second(sd2) -> dict[str, Any]:
    """The same of Stable Diffusion 2."""
    return original(sd2)


@pytest.fixture(autouse=True)
def nobody(tmp_path):
    """There is no hub, and no cache of one: whoever asks for something gets another error."""
    with asked(NOBODY, tmp_path / "hub"):
        yield


Weights = dict[str, Any]
CHANNELS = f"{UNET}input_blocks.0.0.weight"


def of(names: str, weights: Weights) -> Weights:
    """
    Weights that are called by some names, parted by blanks.
    """
    return dict.fromkeys(names.split(), next(iter(weights.values())))


def taking(channels: int, weights: Weights) -> Weights:
    """
    The weights with a UNet of other input channels.
    """
    return weights | {CHANNELS: torch.zeros(32, channels, 3, 3)}


FILES: dict[str, tuple[Callable[[Weights, Weights], Weights], str]] = {
    "a VAE": (lambda one, _: {name: weight for name, weight in one.items() if VAE in name}, "is a VAE alone, .*; give the whole checkpoint"),
    "a UNet": (lambda one, _: {name: weight for name, weight in one.items() if UNET in name}, "is a UNet alone, .*; give the whole checkpoint"),
    "a text encoder": (lambda one, _: of("text_model.encoder.layers.0.mlp.fc1.bias", one), "is a text encoder alone, .*; give the whole"),
    "no UNet": (lambda one, _: {name: weight for name, weight in one.items() if CLIP in name}, "holds no UNet"),
    "a ControlNet": (lambda one, _: of(f"control_model.input_blocks.0.0.weight {CHANNELS}", one), "is a ControlNet, where a base"),
    "a LoRA": (
        lambda one, _: of("lora_unet_down_blocks_0_attentions_0_proj_in.lora_up.weight", one),
        "is a LoRA, .* give it as hyperparameters.loras",
    ),
    "Flux": (lambda one, _: of("model.diffusion_model.double_blocks.0.img_attn.proj.weight", one), "is a Flux model"),
    "Stable Diffusion 3": (lambda one, _: of("model.diffusion_model.joint_blocks.0.x_block.attn.proj.weight", one), "is Stable Diffusion 3"),
    "video": (lambda one, _: one | of(f"{UNET}input_blocks.1.1.time_stack.0.attn1.to_q.weight", one), "is Stable Video Diffusion"),
    "motion": (lambda one, _: of("down_blocks.0.motion_modules.0.temporal_transformer.norm.weight", one), "is motion for AnimateDiff"),
    "Cascade": (lambda one, _: of("clip_txt_mapper.weight clf.1.weight", one), "is Stable Cascade or Würstchen"),
    "Würstchen": (lambda one, _: of("down_blocks.0.0.channelwise.0.weight", one), "is Stable Cascade or Würstchen"),
    "depth": (lambda _, two: taking(5, two) | of("depth_model.model.scratch.layer1_rn.weight", two), "is Stable Diffusion 2 for depth maps"),
    "depth, pruned": (lambda _, two: taking(5, two), "takes 5 channels, as Stable Diffusion 2 for depth maps does; allowed are 4 or 9"),
    "an upscaler": (lambda _, two: taking(7, two) | of("low_scale_model.betas", two), "is an upscaler of Stable Diffusion, where"),
    "an upscaler, pruned": (lambda _, two: taking(7, two), "takes 7 channels, as an upscaler of Stable Diffusion does; allowed are 4 or 9"),
    "InstructPix2Pix": (lambda one, _: taking(8, one), "takes 8 channels, as InstructPix2Pix does; allowed are 4 or 9"),
    "unCLIP": (lambda _, two: two | of("noise_augmentor.betas", two), "is Stable unCLIP, where"),
    "quantized": (lambda one, _: one | {CHANNELS: one[CHANNELS].to(torch.int8)}, "is quantized: .* take its file in 16 bits"),
}


@pytest.mark.parametrize("case", FILES)
def test_what_a_file_is_instead_is_said(first, second, tmp_path, case):
    """
    By its weights' names and shapes, with the file's name; nothing is asked of the net.
    """
    made, said = FILES[case]
    file = tmp_path / "some.safetensors"
    save_file({name: weight.contiguous().clone() for name, weight in made(first, second).items()}, file)
    with pytest.raises(CheckpointError, match=said) as caught:
        identify(str(file))
    assert str(file) in str(caught.value)


@pytest.mark.parametrize("kind", ["Stable Diffusion 1", "Stable Diffusion 2"])
def test_none_of_them_is_a_refiner(first, second, tmp_path, kind):
    """
    In a refiner's place beside a base of XL each is refused by what it is, and how to go on.
    """
    save_file(first if kind.endswith("1") else second, tmp_path / "refiner.safetensors")
    save_file({"conditioner.embedders.1.model.ln_final.bias": torch.zeros(1), CHANNELS: torch.zeros(32, 4, 3, 3)}, tmp_path / "base.safetensors")
    said = f"refiner.safetensors is {kind}, where a refiner of Stable Diffusion XL is needed; its place .* give the file another"
    with pytest.raises(CheckpointError, match=said):
        identify(str(tmp_path / "base.safetensors"))


def test_a_pickle_is_not_read(first, tmp_path):
    """
    As checkpoints were shared in 2022, by any of two names.
    """
    torch.save({"state_dict": first}, tmp_path / "v1-5-pruned.ckpt")
    with pytest.raises(CheckpointError, match=r"is a \.ckpt file, which can run code when it is loaded"):
        identify(str(tmp_path / "v1-5-pruned.ckpt"))
    shutil.copy(tmp_path / "v1-5-pruned.ckpt", tmp_path / "v1-5-pruned.safetensors")
    with pytest.raises(CheckpointError, match=r"v1-5-pruned.safetensors \(\d+ bytes\) is no whole .safetensors file: a zip archive, as PyTorch's"):
        identify(str(tmp_path / "v1-5-pruned.safetensors"))


def asking(file: Path, prediction: str | None = None) -> CheckpointIdentity:
    """
    What a plan asks of a file before it looks for more.
    """
    identity = identify(str(file))
    settle(Compute(device="cpu", prediction=prediction), identity)  # pyright: ignore[reportArgumentType]
    return identity


def test_what_stable_diffusion_2_predicts_is_asked_for(second, first, sd2, tmp_path):
    """
    Where neither the setting nor a configuration beside it tells; what contradicts either is refused, and what cannot be read.
    """
    file, beside = tmp_path / "v2-1.safetensors", tmp_path / "v2-1.yaml"
    save_file(second, file)
    with pytest.raises(CheckpointError, match=r"do not tell what its UNet predicts.* compute.prediction to epsilon .* or to v .*, as v2-1\.yaml"):
        asking(file)
    digests = {asking(file, "v").digest}
    for said, other, stands in (("v", "epsilon", "v_prediction"), ("eps", "v", "epsilon"), (None, "v", "epsilon")):
        params: dict[str, Any] = {"linear_start": 0.00085} | ({"parameterization": said} if said else {})
        beside.write_text(json.dumps({"model": {"target": "ldm.models.diffusion.ddpm.LatentDiffusion", "params": params}}))
        digests.add(asking(file).digest)
        with pytest.raises(CheckpointError, match=f"is '{other}', but .* predicts {stands}, as v2-1.yaml says; leave it out"):
            asking(file, other)
    assert len(digests) == 4
    beside.write_text("model: {params: {parameterization: x0}}")
    with pytest.raises(CheckpointError, match=r"v2-1\.yaml has parameterization 'x0'; allowed are eps and v"):
        asking(file)
    beside.write_text("a: [")
    with pytest.raises(CheckpointError, match=r"v2-1\.yaml cannot be read as the configuration of the checkpoint beside it"):
        asking(file)
    beside.write_text("notes: mine")
    with pytest.raises(CheckpointError, match="do not tell what its UNet predicts"):
        asking(file)
    with pytest.raises(CheckpointError, match=r"compute.prediction is 'v', but .* is in diffusers' layout, whose scheduler/scheduler_config.json"):
        asking(sd2, "v")


def test_what_tells_itself_is_not_asked(first, second, tmp_path):
    """
    Stable Diffusion 1, what was trained to inpaint, and what says that it predicts v; no .yaml beside these is looked at.
    """
    made = {"one": first, "inpaint": taking(9, second), "told": second | {"v_pred": torch.empty(0)}}
    for name, weights in made.items():
        save_file(weights, tmp_path / f"{name}.safetensors")
        digest = asking(tmp_path / f"{name}.safetensors").digest
        (tmp_path / f"{name}.yaml").write_text("a: [")
        assert asking(tmp_path / f"{name}.safetensors").digest == digest


FOLDERS: dict[str, tuple[dict[str, dict[str, Any]], str]] = {
    "depth": ({"unet": {"in_channels": 5}}, "takes 5 channels.*; allowed are 4"),
    "an upscaler": ({"unet": {"in_channels": 7}}, "takes 7 channels.*; allowed are 4"),
    "InstructPix2Pix": ({"unet": {"in_channels": 8}}, "takes 8 channels.*; allowed are 4"),
    "another encoder's width": ({"unet": {"cross_attention_dim": 1280}}, "has cross_attention_dim 1280, but its text encoder gives 16"),
    "flow": ({"scheduler": {"_class_name": "FlowMatchEulerDiscreteScheduler"}}, "is of class FlowMatchEulerDiscreteScheduler; allowed are"),
}


@pytest.mark.parametrize("case", FOLDERS)
def test_what_a_folder_is_instead_is_said(sd1, tmp_path, case):
    """
    By its configurations, before a weight of it is read.
    """
    changes, said = FOLDERS[case]
    folder = shutil.copytree(sd1, tmp_path / "some")
    for part, change in changes.items():
        file = folder / part / f"{'scheduler_' if part == 'scheduler' else ''}config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(CheckpointError, match=said):
        identify(str(folder))


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_a_part_of_a_folder_is_no_checkpoint(sd1, part):
    """
    Which is said of it, and that the whole is needed.
    """
    with pytest.raises(CheckpointError, match=r"is a .* alone, without model_index.json; give the whole checkpoint that it belongs to"):
        identify(str(sd1 / part))
