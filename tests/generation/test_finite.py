"""NaN and infinity never become a picture, wherever they come from."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from math import isnan
from pathlib import Path
from typing import Any

import pytest

from sdxl_lab.files.disk import whole_lines
from sdxl_lab.runs.experiment import finish, run
from sdxl_lab.runs.resolution import resolve
from sdxl_lab.settings.sections import Compute
from sdxl_lab.spec.run_spec import RunSpec
from tests.support.datasets import write_dataset
from tests.support.edits import cpu, crossed, make_edit, same


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global generate, load, load_file, NotFiniteError, save_file, tensors_of, torch, TrajectoryCache
    import torch
    from safetensors.torch import load_file, save_file

    from sdxl_lab.checkpoints.loading import load
    from sdxl_lab.generation.finite import NotFiniteError
    from sdxl_lab.generation.generate import generate
    from sdxl_lab.generation.trajectory import TrajectoryCache, tensors_of


FEW: dict[str, Any] = dict(num_inference_steps=2, strength=1.0)
REFINED: dict[str, Any] = dict(num_inference_steps=5, high_noise_frac=0.6)

PARTS: dict[str, tuple[str, str, str]] = {
    "text_encoder": ("base", "text_encoder", "text_model.encoder.layers.0.mlp.fc1.bias"),
    "text_encoder_2": ("base", "text_encoder_2", "text_model.encoder.layers.0.mlp.fc1.bias"),
    "text_encoder_2 gave": ("base", "text_encoder_2", "text_projection.weight"),
    "the VAE's encoder": ("base", "vae", "encoder.conv_in.bias"),
    "the VAE's decoder": ("base", "vae", "decoder.conv_out.bias"),
    "the base's UNet": ("base", "unet", "conv_out.weight"),
    "the refiner's UNet": ("refiner", "unet", "conv_out.weight"),
}
"""What an error calls each part, and one of its weights."""


def weights_file(folder: Path, pipeline: str, model: str) -> Path:
    """
    Where a model's weights lie.
    """
    return folder / pipeline / model / ("model.safetensors" if model.startswith("text") else "diffusion_pytorch_model.safetensors")


def change(folder: Path, part: str, edit: Any) -> None:
    """
    Change one weight in its file.
    """
    pipeline, model, name = PARTS[part]
    file = weights_file(folder, pipeline, model)
    weights = load_file(file)
    name = name if name in weights else name.removeprefix("text_model.")
    edit(weights[name])
    save_file(weights, file, metadata={"format": "pt"})


def first(value: float) -> Any:
    """
    Set the first number of a weight.
    """
    return lambda weight: weight.view(-1)[:1].fill_(value)


@contextmanager
def spoilt(checkpoint: Any, part: str, value: float):
    """
    The checkpoint with one number of a part replaced while the block runs.
    """
    pipeline, model, name = PARTS[part]
    weights = dict(getattr(getattr(checkpoint, pipeline), model).named_parameters())
    weight = weights[name if name in weights else name.removeprefix("text_model.")].data.view(-1)
    before = float(weight[0])
    weight[0] = value
    yield
    weight[0] = before


@pytest.mark.parametrize(
    ("part", "value"), crossed(PARTS, [float("nan"), float("inf")], quick=lambda part, value: isnan(value) or part == "the VAE's decoder")
)
def test_a_weight_that_is_no_number_is_an_error_that_names_it(random_pair, tmp_path, scene, part, value):
    """
    NaN or infinity in a checkpoint's file is one error that names the part and the weight, and nothing of it is remembered.
    """
    pair = shutil.copytree(random_pair, tmp_path / "pair")
    change(pair, part, first(value))
    cache = TrajectoryCache()
    with pytest.raises(NotFiniteError, match=rf"{part}.* in float32.*{PARTS[part][2].removeprefix('text_model.')}.*download the checkpoint again"):
        generate(make_edit(**REFINED), scene[0], scene[1], load(str(pair), Compute(device="cpu", threads=1)), trajectories=cache)
    assert all(bool(torch.isfinite(tensor).all()) for _, (value, _) in cache._values.items() for tensor in tensors_of(value))


@pytest.mark.parametrize(
    ("part", "channels"), crossed(PARTS, [4, 9], quick=lambda part, channels: channels == 4 or part in ("the VAE's encoder", "the refiner's UNet"))
)
@pytest.mark.filterwarnings("ignore:The stock hand-over of a 9-channel base")
def test_a_fault_leaves_nothing_behind(random_pair, random_inpaint_pair, scene, part, channels):
    """
    Once a fault is mended, the picture is the one that was never spoilt, to the bit, though all that was remembered is used again.
    """
    checkpoint, cache = cpu(random_pair if channels == 4 else random_inpaint_pair), TrajectoryCache()
    edit = make_edit(handover="consistent" if channels == 4 else "stock", **REFINED)
    whole = generate(edit, scene[0], scene[1], checkpoint).raw
    with spoilt(checkpoint, part, float("nan")), pytest.raises(NotFiniteError, match=part):
        generate(edit, scene[0], scene[1], checkpoint, trajectories=cache)
    assert same(whole, generate(edit, scene[0], scene[1], checkpoint, trajectories=cache).raw)


def test_a_fault_in_the_unet_is_seen_after_its_first_step(random_pair, scene):
    """
    On a CPU, where a picture takes minutes, no step is made after one that gave NaN.
    """
    checkpoint, calls = cpu(random_pair), []
    handle = checkpoint.base.unet.register_forward_hook(lambda *_: calls.append(1))
    with spoilt(checkpoint, "the base's UNet", float("nan")), pytest.raises(NotFiniteError):
        generate(make_edit(), scene[0], scene[1], checkpoint)
    handle.remove()
    assert calls == [1]


@pytest.mark.parametrize("steps", [1, 6])
def test_guidance_that_outgrows_all_numbers_is_named(random_pair, scene, steps):
    """
    Guidance of 1e30 drives a whole checkpoint into NaN, in its UNet or, after a single step, in its decoder: the error says which setting did it.
    """
    with pytest.raises(NotFiniteError, match=r"gave (NaN|infinity) in float32.*guidance_scale is 1e\+30; choose one below 20"):
        generate(make_edit(num_inference_steps=steps, strength=1.0, guidance_scale=1e30), scene[0], scene[1], cpu(random_pair))


OUTGROWN: dict[str, Any] = {
    "the base's UNet": ("conv_in.weight", "set compute.dtype to float32"),
    "the VAE's encoder": ("encoder.conv_in.weight", "set compute.vae to fp16-fix, a VAE made for it, or compute.dtype to float32"),
    "the VAE's decoder": ("decoder.conv_in.weight", "set compute.vae to fp16-fix, a VAE made for it, or compute.dtype to float32"),
}


@pytest.mark.parametrize("part", OUTGROWN)
def test_what_outgrows_half_precision_is_whole_in_float32(random_pair, tmp_path, scene, part):
    """
    A model whose numbers go beyond 65504 is an error in float16, and the remedy it names is one.
    """
    pair = shutil.copytree(random_pair, tmp_path / "pair")
    name, remedy = OUTGROWN[part]
    file = weights_file(pair, "base", PARTS[part][1])
    weights = load_file(file)
    weights[name].fill_(60000.0)
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(NotFiniteError, match=rf"{part} gave \w+ in float16.*outgrow half precision; {remedy}"):
        generate(make_edit(**FEW), scene[0], scene[1], load(str(pair), Compute(device="cpu", dtype="float16", threads=1)))
    generate(make_edit(**FEW), scene[0], scene[1], load(str(pair), Compute(device="cpu", dtype="float32", threads=1)))


def test_weights_too_large_for_half_precision_are_named(random_pair, tmp_path, scene):
    """
    A file's weight of 1e6 is infinity in float16: the error names the weight and float32, in which the picture is made.
    """
    pair = shutil.copytree(random_pair, tmp_path / "pair")
    change(pair, "the base's UNet", first(1e6))
    with pytest.raises(NotFiniteError, match=r"float16.*\(conv_out\.weight\).*set compute\.dtype to float32, if they are whole in a wider file"):
        generate(make_edit(**FEW), scene[0], scene[1], load(str(pair), Compute(device="cpu", dtype="float16", threads=1)))
    generate(make_edit(**FEW), scene[0], scene[1], load(str(pair), Compute(device="cpu", dtype="float32", threads=1)))


def test_a_run_keeps_no_picture_of_a_fault_and_goes_on(random_pair, tmp_path):
    """
    A run whose second picture meets NaN keeps the first alone, and makes the others once the fault is mended.
    """
    dataset = write_dataset(tmp_path / "scenes")
    values = dict(name="spoilt", dataset=str(dataset), checkpoint=str(random_pair), tracking="off", runs_folder=str(tmp_path / "runs"))
    words = {"prompt": "a red star", "denoising": {"num_inference_steps": 3}, "outpaint": {"prompt": "a blue star"}}
    resolved = resolve(RunSpec.from_parameters(**values, hyperparameters=words))
    checkpoint, cache = cpu(random_pair), TrajectoryCache()
    tokenizer, embedding = checkpoint.base.tokenizer, checkpoint.base.text_encoder.get_input_embeddings().weight.data
    blue = tokenizer("blue").input_ids[1]
    before = embedding[blue].clone()
    embedding[blue] = float("nan")
    with pytest.raises(NotFiniteError, match="text_encoder gave NaN"):
        run(resolved, checkpoint, trajectories=cache)
    embedding[blue] = before
    kept = sorted(path.name for path in resolved.folder.images_folder.rglob("*") if path.is_file())
    assert len(whole_lines(resolved.folder.lines_file)) == 1
    assert kept == ["inpaint-mask.png", "inpaint.png", "input.png"]
    pictures = run(resolved, checkpoint, trajectories=cache)
    finish(resolved)
    assert len(pictures) == len(resolved.spec.edits)
    assert resolved.is_done


def test_a_picture_of_one_color_is_pointed_out(random_pair, tmp_path, scene):
    """
    A decoder that saturates without NaN gives black everywhere: the picture is kept, with a warning that says what to look at.
    """
    pair = shutil.copytree(random_pair, tmp_path / "pair")
    change(pair, "the VAE's decoder", lambda weight: weight.fill_(-1e6))
    checkpoint = load(str(pair), Compute(device="cpu", threads=1))
    with pytest.warns(UserWarning, match=r"every pixel \(0, 0, 0\)"):
        made = generate(make_edit(**FEW), scene[0], scene[1], checkpoint)
    assert made.raw.getcolors() == [(64 * 64, (0, 0, 0))]
    flat = scene[0].point(lambda _: 0)
    generate(make_edit(**FEW), flat, scene[1], checkpoint)
