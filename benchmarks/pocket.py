"""How long the pocket checkpoint takes on one core: loading base and refiner, and an inpaint with and without the refiner.

Use: python benchmarks/pocket.py [--runs 10] [--steps 30]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sdxl_lab.spec.edit import Edit

LOAD = """
import time
from diffusers import AutoencoderKL, EulerDiscreteScheduler, StableDiffusionXLInpaintPipeline, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer
from sdxl_lab.checkpoints.loading import load
from sdxl_lab.settings.sections import Compute
began = time.perf_counter()
load("pocket", Compute(threads=1)).refiner
print(time.perf_counter() - began)
"""


def main() -> None:
    """Print medians over the runs: loading in fresh processes, the libraries imported before; inpainting in this one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10, help="measurements of each (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=30, help="denoising steps of a picture (default: %(default)s)")
    given = parser.parse_args()
    runs, steps = given.runs, given.steps
    print_median("load base and refiner", [float(subprocess.check_output([sys.executable, "-c", LOAD]).split()[-1]) for _ in range(runs)])

    from sdxl_lab.checkpoints.loading import load
    from sdxl_lab.generation.generate import generate
    from sdxl_lab.pocket.training.evaluate import asked
    from sdxl_lab.settings.sections import Compute

    checkpoint = load("pocket", Compute(threads=1))
    for by_whom, refined in (("", {}), (", the last fifth by the refiner", {"high_noise_frac": 0.8})):
        seconds = []
        for index in range(runs + 1):
            a = asked(index)
            image, mask, edit = a.image, a.mask, at_steps(a.edit(denoising=refined), steps)
            began = time.perf_counter()
            generate(edit, image, mask, checkpoint)
            seconds.append(time.perf_counter() - began)
        print_median(f"inpaint, {steps} steps{by_whom}", seconds[1:])


def at_steps(edit: Edit, steps: int) -> Edit:
    """The same edit with another number of denoising steps."""
    denoising = edit.settings.denoising.model_copy(update={"num_inference_steps": steps})
    return edit.model_copy(update={"settings": edit.settings.model_copy(update={"denoising": denoising})})


def print_median(what: str, seconds: list[float]) -> None:
    """Print a median and the range around it."""
    print(f"{what}: {statistics.median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f})")


if __name__ == "__main__":
    main()
