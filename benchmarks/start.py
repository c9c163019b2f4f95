"""What starting costs: one picture by our command, by a plain script of diffusers and by stock papermill; a typo; a plan; sweeps.

Use: python benchmarks/start.py [--only run typo plan sweep workers] [--pairs 10]      (all parts, the built-in pocket checkpoint)

`run`: the same picture by each of the three, in turn: medians, and medians of the ratios within each round. `typo`: how long a misspelled setting
in a sweep file takes to be told. `plan`: what each of 200 points adds to a plan of one. `sweep`: the 12 points of notebooks/fractions.yaml over the
seconds of their pictures. `workers`: 24 points of 4 pictures by one worker over the same by two. Seconds of the wall, and behind them those of the
processors. One thread a process, tracking off. It wants two free cores.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sdxl_lab import fetch, find_runs
from sdxl_lab.families.pocket import WEIGHTS
from sdxl_lab.kernels import notebooks
from sdxl_lab.settings.arguments import read_file, written

COMMAND = str(Path(sys.executable).with_name("sdxl-lab"))

SCRIPT = """
import sys
import cv2
import numpy as np
import torch
from diffusers import StableDiffusionXLInpaintPipeline
from PIL import Image

checkpoint, image, mask, output = sys.argv[1:]
pipeline = StableDiffusionXLInpaintPipeline.from_pretrained(checkpoint, dtype=torch.float32, use_safetensors=True, add_watermarker=False)
image, mask = Image.open(image).convert("RGB"), Image.open(mask).convert("L")
mask = Image.fromarray(cv2.dilate(np.asarray(mask), np.ones((17, 17), np.uint8)))
made = pipeline(
    prompt="a blue star on grass",
    image=image,
    mask_image=mask,
    width=image.width,
    height=image.height,
    num_inference_steps=30,
    guidance_scale=7.5,
    strength=0.99,
    generator=torch.Generator().manual_seed(-732),
).images[0]
Image.composite(made, image, mask).save(output)
"""
"""What anybody would write, and the settings that the lab chooses for this picture."""


@dataclass(frozen=True, kw_only=True)
class Took:
    """What a command took, and those that it started: seconds of the wall, and of the processors."""

    wall_s: float
    cpu_s: float
    code: int


def timed(arguments: Sequence[str | Path]) -> Took:
    """Run a command, unheard."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run([str(argument) for argument in arguments], capture_output=True, check=False)
    wall_s, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Took(wall_s=wall_s, cpu_s=after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, code=done.returncode)


def succeeded(arguments: Sequence[str | Path]) -> Took:
    """Run a command that has to succeed."""
    took = timed(arguments)
    assert took.code == 0, arguments
    return took


def median(took: Sequence[Took]) -> str:
    """Medians of what commands took, in words."""
    walls = [one.wall_s for one in took]
    return (
        f"{statistics.median(walls):.2f} s ({min(walls):.2f} to {max(walls):.2f}; {statistics.median(one.cpu_s for one in took):.2f} s of processor)"
    )


def run(folder: Path, pairs: int) -> None:
    """One picture in three ways."""
    sample = fetch("pocket-scenes").sample("red-circle")
    script, plain = folder / "plain.py", folder / "plain.png"
    script.write_text(SCRIPT)
    asked: dict[str, Any] = {"samples": ["red-circle"], "tasks": ["inpaint"], "tracking": "off"}
    took: dict[str, list[Took]] = {"ours": [], "script": [], "papermill": []}
    for number in range(pairs):
        runs = {name: folder / name / str(number) for name in took}
        pairs_of = [text for name, value in (asked | {"runs_folder": str(runs["ours"])}).items() for text in ("-p", name, _text(value))]
        notebook = [notebooks.find("inpaint_outpaint"), folder / "executed.ipynb", "-y", json.dumps(asked | {"runs_folder": str(runs["papermill"])})]
        sides: Mapping[str, Sequence[str | Path]] = {
            "ours": [COMMAND, "run", "inpaint_outpaint", *pairs_of],
            "script": [sys.executable, script, WEIGHTS / "base", str(sample.image_path), str(sample.mask_path), plain],
            "papermill": [sys.executable, "-m", "papermill", "--no-progress-bar", *notebook],
        }
        for name in (list(sides) * 2)[number % 3 : number % 3 + 3]:
            took[name].append(succeeded(sides[name]))
        made = [np.asarray(Image.open(find_runs(runs[name])[0].pictures()[0].image)) for name in ("ours", "papermill")]
        assert all(np.array_equal(one, np.asarray(Image.open(plain))) for one in made), "the pictures differ"
    for name, each in took.items():
        print(f"{name}: {median(each)}")
    for name in ("script", "papermill"):
        both = list(zip(took["ours"], took[name], strict=True))
        wall, cpu = (statistics.median(getattr(ours, unit) / getattr(other, unit) for ours, other in both) for unit in ("wall_s", "cpu_s"))
        print(f"ours over {name}: {wall:.2f} ({cpu:.2f} of processor), the median of {len(both)} rounds; the same picture")


def typo(folder: Path, pairs: int) -> None:
    """A misspelled setting in a sweep file."""
    file = folder / "typo.yaml"
    file.write_text(written({"name": "typo", "grid": {"hyperparameters.denoising.guidance_scal": [3, 5]}}))
    for command in ("plan", "sweep"):
        took = [timed([COMMAND, command, file]) for _ in range(pairs)]
        assert all(one.code == 1 for one in took)
        print(f"a typo, told by {command}: {median(took)}")


def plan(folder: Path, pairs: int, points: int = 200) -> None:
    """What a point costs, of four pictures with and without the refiner."""
    took: dict[int, list[Took]] = {1: [], points: []}
    for count in took:
        grid = {"hyperparameters.seed": f"1-{max(count // 4, 1)}"} | (
            {"hyperparameters.denoising.high_noise_frac": [None, 0.5, 0.7, 0.9]} if count > 1 else {}
        )
        parameters = {
            "samples": ["red-circle", "yellow-star"],
            "tracking": "off",
            "runs_folder": str(folder / "plan"),
            "hyperparameters.denoising.high_noise_frac": 0.8,
        }
        (folder / f"{count}.yaml").write_text(written({"name": "plan", "parameters": parameters, "grid": grid}))
    for number in range(max(pairs // 3, 1)):
        for count in list(took) if number % 2 else reversed(list(took)):
            took[count].append(succeeded([COMMAND, "plan", folder / f"{count}.yaml"]))
    more = [(many.wall_s - one.wall_s, many.cpu_s - one.cpu_s) for one, many in zip(*took.values(), strict=True)]
    wall, cpu = (statistics.median(each) / (points - 1) * 1e3 for each in zip(*more, strict=True))
    print(f"a plan of one point: {median(took[1])}, of {points}: {median(took[points])}; a point: {wall:.1f} ms ({cpu:.1f} of processor)")


def swept(folder: Path, name: str, content: Mapping[str, Any], workers: int) -> tuple[Took, float]:
    """Run a sweep: what it took, and the seconds of its pictures."""
    runs, file = folder / name, folder / f"{name}.yaml"
    parameters = dict(content["parameters"]) | {"tracking": "off", "runs_folder": str(runs)}
    file.write_text(written(dict(content) | {"parameters": parameters}))
    took = succeeded([COMMAND, "sweep", file, "--workers", str(workers)])
    return took, sum(picture.seconds for found in find_runs(runs) for picture in found.pictures())


def sweep(folder: Path, pairs: int) -> None:
    """The example over its pictures' own seconds."""
    content = read_file(notebooks.find("inpaint_outpaint").with_name("fractions.yaml"))
    made = [swept(folder, f"sweep-{number}", content, 1) for number in range(max(pairs // 3, 1))]
    ratio = statistics.median(took.wall_s / pictures_s for took, pictures_s in made)
    pictures_s = statistics.median(seconds for _, seconds in made)
    print(f"12 points: {median([took for took, _ in made])}, pictures {pictures_s:.2f} s: {ratio:.2f} times their own seconds")


def workers(folder: Path, pairs: int) -> None:
    """Two workers against one."""
    content = {"name": "workers", "parameters": {"samples": ["red-circle", "yellow-star"]}, "grid": {"hyperparameters.seed": "1-24"}}
    took: dict[int, list[Took]] = {1: [], 2: []}
    for number in range(max(pairs // 3, 1)):
        for count in list(took) if number % 2 else reversed(list(took)):
            took[count].append(swept(folder, f"workers-{count}-{number}", content, count)[0])
    ratio = statistics.median(one.wall_s / two.wall_s for one, two in zip(took[1], took[2], strict=True))
    print(f"24 points by one worker: {median(took[1])}, by two: {median(took[2])}: {ratio:.2f} times as fast")


PARTS = {"run": run, "typo": typo, "plan": plan, "sweep": sweep, "workers": workers}


def main() -> None:
    """Print the parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="parts (default: all)")
    parser.add_argument("--pairs", type=int, default=10, help="rounds of `run` and `typo`, a third as many of the others (default: %(default)s)")
    given = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # as in the Makefile: else all processes compile the package each time
    for name in given.only:
        with tempfile.TemporaryDirectory() as folder:
            PARTS[name](Path(folder), given.pairs)


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


if __name__ == "__main__":
    main()
