"""What is in memory once a checkpoint is loaded equals what its files hold, however they are laid out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdxl_lab.checkpoints.configurations import SHARED
from sdxl_lab.checkpoints.locating import identify
from sdxl_lab.checkpoints.single_files import SingleFile
from sdxl_lab.checkpoints.weight_files import CheckpointError
from sdxl_lab.families import CONFIGURATIONS
from sdxl_lab.pocket.training.single_file import write_single_file
from sdxl_lab.settings.sections import Compute, Denoising, EditSettings
from sdxl_lab.spec.edit import Edit


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global generate, load, torch
    import torch

    from sdxl_lab.checkpoints.loading import load
    from sdxl_lab.generation.generate import generate


STEM = "diffusion_pytorch_model"
REFINER = CONFIGURATIONS / "sdxl-refiner"


def cpu(folder: Path, dtype: Any = "float32") -> Any:
    """
    A checkpoint on the CPU, on one thread.
    """
    return load(str(folder), Compute(device="cpu", dtype=dtype, threads=1))


def equal(expected: Any, actual: Any) -> bool:
    """
    Whether two models hold the same weights, name by name, once both are of the second's dtype.
    """
    weights = actual.state_dict()
    return expected.state_dict().keys() == weights.keys() and all(
        torch.equal(weight.to(weights[name].dtype), weights[name]) for name, weight in expected.state_dict().items()
    )


def picture(checkpoint: Any, scene: Any) -> np.ndarray:
    """
    A refined picture of four steps.
    """
    settings = EditSettings(denoising=Denoising(num_inference_steps=4, high_noise_frac=0.6))
    edit = Edit(sample="disc", task="inpaint", prompt="a red star", seed=3, settings=settings)
    return np.asarray(generate(edit, scene[0], scene[1], checkpoint).raw).astype(int)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_the_vae_of_a_single_file_is_not_rounded(random_pair, tmp_path, dtype):
    """
    UNet and text encoders are rounded to half precision, and a VAE that needs float32 keeps the file's weights to the last bit.
    """
    base, dtype = cpu(random_pair).base, getattr(torch, dtype)
    configuration = random_pair / "base"
    file = write_single_file(base, tmp_path / "single.safetensors")
    loaded = SingleFile(file).load(dtype, {}, configuration=needing_float32(configuration, tmp_path / "configuration"))
    assert {loaded.unet.dtype, loaded.text_encoder.dtype, loaded.text_encoder_2.dtype} == {dtype}
    assert loaded.vae.dtype == torch.float32
    for name in ("unet", "vae", "text_encoder", "text_encoder_2"):
        assert equal(getattr(base, name), getattr(loaded, name)), name


def needing_float32(configuration: Path, folder: Path) -> Path:
    """
    The configuration of a pipeline, without its weights, as one whose VAE overflows in half precision.
    """
    for path in configuration.rglob("*"):
        if path.is_file() and path.suffix != ".safetensors":
            copy = folder / path.relative_to(configuration)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    config = folder / "vae" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"force_upcast": True}))
    return folder


def test_a_refiner_may_be_a_single_file(random_pair, tmp_path):
    """
    It brings its own UNet, takes VAE and text_encoder_2 from the base, and still conditions on the aesthetic score.
    """
    pair = cpu(random_pair)
    file = write_single_file(pair.refiner, tmp_path / "refiner.safetensors")
    shared = {name: getattr(pair.base, name) for name in SHARED}
    for name in (path.relative_to(REFINER) for path in REFINER.rglob("*.json")):  # all that the package holds of SDXL's
        (tmp_path / "told" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(random_pair / "refiner" / name, tmp_path / "told" / name)
    refiner = SingleFile(file, is_refiner=True).load(torch.float32, shared, configuration=tmp_path / "told")
    assert equal(pair.refiner.unet, refiner.unet)
    assert refiner.vae is pair.base.vae
    assert refiner.text_encoder_2 is pair.base.text_encoder_2
    assert refiner.text_encoder is None
    assert refiner.config.requires_aesthetics_score
    assert not refiner.config.force_zeros_for_empty_prompt


def in_shards(pair: Path, folder: Path, variant: str | None) -> Path:
    """
    The same pair, each model of it cut into several files.
    """
    for path in pair.rglob("*"):
        if path.is_file() and path.suffix != ".safetensors":
            copy = folder / path.relative_to(pair)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    loaded = cpu(pair)
    for part, pipeline in (("base", loaded.base), ("refiner", loaded.refiner)):
        for name in ("unet", "vae", "text_encoder", "text_encoder_2"):
            if model := getattr(pipeline, name):
                size_bytes = sum(weight.nbytes for weight in model.parameters())
                model.save_pretrained(folder / part / name, max_shard_size=size_bytes // 2, variant=variant)
                assert len(list((folder / part / name).glob("*-of-*.safetensors"))) > 1
    return folder


@pytest.mark.parametrize("variant", [None, "fp16"])
def test_weights_in_shards_are_those_of_one_file(random_pair, tmp_path, scene, variant):
    """
    A model cut into several files, as large ones are published, is loaded whole, and makes the same picture.
    """
    whole, cut = cpu(random_pair), cpu(in_shards(random_pair, tmp_path, variant))
    for name in ("unet", "vae", "text_encoder", "text_encoder_2"):
        assert equal(getattr(whole.base, name), getattr(cut.base, name)), name
    assert equal(whole.refiner.unet, cut.refiner.unet)
    assert np.array_equal(picture(whole, scene), picture(cut, scene))


def lose(folder: Path) -> None:
    """
    Remove the last shard.
    """
    sorted(folder.glob("*-of-*.safetensors"))[-1].unlink()


def rewrite(content: Any) -> Any:
    """
    Replace an index.
    """
    return lambda folder: (folder / f"{STEM}.safetensors.index.json").write_text(json.dumps(content))


BROKEN_SHARDS = {
    "one missing": (lose, r"diffusion_pytorch_model-0000\d-of-0000\d\.safetensors is missing"),
    "no list": (rewrite([]), "is no JSON object"),
    "no map": (rewrite({"metadata": {}}), "names no shards"),
    "an empty map": (rewrite({"weight_map": {}}), "names no shards"),
    "numbers": (rewrite({"weight_map": {"conv_in.weight": 3}}), "names no shards"),
    "outside the folder": (rewrite({"weight_map": {"conv_in.weight": "../../../../other.safetensors"}}), "names no shards"),
    "no safetensors": (rewrite({"weight_map": {"conv_in.weight": "weights.bin"}}), "names no shards"),
}


@pytest.mark.parametrize("case", BROKEN_SHARDS)
def test_broken_shards_are_one_error_before_anything_is_loaded(random_pair, tmp_path, case):
    """
    A shard that is missing, and an index that names anything but .safetensors files beside it, are found by `identify`.
    """
    destroy, message = BROKEN_SHARDS[case]
    pair = in_shards(random_pair, tmp_path / "pair", None)
    destroy(pair / "base" / "unet")
    with pytest.raises(CheckpointError, match=message):
        identify(str(pair))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_on_a_cpu_convolves_channels_last(random_pair, scene, dtype):
    """
    Pixels reach each convolution in the order in which torch is fast without instructions for half precision; the picture stays close.
    """
    checkpoint, seen = cpu(random_pair, dtype), []

    def look(_module: Any, arguments: Any) -> None:
        seen.append(arguments[0].is_contiguous(memory_format=torch.channels_last))

    convolutions = [module for part in (checkpoint.base, checkpoint.refiner) for module in part.unet.modules() if isinstance(module, torch.nn.Conv2d)]
    handles = [module.register_forward_pre_hook(look) for module in convolutions]
    half = picture(checkpoint, scene)
    for handle in handles:
        handle.remove()
    assert len(seen) >= len(convolutions)
    assert all(seen)
    assert np.abs(half - picture(cpu(random_pair), scene)).mean() < 8


def test_loading_and_generating_say_nothing(random_pair, tmp_path, scene, caplog, capfd):
    """
    A checkpoint whose VAE needs float32 leaves no line of a library's own in a notebook.
    """
    pair = in_shards(random_pair, tmp_path, None)
    config = pair / "base" / "vae" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"force_upcast": True}))
    capfd.readouterr()
    picture(cpu(pair, "bfloat16"), scene)
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")
