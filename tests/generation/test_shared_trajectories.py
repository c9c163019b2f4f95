from __future__ import annotations

import subprocess
import sys
from functools import partial
from typing import Any

import pytest
from PIL import Image

from sdxl_lab.settings.sections import Mask, Refiner
from tests.support.edits import calls, cpu, crossed, make_edit, same


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global generate, TrajectoryCache
    from sdxl_lab.generation.generate import generate
    from sdxl_lab.generation.trajectory import TrajectoryCache


def test_a_trajectory_serves_every_hand_over(random_pair, scene):
    """
    Refined pictures from one captured trajectory equal those of separate runs bit for bit, for N base steps plus the refiner's tails.
    """
    image, mask = scene
    checkpoint, shared = cpu(random_pair), TrajectoryCache()
    fractions = (None, 0.5, 0.6, 0.7, 0.8, 0.9)
    edits = [make_edit(num_inference_steps=10, strength=1.0, high_noise_frac=fraction) for fraction in fractions]
    separate = [generate(one, image, mask, checkpoint) for one in edits]
    with calls(checkpoint.base.unet, checkpoint.refiner.unet) as counts:
        together = [generate(one, image, mask, checkpoint, trajectories=shared) for one in edits]
    assert counts == [10, 5 + 4 + 3 + 2 + 1]
    assert [(picture.base_steps, picture.refiner_steps) for picture in together] == [(10, 0), (5, 5), (6, 4), (7, 3), (8, 2), (9, 1)]
    with calls(checkpoint.base.unet, checkpoint.refiner.unet) as counts:
        again = [generate(one, image, mask, checkpoint, trajectories=shared) for one in edits]
    assert counts == [0, 0]
    for expected, first, second in zip(separate, together, again, strict=True):
        assert same(expected.raw, first.raw)
        assert same(expected.image, second.image)
    assert len({picture.raw.tobytes() for picture in together}) == len(fractions)


@pytest.mark.parametrize(
    "scheduler", crossed(["dpmpp_2m_sde", "heun", "unipc", "euler_a"], quick=lambda scheduler: scheduler in ("dpmpp_2m_sde", "heun"))
)
def test_a_trajectory_grows_in_any_order(random_pair, scene, scheduler):
    """
    A base run that stopped early is continued, not repeated, when a later stop is asked for, and its pictures stay the same.
    """
    image, mask = scene
    checkpoint, shared = cpu(random_pair), TrajectoryCache()
    edits = [make_edit(num_inference_steps=6, scheduler=scheduler, high_noise_frac=fraction) for fraction in (0.6, 0.8, None)]
    separate = [generate(one, image, mask, checkpoint) for one in edits]
    with calls(checkpoint.base.unet) as counts:
        together = [generate(one, image, mask, checkpoint, trajectories=shared) for one in edits]
    assert counts == [separate[-1].base_steps]
    for expected, actual in zip(separate, together, strict=True):
        assert same(expected.raw, actual.raw)


@pytest.mark.slow
def test_another_process_makes_the_same_pictures(random_pair, scene, tmp_path):
    """
    What is remembered leaves no trace in a picture: a process that starts with nothing makes the same ones.
    """
    image, mask = scene
    image.save(tmp_path / "image.png")
    mask.save(tmp_path / "mask.png")
    shared, checkpoint = TrajectoryCache(), cpu(random_pair)
    edits = [make_edit(high_noise_frac=fraction) for fraction in (None, 0.6, 0.7)]
    program = f"""
from PIL import Image
from sdxl_lab.checkpoints.loading import load
from sdxl_lab.generation.generate import generate
from sdxl_lab.settings.sections import Compute
from sdxl_lab.spec.edit import Edit
checkpoint = load({str(random_pair)!r}, Compute(device="cpu", threads=1))
for index, text in enumerate({[one.model_dump_json() for one in edits]!r}):
    generate(Edit.model_validate_json(text), Image.open("image.png"), Image.open("mask.png"), checkpoint).raw.save(f"{{index}}.png")
"""
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, capture_output=True, timeout=150)
    for index, one in enumerate(edits):
        expected = generate(one, image, mask, checkpoint, trajectories=shared).raw
        assert same(expected, Image.open(tmp_path / f"{index}.png"))


def test_a_full_cache_changes_no_picture(random_pair, scene):
    """
    A cache too small for a trajectory forgets, and what it forgot is made again, the same.
    """
    image, mask = scene
    checkpoint = cpu(random_pair)
    edits = [make_edit(num_inference_steps=4, high_noise_frac=fraction, seed=seed) for seed in (1, 2) for fraction in (None, 0.6)]
    separate = [generate(one, image, mask, checkpoint).raw for one in edits]
    tight = TrajectoryCache(max_bytes=20_000)
    for one, expected in [*zip(edits, separate, strict=True)] * 2:
        assert same(expected, generate(one, image, mask, checkpoint, trajectories=tight).raw)
        assert tight.used_bytes <= 20_000


def test_nothing_is_encoded_twice(random_pair, scene):
    """
    Over seeds and hand-overs each text passes each text encoder once, and the image passes the autoencoder once, but every seed draws its own sample.
    """
    image, mask = scene
    checkpoint, shared = cpu(random_pair), TrajectoryCache()
    base = checkpoint.base
    with calls(base.text_encoder, base.text_encoder_2, base.vae.encoder, base.vae.decoder) as counts:
        for seed in (1, 2):
            for fraction in (None, 0.6):
                actual = generate(make_edit(seed=seed, high_noise_frac=fraction), image, mask, checkpoint, trajectories=shared)
    assert counts == [2, 2, 1, 4]
    assert same(actual.raw, generate(make_edit(seed=2, high_noise_frac=0.6), image, mask, checkpoint).raw)


short = partial(make_edit, num_inference_steps=3)


@pytest.mark.parametrize(
    "other",
    [
        short(seed=7),
        short(negative_prompt=None),
        pytest.param(short(negative_prompt=""), marks=pytest.mark.slow),
        short(guidance_scale=4.0),
        short(strength=0.8),
        pytest.param(short(strength=1.0), marks=pytest.mark.slow),
        short(scheduler="ddim"),
        make_edit(num_inference_steps=4),
        short(mask=Mask(latent_mask="cover")),
        short(mask=Mask(kernel_size=9)),
        short("outpaint", mode="background"),
    ],
)
def test_trajectories_are_told_apart_by_all_that_changes_them(random_pair, scene, other):
    """
    A picture made after another one with a setting changed is the picture it would have been alone.
    """
    image, mask = scene
    checkpoint, shared = cpu(random_pair), TrajectoryCache()
    generate(short(), image, mask, checkpoint, trajectories=shared)
    expected = generate(other, image, mask, checkpoint).raw
    assert same(expected, generate(other, image, mask, checkpoint, trajectories=shared).raw)


def test_the_refiner_is_told_apart_by_its_own_settings(random_pair, scene):
    """
    Refined pictures of other scores, guidance or hand-over are not taken for each other.
    """
    image, mask = scene
    checkpoint, shared = cpu(random_pair), TrajectoryCache()
    variants: list[dict[str, Any]] = [
        dict(),
        dict(refiner=Refiner(aesthetic_score=1.0)),
        dict(refiner=Refiner(guidance_scale=1.0)),
        dict(handover="stock"),
    ]
    edits = [make_edit(high_noise_frac=0.6, **variant) for variant in variants]
    together = [generate(one, image, mask, checkpoint, trajectories=shared).raw for one in edits]
    for one, actual in zip(edits, together, strict=True):
        assert same(generate(one, image, mask, checkpoint).raw, actual)
    assert len({picture.tobytes() for picture in together}) == len(variants)
