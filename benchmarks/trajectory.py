"""What one base trajectory saves when it serves a picture without refiner and five hand-overs.

Use: python benchmarks/trajectory.py [CHECKPOINT] [STEPS]      (the built-in pocket checkpoint, 30 steps)
"""

from __future__ import annotations

import sys
import time
import warnings

import numpy as np
from overhead import scene

from sdxl_lab.checkpoints.loading import load
from sdxl_lab.generation.generate import Generated, generate
from sdxl_lab.generation.trajectory import TrajectoryCache
from sdxl_lab.settings.sections import Compute, Denoising, EditSettings
from sdxl_lab.spec.edit import Edit

FRACTIONS = (None, 0.5, 0.6, 0.7, 0.8, 0.9)


def main(name: str = "pocket", steps: str = "30") -> None:
    """Print UNet evaluations and wall time, separate against shared, and whether the pictures agree."""
    warnings.simplefilter("ignore")
    checkpoint = load(name, Compute(device="cpu", dtype="float32", threads=1))
    image, mask = scene(round(checkpoint.sizes.area**0.5))
    evaluations = [0]
    for pipeline in (checkpoint.base, checkpoint.refiner):
        pipeline.unet.register_forward_hook(lambda *_: evaluations.__setitem__(0, evaluations[0] + 1))

    def run(cache: TrajectoryCache | None) -> tuple[list[Generated], float, int]:
        began, before = time.perf_counter(), evaluations[0]
        pictures = []
        for fraction in FRACTIONS:
            denoising = Denoising(num_inference_steps=int(steps), high_noise_frac=fraction)
            edit = Edit(sample="disc", task="inpaint", prompt="a red star on grass", seed=7, settings=EditSettings(denoising=denoising))
            pictures.append(generate(edit, image, mask, checkpoint, trajectories=cache))
        return pictures, time.perf_counter() - began, evaluations[0] - before

    run(None)
    cache = TrajectoryCache()
    separate, separate_s, separate_count = run(None)
    shared, shared_s, shared_count = run(cache)
    again, again_s, again_count = run(cache)
    equal = all(np.array_equal(*(np.asarray(one.raw) for one in three[:2])) for three in zip(separate, shared, again, strict=True))
    equal &= all(np.array_equal(np.asarray(one.raw), np.asarray(two.raw)) for one, two in zip(separate, again, strict=True))
    print(f"high_noise_frac {', '.join(map(str, FRACTIONS))} at {steps} steps; the pictures are {'equal bit for bit' if equal else 'DIFFERENT'}")
    print(f"separate {separate_s:.2f} s, {separate_count} UNet evaluations")
    print(
        f"shared   {shared_s:.2f} s, {shared_count} UNet evaluations: {separate_s / shared_s:.2f} times as fast, {cache.used_bytes / 1e6:.1f} MB held"
    )
    print(f"again    {again_s:.2f} s, {again_count} UNet evaluations")


if __name__ == "__main__":
    main(*sys.argv[1:])
