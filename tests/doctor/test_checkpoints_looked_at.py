"""Checkpoints at work: what the doctor says of good ones, and of those that make no picture, or another one than plain diffusers."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sdxl_lab.checkpoints.locating import locate
from sdxl_lab.checkpoints.needs import fastest_offload, needs_of
from sdxl_lab.checkpoints.shapes import shapes_of
from sdxl_lab.doctor.findings import Finding
from sdxl_lab.settings.schedulers import SCHEDULERS
from sdxl_lab.settings.sections import Compute
from tests.support import loopback_hub
from tests.support.edits import cpu, same
from tests.support.plain import plain as by_itself


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global accelerator, models, pictures, plain, torch
    import torch

    from sdxl_lab.checkpoints import accelerator
    from sdxl_lab.doctor import models, pictures
    from sdxl_lab.generation.plain import plain


@pytest.fixture(autouse=True)
def nothing_loaded():
    """
    What one test has looked at is no other's.
    """
    pictures._loaded.cache_clear()
    yield
    pictures._loaded.cache_clear()


def by_part(findings: Any) -> dict[str, Finding]:
    """
    Findings by their part.
    """
    return {finding.part: finding for finding in findings}


@pytest.mark.parametrize("frac", [None, 0.6])
def test_plain_is_what_diffusers_makes_by_itself(random_pair, frac):
    """
    With the lab's loaded models, `plain` makes the picture that pipelines make which diffusers loads itself.
    """
    checkpoint = cpu(random_pair)
    made = pictures._generated(pictures._edit("text_to_image", checkpoint, high_noise_frac=frac), checkpoint)
    words: dict[str, Any] = dict(prompt=pictures.PROMPT, negative_prompt=None, num_inference_steps=pictures.STEPS)
    shared = words | dict(guidance_scale=made.edit.settings.denoising.guidance_scale)
    folder, kind = random_pair / "base", "StableDiffusionXLPipeline"
    seeded = lambda: torch.Generator().manual_seed(pictures.SEED)  # noqa: E731
    if frac is None:
        expected = by_itself(kind, folder, "euler", width=64, height=64, generator=seeded(), **shared)
    else:
        latents = by_itself(kind, folder, "euler", width=64, height=64, denoising_end=frac, output_type="latent", generator=seeded(), **shared)
        scores = dict(aesthetic_score=6.0, negative_aesthetic_score=2.5)
        refiner: Any = dict(image=latents, denoising_start=frac, generator=seeded(), **scores, **shared)
        expected = by_itself("StableDiffusionXLImg2ImgPipeline", random_pair / "refiner", "euler", **refiner)
    assert same(expected, plain(made.edit, None, None, checkpoint, size=made.working_size))


def test_a_distilled_pair_equals_plain_diffusers(random_pair, tmp_path):
    """
    The trailing steps that its defaults bring are plain diffusers' too, of base and refiner.
    """
    pair = shutil.copytree(random_pair, tmp_path / "sdxl_lightning_4step")
    assert pictures._edit("text_to_image", cpu(pair)).settings.denoising.timestep_spacing == "trailing"
    assert [(finding.part, finding.verdict) for finding in pictures.equality(str(pair))] == [("equality", "ok"), ("hand-over", "ok")]


def test_a_good_pair_makes_a_picture_of_each_task_and_equals_plain_diffusers(random_pair):
    """
    All is well with a base and a refiner of any sizes, and what a step takes is told of both.
    """
    of_weights, of_pictures, compared, cost = (
        by_part(look(str(random_pair))) for look in (pictures.weights, pictures.pictures, pictures.equality, pictures.cost)
    )
    findings = of_weights | of_pictures | compared | cost
    assert {finding.verdict for finding in findings.values()} == {"ok"}, findings
    assert {"inpaint", "outpaint", "image_to_image", "text_to_image", "numbers", "equality", "hand-over"} <= findings.keys()
    assert "s a step of the base" in cost["cost"].line
    assert "s a step of the refiner" in cost["cost"].line


def test_what_does_not_fit_in_float32_is_looked_at_in_half_precision(random_pair, monkeypatch):
    """
    Where main memory is too small the setting is named that fits, and pictures equal plain diffusers in it, with the VAE in float32.
    """
    monkeypatch.setattr(pictures, "RESERVE_BYTES", 10**15)
    of_weights, compared = (by_part(look(str(random_pair))) for look in (pictures.weights, pictures.equality))
    assert of_weights["weights"].verdict == "attention"
    assert "compute.dtype bfloat16" in of_weights["weights"].advice
    assert {finding.verdict for finding in compared.values()} == {"ok"}, compared


def test_a_base_that_was_trained_to_inpaint_is_not_asked_for_more(random_inpaint_pair):
    """
    It makes its two tasks, the others are said to be none of its own, and inpainting is what is compared with plain diffusers.
    """
    made, compared = (by_part(look(str(random_inpaint_pair))) for look in (pictures.pictures, pictures.equality))
    assert "a picture of 64x64" in made["inpaint"].line
    assert made["text_to_image"].line == "not for this base, which was trained to inpaint; sdxl makes such pictures"
    assert {finding.verdict for finding in (made | compared).values()} == {"ok"}, compared
    assert "inpaint by the base" in compared["equality"].line


def test_a_picture_that_plain_diffusers_does_not_make_is_told(random_pair, monkeypatch):
    """
    A sampler that is not diffusers' own makes another picture, and how far it is off is said.
    """
    changed = replace(SCHEDULERS["euler"], overrides={"use_karras_sigmas": True})
    monkeypatch.setitem(SCHEDULERS, "euler", changed)
    compared = by_part(pictures.equality(str(random_pair)))
    assert {finding.verdict for finding in compared.values()} == {"broken"}
    assert "of the pixels differ from plain diffusers'" in compared["equality"].line


def test_weights_that_are_no_numbers_are_named(random_pair, tmp_path):
    """
    NaN in the UNet ends no other part: the pictures say which model it was and what to do.
    """
    from safetensors.torch import load_file, save_file

    spoiled = shutil.copytree(random_pair, tmp_path / "spoiled")
    file: Path = spoiled / "base" / "unet" / "diffusion_pytorch_model.safetensors"
    weights = load_file(file)
    weights["conv_out.bias"] = torch.full_like(weights["conv_out.bias"], float("nan"))
    save_file(weights, file, metadata={"format": "pt"})
    made = by_part(pictures.pictures(str(spoiled)))
    assert made["text_to_image"].verdict == made["numbers"].verdict == "broken"
    assert "the base's UNet gave NaN" in made["text_to_image"].line
    assert "conv_out.bias" in made["text_to_image"].line
    others = by_part([*pictures.equality(str(spoiled)), *pictures.cost(str(spoiled))])
    assert {finding.verdict for finding in others.values()} == {"attention"}


def test_a_checkpoint_of_the_hub_is_downloaded_and_looked_at(random_pair, tmp_path):
    """
    What is not here yet comes from the hub first, and is then a checkpoint like any other.
    """
    shutil.copytree(random_pair / "base", tmp_path / "hub" / "somebody" / "pictures")
    with loopback_hub.serving(loopback_hub.Hub(tmp_path / "hub")) as hub, loopback_hub.asked(hub.url, tmp_path / "cache"):
        found = by_part([*models.files("somebody/pictures"), *pictures.weights("somebody/pictures"), *pictures.equality("somebody/pictures")])
    assert {part: finding.verdict for part, finding in found.items()} == {"checkpoint": "ok", "weights": "ok", "equality": "ok"}, found
    assert "a repository of the hub" in found["checkpoint"].line


def test_a_driver_that_torch_does_not_use_is_pointed_out(tmp_path, monkeypatch):
    """
    Where the system has an NVIDIA driver and torch was built for the CPU, the build to take is said; no test needs a GPU for that.
    """
    if torch.cuda.is_available() or Path("/proc/driver/nvidia/version").exists():
        pytest.skip("there is a GPU here")
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 550.54.14\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    (finding,) = models.device(None)
    assert finding.verdict == "attention"
    assert "550.54.14" in finding.line
    assert "build of torch" in finding.advice


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_a_cpu_computes_rightly_and_knows_attention(dtype):
    """
    The trials that a GPU is put to pass on a CPU in each precision.
    """
    assert accelerator.computes_rightly("cpu", dtype)
    assert "math" in accelerator.attention_kernels("cpu", dtype)


def test_what_fits_a_card_is_what_offloading_chooses():
    """
    Cards of 6, 12 and 24 GB take SDXL's pair one layer at a time, one model at a time, and whole.
    """
    assert [accelerator.offload_for_sdxl(gib << 30) for gib in (6, 8, 11, 12, 24)] == ["sequential", "model", "model", "model", "none"]


def test_the_page_on_small_gpus_says_what_auto_chooses():
    """
    Each row of its table has the least tenths of a GB from which `auto` takes a faster way, and what it takes on each card, 0.6 GB of which are gone.
    """
    text = (Path(__file__).parents[2] / "docs" / "small-gpus.md").read_text()
    [cards] = [list(map(int, re.findall(r"(\d+) GB", line))) for line in text.splitlines() if "card of" in line and line.startswith("|")]
    [free] = [list(map(float, re.findall(r"([\d.]+) GB", line))) for line in text.splitlines() if line.startswith("| free of it")]
    assert free == [round((gib << 30) / 1e9 - 0.6, 1) for gib in cards]
    rows = re.findall(r"(?m)^\| (base .*?) \| `none` from ([\d.]+) GB, `model` from ([\d.]+) GB \| (.*) \|$", text)
    assert len(rows) == 6
    shapes = shapes_of(locate("sdxl"))
    for what, *least, on_cards in rows:
        compute = Compute(dtype="float16", vae="fp16-fix" if "fp16-fix" in what else None, vae_tiling="vae_tiling" in what)
        choose = partial(fastest_offload, needs_of(shapes, compute, pixels=1024**2, is_refined="refiner" in what))
        for offload, gigabytes in zip(("none", "model"), map(float, least), strict=True):
            chosen = [choose(int(room * 1e9)) for room in (gigabytes, gigabytes - 0.1)]
            assert chosen[0] == offload != chosen[1], what
        assert [choose(int(room * 1e9)) for room in free] == re.findall(r"`(\w+)`", on_cards), what
