"""What `sdxl-lab memory` reckons, against models at work: the bytes of their weights, and the most that a step and decoding hold beside them.

Use: python benchmarks/memory.py FOLDER [SIDE_PX ...]   (a pair as diffusers saves it, say of random weights and SDXL's size; 512)

On a CPU, in bfloat16 with the VAE in float32, each model in a process of its own, whose resident memory is looked at: after a small picture, which
brings the weights in, and at the peak of a guided step, or of decoding. The system's allocator gives back at once what is let go. A pair of SDXL's
size takes 6 GB, and at 512 pixels minutes on one core. No GPU is looked at.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SMALL_PX = 64
GIVES_BACK = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}


def resident_bytes(key: str) -> int:
    """A line of this process's status: `VmRSS` now, `VmHWM` the most."""
    return int(Path("/proc/self/status").read_text().partition(f"{key}:")[2].split()[0]) * 1024


def peak_bytes(work: Callable[[], object]) -> int:
    """The most that some work holds beyond what is held before it."""
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the most is what it is now
    before = resident_bytes("VmRSS")
    work()
    return resident_bytes("VmHWM") - before


def look(folder: str, model: str, sides_px: list[int]) -> dict[str, Any]:
    """Load a checkpoint and let one of its models work."""
    import torch

    from sdxl_lab.checkpoints.configurations import MODELS
    from sdxl_lab.checkpoints.loading import load
    from sdxl_lab.settings.sections import Compute

    loaded = load(folder, Compute(device="cpu", dtype="bfloat16", threads=1))
    base = loaded.base
    scale = 2 ** (len(base.vae.config.block_out_channels) - 1)
    models = {name: getattr(base, name) for name in MODELS} | ({"refiner": loaded.refiner.unet} if model == "refiner" else {})
    unet: Any = models.get(model)

    def step(side_px: int) -> None:
        config: Any = unet.config
        sizes = 5 if model == "refiner" else 6
        told = {
            "time_ids": torch.zeros(2, sizes, dtype=torch.bfloat16),
            "text_embeds": torch.zeros(
                2, config.projection_class_embeddings_input_dim - sizes * config.addition_time_embed_dim, dtype=torch.bfloat16
            ),
        }
        latents = torch.zeros(2, config.in_channels, side_px // scale, side_px // scale, dtype=torch.bfloat16)
        words = torch.zeros(2, 77, config.cross_attention_dim, dtype=torch.bfloat16)
        unet(latents, 500, encoder_hidden_states=words, added_cond_kwargs=told)

    def decode(side_px: int) -> None:
        base.vae.decode(torch.zeros(1, 4, side_px // scale, side_px // scale, dtype=base.vae.dtype))

    work = decode if model == "vae" else step
    with torch.no_grad():
        work(SMALL_PX)
        peaks = {side_px: peak_bytes(lambda side_px=side_px: work(side_px)) for side_px in sides_px}
    return {"weights": {name: sum(weight.nbytes for weight in each.parameters()) for name, each in models.items()}, "peaks": peaks}


def main(folder: str, sides_px: list[int]) -> None:
    """Print both, and the ratio, for weights and for each model and side."""
    from sdxl_lab.checkpoints.locating import locate
    from sdxl_lab.checkpoints.needs import needs_of
    from sdxl_lab.checkpoints.shapes import shapes_of
    from sdxl_lab.settings.sections import Compute

    began = time.perf_counter()
    shapes = shapes_of(locate(folder))
    reckoned = {side_px: needs_of(shapes, Compute(dtype="bfloat16"), pixels=side_px**2, is_refined=True) for side_px in sides_px}
    print(f"reckoned in {time.perf_counter() - began:.2f} s")
    for model in ("unet", "vae", *(["refiner"] if "refiner" in shapes.layers else [])):
        command = [sys.executable, __file__, "--look", folder, model, *map(str, sides_px)]
        seen = json.loads(subprocess.run(command, env=os.environ | GIVES_BACK, stdout=subprocess.PIPE, check=True, text=True).stdout.splitlines()[-1])
        weights = {name: size for name, size in reckoned[sides_px[0]].weights.items() if name in seen["weights"]}
        said = "equal to the byte" if weights == seen["weights"] else f"reckoned {weights}, and loaded {seen['weights']}"
        print(f"{model}: weights {said}", flush=True)
        for side_px in sides_px:
            expected, found = reckoned[side_px].at_work[model], max(seen["peaks"][str(side_px)], 1)
            print(
                f"{model} at {side_px} px: reckoned {expected / 1e6:.1f} MB, at its peak {found / 1e6:.1f} MB, ratio {expected / found:.2f}",
                flush=True,
            )


if __name__ == "__main__":
    if sys.argv[1] == "--look":
        print(json.dumps(look(sys.argv[2], sys.argv[3], list(map(int, sys.argv[4:])))))
    else:
        main(sys.argv[1], list(map(int, sys.argv[2:])) or [512])
